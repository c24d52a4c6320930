//! What the person reads: chapters, commands, tables; colours only on a terminal.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _, stdout};
use std::time::Instant;

const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// Where the demo writes.
#[derive(Debug)]
pub(crate) struct Screen {
    colours: bool,
    chapter: Cell<u32>,
    started: Instant,
}

impl Screen {
    /// Standard output.
    pub(crate) fn new() -> Self {
        let colours = stdout().is_terminal();
        Self {
            colours,
            chapter: Cell::new(0),
            started: Instant::now(),
        }
    }

    /// Begins a chapter.
    pub(crate) fn chapter(&self, title: &str) {
        self.chapter.set(self.chapter.get().saturating_add(1));
        let seconds = self.started.elapsed().as_secs_f32();
        let heading = self.paint(BOLD, &format!("{}  {title}", self.chapter.get()));
        self.print(&format!(
            "\n{heading}  {}",
            self.paint(FAINT, &format!("({seconds:.1} s)"))
        ));
    }

    /// A line of text.
    pub(crate) fn line(&self, text: &str) {
        self.print(&format!("   {text}"));
    }

    /// A command that is run in a pod.
    pub(crate) fn command(&self, pod: &str, command: &str) {
        self.print(&format!(
            "   {} {command}",
            self.paint(BOLD, &format!("{pod}$"))
        ));
    }

    /// Something that is as it should be.
    pub(crate) fn good(&self, text: &str) {
        self.print(&format!("   {}", self.paint(GREEN, text)));
    }

    /// Something that a reader should worry about.
    pub(crate) fn bad(&self, text: &str) {
        self.print(&format!("   {}", self.paint(YELLOW, text)));
    }

    /// Text outside the chapters.
    pub(crate) fn note(&self, text: &str) {
        self.print(text);
    }

    /// Why the demo failed.
    pub(crate) fn failure(&self, error: &anyhow::Error) {
        self.print(&self.paint(RED, &format!("\nThe demo failed: {error:#}")));
    }

    /// Rows in columns as wide as they need; the first row is the heading.
    pub(crate) fn table(&self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widest = |column: usize| {
            rows.iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..columns)
            .map(|column| widest(column).unwrap_or(0))
            .collect();
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<String> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            let text = cells.join("  ");
            let text = if number == 0 {
                self.paint(FAINT, text.trim_end())
            } else {
                text
            };
            self.line(text.trim_end());
        }
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours {
            format!("\x1b[{colour}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    // A reader that has gone away is no reason to leave namespaces behind.
    fn print(&self, text: &str) {
        let mut out = stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).ok();
    }
}

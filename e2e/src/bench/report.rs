//! What was measured as tables: aligned for a terminal, as Markdown for the page.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

const BEGIN: &str = "<!-- figures: written by `bench --write`, do not edit -->";
const END: &str = "<!-- end of figures -->";

/// A table with a title and what a reader must know to read it.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its title.
    pub title: String,
    /// What was done, in a sentence or two.
    pub note: String,
    /// The columns' names.
    pub head: Vec<String>,
    /// The rows, as long as the head.
    pub rows: Vec<Vec<String>>,
}

/// All sections of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Machine, kernel, build: one line.
    pub setting: String,
    /// The command that made it.
    pub command: String,
    /// In order.
    pub sections: Vec<Section>,
}

impl Section {
    /// Aligned columns: the first to the left, the others to the right.
    pub fn plain(&self) -> String {
        let lines = || std::iter::once(&self.head).chain(&self.rows);
        let columns = lines().map(Vec::len).max().unwrap_or_default();
        let widest = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(widest).collect();
        let mut text = format!("{}\n{}\n\n", self.title, self.note);
        for line in lines() {
            let mut written = String::new();
            for ((cell, width), column) in line.iter().zip(&widths).zip(0..) {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) = if column == 0 {
                    ("", &*pad)
                } else {
                    (&*pad, "")
                };
                written.push_str(before);
                written.push_str(cell);
                written.push_str(after);
                written.push_str("  ");
            }
            text.push_str(written.trim_end());
            text.push('\n');
        }
        text
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.note);
        text.push_str(&line(&self.head));
        let rule = |(column, _): (usize, _)| if column == 0 { ":---" } else { "---:" };
        let rules: Vec<String> = self
            .head
            .iter()
            .enumerate()
            .map(|at| rule(at).to_owned())
            .collect();
        text.push_str(&line(&rules));
        text.extend(self.rows.iter().map(|row| line(row)));
        text
    }
}

impl Report {
    /// Replaces the figures of a page, whose other text stays; a new page is nothing but figures.
    pub fn write(&self, page: &Path) -> Result<()> {
        let old = fs::read_to_string(page).unwrap_or_default();
        let new = self.page(&old);
        fs::write(page, new).with_context(|| format!("writing {}", page.display()))
    }

    fn page(&self, old: &str) -> String {
        let mut figures = format!("{BEGIN}\n\n`{}` on {}\n", self.command, self.setting);
        for section in &self.sections {
            // Writing into a String cannot fail.
            let _ = write!(figures, "\n{}", section.markdown());
        }
        let _ = write!(figures, "\n{END}");
        let around = old
            .split_once(BEGIN)
            .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
        match around {
            Some((before, after)) => format!("{before}{figures}{after}"),
            None => format!("# Benchmarks\n\n{figures}\n"),
        }
    }
}

#[cfg(test)]
mod tests;

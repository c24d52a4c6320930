//! `make demo`: a shop of real programs on two nodes, and what the mesh does to its traffic.
//!
//! Shows, in this order: the wire before the mesh, the wire with it, who talked to whom, a policy
//! that bites, some numbers, and where to look further. Then it stays up until Ctrl-C; whatever
//! ends it, nothing is left behind.

mod chapters;
mod screen;
mod shop;

use std::process::ExitCode;

use ambit_e2e::interrupt::Interrupt;
use anyhow::Result;
use clap::Parser;

use crate::screen::Screen;
use crate::shop::Shop;

/// Shows a mesh at work on this machine. Needs root.
#[derive(Debug, Parser)]
struct Args {
    /// End after the show instead of staying up until Ctrl-C.
    #[arg(long)]
    once: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let screen = Screen::new();
    let outcome = Interrupt::install().and_then(|interrupt| {
        let shown = show(&args, &screen, &interrupt);
        if interrupt.came() { Ok(()) } else { shown }
    });
    match outcome {
        Ok(()) => {
            screen.note("All namespaces, rules and processes are gone.");
            ExitCode::SUCCESS
        }
        Err(error) => {
            screen.failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn show(args: &Args, screen: &Screen, interrupt: &Interrupt) -> Result<()> {
    let mut shop = Shop::open()?;
    chapters::topology(screen, &shop);
    interrupt.check()?;
    let before = chapters::before(screen, &shop)?;
    interrupt.check()?;
    chapters::enrol(screen, &mut shop)?;
    interrupt.check()?;
    chapters::wire(screen, &shop)?;
    interrupt.check()?;
    chapters::who(screen, &shop)?;
    interrupt.check()?;
    chapters::policy(screen, &shop)?;
    interrupt.check()?;
    chapters::numbers(screen, &shop, &before)?;
    chapters::further(screen, &shop)?;
    if !args.once {
        screen.note("\nThe mesh stays up until Ctrl-C.");
        interrupt.wait();
        screen.note("");
    }
    Ok(())
}

//! The waypoint's program. Everything is in the library.

use std::process::ExitCode;

use ambit_kit::environment;
use ambit_waypoint::Args;
use clap::Parser as _;
use mimalloc::MiMalloc;

/// A request is many small allocations.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let args = Args::parse();
    let played = environment::check(std::env::vars_os())
        .map_err(anyhow::Error::from)
        .and_then(|()| ambit_waypoint::run(&args));
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

/// There may be no logs yet, or no more.
#[expect(
    clippy::print_stderr,
    reason = "the last words of the program, for a person"
)]
fn complain(error: &anyhow::Error) {
    eprintln!("ambit-waypoint: {error:#}");
}

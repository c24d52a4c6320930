//! The CNI plugin's program: without arguments it is the plugin, which a container runtime starts;
//! with arguments it installs itself. Everything else is in the library.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use ambit_cni::install::{self, InstallError, Order, USAGE};
use ambit_cni::plugin::{self, Environment};

/// Longest configuration that is read.
const INPUT_BYTES: u64 = 1 << 20;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if words.is_empty() {
        return be_plugin();
    }
    match Order::parse(words).and_then(follow) {
        Ok(text) => print(&text, true),
        Err(error) => {
            // Nobody is left to tell if even this fails.
            drop(writeln!(io::stderr(), "ambit-cni: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn be_plugin() -> ExitCode {
    let mut input = Vec::new();
    // What could not be read is not a configuration, which is reported as the runtime wants it.
    drop(io::stdin().take(INPUT_BYTES).read_to_end(&mut input));
    let outcome = plugin::run(&Environment::of_process(), &input);
    print(&outcome.output, outcome.success)
}

fn follow(order: Order) -> Result<String, InstallError> {
    let (done, files) = match order {
        Order::Install { to, with } => {
            let program = std::env::current_exe().map_err(|source| InstallError::Io {
                what: "find",
                path: "the program itself".into(),
                source,
            })?;
            ("installed", install::install(&program, &to, &with)?)
        }
        Order::Uninstall { from, with } => ("removed", install::uninstall(&from, &with)?),
        Order::Version => return Ok(concat!("ambit-cni ", env!("CARGO_PKG_VERSION")).to_owned()),
        Order::Help => return Ok(USAGE.to_owned()),
    };
    let lines = files
        .iter()
        .map(|file| format!("{done} {}", file.display()));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

/// Prints, unless there is nothing to; failing to is a failure.
fn print(text: &str, success: bool) -> ExitCode {
    let printed = text.is_empty() || writeln!(io::stdout(), "{text}").is_ok();
    if printed && success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

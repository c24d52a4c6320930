//! `ambit vet PATH`: reads a folder as the control plane would and tells what is wrong.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::Configuration;
use crate::config::directory::Scanner;
use crate::config::problem::{Problem, Severity};
use crate::mesh_names::MeshNames;

/// Something is wrong.
const ERRORS: u8 = 1;
/// The folder is not there.
const USAGE: u8 = 2;

/// What to read.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Folder of YAML files, or a single file
    pub path: PathBuf,
    /// Say only what is wrong
    #[arg(long, short)]
    pub quiet: bool,
    /// Names of the mesh
    #[command(flatten)]
    pub names: MeshNames,
}

/// Prints every problem; fails if one is an error.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> io::Result<ExitCode> {
    if let Err(error) = std::fs::metadata(&args.path) {
        writeln!(
            err,
            "{}: {error}; name a folder of YAML files",
            args.path.display()
        )?;
        return Ok(USAGE.into());
    }
    let mut scanner = Scanner::new(&args.path, None);
    let mut configuration = Configuration::new(args.names.settings());
    configuration.apply(scanner.scan());
    let problems = configuration.problems();
    for problem in &problems {
        writeln!(out, "{}: {problem}", word(problem.severity))?;
    }
    let errors = count(&problems, Severity::Error);
    if !args.quiet {
        let warnings = count(&problems, Severity::Warning);
        let (objects, files) = (configuration.objects().len(), scanner.files().count());
        writeln!(
            out,
            "{} in {}: {}, {}",
            counted(objects, "object"),
            counted(files, "file"),
            counted(errors, "error"),
            counted(warnings, "warning"),
        )?;
    }
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ERRORS.into()
    })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn count(problems: &[Problem], severity: Severity) -> usize {
    problems
        .iter()
        .filter(|problem| problem.severity == severity)
        .count()
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests;

//! `ambit crds`: prints the CustomResourceDefinitions of the policies that are read.

use std::io::Write;
use std::process::ExitCode;

use crate::crds;

/// Prints them as YAML.
pub fn run(out: &mut impl Write) -> anyhow::Result<ExitCode> {
    out.write_all(crds::yaml()?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

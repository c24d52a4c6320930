//! Logs: lines on stderr, as text or JSON, at a level that can be changed while running.
//!
//! A level is what `RUST_LOG` takes: a word (`info`) or a list of `target=level` with at most one
//! word for the rest (`info,ambit_tunnel=debug`). It is checked strictly, because the filter
//! itself reads a misspelt word as the name of a target and silences everything else.

use std::fmt;

use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Registry, reload};

/// Why logs could not be set up or their level not be changed.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The text is no level.
    #[error(
        "`{0}` is not a log level: expected off, error, warn, info, debug or trace, \
         or a list such as `info,ambit_tunnel=debug`"
    )]
    Level(String),
    /// This process has a subscriber already.
    #[error("logs are set up already in this process")]
    Twice,
    /// The subscriber is gone.
    #[error("the log level cannot be changed any more: {0}")]
    Reload(#[from] reload::Error),
}

/// The handle on this process' logs.
#[derive(Clone)]
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
}

/// Sets up the logs of this process, once.
pub fn init(json: bool, level: &str) -> Result<Logs, LogsError> {
    let (filter, handle) = reload::Layer::new(parse(level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    let set_up = if json {
        registry
            .with(lines.json().flatten_event(true).with_current_span(false))
            .try_init()
    } else {
        registry.with(lines.with_ansi(false)).try_init()
    };
    // The error says no more than that there is one already.
    set_up.map_err(|_already| LogsError::Twice)?;
    Ok(Logs { filter: handle })
}

impl Logs {
    /// Changes the level from now on.
    pub fn set_level(&self, level: &str) -> Result<(), LogsError> {
        let filter = parse(level)?;
        self.filter.reload(filter)?;
        // The field `level` of a JSON line is that of the line itself.
        tracing::info!("log level is now {level}");
        Ok(())
    }

    /// The level as it is now.
    pub fn level(&self) -> String {
        self.filter
            .with_current(ToString::to_string)
            .unwrap_or_default()
    }
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs")
            .field("level", &self.level())
            .finish()
    }
}

fn parse(level: &str) -> Result<EnvFilter, LogsError> {
    let legal = |directive: &str| {
        let word = directive
            .split_once('=')
            .map_or(directive, |(_target, word)| word);
        word.parse::<LevelFilter>().is_ok() && !word.is_empty()
    };
    let directives: Vec<&str> = level.split(',').map(str::trim).collect();
    if !directives.iter().all(|directive| legal(directive)) {
        return Err(LogsError::Level(level.to_owned()));
    }
    EnvFilter::try_new(directives.join(",")).map_err(|_illegal| LogsError::Level(level.to_owned()))
}

#[cfg(test)]
mod tests;

//! The log: lines on stderr.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Writes from now on what is as severe as configured.
pub(crate) fn log_to_stderr(config: &LogConfig) {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let is_human = match config.format {
        LogFormat::Auto => std::io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let log = tracing_subscriber::fmt()
        // A log that nobody reads any more must not end the service.
        .log_internal_errors(false)
        .with_max_level(level)
        .with_writer(std::io::stderr);
    if is_human {
        log.with_target(false).init();
    } else {
        log.json().flatten_event(true).init();
    }
}

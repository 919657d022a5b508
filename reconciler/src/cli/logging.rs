//! The log on standard error.

use tracing_subscriber::EnvFilter;

use super::{
    global::{Global, LogFormat},
    screen::{LogWriter, Screen},
};

/// The variable that filters the log.
const FILTER: &str = "SITEWRIGHT_LOG";

/// What is never in a log: what our HTTP client sends. At `trace` it tells every byte, tokens among them (law 10).
const SILENT: [&str; 2] = ["ureq", "ureq_proto"];

/// Starts the log.
pub(super) fn start(global: &Global, screen: &Screen) {
    let default = match (global.quiet, global.verbose) {
        // What kube finds wrong is retried, or returned as an error and told once.
        (true, _) => "sitewright=error,error,kube_client=off",
        (false, 0) => "sitewright=warn,warn,kube_client=off,sitewright::news=info",
        (false, 1) => "sitewright=info,warn,kube_client=off",
        (false, 2) => "sitewright=debug,info",
        (false, _) => "trace",
    };
    let filter = match std::env::var(FILTER) {
        Ok(text) if !text.is_empty() => EnvFilter::new(text),
        _ => EnvFilter::new(expand(default)),
    };
    let silent = SILENT.iter().filter_map(|target| format!("{target}=off").parse().ok());
    let filter = silent.fold(filter, EnvFilter::add_directive);
    let writer = LogWriter(screen.clone());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || writer.clone())
        .with_target(global.verbose > 1);
    // A second start (in tests) keeps the first log.
    let _ = match global.log_format {
        LogFormat::Json => builder.json().try_init(),
        LogFormat::Text => builder.without_time().with_ansi(true).try_init(),
    };
}

/// The crates of this workspace have targets of their own.
fn expand(default: &str) -> String {
    let Some((ours, rest)) = default.split_once(',') else { return default.to_owned() };
    let level = ours.rsplit_once('=').map_or(ours, |(_, level)| level);
    let crates = ["sitewright", "sitewright_source", "sitewright_cluster", "sitewright_model"];
    let ours: Vec<String> = crates.iter().map(|name| format!("{name}={level}")).collect();
    format!("{},{rest}", ours.join(","))
}

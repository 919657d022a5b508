//! The log on standard error.

use std::fmt;

use opentelemetry::trace::TraceContextExt;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

use super::{
    global::{Global, LogFormat},
    screen::{LogWriter, Screen},
    traces::{TARGET, Traces},
};

/// The variable that filters the log.
const FILTER: &str = "SITEWRIGHT_LOG";

/// What is never in a log: spans of traces, which say nothing there, and what our HTTP client sends: at `trace` it tells
/// every byte, tokens among them (law 10).
const SILENT: [&str; 3] = [TARGET, "ureq", "ureq_proto"];

/// Starts the log, and traces where they are wanted; they end when what is returned is dropped.
pub(super) fn start(global: &Global, screen: &Screen, traced: bool) -> Option<Traces> {
    let traces = if traced { Traces::start() } else { Ok(None) };
    let (traces, trouble) = match traces {
        Ok(traces) => (traces, None),
        Err(trouble) => (None, Some(trouble)),
    };
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
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_target(global.verbose > 1);
    let layer: Box<dyn Layer<Registry> + Send + Sync> = match global.log_format {
        LogFormat::Json => Box::new(layer.json().map_event_format(Joined).with_filter(filter)),
        LogFormat::Text => Box::new(layer.without_time().with_ansi(true).with_filter(filter)),
    };
    let log = tracing_subscriber::registry().with(layer);
    // A second start (in tests) keeps the first log.
    let _ = match &traces {
        Some(traces) => log.with(traces.layer()).try_init(),
        None => log.try_init(),
    };
    if let Some(trouble) = trouble {
        tracing::warn!("there are no traces: {trouble}");
    }
    traces
}

/// Adds `trace_id` and `span_id` to each line that belongs to a trace, so that logs and traces can be joined.
struct Joined<F>(F);

impl<S, N, F> FormatEvent<S, N> for Joined<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let current = opentelemetry::Context::current();
        let span = current.span();
        let span = span.span_context();
        if !span.is_valid() {
            return self.0.format_event(context, writer, event);
        }
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => {
                let (trace, span) = (span.trace_id(), span.span_id());
                write!(writer, "{{\"trace_id\":\"{trace}\",\"span_id\":\"{span}\",{rest}")
            }
            None => writer.write_str(&line),
        }
    }
}

/// The crates of this workspace have targets of their own.
fn expand(default: &str) -> String {
    let Some((ours, rest)) = default.split_once(',') else { return default.to_owned() };
    let level = ours.rsplit_once('=').map_or(ours, |(_, level)| level);
    let crates = ["sitewright", "sitewright_source", "sitewright_cluster", "sitewright_model"];
    let ours: Vec<String> = crates.iter().map(|name| format!("{name}={level}")).collect();
    format!("{},{rest}", ours.join(","))
}

//! OpenTelemetry: traces to a collector, over OTLP by HTTP, where `OTEL_EXPORTER_OTLP_ENDPOINT` names one.
//!
//! Comes in: spans of [`tracing`] whose target is [`TARGET`], and those that the agent makes itself. Goes out: requests
//! of a thread that does nothing else. Never: a wait of those who make spans; what the queue cannot take is dropped.

use std::{
    env,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{KeyValue, global, trace::TracerProvider};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use sitewright_source::{
    Url,
    outbound::{Method, Outgoing, Reach, send},
};
use tracing::Subscriber;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// The target of spans that are stages of a trace; everything else stays in the log.
pub(crate) const TARGET: &str = "sitewright::trace";

/// Who makes the spans.
pub(crate) const TRACER: &str = "sitewright";

/// How long the last spans may take at the end of the program.
const FLUSH: Duration = Duration::from_secs(3);

/// How long a collector may take, unless the environment says otherwise: as OpenTelemetry has it.
const DEADLINE: Duration = Duration::from_secs(10);

/// Traces, until the program ends.
pub(super) struct Traces {
    provider: SdkTracerProvider,
}

impl Traces {
    /// Starts them where the environment asks for it; what is wrong with it is told in words.
    pub(super) fn start() -> Result<Option<Self>, String> {
        if !is_wanted(|name| env::var(name).ok()) {
            return Ok(None);
        }
        let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let protocol = set("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            .or_else(|| set("OTEL_EXPORTER_OTLP_PROTOCOL"))
            .filter(|protocol| protocol != "http/protobuf");
        if let Some(protocol) = protocol {
            return Err(format!(
                "OTEL_EXPORTER_OTLP_PROTOCOL is {protocol}; http/protobuf is spoken"
            ));
        }
        let timeout = set("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .or_else(|| set("OTEL_EXPORTER_OTLP_TIMEOUT"))
            .and_then(|millis| millis.parse().ok());
        let deadline = timeout.map_or(DEADLINE, Duration::from_millis);
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector { deadline, is_lost: AtomicBool::new(false) })
            .build()
            .map_err(|error| error.to_string())?;
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource(|name| env::var(name).ok()))
            .build();
        global::set_tracer_provider(provider.clone());
        Ok(Some(Self { provider }))
    }

    /// Returns what takes the spans of [`tracing`].
    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(TRACER))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // a collector that is gone is not waited for
        let _ = self.provider.shutdown_with_timeout(FLUSH);
    }
}

/// Returns whether the environment names a collector, and does not switch it off.
fn is_wanted(variable: impl Fn(&str) -> Option<String>) -> bool {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let is_off = set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    !is_off && names.iter().any(|name| set(name).is_some())
}

/// Returns who we are; the environment has the last word.
fn resource(variable: impl Fn(&str) -> Option<String>) -> Resource {
    let named = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
    let is_named = |key: &str| {
        named
            .split(',')
            .any(|pair| pair.split_once('=').is_some_and(|(name, _)| name.trim() == key))
    };
    let mut resource = Resource::builder();
    if variable("OTEL_SERVICE_NAME").is_none_or(|name| name.is_empty()) && !is_named("service.name")
    {
        resource = resource.with_service_name("sitewright");
    }
    if !is_named("service.version") {
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        resource = resource.with_attribute(version);
    }
    resource.build()
}

/// Our own HTTP, as the exporter needs it. It is asked by the thread of the exporter alone, so it may block.
#[derive(Debug)]
struct Collector {
    deadline: Duration,
    /// Whether the last request failed: told once.
    is_lost: AtomicBool,
}

impl Collector {
    fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string())?;
        let mut outgoing = Outgoing::new(Method::Post, url, self.deadline);
        let mut content = "application/x-protobuf".to_owned();
        for (name, value) in &head.headers {
            let Ok(value) = value.to_str() else { continue };
            if name.as_str() == "content-type" {
                value.clone_into(&mut content);
            } else {
                outgoing = outgoing.header(name.as_str().to_owned(), value);
            }
        }
        // who runs the program named the collector
        let reply = send(&outgoing.body(&content, body.to_vec()), &Reach::Anybody)?;
        let mut response = Response::builder().status(reply.status);
        if let Some(after) = reply.header("retry-after") {
            response = response.header("retry-after", after);
        }
        Ok(response.body(Bytes::from(reply.body))?)
    }
}

impl HttpClient for Collector {
    // as `async_trait` writes it
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answered = self.send(request);
            let why = match &answered {
                Ok(response) if response.status().is_success() => None,
                Ok(response) => {
                    Some(format!("it answers with HTTP {}", response.status().as_u16()))
                }
                Err(error) => Some(error.to_string()),
            };
            let was_lost = self.is_lost.swap(why.is_some(), Ordering::Relaxed);
            if let Some(why) = why.filter(|_| !was_lost) {
                tracing::warn!("traces do not get to the collector: {why}");
            }
            answered
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variables: &[(&str, &str)]) -> bool {
        is_wanted(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn traces_are_off_unless_a_collector_is_named() {
        let here = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(wanted(&[here]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/v1/traces")]));
        assert!(!wanted(&[here, ("OTEL_SDK_DISABLED", "true")]));
        assert!(!wanted(&[here, ("OTEL_TRACES_EXPORTER", "none")]));
    }

    #[test]
    fn the_environment_says_who_we_are_where_it_does() {
        let name = |resource: &Resource, key: &'static str| {
            resource.get(&key.into()).map(|value| value.to_string())
        };
        let ours = resource(|_| None);
        assert_eq!(name(&ours, "service.name").as_deref(), Some("sitewright"));
        assert_eq!(name(&ours, "service.version").as_deref(), Some(env!("CARGO_PKG_VERSION")));
        let theirs = resource(|name| {
            (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| "service.version=7".to_owned())
        });
        assert_eq!(name(&theirs, "service.version"), None, "the SDK reads it itself");
    }
}

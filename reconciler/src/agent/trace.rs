//! The trace of a reconcile: what woke it, its stages, and what came of it.
//!
//! Comes in: when it begins and ends. Goes out: one span, the parent of all that is made meanwhile. Without a
//! collector it is nothing. A look at git that finds nothing new is no trace: an agent at rest sends nothing.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue, global,
    trace::{FutureExt, Span, Status, TraceContextExt, Tracer},
};

use super::state::State;
use crate::cli::TRACER;

/// The trace of a site's last reconcile. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct LastTrace(Arc<Mutex<Context>>);

/// Something that came out of a reconcile, and its trace.
pub(crate) struct Traced<T> {
    what: T,
    context: Context,
}

/// A reconcile that is traced, until [`Trace::end`].
pub(super) struct Trace(Context);

// === impl LastTrace ===

impl LastTrace {
    /// Begins the trace of a reconcile that `trigger` woke, and that has lasted for `past` already.
    pub(super) fn begin(&self, name: &str, trigger: &'static str, past: Duration) -> Trace {
        let tracer = global::tracer(TRACER);
        let attributes = [
            KeyValue::new("sitewright.follower", name.to_owned()),
            KeyValue::new("sitewright.trigger", trigger),
        ];
        let span = tracer
            .span_builder("reconcile")
            .with_start_time(began(past))
            .with_attributes(attributes)
            .start_with_context(&tracer, &Context::new());
        let context = Context::new().with_span(span);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&context);
        Trace(context)
    }

    /// Does what belongs to the last reconcile, such as telling of it.
    pub(crate) async fn with<T>(&self, work: impl Future<Output = T>) -> T {
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        work.with_context(context).await
    }
}

// === impl Traced ===

impl<T> Traced<T> {
    /// Takes what comes out of the reconcile that is under way here.
    pub(super) fn here(what: T) -> Self {
        Self { what, context: Context::current() }
    }

    /// Works with it as a part of its trace.
    pub(crate) async fn with<R>(self, work: impl AsyncFnOnce(T) -> R) -> R {
        work(self.what).with_context(self.context).await
    }
}

// === impl Trace ===

impl Trace {
    /// Does a part of the reconcile.
    pub(super) async fn with<T>(&self, work: impl Future<Output = T>) -> T {
        work.with_context(self.0.clone()).await
    }

    /// Adds a stage that ends now, and has lasted for `past`.
    pub(super) fn past(&self, stage: &'static str, past: Duration) {
        let tracer = global::tracer(TRACER);
        let builder = tracer.span_builder(stage).with_start_time(began(past));
        builder.start_with_context(&tracer, &self.0).end();
    }

    /// Ends the trace, with what is known then.
    pub(super) fn end(self, state: &State) {
        let span = self.0.span();
        if !span.span_context().is_valid() {
            return;
        }
        if let Some(site) = &state.site {
            span.set_attribute(KeyValue::new("sitewright.site", site.to_string()));
        }
        if let Some(revision) = &state.observed {
            let repository = revision.repository.clone();
            span.set_attribute(KeyValue::new("vcs.repository.url.full", repository));
            if let Some(reference) = revision.reference.clone() {
                span.set_attribute(KeyValue::new("vcs.ref.head.name", reference));
            }
            if let Some(commit) = revision.commit.clone() {
                span.set_attribute(KeyValue::new("vcs.ref.head.revision", commit));
            }
        }
        if let Some(plan) = state.plan {
            span.set_attribute(KeyValue::new("sitewright.plan", plan.0.to_string()));
        }
        let held = i64::try_from(state.held.len()).unwrap_or(i64::MAX);
        span.set_attribute(KeyValue::new("sitewright.held_changes", held));
        if let Some(problem) = state.problem() {
            span.set_attribute(KeyValue::new("error.type", problem.code.clone()));
            span.set_status(Status::error(problem.message.clone()));
        }
        span.end();
    }
}

fn began(past: Duration) -> SystemTime {
    SystemTime::now().checked_sub(past).unwrap_or(SystemTime::UNIX_EPOCH)
}

//! What an agent does that comes back, where nothing changed meanwhile: by the API server's audit log.

use std::collections::BTreeMap;

use anyhow::Result;
use sitewright_testbed::{AuditEvent, ControlPlane};

use super::{
    super::{
        Figures, apply,
        figure::{Figure, Reach},
    },
    QUIET,
    process::Agent,
};

/// Counts what an agent that `start` starts sends until it rests; the one before it was killed.
pub(super) fn measure(
    plane: &ControlPlane,
    what: &str,
    start: impl FnOnce() -> Result<Agent>,
) -> Result<(Agent, Figures)> {
    let mark = plane.audit().mark()?;
    let agent = start()?;
    agent.wait_for_rest(plane, mark, QUIET)?;
    let events = apply::ours(plane.audit().since(mark)?);
    let writes: Vec<_> = apply::writes(&events).collect();
    for write in &writes {
        super::super::say(&format!("  written: {} {}", write.verb, write.uri));
    }
    super::super::say(&format!("  {what}: {}", kinds(&events)));
    let figures = vec![
        Figure::new(format!("{what}: writes"), writes.len() as f64, "requests")
            .reach(Reach::AtMost(0.0)),
        Figure::new(format!("{what}: requests of all kinds"), events.len() as f64, "requests"),
        Figure::new(format!("{what}: rests after"), until_rest(&events), "s"),
    ];
    Ok((agent, figures))
}

/// What was sent, by verb and resource.
fn kinds(events: &[AuditEvent]) -> String {
    let mut counts = BTreeMap::<_, usize>::new();
    for event in events {
        *counts.entry((event.verb.as_str(), event.resource.as_str())).or_default() += 1;
    }
    let one = |((verb, resource), count): ((&str, &str), usize)| match resource {
        "" => format!("{count} {verb} of what is served"),
        resource => format!("{count} {verb} {resource}"),
    };
    counts.into_iter().map(one).collect::<Vec<_>>().join(", ")
}

/// From the first request to the last answer; a watch has none.
fn until_rest(events: &[AuditEvent]) -> f64 {
    let first = events.iter().map(|event| event.received).min();
    let last = events.iter().filter(|event| event.verb != "watch").map(|event| event.answered);
    match (first, last.max()) {
        (Some(first), Some(last)) => last.duration_since(first).as_secs_f64(),
        _ => f64::NAN,
    }
}

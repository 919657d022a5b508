//! What people and machines read: plans, reports, drift, status, findings.
//!
//! Comes in: finished values ([`Plan`](sitewright_model::plan::Plan), outcomes, verdicts) and a [`Look`].
//! Goes out: text with colours, Markdown, versioned JSON. Never: asks a cluster, reads a file or a
//! clock, writes to a stream, or meets a secret (values arrive as
//! [`Shown`](sitewright_model::object::Shown)).

pub mod diagnostics;
pub mod doctor;
pub mod drift;
pub mod event;
pub mod field;
pub mod lineage;
pub mod look;
pub mod plan;
pub mod progress;
pub mod report;
#[cfg(test)]
mod schemas;
pub mod status;
pub mod table;
pub mod words;

pub use look::{Detail, Glyphs, Look};

/// Returns `value` as indented JSON with sorted keys and a line end.
pub fn json(value: &impl serde::Serialize) -> String {
    // By way of a `Value`, whose maps are sorted: the same value gives the same bytes.
    let value = serde_json::to_value(value).expect("output types have string keys");
    let mut text = serde_json::to_string_pretty(&value).expect("a JSON value always serializes");
    text.push('\n');
    text
}

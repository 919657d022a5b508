//! Rendering: from a site, its blueprints and the content of sources to [`Desired`](crate::desired::Desired).
//!
//! Comes in: parsed formats, [`Files`](crate::files::Files), the output of chart renderers.
//! Goes out: labelled, ordered, digested objects, or every mistake with template, line and component.
//! Never: reads a file, a clock, the network or a cluster (law 9).
//!
//! In order: [`capability::dependencies`] for the site; for each component [`sources`], which says what is
//! to be fetched and with which values helm is to be called, and [`component`], which takes what came of
//! it; then [`assemble`] for the site. Components do not know each other, so they render in parallel.
//! Before a plan, [`in_served_scopes`] tells what only the cluster knows of the kinds in it.

mod assemble;
pub mod capability;
mod component;
mod declare;
mod document;
mod filters;
mod hook;
mod input;
mod merge;
mod mistake;
mod output;
mod scope;
mod secret;
mod selector;
mod served;
mod template;

pub use assemble::{SiteParts, Values, assemble, without_objects};
pub use component::{component, secret_texts, sources, unknown_upstream};
pub use input::{
    Artifact, BlueprintFolder, ComponentInput, SourceOutput, SourceRequest, SourceText,
};
pub use output::{Open, Rendered, RenderedComponent, Scope};
pub use served::{in_served_scopes, open_kinds};

#[cfg(test)]
mod tests;

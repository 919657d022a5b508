//! What one component is rendered from, and what its sources turned into.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde_json::Value;

use crate::{
    files::Files,
    format::{
        blueprint::{Blueprint, HelmSource, ManifestsSource},
        site::Component,
    },
    name::{SiteName, SourceName},
};

/// A blueprint and the content of its folder.
#[derive(Clone, Debug)]
pub struct BlueprintFolder {
    /// The parsed `blueprint.yaml`.
    pub blueprint: Blueprint,
    /// Everything in its folder.
    pub files: Files,
}

/// One component with everything that its rendering reads, its sources' content aside.
#[derive(Clone)]
pub struct ComponentInput {
    /// The site's name.
    pub site: SiteName,
    /// The component as the site file has it.
    pub component: Component,
    /// Its blueprint.
    pub blueprint: Arc<BlueprintFolder>,
    /// Its values: defaults laid in, checked against the blueprint's schema.
    pub values: Value,
    /// JSON pointers into `values` whose text must never be shown (`writeOnly` in the schema).
    pub sensitive: BTreeSet<String>,
    /// What the site's components provide, all together.
    pub capabilities: Arc<BTreeSet<String>>,
}

/// The values may hold secrets, so only the name is shown.
impl fmt::Debug for ComponentInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentInput({})", self.component.name)
    }
}

/// An upstream artifact that a component needs, ready to be fetched and, if it is a chart, templated.
#[derive(Clone)]
pub struct SourceRequest {
    /// The source's name within the blueprint.
    pub name: SourceName,
    /// The namespace of the release, and of namespaced objects that name none.
    pub namespace: Option<String>,
    /// What to get.
    pub artifact: Artifact,
}

/// What to get from upstream.
#[derive(Clone)]
pub enum Artifact {
    /// A chart to be rendered by helm.
    Chart {
        /// Where it is.
        source: HelmSource,
        /// The release name.
        release: String,
        /// The values that helm is given; may hold secrets.
        values: Value,
    },
    /// Manifests to be taken as they are.
    Manifests(ManifestsSource),
}

/// The values may hold secrets, so only the name is shown.
impl fmt::Debug for SourceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceRequest({})", self.name)
    }
}

/// What an upstream artifact turned into.
#[derive(Clone)]
pub struct SourceOutput {
    /// The source's name within the blueprint.
    pub name: SourceName,
    /// The text.
    pub text: SourceText,
}

/// The text of an upstream artifact; may hold secrets.
#[derive(Clone)]
pub enum SourceText {
    /// What helm printed, CRDs and hooks included, each document led by `# Source: CHART/FILE`.
    Chart(String),
    /// Manifest files: every `*.yaml`, `*.yml` and `*.json` among them is read.
    Manifests(Files),
}

/// The text may hold secrets, so only the name is shown.
impl fmt::Debug for SourceOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceOutput({})", self.name)
    }
}

//! What an image says of itself: labels, annotations, and the descriptor of a model.

use serde_json::Value;
use sitewright_model::lineage::{EntityId, Grade, Relation};

use super::Image;
use crate::url::public;

/// Labels and annotations that are recorded.
const KEPT: [&str; 18] = [
    "org.opencontainers.image.source",
    "org.opencontainers.image.revision",
    "org.opencontainers.image.version",
    "org.opencontainers.image.created",
    "org.opencontainers.image.title",
    "org.opencontainers.image.base.name",
    "org.opencontainers.image.base.digest",
    "io.openshift.build.commit.id",
    "io.openshift.build.commit.ref",
    "io.openshift.build.source-location",
    "io.openshift.build.name",
    "io.openshift.build.namespace",
    "vcs-ref",
    "vcs-url",
    "org.label-schema.vcs-ref",
    "org.label-schema.vcs-url",
    "org.mlops.model.name",
    "org.mlops.model.version",
];

/// Where the code is told: the commit, and its repository.
const CODE: [(&str, &str); 4] = [
    ("org.opencontainers.image.revision", "org.opencontainers.image.source"),
    ("io.openshift.build.commit.id", "io.openshift.build.source-location"),
    ("vcs-ref", "vcs-url"),
    ("org.label-schema.vcs-ref", "org.label-schema.vcs-url"),
];

/// The config of a model by the CNCF ModelPack.
const MODEL: &str = "descriptor";

impl Image<'_> {
    /// Records what the config of an image, or of a model, says.
    pub(super) fn claims_of_config(&mut self, id: &EntityId, config: &Value) {
        let text = |pointer: &str| config.pointer(pointer).and_then(Value::as_str);
        for field in ["created", "architecture", "os"] {
            if let Some(value) = text(&format!("/{field}")) {
                self.said.of_other(id, field, value, Grade::Claimed);
            }
        }
        if let Some(labels) = config.pointer("/config/Labels") {
            self.claims(id, labels, "label");
        }
        if config.get(MODEL).is_some() {
            self.claims_of_model(id, config);
        }
    }

    /// Records what the annotations of a manifest say.
    pub(super) fn claims_of_annotations(&mut self, id: &EntityId, annotations: &Value) {
        self.claims(id, annotations, "annotation");
    }

    fn claims(&mut self, id: &EntityId, labels: &Value, prefix: &str) {
        let get = |name: &str| labels.get(name).and_then(Value::as_str).filter(|v| !v.is_empty());
        for name in KEPT {
            if let Some(value) = get(name) {
                // an address may hold a login
                let value = public(value);
                self.said.of_other(id, &format!("{prefix}.{name}"), value, Grade::Claimed);
            }
        }
        for (revision, source) in CODE {
            if let Some(commit) = get(revision) {
                self.says_code(id, commit, get(source), &format!("{prefix} {revision}"));
            }
        }
        let base = get("org.opencontainers.image.base.digest").and_then(|text| text.parse().ok());
        if let Some(base) = base.map(EntityId::image) {
            self.link(id, Relation::DerivedFrom, &base, Grade::Claimed, prefix);
        }
    }

    fn claims_of_model(&mut self, id: &EntityId, config: &Value) {
        let get =
            |name: &str| config.get(MODEL)?.get(name)?.as_str().filter(|value| !value.is_empty());
        for name in ["name", "version", "family", "createdAt", "sourceURL", "revision"] {
            if let Some(value) = get(name) {
                self.said.of_other(id, &format!("model.{name}"), public(value), Grade::Claimed);
            }
        }
        if let Some(revision) = get("revision") {
            self.says_code(id, revision, get("sourceURL"), "descriptor.revision");
        }
    }

    /// Records a claim that the image was made from a commit: a label is whatever its builder wrote there.
    fn says_code(&mut self, id: &EntityId, commit: &str, source: Option<&str>, field: &str) {
        let Some(commit) = EntityId::commit(commit) else { return };
        self.link(id, Relation::RanCode, &commit, Grade::Claimed, field);
        if let Some(source) = source {
            let url = public(source);
            let bare = url.strip_prefix("git+").unwrap_or(&url);
            self.said.of_other(&commit, "uri", format!("git+{bare}"), Grade::Claimed);
        }
    }

    /// Ties a part of the image to something, and what the caller knows the image by too.
    pub(super) fn link(
        &mut self,
        id: &EntityId,
        relation: Relation,
        to: &EntityId,
        grade: Grade,
        field: &str,
    ) {
        let asked = self.asked.clone();
        self.said.id = id.clone();
        self.said.edge(relation, to, grade, field);
        self.said.id = asked.clone();
        if asked != *id && asked.as_str().starts_with("image:") {
            self.said.edge(relation, to, grade, field);
        }
    }
}

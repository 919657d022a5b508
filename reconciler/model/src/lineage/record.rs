//! What is written to the log: small headers as leaves, and the statements beside them.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{EntityId, Grade, Relation};
use crate::{
    digest::{Digest, canonical_json},
    object::ObjectId,
};

/// The name and version of the form of a record.
pub const FORMAT: &str = "sitewright.dev/lineage-record/v1";

/// The name and version of the form of a leaf.
pub const LEAF: &str = "sitewright.dev/lineage-leaf/v1";

/// One thing that was recorded: statements that were made together.
///
/// Its canonical JSON (RFC 8785; only text and safe whole numbers are in it) is the body that the leaf of the log names
/// by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// Always [`FORMAT`]: it also tells a record from other JSON that is signed.
    pub format: String,
    /// What kind of thing happened.
    pub kind: RecordKind,
    /// When, by the recorder's clock. The order is that of the log, not this.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What it is about, first of all.
    pub subject: EntityId,
    /// The namespace whose readers may see it; none for what is the whole cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Random text, so that nobody finds what an erased body held by trying.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// What is said.
    pub statements: Vec<Statement>,
}

/// What kind of thing happened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum RecordKind {
    /// A log began.
    Began,
    /// A revision came in force, or an apply of it ended, found drift, held or released a change.
    Epoch,
    /// A node was seen in a state.
    Node,
    /// Something was seen of a run or an attempt.
    Run,
    /// Something was seen of a service.
    Service,
    /// Something was found out about an artifact.
    Artifact,
    /// For some time nothing could be seen.
    Blind,
    /// An earlier record was wrong.
    Correction,
    /// The body of an earlier record was erased, and why.
    Erased,
}

/// One thing that is said.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", tag = "is", deny_unknown_fields)]
pub enum Statement {
    /// A thing has a property.
    #[serde(rename_all = "camelCase")]
    Fact {
        /// The thing.
        of: EntityId,
        /// The property, in camel case: `exitCode`, `startedAt`.
        field: String,
        /// Its value. Of a number, its digits.
        value: String,
        /// How it is known.
        grade: Grade,
        /// From where.
        source: Source,
    },
    /// A thing depends on another.
    #[serde(rename_all = "camelCase")]
    Edge {
        /// What came later.
        from: EntityId,
        /// How.
        relation: Relation,
        /// What it came from.
        to: EntityId,
        /// How it is known.
        grade: Grade,
        /// From where.
        source: Source,
    },
}

/// Where a statement comes from, so that it can be explained.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Source {
    /// The object that it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    /// Its UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The field of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its `resourceVersion` then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The rule, or the file or server, that it comes from where it is not a field of an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// A leaf of the log: small, without personal data, and never erased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    /// Always [`LEAF`].
    pub format: String,
    /// The kind of the record.
    pub kind: RecordKind,
    /// What it is about.
    pub subject: EntityId,
    /// How many records about it came before.
    pub sequence: u64,
    /// When it was recorded, by the recorder's clock.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The digest of the body.
    pub body: Digest,
}

// === impl Record ===

impl Record {
    /// Makes a record.
    pub fn new(
        kind: RecordKind,
        at: Timestamp,
        subject: EntityId,
        statements: Vec<Statement>,
    ) -> Self {
        let (format, namespace, salt) = (FORMAT.to_owned(), None, None);
        Self { format, kind, at, subject, namespace, salt, statements }
    }

    /// Says whose readers may see it.
    #[must_use]
    pub fn within(mut self, namespace: Option<&str>) -> Self {
        self.namespace = namespace.map(str::to_owned);
        self
    }

    /// Returns the bytes that are kept, and whose digest is in the log.
    pub fn body(&self) -> Vec<u8> {
        canonical_json(&serde_json::to_value(self).expect("a record is JSON"))
    }
}

// === impl Header ===

impl Header {
    /// Makes the leaf of `record`, whose body has the digest `body`.
    pub fn of(record: &Record, sequence: u64, body: Digest) -> Self {
        Self {
            format: LEAF.to_owned(),
            kind: record.kind,
            subject: record.subject.clone(),
            sequence,
            at: record.at,
            body,
        }
    }

    /// Returns the bytes of the leaf.
    pub fn leaf(&self) -> Vec<u8> {
        canonical_json(&serde_json::to_value(self).expect("a header is JSON"))
    }
}

// === impl Statement ===

impl Statement {
    /// Says that `of` has a property.
    pub fn fact(
        of: &EntityId,
        field: &str,
        value: impl Into<String>,
        grade: Grade,
        source: &Source,
    ) -> Self {
        let (of, field, source) = (of.clone(), field.to_owned(), source.clone());
        Self::Fact { of, field, value: value.into(), grade, source }
    }

    /// Says that `from` depends on `to`.
    pub fn edge(
        from: &EntityId,
        relation: Relation,
        to: &EntityId,
        grade: Grade,
        source: &Source,
    ) -> Self {
        let (from, to, source) = (from.clone(), to.clone(), source.clone());
        Self::Edge { from, relation, to, grade, source }
    }

    /// Returns how it is known.
    pub fn grade(&self) -> Grade {
        match self {
            Self::Fact { grade, .. } | Self::Edge { grade, .. } => *grade,
        }
    }
}

// === impl Source ===

impl Source {
    /// Returns what a rule of ours, a file or a server said.
    pub fn rule(rule: impl Into<String>) -> Self {
        Self { rule: Some(rule.into()), ..Self::default() }
    }

    /// Returns the same object, at `field`.
    #[must_use]
    pub fn at(&self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self.clone() }
    }
}

impl fmt::Display for Source {
    /// Writes it for people: the object and its field, or the rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.object.as_ref().map(ToString::to_string);
        let uid = || self.uid.as_ref().map(|uid| format!("object {uid}"));
        let parts = [object.or_else(uid), self.field.clone(), self.rule.clone()];
        let text: Vec<String> = parts.into_iter().flatten().collect();
        f.pad(if text.is_empty() { "nobody" } else { "" })?;
        f.write_str(&text.join(" "))
    }
}

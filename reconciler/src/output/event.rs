//! What programs are told of a site: CloudEvents 1.0.

use schemars::JsonSchema;
use serde::Serialize;
use sitewright_model::{digest::Digest, revision::Revision};

/// The name and version of the form of [`EventData`].
pub const FORMAT: &str = "sitewright.dev/event/v1";

/// Objects that one event names; `more` says how many others there are.
pub const NAMED: usize = 50;

/// The JSON format of a CloudEvent (`application/cloudevents+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CloudEvent {
    /// The version of CloudEvents: `1.0`.
    pub specversion: String,
    /// Another one for each event; the same where an event is sent again.
    pub id: String,
    /// The SiteSync, or the site where there is none: `/apis/sitewright.dev/v1alpha1/namespaces/…/sitesyncs/…`.
    pub source: String,
    /// What happened, for example `dev.sitewright.site.applied`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The site.
    pub subject: String,
    /// When it was noticed, RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Always `application/json`.
    pub datacontenttype: String,
    /// What happened, in detail.
    pub data: EventData,
}

/// What happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventData {
    /// The name and version of this form: `sitewright.dev/event/v1`.
    pub format: String,
    /// The site.
    pub site: String,
    /// The SiteSync, `NAMESPACE/NAME`, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync: Option<String>,
    /// The revision that is followed now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// The commit that git has now, where it cannot be read, and is not followed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// One sentence; never a secret.
    pub message: String,
    /// The number of the error, where there is one; it has a page in the book.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The objects that it is about, the first fifty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<EventObject>,
    /// How many further objects it is about.
    pub more: u64,
    /// What came of an apply.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<EventOutcome>,
}

/// An object that an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventObject {
    /// The object, for example `DaemonSet.apps gpu/driver`.
    pub object: String,
    /// Its component, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// What a held change would do to running work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hazard: Option<String>,
    /// What a held change waits for: the numbers of the gates, each with a page in the book.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// What a held change waits for, in words, where the numbers do not tell it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Running work that a held change would hit; the first five.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub work: Vec<String>,
    /// The fields that differ, and who changed them; the first ten.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Why it is not healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub since: Option<String>,
}

/// What came of an apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventOutcome {
    /// Converged, Held, Failed or Stopped.
    pub end: String,
    /// The plan that was done.
    pub plan: String,
    /// How many objects were changed.
    pub changed: u64,
    /// How many failed.
    pub failed: u64,
    /// How many wait.
    pub held: u64,
}

impl CloudEvent {
    /// Makes an event; `kind` is what happened in one word, as in `applied`.
    pub fn new(source: &str, kind: &str, time: &str, data: EventData) -> Self {
        let kind = format!("dev.sitewright.site.{kind}");
        let about = serde_json::to_vec(&data).unwrap_or_default();
        let id = Digest::of_parts([source.as_bytes(), kind.as_bytes(), time.as_bytes(), &about]);
        Self {
            specversion: "1.0".to_owned(),
            id: id.hex().chars().take(32).collect(),
            source: source.to_owned(),
            kind,
            subject: data.site.clone(),
            time: time.to_owned(),
            datacontenttype: "application/json".to_owned(),
            data,
        }
    }
}

//! An approval: a person's consent to one plan, as a file in git.

use std::{fmt, str::FromStr};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Located, site::API_VERSION};
use crate::{diagnostic::Diagnostics, digest::Digest, object::Uid, yaml};

const KIND_OF_APPROVAL: &str = "Approval";

/// Reads an approval file; returns every mistake in it at once.
pub fn parse(file: &str, text: &str) -> Result<Located<Approval>, Diagnostics> {
    super::parse(&super::APPROVAL, file, text)
}

/// Returns `approval` as the text of a file; `schema` is where an editor finds `approval.schema.json` from there.
pub fn print(approval: &Approval, schema: &str) -> String {
    let value =
        serde_json::to_value(approval).expect("an approval is made of text-keyed maps and text");
    format!("# yaml-language-server: $schema={schema}\n{}", yaml::to_yaml(&value))
}

/// A person's consent to one plan; written by `sitewright approve` into the folder `approvals` beside the site file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": API_VERSION,
    "kind": KIND_OF_APPROVAL,
    "metadata": { "name": "1f3c9e2a01bc" },
    "spec": {
        "plan": "sha256:1f3c9e2a01bc5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6",
        "cluster": "6c1f0d3e-0000-4000-8000-000000000001",
        "reason": "announced on 3 May, ticket 4711",
    },
}]))]
pub struct Approval {
    /// Always `sitewright.dev/v1alpha1`.
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// Always `Approval`.
    #[schemars(extend("const" = KIND_OF_APPROVAL))]
    pub kind: String,
    /// The name of the approval.
    pub metadata: ApprovalMetadata,
    /// What is approved.
    pub spec: ApprovalSpec,
}

/// The name of the approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalMetadata {
    /// The first 12 digits of the plan's digest.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// What is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ApprovalSpec {
    /// The digest of the plan: this plan goes ahead, and no other.
    pub plan: Digest,
    /// The cluster: the UID of its namespace `kube-system`.
    #[schemars(with = "String", length(min = 1))]
    pub cluster: Uid,
    /// Why, for whoever reads the history.
    #[schemars(
        regex(pattern = r"\S"),
        extend("patternErrorMessage" = "a reason in words, for whoever reads the history")
    )]
    pub reason: String,
    /// When it ends: a date, whose day (UTC) is the last, or a time; default when the plan changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "Option<String>",
        regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9:.]+(Z|[+-][0-9]{2}:[0-9]{2}))?$"),
        extend("patternErrorMessage" = "a date such as `2026-12-01`, or a time such as `2026-12-01T18:00:00+01:00`")
    )]
    pub until: Option<Until>,
    /// What it opens, for people who review it; nothing is read from it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opens: Vec<String>,
}

impl Approval {
    /// Makes the file of an approval; its name follows from the plan.
    pub fn new(spec: ApprovalSpec) -> Self {
        Self {
            api_version: API_VERSION.to_owned(),
            kind: KIND_OF_APPROVAL.to_owned(),
            metadata: ApprovalMetadata { name: spec.plan.short() },
            spec,
        }
    }
}

/// When something ends: a date, whose day (UTC) is the last, or a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Until {
    text: String,
    end: Timestamp,
}

/// The text is neither a date nor a time.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a date such as 2026-12-01 nor a time such as 2026-12-01T18:00:00+01:00")]
pub struct NotATime(String);

impl Until {
    /// Returns the first instant that is no longer in it.
    pub fn end(&self) -> Timestamp {
        self.end
    }
}

impl FromStr for Until {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        const DATE: usize = "2026-12-01".len();
        let end = if text.len() == DATE { end_of(text) } else { text.parse().ok() };
        let end = end.ok_or_else(|| NotATime(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), end })
    }
}

fn end_of(date: &str) -> Option<Timestamp> {
    let next: Date = date.parse::<Date>().ok()?.tomorrow().ok()?;
    Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Until {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Until {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{self, Style};

    fn approval() -> Approval {
        Approval::new(ApprovalSpec {
            plan: Digest::of("plan"),
            cluster: Uid("6c1f0d3e-0000-4000-8000-000000000001".into()),
            reason: "announced on 3 May: ticket #4711".into(),
            until: Some("2026-12-01".parse().unwrap()),
            opens: vec!["evicts-jobs: ClusterQueue.kueue.x-k8s.io vision".into()],
        })
    }

    #[test]
    fn an_approval_is_printed_and_read_back() {
        let text = print(&approval(), "../../../schema/approval.schema.json");
        insta::assert_snapshot!(text);
        assert_eq!(parse("a.yaml", &text).unwrap().value, approval());
    }

    #[test]
    fn every_mistake_of_an_approval_is_shown_at_its_place() {
        let text = "apiVersion: sitewright.dev/v1alpha1\nkind: Approval\nmetadata: { name: x }\nspec:\n  \
                    plan: sha256:12\n  cluster: c\n  reason: ' '\n  untl: 2026-12-01\n";
        let mistakes = parse("a.yaml", text).unwrap_err();
        insta::assert_snapshot!(report::render(&mistakes, Style::default()));
        let text = print(&approval(), "s").replace("2026-12-01", "2026-02-30");
        let mistakes = parse("a.yaml", &text).unwrap_err();
        insta::assert_snapshot!(report::render(&mistakes, Style::default()));
    }

    #[test]
    fn a_date_is_over_when_its_day_is() {
        let end = |text: &str| text.parse::<Until>().map(|until| until.end().to_string());
        assert_eq!(end("2026-12-31").unwrap(), "2027-01-01T00:00:00Z");
        assert_eq!(end("2026-12-01T18:00:00+01:00").unwrap(), "2026-12-01T17:00:00Z");
        assert!(
            end("2026-02-30").is_err() && end("soon").is_err() && end("2026-12-01T18:00").is_err()
        );
    }
}

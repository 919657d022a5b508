//! The JSON form of a [`Gate`]: what it waits for, with the number of its page (law 12).
//!
//! The number follows from the gate, so it is written and never read back.

use schemars::Schema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::Gate;

#[derive(Serialize)]
struct Numbered<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    // The derived form, which `remote = "Self"` made an associated function.
    #[serde(flatten, serialize_with = "Gate::serialize")]
    gate: &'a Gate,
}

impl Serialize for Gate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let code = self.code().map(|code| code.to_string());
        Numbered { code, gate: self }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Gate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::deserialize(deserializer)
    }
}

/// Adds the number to the schema of each kind of gate.
pub(super) fn with_code(schema: &mut Schema) {
    let Some(Value::Array(kinds)) = schema.get_mut("oneOf") else { return };
    let code = json!({
        "description": "The number of the page that tells what the gate means and the way out (`sitewright explain`); none where it is what the site asked for.",
        "type": "string",
        "pattern": "^SW[0-9]{4}$",
    });
    for kind in kinds {
        if let Some(properties) = kind.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("code".to_owned(), code.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::blueprint::Hazard;

    #[test]
    fn a_gate_is_written_with_its_number_and_read_without_it() {
        let gate = Gate::Approval { hazard: Hazard::EvictsJobs };
        let written = serde_json::to_value(&gate).unwrap();
        let expected = json!({ "code": "SW0402", "waitsFor": "approval", "hazard": "evicts-jobs" });
        assert_eq!(written, expected);
        assert_eq!(serde_json::from_value::<Gate>(written).unwrap(), gate);
        let unnumbered = json!({ "waitsFor": "adoption" });
        assert_eq!(serde_json::from_value::<Gate>(unnumbered).unwrap(), Gate::Adoption);
    }

    #[test]
    fn what_the_site_asked_for_has_no_number() {
        let written = serde_json::to_value(Gate::ReportOnly).unwrap();
        assert_eq!(written, json!({ "waitsFor": "reportOnly" }));
    }
}

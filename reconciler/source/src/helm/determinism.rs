//! Charts that render differently each time: they call for random bytes, keys or the time.

use std::collections::BTreeMap;

use serde_json::Value;
use sitewright_model::{files::Files, object::Object, yaml};

/// Template functions whose result is not a function of their arguments (sprig, helm).
const FUNCTIONS: [&str; 16] = [
    "bcrypt",
    "genCA",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSignedCert",
    "getHostByName",
    "htpasswd",
    "encryptAES",
    "now",
    "ago",
    "randAlpha",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "uuidv4",
];

/// Objects that a message names.
const NAMED: usize = 10;

/// Returns whether any template of the chart, or of the charts in it, calls such a function.
pub(super) fn may_differ(chart: &Files) -> bool {
    chart.entries.iter().any(|(path, content)| {
        let is_template = path.starts_with("templates/") || path.contains("/templates/");
        // What is packed inside is not looked into: rendering twice is the cheaper answer.
        let is_packed = path.starts_with("charts/") && path.ends_with("gz");
        is_packed || (is_template && calls_any(&String::from_utf8_lossy(content)))
    })
}

fn calls_any(template: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    template
        .split("{{")
        .skip(1)
        .filter_map(|rest| rest.split("}}").next())
        .flat_map(|action| action.split(|c| !is_word(c)))
        // randAlphaNum and the like begin with one of them.
        .any(|word| {
            FUNCTIONS.iter().any(|function| {
                word == *function || (function.starts_with("rand") && word.starts_with(function))
            })
        })
}

/// Returns the objects that differ between two renderings, as people know them; the first few.
pub(super) fn differing(first: &str, second: &str) -> Vec<String> {
    if first == second {
        return Vec::new();
    }
    let (Some(first), Some(second)) = (by_name(first), by_name(second)) else {
        return vec!["output that is not YAML".to_owned()];
    };
    let names = first.keys().chain(second.keys().filter(|name| !first.contains_key(*name)));
    let differing = names.filter(|name| first.get(*name) != second.get(*name)).cloned();
    differing.take(NAMED).collect()
}

/// Returns every document by its object's name; what is no object is known by its place.
fn by_name(text: &str) -> Option<BTreeMap<String, Value>> {
    let documents = yaml::parse_values(text).ok()?;
    let named = documents.into_iter().enumerate().map(|(index, value)| {
        let name = Object::new(value.clone())
            .map_or_else(|_| format!("document {}", index + 1), |object| object.id().to_string());
        (name, value)
    });
    Some(named.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(template: &str) -> Files {
        let entries = [("templates/x.yaml".to_owned(), template.as_bytes().into())];
        Files { label: "x".to_owned(), entries: entries.into() }
    }

    #[test]
    fn only_calls_within_actions_count() {
        assert!(may_differ(&chart("a: {{ randAlphaNum 10 | quote }}")));
        assert!(may_differ(&chart("a: {{- $ca := genCA \"x\" 365 }}")));
        assert!(may_differ(&chart("a: {{ now | date \"2006\" }}")));
        assert!(!may_differ(&chart(
            "# now is the time\na: {{ .Values.now }} {{ .Values.unknown }}"
        )));
    }

    #[test]
    fn objects_that_differ_are_named() {
        let secret = |value: &str| {
            format!(
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: lab}}\ndata: {{x: {value}}}\n"
            )
        };
        let other = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n";
        let (first, second) = (secret("1") + other, secret("2") + other);
        assert_eq!(differing(&first, &second), ["Secret lab/a"]);
        assert!(differing(&first, &first).is_empty());
        assert_eq!(differing(&first, other), ["Secret lab/a"]);
    }
}

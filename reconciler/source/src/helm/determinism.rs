//! Charts that render differently each time: they call for random bytes, keys or the time.
//!
//! Two renderings that are equal prove little: `now | date "2006-01-02"` changes at midnight, and a
//! shuffled list of two is in order every second time. So such calls are taken out instead: the chart
//! is rendered once more with [`POISON`] in place of each of them, and must still give the same text.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sitewright_model::{files::Files, object::Object, yaml};

use crate::{artifact::unpack, settings::Limits};

/// Template functions whose result is not a function of their arguments (sprig, helm). `date` and its
/// kin read the clock where they are given no time, such as a number of the values.
const IMPURE: [&str; 27] = [
    "ago",
    "bcrypt",
    "date",
    "dateInZone",
    "date_in_zone",
    "durationRound",
    "encryptAES",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "getHostByName",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "uuidv4",
];

/// Template functions whose result has no order, unless it is sorted: a second rendering may tell.
const UNORDERED: [&str; 2] = ["keys", "values"];

/// The function that stands for them: whoever calls it fails, and whoever does not is none the wiser.
const POISON: &str = "fail";

/// Objects that a message names.
const NAMED: usize = 10;

/// Charts within charts whose archives are looked into.
const DEPTH: usize = 8;

/// A chart and its values, in which a call of an impure function fails.
pub(super) struct Probe {
    pub(super) chart: Files,
    pub(super) values: Value,
    /// The impure functions that are named.
    pub(super) functions: BTreeSet<&'static str>,
    /// Whether something besides them may make renderings differ.
    is_unordered: bool,
}

impl Probe {
    /// Makes the probe; none where nothing in the chart or its values names such a function.
    pub(super) fn of(chart: &Files, values: &Value, limits: &Limits) -> Option<Self> {
        let files = Files { label: chart.label.clone(), entries: BTreeMap::new() };
        let (values, functions) = (values.clone(), BTreeSet::new());
        let mut probe = Self { chart: files, values, functions, is_unordered: false };
        probe.take(chart.entries.clone(), "", DEPTH, limits);
        // A chart may take values for templates (`tpl`).
        let mut values = std::mem::take(&mut probe.values);
        probe.poison_value(&mut values);
        probe.values = values;
        (probe.is_unordered || !probe.functions.is_empty()).then_some(probe)
    }

    fn take(
        &mut self,
        entries: BTreeMap<String, std::sync::Arc<[u8]>>,
        folder: &str,
        depth: usize,
        limits: &Limits,
    ) {
        for (path, content) in entries {
            let path = format!("{folder}{path}");
            if let Some((parent, archive)) = path.rsplit_once('/')
                && parent.ends_with("charts")
                && archive.ends_with("gz")
            {
                match unpack(&content, limits).ok().filter(|_| depth > 0) {
                    Some(inner) => {
                        let parent = format!("{parent}/");
                        self.take(inner, &parent, depth - 1, limits);
                        continue;
                    }
                    None => self.is_unordered = true,
                }
            }
            let poisoned =
                std::str::from_utf8(&content).ok().and_then(|text| self.file(&path, text));
            let content = poisoned.map_or(content, |text| text.into_bytes().into());
            self.chart.entries.insert(path, content);
        }
    }

    /// Returns the file with the poison in it; none where nothing changes.
    fn file(&mut self, path: &str, text: &str) -> Option<String> {
        if !text.contains("{{") {
            return None;
        }
        // Quotes of YAML would be taken for quotes of the template in it.
        if path.ends_with("values.yaml") {
            let mut values = yaml::parse_values(text).ok()?.pop()?;
            return self.poison_value(&mut values).then(|| values.to_string());
        }
        let poisoned = self.poison(text);
        (poisoned != text).then_some(poisoned)
    }

    /// Puts the poison into every text of `value`; returns whether there was any.
    fn poison_value(&mut self, value: &mut Value) -> bool {
        match value {
            Value::String(text) if text.contains("{{") => {
                let poisoned = self.poison(text);
                let is_other = poisoned != *text;
                *text = poisoned;
                is_other
            }
            Value::Array(items) => {
                items.iter_mut().filter_map(|item| self.poison_value(item).then_some(())).count()
                    > 0
            }
            Value::Object(map) => {
                map.values_mut().filter_map(|item| self.poison_value(item).then_some(())).count()
                    > 0
            }
            _ => false,
        }
    }

    fn poison(&mut self, text: &str) -> String {
        in_actions(text, |word| {
            self.is_unordered |= UNORDERED.contains(&word);
            let function = IMPURE.iter().find(|function| **function == word)?;
            self.functions.insert(function);
            Some(POISON)
        })
    }
}

/// Returns `text` with the names of functions within `{{…}}` replaced as `other` says.
fn in_actions(text: &str, mut other: impl FnMut(&str) -> Option<&'static str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("{{") {
        let (before, action) = rest.split_at(start + 2);
        out.push_str(before);
        rest = action;
        while !rest.is_empty() && !rest.starts_with("}}") {
            let (token, after) = rest.split_at(token_length(rest));
            out.push_str(other(token).unwrap_or(token));
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Returns the length of the first token of an action: a comment, a text, a field or variable with
/// its dot or dollar, a word, or one character.
fn token_length(action: &str) -> usize {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let word = |from: usize| {
        let rest = action.get(from..).unwrap_or_default();
        from + rest.find(|c| !is_word(c)).unwrap_or(rest.len())
    };
    let until = |from: usize, end: &str| {
        let rest = action.get(from..).unwrap_or_default();
        rest.find(end).map_or(action.len(), |at| from + at + end.len())
    };
    match action.chars().next() {
        _ if action.starts_with("/*") => until(2, "*/"),
        Some('`') => until(1, "`"),
        Some(quote @ ('"' | '\'')) => quoted(action, quote),
        Some('.' | '$') => word(1),
        Some(c) if is_word(c) => word(0),
        Some(c) => c.len_utf8(),
        None => 0,
    }
}

/// Returns the length of a text in quotes, with both.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
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
    use serde_json::json;

    use super::*;

    fn chart(template: &str) -> Files {
        let entries = [("templates/x.yaml".to_owned(), template.as_bytes().into())];
        Files { label: "x".to_owned(), entries: entries.into() }
    }

    fn poisoned(template: &str) -> Option<String> {
        let probe = Probe::of(&chart(template), &json!({}), &Limits::default())?;
        Some(String::from_utf8(probe.chart.get("templates/x.yaml").unwrap().to_vec()).unwrap())
    }

    #[test]
    fn calls_within_actions_are_poisoned_and_nothing_else() {
        for (template, expected) in [
            ("a: {{ randAlphaNum 10 | quote }} now", "a: {{ fail 10 | quote }} now"),
            ("{{- $now := now -}}{{ $now }}", "{{- $now := fail -}}{{ $now }}"),
            ("{{ (now) | date \"now\" }}", "{{ (fail) | fail \"now\" }}"),
            ("{{/* now }} */}}{{ now }}", "{{/* now }} */}}{{ fail }}"),
            ("{{ `now` }}{{ \"\\\" now\" }}{{now}}", "{{ `now` }}{{ \"\\\" now\" }}{{fail}}"),
            ("{{ .now.date }}{{ shuffle .x }}", "{{ .now.date }}{{ fail .x }}"),
            ("{{ genCAWithKey \"x\" }", "{{ fail \"x\" }"),
        ] {
            assert_eq!(poisoned(template).unwrap(), expected);
        }
        for pure in
            ["# now\na: {{ .Values.now }} {{ nowhere }}", "{{ \"now\" }}", "", "{{", "{{ \"x"]
        {
            assert_eq!(poisoned(pure), None, "{pure}");
        }
        assert_eq!(poisoned("{{ keys .x }}").unwrap(), "{{ keys .x }}", "rendered again as it is");
    }

    #[test]
    fn values_are_templates_too() {
        let values = json!({ "a": ["{{ uuidv4 }}", 3], "b": "{{ .x }}" });
        let probe =
            Probe::of(&chart("{{ tpl .Values.a . }}"), &values, &Limits::default()).unwrap();
        assert_eq!(probe.values, json!({ "a": ["{{ fail }}", 3], "b": "{{ .x }}" }));
        let mut own = chart("{{ tpl .Values.a . }}");
        let text = "a: \"{{ now | date \\\"2006\\\" }}\"\nb: 1\n";
        own.entries.insert("values.yaml".to_owned(), text.as_bytes().into());
        let probe = Probe::of(&own, &json!({}), &Limits::default()).unwrap();
        let values = yaml::parse_values(
            std::str::from_utf8(probe.chart.get("values.yaml").unwrap()).unwrap(),
        );
        assert_eq!(values.unwrap()[0], json!({ "a": "{{ fail | fail \"2006\" }}", "b": 1 }));
    }

    #[test]
    fn packed_charts_are_looked_into() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(9);
        builder.append_data(&mut header, "sub/templates/y.yaml", &b"{{ now }}"[..]).unwrap();
        let mut outer = chart("a: 1");
        let archive = builder.into_inner().unwrap();
        outer.entries.insert("charts/sub-1.0.0.tgz".to_owned(), archive.into());
        let probe = Probe::of(&outer, &json!({}), &Limits::default()).unwrap();
        assert_eq!(&**probe.chart.get("charts/sub/templates/y.yaml").unwrap(), b"{{ fail }}");
        assert!(probe.chart.get("charts/sub-1.0.0.tgz").is_none());
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

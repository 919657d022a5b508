//! Secret values: where their text turned up in what was rendered (law 10).
//!
//! Comes in: the values and the pointers that the schema marks `writeOnly`. Goes out: the leaves of an
//! object that hold such a text in any form that a template gives it. Never: shows one.

use std::{borrow::Cow, collections::BTreeSet, fmt};

use serde_json::Value;

use super::filters::base64;

/// Shorter texts turn up by chance; a secret of three bytes is none.
const SHORTEST: usize = 4;
/// A line of a longer secret (a key, say) counts by itself from this length on: templates indent lines.
const SHORTEST_LINE: usize = 8;
/// What is shown in the place of a secret.
const SHOWN: &str = "(secret)";

/// The texts that must not be shown, in every form that a template may give them.
pub(super) struct Secrets(Vec<String>);

/// Shows how many there are, never what they are.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Collects the text of every leaf of `values` at or below one of `pointers`.
    pub(super) fn new(values: &Value, pointers: &BTreeSet<String>) -> Self {
        let mut forms = BTreeSet::new();
        for value in pointers.iter().filter_map(|pointer| values.pointer(pointer)) {
            each_leaf(value, &mut |leaf| add_forms(&leaf, &mut forms));
        }
        // The longest first, so that a part never cuts a whole in two when it is replaced.
        let mut forms: Vec<String> = forms.into_iter().collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        Self(forms)
    }

    /// Returns the texts, the longest first.
    pub(super) fn into_texts(self) -> Vec<String> {
        self.0
    }

    /// Returns whether `text` holds a secret.
    pub(super) fn are_in(&self, text: &str) -> bool {
        self.0.iter().any(|secret| text.contains(secret.as_str()))
    }

    /// Returns `text` with every secret taken out.
    pub(super) fn take_out<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0
            .iter()
            .filter(|secret| text.contains(secret.as_str()))
            .fold(Cow::Borrowed(text), |text, secret| {
                Cow::Owned(text.replace(secret.as_str(), SHOWN))
            })
    }

    /// Returns the pointers of the leaves of `body` that hold a secret.
    pub(super) fn leaves(&self, body: &Value) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if !self.0.is_empty() {
            self.search(body, &mut String::new(), &mut found);
        }
        found
    }

    fn search(&self, value: &Value, pointer: &mut String, found: &mut BTreeSet<String>) {
        let length = pointer.len();
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    pointer.push('/');
                    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                    self.search(value, pointer, found);
                    pointer.truncate(length);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    self.search(value, pointer, found);
                    pointer.truncate(length);
                }
            }
            leaf => {
                if text_of(leaf).is_some_and(|text| self.are_in(&text)) {
                    found.insert(pointer.clone());
                }
            }
        }
    }

    /// Returns whether a secret stands where it would always be shown: in a key, or in what names the object.
    pub(super) fn in_names(&self, body: &Value) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let names = ["/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"];
        names
            .iter()
            .filter_map(|pointer| body.pointer(pointer).and_then(Value::as_str))
            .any(|name| self.are_in(name))
            || self.in_keys(body)
    }

    fn in_keys(&self, value: &Value) -> bool {
        match value {
            Value::Object(map) => {
                map.iter().any(|(key, value)| self.are_in(key) || self.in_keys(value))
            }
            Value::Array(list) => list.iter().any(|value| self.in_keys(value)),
            _ => false,
        }
    }
}

fn text_of(leaf: &Value) -> Option<Cow<'_, str>> {
    match leaf {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    }
}

fn each_leaf(value: &Value, visit: &mut impl FnMut(Cow<'_, str>)) {
    match value {
        Value::Object(map) => map.values().for_each(|value| each_leaf(value, visit)),
        Value::Array(list) => list.iter().for_each(|value| each_leaf(value, visit)),
        leaf => {
            if let Some(text) = text_of(leaf) {
                visit(text);
            }
        }
    }
}

/// Adds a secret as it is, within JSON, in base64, and line by line.
fn add_forms(secret: &str, forms: &mut BTreeSet<String>) {
    let text = secret.trim();
    if text.len() < SHORTEST {
        return;
    }
    let json = Value::from(text).to_string();
    let json = json.trim_matches('"');
    for form in [text, json] {
        forms.insert(form.to_owned());
        forms.extend((0..3).flat_map(|before| in_base64(form.as_bytes(), before)));
    }
    for whole in [secret, text] {
        forms.insert(base64(whole.as_bytes()).trim_end_matches('=').to_owned());
    }
    let lines = text.lines().map(str::trim);
    forms.extend(lines.filter(|line| line.chars().count() >= SHORTEST_LINE).map(str::to_owned));
}

/// Returns what `secret` alone decides of the base64 of a text that has it after `before` further bytes
/// (three bytes make four characters, so three cases are all), in both alphabets.
fn in_base64(secret: &[u8], before: usize) -> [String; 2] {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(secret);
    let text = base64(&bytes);
    let (first, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
    let standard = text.get(first..end).unwrap_or_default().to_owned();
    let url_safe = standard.replace('+', "-").replace('/', "_");
    [standard, url_safe]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secrets(values: &Value, pointer: &str) -> Secrets {
        Secrets::new(values, &BTreeSet::from([pointer.to_owned()]))
    }

    #[test]
    fn a_secret_is_found_in_every_form_that_a_template_gives_it() {
        let values = json!({ "password": "can\"ary" });
        let found = secrets(&values, "/password").leaves(&json!({
            "plain": "user:can\"ary@host",
            "json": "{\"p\":\"can\\\"ary\"}",
            "base64": base64(b"can\"ary"),
            "list": [{ "a/b": "can\"ary" }],
            "other": "canary",
        }));
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["/base64", "/json", "/list/0/a~1b", "/plain"]);
    }

    #[test]
    fn a_secret_within_a_longer_text_is_found_in_its_base64() {
        for secret in ["canary", "ca?>", "\u{ff}\u{fe}\u{fb}"] {
            let secrets = secrets(&json!({ "p": secret }), "/p");
            for before in ["", "a", "ab", "abc", "admin:"] {
                for after in ["", "x", "xy", "\n"] {
                    let text = base64(format!("{before}{secret}{after}").as_bytes());
                    assert!(secrets.are_in(&text), "{before} {secret}");
                    let url_safe = text.replace('+', "-").replace('/', "_");
                    assert!(secrets.are_in(&url_safe), "{before} {secret}");
                    assert!(!secrets.take_out(&text).contains(&*base64(secret.as_bytes())));
                }
            }
        }
    }

    #[test]
    fn the_lines_of_an_indented_key_are_found() {
        let values = json!({ "key": "-----BEGIN KEY-----\nAAAABBBBCCCC\n-----END KEY-----\n" });
        let body = json!({ "data": "x:\n  -----BEGIN KEY-----\n  AAAABBBBCCCC\n" });
        assert!(secrets(&values, "/key").leaves(&body).contains("/data"));
    }

    #[test]
    fn numbers_and_short_texts() {
        let values = json!({ "pin": 123456, "short": "abc" });
        let found =
            secrets(&values, "").leaves(&json!({ "a": 123456, "b": "pin=123456", "c": "abc" }));
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["/a", "/b"]);
    }

    #[test]
    fn a_secret_in_a_name_or_key_is_told() {
        let secrets = secrets(&json!({ "p": "canary" }), "/p");
        assert!(secrets.in_names(&json!({ "metadata": { "name": "x-canary" } })));
        assert!(secrets.in_names(&json!({ "data": { "canary": 1 } })));
        assert!(!secrets.in_names(&json!({ "data": { "a": "canary" } })));
        assert_eq!(secrets.take_out("is canary there"), "is (secret) there");
    }
}

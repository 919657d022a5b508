//! Selectors of labels: a slip in one selects nothing, and nobody is told.

use super::Part;
use crate::{code::format, diagnostic::Diagnostics};

/// The longest name of a key, and the longest value.
const LONGEST: usize = 63;

/// The longest prefix of a key.
const LONGEST_PREFIX: usize = 253;

/// Holds each label under `key` to what a label can be; `*` stands for any value.
pub(super) fn selector(part: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    let Some(labels) = part.get(key) else { return };
    for (name, value) in labels.value.as_object().into_iter().flatten() {
        let part = labels.below(name, value);
        if let Err(why) = is_key(name) {
            let message = format!("`{name}` is not the key of a label, so it selects nothing");
            mistakes.push(part.error(format::WRONG_FORM, message, why).help(KEYS));
        }
        if let Some(text) = value.as_str().filter(|text| *text != "*" && !is_value(text)) {
            let message = format!("`{text}` is not the value of a label, so it selects nothing");
            let label = "no label can have this value";
            let help = "at most 63 of a-z, A-Z, 0-9, `-`, `_` and `.`, with a letter or digit at both ends; `*` for any";
            mistakes.push(part.error(format::WRONG_FORM, message, label).help(help));
        }
    }
}

/// Holds the text under `key` to what the key of a label can be.
pub(super) fn key(part: &Part<'_>, key: &str, mistakes: &mut Diagnostics) {
    let Some((text, part)) = part.text(key) else { return };
    if let Err(why) = is_key(text) {
        let message = format!("`{text}` is not the key of a label");
        mistakes.push(part.error(format::WRONG_FORM, message, why).help(KEYS));
    }
}

const KEYS: &str = "a name of at most 63 letters, digits, `-`, `_` and `.`, with a domain and `/` before it where it has one: \
    `nvidia.com/gpu.present`";

fn is_key(text: &str) -> Result<(), &'static str> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if name.is_empty() || !is_value(name) {
        return Err("this is not a name");
    }
    let is_part = |part: &str| {
        is_value(part)
            && !part.is_empty()
            && !part.contains(|char: char| char.is_ascii_uppercase() || char == '_')
    };
    match prefix {
        Some(prefix) if prefix.len() > LONGEST_PREFIX || !prefix.split('.').all(is_part) => {
            Err("what stands before the `/` is no domain")
        }
        _ => Ok(()),
    }
}

fn is_value(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_none_or(|byte| byte.is_ascii_alphanumeric());
    text.len() <= LONGEST
        && text.bytes().all(fits)
        && ends(text.bytes().next())
        && ends(text.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_those_of_kubernetes() {
        for key in ["app", "nvidia.com/gpu.present", "a.b-c.d/E_f", "node-role.kubernetes.io/x"] {
            assert_eq!(is_key(key), Ok(()), "{key}");
        }
        for key in
            ["", "a/", "/a", "a/b/c", "nvidia.com/gpu present", "-a", "A.com/a", &"a".repeat(64)]
        {
            assert!(is_key(key).is_err(), "{key}");
        }
        assert!(is_value("") && is_value("580.95_05-x") && !is_value("a b") && !is_value("a."));
    }
}

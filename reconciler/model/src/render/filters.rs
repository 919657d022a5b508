//! The filters and functions that templates have beyond minijinja's own.

use std::fmt::Write as _;

use minijinja::{
    Environment, Error, ErrorKind, State,
    value::{Kwargs, Value, ValueKind},
};

use crate::{digest::Digest, yaml};

/// Adds ours to `environment`, and takes out what could show more than a template may.
pub(super) fn add_to(environment: &mut Environment<'_>) {
    environment.add_filter("to_json", to_json);
    environment.add_filter("tojson", to_json);
    environment.add_filter("to_yaml", to_yaml);
    environment.add_filter("sha256", sha256);
    environment.add_filter("b64encode", b64encode);
    environment.add_function("fail", fail);
    environment.remove_filter("pprint");
    // `debug()` prints the whole context, secrets and all.
    environment.remove_global("debug");
}

/// Deeper than any YAML that is read back.
const MAX_DEPTH: usize = 100;
/// So many bytes of text cost one unit of fuel, as in the engine.
const BYTES_PER_FUEL: usize = 64;

/// Returns a template value as JSON.
///
/// The engine counts a filter as one step, whatever it is given, so the work is paid for here: a unit for
/// each value and for each 64 bytes of text, before it is done. A list that holds itself many times
/// over is small in memory, and has no end as JSON.
pub(super) fn json_of(state: &State, value: &Value) -> Result<serde_json::Value, Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    json_below(state, value, MAX_DEPTH)
}

fn json_below(state: &State, value: &Value, depth: usize) -> Result<serde_json::Value, Error> {
    let no_json = |why: &str| Error::new(ErrorKind::BadSerialization, why.to_owned());
    let depth = depth.checked_sub(1).ok_or_else(|| no_json("the value is nested too deep"))?;
    state.consume_fuel(1)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| json_below(state, &item, depth)).collect()
        }
        ValueKind::Map => {
            let mut map = serde_json::Map::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                let name = key.to_string();
                pay_for(state, &name)?;
                map.insert(name, json_below(state, &item, depth)?);
            }
            Ok(serde_json::Value::Object(map))
        }
        _ => {
            pay_for(state, value.as_str().unwrap_or_default())?;
            serde_json::to_value(value)
                .map_err(|error| no_json("the value has no JSON form").with_source(error))
        }
    }
}

/// Takes the fuel for reading or writing `text`.
fn pay_for(state: &State, text: &str) -> Result<(), Error> {
    state.consume_fuel((text.len() / BYTES_PER_FUEL) as u64)
}

/// `to_json`: the value as JSON on one line. JSON is YAML, so it fits wherever a YAML value may stand.
fn to_json(state: &State, value: &Value) -> Result<String, Error> {
    let text = json_of(state, value)?.to_string();
    pay_for(state, &text)?;
    Ok(as_yaml(text))
}

/// Writes as escapes what JSON may hold as it is and YAML may not. In JSON such characters stand in texts only.
fn as_yaml(json: String) -> String {
    let is_no_yaml =
        |one: char| matches!(one, '\u{7f}'..='\u{9f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if !json.contains(is_no_yaml) {
        return json;
    }
    let mut text = String::with_capacity(json.len() + 8);
    for one in json.chars() {
        if is_no_yaml(one) {
            // Writing to a text cannot fail.
            let _ = write!(text, "\\u{:04x}", u32::from(one));
        } else {
            text.push(one);
        }
    }
    text
}

/// `to_yaml`: the value as YAML text; with `indent=N` as a block below a key: each line on its own,
/// N spaces in, the first after a line break.
fn to_yaml(state: &State, value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let text = yaml::to_yaml(&json_of(state, value)?);
    pay_for(state, &text)?;
    let text = text.trim_end_matches('\n');
    let Some(indent) = indent else { return Ok(text.to_owned()) };
    let indent = indent.min(MAX_INDENT);
    let lines = text.lines().count();
    state.consume_fuel((lines * indent / BYTES_PER_FUEL) as u64)?;
    let mut block = String::with_capacity(text.len() + lines * (indent + 1));
    for line in text.lines() {
        block.push('\n');
        if !line.is_empty() {
            block.extend(std::iter::repeat_n(' ', indent));
            block.push_str(line);
        }
    }
    Ok(block)
}

/// Deeper than any sensible object, and it keeps a template from making text out of spaces.
const MAX_INDENT: usize = 100;

/// `sha256`: the digest of a text, or of the canonical JSON of another value, as 64 hexadecimal digits.
fn sha256(state: &State, value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => {
            pay_for(state, text)?;
            Ok(Digest::of(text).hex())
        }
        None => Ok(Digest::of_json(&json_of(state, value)?).hex()),
    }
}

/// `b64encode`: the text in base64 (RFC 4648, padded), as the `data` of a Secret wants it.
fn b64encode(state: &State, text: &str) -> Result<String, Error> {
    pay_for(state, text)?;
    Ok(base64(text.as_bytes()))
}

/// Returns `bytes` in base64 (RFC 4648, padded).
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let digit = (group >> (18 - 6 * position)) & 63;
            let character = match ALPHABET.get(digit as usize) {
                Some(&letter) if position <= chunk.len() => char::from(letter),
                _ => '=',
            };
            let _ = text.write_char(character);
        }
    }
    text
}

/// `fail("why")`: ends the rendering with this message, for values that a schema cannot judge.
fn fail(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, encoded) in pairs {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}

//! What a schema says, in words.

use jsonschema::{
    JsonType, ValidationError,
    error::{TypeKind, ValidationErrorKind as Kind},
};
use serde_json::Value;

/// How many `$ref`s in a row are followed.
const MAX_HOPS: usize = 16;
/// The longest value that a message repeats, in characters.
const MAX_SHOWN: usize = 60;

/// A whole schema, in which the path of an error is looked up.
pub(super) struct Schema<'a>(pub(super) &'a Value);

impl<'a> Schema<'a> {
    /// Returns the map that holds the keyword that failed.
    fn holder(&self, error: &ValidationError<'_>) -> Option<&'a Value> {
        let (holder, _) = error.schema_path().as_str().rsplit_once('/')?;
        self.0.pointer(holder)
    }

    /// Follows `$ref`s within the schema.
    fn follow(&self, mut node: &'a Value) -> &'a Value {
        for _ in 0..MAX_HOPS {
            let reference = node.get("$ref").and_then(Value::as_str);
            let target = reference.and_then(|reference| reference.strip_prefix('#'));
            match target.and_then(|pointer| self.0.pointer(pointer)) {
                Some(target) => node = target,
                None => break,
            }
        }
        node
    }

    /// Returns the keys that the map may have.
    pub(super) fn keys(&self, error: &ValidationError<'_>) -> Vec<&'a str> {
        let properties = self.holder(error).and_then(|holder| holder.get("properties"));
        let keys = properties.and_then(Value::as_object).into_iter().flat_map(|map| map.keys());
        keys.map(String::as_str).collect()
    }

    /// Returns the first sentence of what `key` is for, of the schema whose `required` is at `path`.
    pub(super) fn description(&self, path: &str, key: &str) -> Option<&'a str> {
        let holder = path.rsplit_once("/required").map(|(holder, _)| holder)?;
        let property = self.0.pointer(holder)?.get("properties")?.get(key)?;
        let own = property.get("description").or_else(|| self.follow(property).get("description"));
        let text = own?.as_str()?;
        let sentence = text.split(". ").next().unwrap_or(text);
        Some(sentence.trim_end_matches('.'))
    }

    /// Returns the key that is given and asks for `key` beside it (`dependentRequired`).
    pub(super) fn asked_for_by(
        &self,
        error: &ValidationError<'_>,
        key: &str,
        map: &Value,
    ) -> Option<&'a str> {
        let (holder, _) = error.schema_path().as_str().rsplit_once("/dependentRequired")?;
        let rules = self.0.pointer(holder)?.get("dependentRequired")?.as_object()?;
        let asks =
            |wanted: &Value| wanted.as_array().is_some_and(|keys| keys.iter().any(|k| k == key));
        let mut asking =
            rules.iter().filter(|(given, wanted)| map.get(given).is_some() && asks(wanted));
        asking.next().map(|(given, _)| given.as_str())
    }

    /// Returns the types that were expected.
    pub(super) fn types(&self, error: &ValidationError<'_>) -> Vec<&'static str> {
        match error.kind() {
            Kind::Type { kind: TypeKind::Single(json_type) } => vec![type_name(*json_type)],
            Kind::Type { kind: TypeKind::Multiple(types) } => types.iter().map(type_name).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the constants that are allowed, where the schema lists any.
    pub(super) fn options(&self, error: &ValidationError<'_>) -> Vec<Value> {
        let mut options = Vec::new();
        if let Some(holder) = self.holder(error) {
            self.collect_options(holder, MAX_HOPS, &mut options);
        }
        options
    }

    /// Adds the constants of `node`; returns whether it allows nothing else.
    fn collect_options(&self, node: &'a Value, hops: usize, options: &mut Vec<Value>) -> bool {
        let node = self.follow(node);
        if let Some(constant) = node.get("const") {
            options.push(constant.clone());
            return true;
        }
        if let Some(listed) = node.get("enum").and_then(Value::as_array) {
            options.extend(listed.iter().cloned());
            return true;
        }
        if node.get("type").and_then(Value::as_str) == Some("null") {
            return true;
        }
        let branches = node.get("oneOf").or_else(|| node.get("anyOf")).and_then(Value::as_array);
        match (branches, hops.checked_sub(1)) {
            (Some(branches), Some(hops)) => {
                let mut only = true;
                for branch in branches {
                    only &= self.collect_options(branch, hops, options);
                }
                only
            }
            _ => false,
        }
    }

    /// Returns whether nothing but the constants of [`Schema::options`] is allowed.
    pub(super) fn only_options(&self, error: &ValidationError<'_>) -> bool {
        let holder = self.holder(error);
        holder.is_some_and(|holder| self.collect_options(holder, MAX_HOPS, &mut Vec::new()))
    }

    /// Returns the keys of a `oneOf` or `anyOf` whose branches each ask for one key.
    pub(super) fn exclusive_keys(&self, error: &ValidationError<'_>) -> Option<Vec<&'a str>> {
        let branches = self.0.pointer(error.schema_path().as_str())?.as_array()?;
        branches.iter().map(|branch| branch.get("required")?.get(0)?.as_str()).collect()
    }

    /// Returns what the form of a text is, where the schema says it in words.
    pub(super) fn form_in_words(&self, error: &ValidationError<'_>) -> Option<&'a str> {
        self.holder(error)?.get("patternErrorMessage")?.as_str()
    }

    /// Returns the allowed numbers in words.
    pub(super) fn range(&self, error: &ValidationError<'_>) -> String {
        let holder = self.holder(error);
        let limit = |key: &str| {
            let limit = holder.and_then(|holder| holder.get(key))?;
            // What the machine's integers end at is no rule that anybody made.
            (limit.as_u64() != Some(u32::MAX.into())).then(|| shown(limit))
        };
        let mut parts = Vec::new();
        match (limit("minimum"), limit("maximum")) {
            (Some(least), Some(most)) => parts.push(format!("from {least} to {most}")),
            (Some(least), None) => parts.push(format!("at least {least}")),
            (None, Some(most)) => parts.push(format!("at most {most}")),
            (None, None) => {}
        }
        parts.extend(limit("exclusiveMinimum").map(|limit| format!("more than {limit}")));
        parts.extend(limit("exclusiveMaximum").map(|limit| format!("less than {limit}")));
        parts.extend(limit("multipleOf").map(|step| format!("a multiple of {step}")));
        parts.join(" and ")
    }

    /// Returns the allowed count in words.
    pub(super) fn bounds(&self, error: &ValidationError<'_>, least: &str, most: &str) -> String {
        let holder = self.holder(error);
        let limit = |key: &str| holder.and_then(|holder| holder.get(key)).map(shown);
        match (limit(least), limit(most)) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            (None, Some(most)) => format!("at most {most}"),
            (None, None) => "another number".to_owned(),
        }
    }
}

/// Returns the type of `value` in words.
pub(in crate::format) fn type_in_words(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// Returns the expected types in words; that a value may be left empty is not worth a word.
pub(super) fn types_in_words(types: &[&str]) -> String {
    let mut words: Vec<&str> = Vec::new();
    for name in types {
        let word = match *name {
            "string" => "text",
            "array" => "a list",
            "object" => "a map",
            "boolean" => "`true` or `false`",
            "integer" => "a whole number",
            "number" => "a number",
            _ => continue,
        };
        if !words.contains(&word) {
            words.push(word);
        }
    }
    match words.split_last() {
        None => "left empty".to_owned(),
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

fn type_name(json_type: JsonType) -> &'static str {
    match json_type {
        JsonType::Array => "array",
        JsonType::Boolean => "boolean",
        JsonType::Integer => "integer",
        JsonType::Null => "null",
        JsonType::Number => "number",
        JsonType::Object => "object",
        JsonType::String => "string",
    }
}

/// Returns what messages call the value at `pointer`: its key, or its place in a list.
pub(super) fn named(pointer: &str) -> String {
    let (parent, key) = parent_and_key(pointer);
    let key = key.replace("~1", "/").replace("~0", "~");
    match key.parse::<usize>() {
        Ok(index) => {
            let (_, list) = parent_and_key(parent);
            format!("item {} of `{}`", index + 1, list.replace("~1", "/").replace("~0", "~"))
        }
        Err(_) => format!("`{key}`"),
    }
}

fn parent_and_key(pointer: &str) -> (&str, &str) {
    pointer.rsplit_once('/').unwrap_or(("", pointer))
}

/// Returns the pointer to `key` below `pointer`.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Returns `pointer` as people write it: `pools.home.replicas`.
pub(crate) fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

/// Returns a value as messages repeat it: text as it is, all else as JSON, long ones cut.
pub(super) fn shown(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let line = text.lines().next().unwrap_or_default();
    let short: String = line.chars().take(MAX_SHOWN).collect();
    if short.len() < text.trim_end().len() { format!("{short}...") } else { short }
}

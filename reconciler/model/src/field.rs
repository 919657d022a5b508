//! Paths to fields as people write them: `spec.template.spec.containers[name=manager].image`.
//!
//! The rules of sites and blueprints (ignore, take-over, hazard) are written with them, plans print
//! them, and the server's conflict messages (structured-merge-diff) are read with them.
//!
//! | part | means |
//! |---|---|
//! | `a.b`, `["a/b"]` | keys of maps; quoted (JSON) where the key has one of `. / [ ] " *` or a space |
//! | `x[name=manager]`, `x[port=80,protocol=TCP]` | the entries of a list with these values |
//! | `x[0]` | the entry at a position |
//! | `x[*]` | every entry of a list or map |
//! | `x[="a"]` | the entry of a list that is this text |

use std::{
    collections::BTreeSet,
    fmt::{self, Write as _},
    str::FromStr,
};

use serde_json::Value;

/// A path to fields of an object; see the module for how it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath {
    segments: Vec<Segment>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A key of a map.
    Key(String),
    /// The entries of a list with these scalar values, by key.
    Entry(Vec<(String, String)>),
    /// The entry of a list at a position.
    Index(usize),
    /// The entry of a list that is this scalar.
    Member(String),
    /// Every entry of a list or map.
    Any,
}

/// The text is not a field path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a field path: {why} at byte {at}")]
pub struct NotAPath {
    /// The text.
    pub text: String,
    /// The byte where reading stopped.
    pub at: usize,
    /// What is wrong there.
    pub why: &'static str,
}

// === impl FieldPath ===

impl FieldPath {
    /// Returns the path of the whole object.
    pub fn root() -> Self {
        Self::default()
    }

    /// Makes a path of `segments`.
    pub fn new(segments: impl IntoIterator<Item = Segment>) -> Self {
        Self { segments: segments.into_iter().collect() }
    }

    /// Returns the path that a person would write for `pointer` (RFC 6901) into `body`: entries of
    /// lists by the keys that tell them apart, where there are such keys.
    pub fn of_pointer(pointer: &str, body: &Value) -> Self {
        let mut at = Some(body);
        let mut segments = Vec::new();
        for token in tokens(pointer) {
            let (segment, next) = match at {
                Some(Value::Array(list)) => entry_segment(list, &token),
                Some(Value::Object(map)) => (Segment::Key(token.clone()), map.get(&token)),
                _ => (Segment::Key(token), None),
            };
            segments.push(segment);
            at = next;
        }
        Self { segments }
    }

    /// Reads a path as structured-merge-diff prints it in conflicts: keys of maps unquoted, dots and all,
    /// so that only `body` tells `.metadata.annotations.example.com/team` apart.
    pub fn of_server_text(text: &str, body: &Value) -> Result<Self, NotAPath> {
        let path: Self = text.parse()?;
        let mut at = Some(body);
        let mut segments: Vec<Segment> = Vec::new();
        let mut rest = path.segments.as_slice();
        while let Some((first, after)) = rest.split_first() {
            let (segment, used) = match (at, first) {
                (Some(Value::Object(map)), Segment::Key(_)) => longest_key(map, rest),
                _ => (first.clone(), 1),
            };
            at = at.and_then(|value| step(value, &segment).next().map(|(_, value)| value));
            segments.push(segment);
            rest = rest.get(used..).unwrap_or(after);
        }
        Ok(Self { segments })
    }

    /// Returns the steps.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Returns the pointers (RFC 6901) of all values in `body` that the path names.
    pub fn pointers(&self, body: &Value) -> Vec<String> {
        self.find(body).into_iter().map(|(pointer, _)| pointer).collect()
    }

    /// Returns all values in `body` that the path names.
    pub fn get<'v>(&self, body: &'v Value) -> Vec<&'v Value> {
        self.find(body).into_iter().map(|(_, value)| value).collect()
    }

    /// Removes all values in `body` that the path names, and returns how many there were.
    pub fn remove(&self, body: &mut Value) -> usize {
        let pointers = self.pointers(body);
        // Backwards: a removed entry moves those behind it.
        pointers.iter().rev().filter(|pointer| remove_pointer(body, pointer).is_some()).count()
    }

    /// Returns whether `pointer` into `body` is named by the path or lies below what is.
    pub fn covers(&self, pointer: &str, body: &Value) -> bool {
        self.pointers(body).iter().any(|named| is_within(pointer, named))
    }

    /// Returns whether every value that `other` can name is named by this path or lies below what it names.
    pub fn contains(&self, other: &FieldPath) -> bool {
        self.segments.len() <= other.segments.len()
            && self.segments.iter().zip(&other.segments).all(|(mine, theirs)| mine.includes(theirs))
    }

    /// Returns the path with one more step.
    #[must_use]
    pub fn join(&self, segment: Segment) -> Self {
        let mut segments = self.segments.clone();
        segments.push(segment);
        Self { segments }
    }

    fn find<'v>(&self, body: &'v Value) -> Vec<(String, &'v Value)> {
        let mut found = vec![(String::new(), body)];
        for segment in &self.segments {
            found = found
                .into_iter()
                .flat_map(|(pointer, value)| {
                    step(value, segment)
                        .map(move |(token, value)| (push_token(&pointer, &token), value))
                })
                .collect();
        }
        found
    }
}

impl Segment {
    /// Returns whether everything that `other` names is named by this step too.
    fn includes(&self, other: &Segment) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Entry(mine), Self::Entry(theirs)) => {
                mine.iter().all(|pair| theirs.contains(pair))
            }
            (mine, theirs) => mine == theirs,
        }
    }
}

/// Returns what one step leads to from `value`: pointer tokens with values, in order.
fn step<'v>(
    value: &'v Value,
    segment: &Segment,
) -> Box<dyn Iterator<Item = (String, &'v Value)> + 'v> {
    match (value, segment) {
        (Value::Object(map), Segment::Key(key)) => {
            Box::new(map.get_key_value(key).into_iter().map(|(key, value)| (key.clone(), value)))
        }
        (Value::Object(map), Segment::Any) => {
            Box::new(map.iter().map(|(key, value)| (key.clone(), value)))
        }
        (Value::Array(list), segment) => {
            let segment = segment.clone();
            Box::new(
                list.iter()
                    .enumerate()
                    .filter(move |(index, entry)| entry_fits(&segment, *index, entry))
                    .map(|(index, entry)| (index.to_string(), entry)),
            )
        }
        _ => Box::new(std::iter::empty()),
    }
}

fn entry_fits(segment: &Segment, index: usize, entry: &Value) -> bool {
    match segment {
        Segment::Any => true,
        Segment::Index(wanted) => *wanted == index,
        Segment::Member(text) => scalar_text(entry).as_ref() == Some(text),
        Segment::Entry(pairs) => pairs.iter().all(|(key, wanted)| {
            entry.get(key).and_then(scalar_text).as_ref() == Some(wanted)
                || (entry.get(key).is_none() && default_of(key) == Some(wanted))
        }),
        Segment::Key(_) => false,
    }
}

/// Returns the key of `map` that the longest run of `segments`, joined by dots, spells, and the length of the run.
fn longest_key(map: &serde_json::Map<String, Value>, segments: &[Segment]) -> (Segment, usize) {
    let mut text = String::new();
    let mut best = None;
    for (index, segment) in segments.iter().enumerate() {
        let Segment::Key(key) = segment else { break };
        if index > 0 {
            text.push('.');
        }
        text.push_str(key);
        if map.contains_key(&text) {
            best = Some((text.clone(), index + 1));
        }
    }
    match (best, segments.first()) {
        (Some((key, used)), _) => (Segment::Key(key), used),
        (None, Some(first)) => (first.clone(), 1),
        (None, None) => (Segment::Any, 1),
    }
}

// === text ===

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Key(key) if is_bare(key, "./[]\"*") => {
                    if index > 0 {
                        f.write_char('.')?;
                    }
                    f.write_str(key)?;
                }
                Segment::Key(key) => write!(f, "[{}]", quoted(key))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Member(text) => write!(f, "[={}]", quoted(text))?,
                Segment::Any => f.write_str("[*]")?,
                Segment::Entry(pairs) => {
                    let pairs: Vec<String> = pairs
                        .iter()
                        .map(|(key, value)| format!("{key}={}", bare_or_quoted(value)))
                        .collect();
                    write!(f, "[{}]", pairs.join(","))?;
                }
            }
        }
        Ok(())
    }
}

fn bare_or_quoted(text: &str) -> String {
    if is_bare(text, "],\"") { text.to_owned() } else { quoted(text) }
}

fn is_bare(text: &str, special: &str) -> bool {
    !text.is_empty()
        && !text.chars().any(|c| special.contains(c) || c.is_whitespace() || c.is_control())
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

impl FromStr for FieldPath {
    type Err = NotAPath;

    fn from_str(text: &str) -> Result<Self, NotAPath> {
        let mut reader = Reader { text, at: 0 };
        let mut segments = Vec::new();
        reader.skip('.');
        while !reader.is_done() {
            if reader.skip('[') {
                segments.push(reader.selector()?);
            } else {
                segments.push(reader.name()?);
            }
            if reader.skip('.') && (reader.is_done() || reader.rest().starts_with('.')) {
                return Err(reader.error("a name is missing"));
            }
        }
        Ok(Self { segments })
    }
}

/// Reads a path from left to right.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn is_done(&self) -> bool {
        self.rest().is_empty()
    }

    fn skip(&mut self, wanted: char) -> bool {
        let found = self.rest().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn take_until(&mut self, stops: &[char]) -> &'t str {
        let rest = self.rest();
        let end = rest.find(stops).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn error(&self, why: &'static str) -> NotAPath {
        NotAPath { text: self.text.to_owned(), at: self.at, why }
    }

    fn name(&mut self) -> Result<Segment, NotAPath> {
        match self.take_until(&['.', '[', ']', '"']) {
            "" => Err(self.error("a name is missing")),
            "*" => Ok(Segment::Any),
            name => Ok(Segment::Key(name.to_owned())),
        }
    }

    /// Reads what stands between brackets, the closing one included.
    fn selector(&mut self) -> Result<Segment, NotAPath> {
        let segment = if self.rest().starts_with('"') {
            Segment::Key(self.quoted()?)
        } else if self.skip('=') {
            Segment::Member(self.value()?)
        } else {
            let word = self.take_until(&['=', ']', ',', '"', '[']);
            match (word, word.parse()) {
                ("*", _) => Segment::Any,
                (_, Ok(index)) if !self.rest().starts_with('=') => Segment::Index(index),
                _ => self.pairs(word)?,
            }
        };
        if self.skip(']') { Ok(segment) } else { Err(self.error("`]` is missing")) }
    }

    fn pairs(&mut self, first: &str) -> Result<Segment, NotAPath> {
        let mut key = first.to_owned();
        let mut pairs = Vec::new();
        loop {
            if key.is_empty() || !self.skip('=') {
                return Err(self.error("expected `key=value`, a position, `*` or a quoted key"));
            }
            pairs.push((key, self.value()?));
            if !self.skip(',') {
                return Ok(Segment::Entry(pairs));
            }
            key = self.take_until(&['=', ']', ',', '"', '[']).trim().to_owned();
        }
    }

    fn value(&mut self) -> Result<String, NotAPath> {
        if self.rest().starts_with('"') {
            return self.quoted();
        }
        match self.take_until(&[',', ']', '"']) {
            "" => Err(self.error("a value is missing")),
            value => Ok(value.to_owned()),
        }
    }

    fn quoted(&mut self) -> Result<String, NotAPath> {
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        match values.next() {
            Some(Ok(text)) => {
                self.at += values.byte_offset();
                Ok(text)
            }
            _ => Err(self.error("the quoted text does not end")),
        }
    }
}

// === keyed lists ===

/// The keys by which the entries of a list are usually told apart, first fit wins.
///
/// For people's eyes and for matching entries in a diff; what the server takes for the key of a list
/// is in its schema and, per object, in `managedFields`.
const USUAL_KEYS: &[&[&str]] = &[
    &["name"],
    &["containerPort", "protocol"],
    &["containerPort"],
    &["port", "protocol"],
    &["port"],
    &["mountPath"],
    &["devicePath"],
    &["key"],
    &["type"],
    &["ip"],
    &["topologyKey", "whenUnsatisfiable"],
    &["uid"],
    &["id"],
];

/// Returns the value that the server gives a key of a list's entry where it is left out.
pub(crate) fn default_of(key: &str) -> Option<&'static str> {
    (key == "protocol").then_some("TCP")
}

/// The keys that tell the entries of every one of `lists` apart, if there are such.
pub(crate) fn usual_keys(lists: &[&[Value]]) -> Option<&'static [&'static str]> {
    let tells_apart = |keys: &[&str], list: &[Value]| {
        let mut seen = BTreeSet::new();
        list.iter().all(|entry| entry_key(entry, keys).is_some_and(|key| seen.insert(key)))
    };
    let all_maps = lists.iter().all(|list| list.iter().all(Value::is_object));
    let fits = |keys: &&&[&str]| lists.iter().all(|list| tells_apart(keys, list));
    if !all_maps || lists.iter().all(|list| list.is_empty()) {
        return None;
    }
    USUAL_KEYS.iter().find(fits).copied()
}

/// Returns the values of `keys` in `entry` as text, if all are scalars.
pub(crate) fn entry_key(entry: &Value, keys: &[&str]) -> Option<Vec<String>> {
    keys.iter().map(|key| entry.get(key).and_then(scalar_text)).collect()
}

/// Returns the step to the entry with these values of `keys`.
pub(crate) fn keyed_segment(keys: &[&str], values: &[String]) -> Segment {
    Segment::Entry(keys.iter().map(|key| (*key).to_owned()).zip(values.iter().cloned()).collect())
}

fn entry_segment<'v>(list: &'v [Value], token: &str) -> (Segment, Option<&'v Value>) {
    let Ok(index) = token.parse::<usize>() else {
        return (Segment::Key(token.to_owned()), None);
    };
    let entry = list.get(index);
    let keyed = usual_keys(&[list]).zip(entry).and_then(|(keys, entry)| {
        entry_key(entry, keys).map(|values| keyed_segment(keys, &values))
    });
    (keyed.unwrap_or(Segment::Index(index)), entry)
}

/// Returns a scalar as the text that a path has for it.
pub(crate) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

// === pointers (RFC 6901) ===

/// Returns the steps of `pointer`, unescaped.
pub(crate) fn tokens(pointer: &str) -> impl Iterator<Item = String> + '_ {
    pointer.split('/').skip(1).map(|token| token.replace("~1", "/").replace("~0", "~"))
}

/// Returns `pointer` with one more step.
pub(crate) fn push_token(pointer: &str, token: &str) -> String {
    format!("{pointer}/{}", token.replace('~', "~0").replace('/', "~1"))
}

/// Returns whether `pointer` is `root` or lies below it.
pub(crate) fn is_within(pointer: &str, root: &str) -> bool {
    pointer.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Removes the value at `pointer`; entries of lists behind it move up.
pub(crate) fn remove_pointer(body: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, token) = pointer.rsplit_once('/')?;
    let token = token.replace("~1", "/").replace("~0", "~");
    match body.pointer_mut(parent)? {
        Value::Object(map) => map.remove(&token),
        Value::Array(list) => {
            let index = token.parse::<usize>().ok().filter(|index| *index < list.len())?;
            Some(list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

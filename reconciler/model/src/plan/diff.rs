//! Field by field: what an apply changes on a live object.
//!
//! Comes in: the live body and the body that the server's dry run answered. Goes out: the fields that
//! differ, with the paths that people write; no value of a secret field. What the server sets by
//! itself (`status`, `managedFields`, `resourceVersion`, …) is no difference.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::{
    field::{
        FieldPath, Segment, entry_key, is_within, keyed_segment, push_token, tokens, usual_keys,
    },
    object::{Object, Shown},
};

/// Up to so many differences of one object are told apart; more, and they are told at a higher level,
/// at the highest by the keys of the object itself.
const MOST: usize = 200;

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The field.
    pub path: FieldPath,
    /// The field as a pointer (RFC 6901) into the live body; where it is absent, the one it would have.
    pub live: String,
    /// The field as a pointer into the judged body; where it is absent, the one it would have.
    pub judged: String,
    /// The live value.
    pub before: Shown,
    /// The value that it gets.
    pub after: Shown,
}

/// Which fields of an object are secret, whichever position of a list they stand at.
#[derive(Clone, Debug, Default)]
pub struct Secrecy {
    roots: Vec<Vec<String>>,
}

/// Returns what differs between the `live` object and the `judged` one.
///
/// Entries of lists are matched by the keys that usually tell them apart. A subtree that only one side
/// has is one difference.
pub fn diff(live: &Object, judged: &Object, secrecy: &Secrecy) -> Vec<Difference> {
    let all = differences(live.expose(), judged.expose(), usize::MAX);
    let found = if all.len() <= MOST {
        all
    } else {
        let coarser = |depth| differences(live.expose(), judged.expose(), depth);
        let fits = |found: &Vec<Found<'_>>| found.len() <= MOST;
        (2..8).rev().map(coarser).find(fits).unwrap_or_else(|| coarser(1))
    };
    found.into_iter().map(|found| found.shown(secrecy)).collect()
}

/// Returns what would differ if `desired` were laid over the `live` object: an estimate for where the
/// server was not asked or refused, blind to the server's defaults within lists.
pub fn estimate(live: &Object, desired: &Object, secrecy: &Secrecy) -> Vec<Difference> {
    let mut body = live.expose().clone();
    overlay(&mut body, desired.expose());
    match Object::new(body) {
        Ok(judged) => diff(live, &judged, secrecy),
        Err(_) => Vec::new(),
    }
}

// === impl Difference ===

impl Difference {
    /// Returns whether what `path` names is this field, a part of it, or holds it.
    pub fn touches(&self, path: &FieldPath, live: &Value) -> bool {
        let in_live = |named: &String| is_within(&self.live, named) || is_within(named, &self.live);
        path.contains(&self.path) || path.pointers(live).iter().any(in_live) || self.brings(path)
    }

    /// Returns whether the value that comes or goes has within it what `path` names.
    fn brings(&self, path: &FieldPath) -> bool {
        let (here, below) = match path.segments().split_at_checked(self.path.segments().len()) {
            Some((here, below)) => (FieldPath::new(here.iter().cloned()), below),
            None => return false,
        };
        let below = FieldPath::new(below.iter().cloned());
        let holds = |shown: &Shown| match shown {
            Shown::Absent => false,
            Shown::Secret => true,
            Shown::Value(value) => !below.pointers(value).is_empty(),
        };
        here.contains(&self.path) && (holds(&self.before) || holds(&self.after))
    }
}

// === impl Secrecy ===

impl Secrecy {
    /// Collects what is secret in any of `objects`, which are the same object at different times.
    pub fn of<'o>(objects: impl IntoIterator<Item = &'o Object>) -> Self {
        let mut pointers: BTreeSet<&str> = BTreeSet::new();
        // It repeats a whole object as text, secret fields included.
        pointers.insert("/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration");
        for object in objects {
            if object.id().kind.group.is_empty() && object.id().kind.kind == "Secret" {
                pointers.extend(["/data", "/stringData"]);
            }
            pointers.extend(object.sensitive().iter().map(String::as_str));
        }
        Self { roots: pointers.into_iter().map(|pointer| tokens(pointer).collect()).collect() }
    }

    /// Adds further pointers.
    #[must_use]
    pub fn and<'p>(mut self, pointers: impl IntoIterator<Item = &'p String>) -> Self {
        self.roots.extend(pointers.into_iter().map(|pointer| tokens(pointer).collect()));
        self
    }

    /// Returns whether the value at `pointer`, or a part of it, or what holds it, is secret.
    pub fn covers(&self, pointer: &str) -> bool {
        let pointer: Vec<String> = tokens(pointer).collect();
        let is_position = |token: &str| token.parse::<usize>().is_ok();
        self.roots.iter().any(|root| {
            root.iter().zip(&pointer).all(|(secret, token)| {
                secret == token || (is_position(secret) && is_position(token))
            })
        })
    }
}

// === comparison ===

struct Found<'v> {
    path: FieldPath,
    live: String,
    judged: String,
    before: Option<&'v Value>,
    after: Option<&'v Value>,
}

impl Found<'_> {
    fn shown(self, secrecy: &Secrecy) -> Difference {
        let secret = secrecy.covers(&self.live) || secrecy.covers(&self.judged);
        let show = |value: Option<&Value>| match value {
            None => Shown::Absent,
            Some(_) if secret => Shown::Secret,
            Some(value) => Shown::Value(value.clone()),
        };
        let (before, after) = (show(self.before), show(self.after));
        let path = self.printable_path(secrecy);
        Difference { path, live: self.live, judged: self.judged, before, after }
    }

    /// Returns the path, with positions for entries that a secret value would tell apart.
    fn printable_path(&self, secrecy: &Secrecy) -> FieldPath {
        let steps = self.path.segments().iter().zip(tokens(&self.live).zip(tokens(&self.judged)));
        let (mut live, mut judged) = (String::new(), String::new());
        let segments = steps.map(|(segment, (live_token, judged_token))| {
            live = push_token(&live, &live_token);
            judged = push_token(&judged, &judged_token);
            let is_secret = |key: &str| {
                secrecy.covers(&push_token(&live, key)) || secrecy.covers(&push_token(&judged, key))
            };
            match (segment, judged_token.parse()) {
                (Segment::Entry(pairs), Ok(index))
                    if pairs.iter().any(|(key, _)| is_secret(key)) =>
                {
                    Segment::Index(index)
                }
                _ => segment.clone(),
            }
        });
        FieldPath::new(segments.collect::<Vec<_>>())
    }
}

/// A field of both bodies.
#[derive(Clone)]
struct Place {
    path: FieldPath,
    live: String,
    judged: String,
}

impl Place {
    fn below(&self, segment: Segment, live: &str, judged: &str) -> Self {
        Self {
            path: self.path.join(segment),
            live: push_token(&self.live, live),
            judged: push_token(&self.judged, judged),
        }
    }

    fn key(&self, key: &str) -> Self {
        self.below(Segment::Key(key.to_owned()), key, key)
    }

    fn is_noise(&self) -> bool {
        NOISE.contains(&self.live.as_str())
    }
}

/// Fields that the server sets, and that name the object rather than describe it.
const NOISE: [&str; 10] = [
    "/apiVersion",
    "/kind",
    "/status",
    "/metadata/managedFields",
    "/metadata/resourceVersion",
    "/metadata/generation",
    "/metadata/creationTimestamp",
    "/metadata/uid",
    "/metadata/selfLink",
    // our own mark, which says what the inventory says
    "/metadata/labels/sitewright.dev~1adopted",
];

/// Down to how many steps values are told apart.
struct Comparison<'v> {
    depth: usize,
    found: Vec<Found<'v>>,
}

fn differences<'v>(live: &'v Value, judged: &'v Value, depth: usize) -> Vec<Found<'v>> {
    let mut comparison = Comparison { depth, found: Vec::new() };
    let root = Place { path: FieldPath::root(), live: String::new(), judged: String::new() };
    comparison.compare(Some(live), Some(judged), root);
    comparison.found
}

impl<'v> Comparison<'v> {
    fn compare(&mut self, live: Option<&'v Value>, judged: Option<&'v Value>, at: Place) {
        let live = live.filter(|value| !value.is_null());
        let judged = judged.filter(|value| !value.is_null());
        if live == judged || at.is_noise() {
            return;
        }
        let is_root = at.path.segments().is_empty();
        match (live, judged) {
            _ if at.path.segments().len() >= self.depth && !is_root => self.add(live, judged, at),
            (Some(Value::Object(live)), Some(Value::Object(judged))) => {
                self.compare_maps(live, judged, &at);
            }
            (Some(Value::Array(old)), Some(Value::Array(new))) => {
                let before = self.found.len();
                self.compare_lists(old, new, &at);
                if self.found.len() == before {
                    // The entries are the same, in another order.
                    self.add(live, judged, at);
                }
            }
            _ => self.add(live, judged, at),
        }
    }

    fn add(&mut self, before: Option<&'v Value>, after: Option<&'v Value>, at: Place) {
        self.found.push(Found { path: at.path, live: at.live, judged: at.judged, before, after });
    }

    fn compare_maps(
        &mut self,
        live: &'v Map<String, Value>,
        judged: &'v Map<String, Value>,
        at: &Place,
    ) {
        let keys: BTreeSet<&String> = live.keys().chain(judged.keys()).collect();
        for key in keys {
            self.compare(live.get(key), judged.get(key), at.key(key));
        }
    }

    fn compare_lists(&mut self, live: &'v [Value], judged: &'v [Value], at: &Place) {
        let scalars =
            |list: &[Value]| !list.iter().any(|entry| entry.is_object() || entry.is_array());
        if let Some(keys) = usual_keys(&[live, judged]) {
            self.compare_keyed(live, judged, keys, at);
        } else if live.len() == judged.len() {
            self.compare_positions(Part::all(live), Part::all(judged), at);
        } else if !(scalars(live) && scalars(judged)) {
            self.compare_middles(live, judged, at);
        }
        // Lists of scalars with other lengths are told whole, by the caller.
    }

    fn compare_keyed(&mut self, live: &'v [Value], judged: &'v [Value], keys: &[&str], at: &Place) {
        let by_key = |list: &'v [Value]| -> BTreeMap<Vec<String>, (usize, &'v Value)> {
            list.iter()
                .enumerate()
                .filter_map(|(index, entry)| Some((entry_key(entry, keys)?, (index, entry))))
                .collect()
        };
        let (old, new) = (by_key(live), by_key(judged));
        let all: BTreeSet<&Vec<String>> = old.keys().chain(new.keys()).collect();
        for key in all {
            let index = |side: Option<&(usize, &Value)>, length: usize| {
                side.map_or(length, |(index, _)| *index).to_string()
            };
            let (old, new) = (old.get(key), new.get(key));
            let place = at.below(
                keyed_segment(keys, key),
                &index(old, live.len()),
                &index(new, judged.len()),
            );
            self.compare(old.map(|(_, value)| *value), new.map(|(_, value)| *value), place);
        }
    }

    fn compare_positions(&mut self, live: Part<'v>, judged: Part<'v>, at: &Place) {
        for index in 0..live.entries.len().max(judged.entries.len()) {
            let place = at.below(
                Segment::Index(judged.from + index),
                &live.position(index).to_string(),
                &judged.position(index).to_string(),
            );
            self.compare(live.entries.get(index), judged.entries.get(index), place);
        }
    }

    /// Compares lists of maps without keys: what is equal at both ends is set aside.
    fn compare_middles(&mut self, live: &'v [Value], judged: &'v [Value], at: &Place) {
        let head = live.iter().zip(judged).take_while(|(old, new)| old == new).count();
        let (old, new) =
            (live.get(head..).unwrap_or_default(), judged.get(head..).unwrap_or_default());
        let tail =
            old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
        let middle = |list: &'v [Value], length: usize| Part {
            entries: list.get(..list.len() - tail).unwrap_or_default(),
            from: head,
            length,
        };
        self.compare_positions(middle(old, live.len()), middle(new, judged.len()), at);
    }
}

/// Some entries of a list.
struct Part<'v> {
    entries: &'v [Value],
    /// The position of the first of them.
    from: usize,
    /// How many entries the whole list has.
    length: usize,
}

impl<'v> Part<'v> {
    fn all(entries: &'v [Value]) -> Self {
        Self { entries, from: 0, length: entries.len() }
    }

    /// Returns the position in the list; of an entry that is not there, the one past its end.
    fn position(&self, index: usize) -> usize {
        if index < self.entries.len() { self.from + index } else { self.length }
    }
}

// === estimate ===

fn overlay(body: &mut Value, desired: &Value) {
    match (body, desired) {
        (_, Value::Null) => {}
        (Value::Object(body), Value::Object(desired)) => {
            for (key, desired) in desired.iter().filter(|(_, value)| !value.is_null()) {
                overlay(body.entry(key.clone()).or_insert(Value::Null), desired);
            }
        }
        (Value::Array(body), Value::Array(desired)) => overlay_lists(body, desired),
        (body, desired) => *body = desired.clone(),
    }
}

fn overlay_lists(body: &mut Vec<Value>, desired: &[Value]) {
    match usual_keys(&[body, desired]) {
        Some(keys) => {
            for entry in desired {
                let key = entry_key(entry, keys);
                match body.iter_mut().find(|known| entry_key(known, keys) == key) {
                    Some(known) => overlay(known, entry),
                    None => body.push(entry.clone()),
                }
            }
        }
        None if body.len() == desired.len() => {
            body.iter_mut().zip(desired).for_each(|(body, desired)| overlay(body, desired));
        }
        None => *body = desired.to_vec(),
    }
}

#[cfg(test)]
mod tests;

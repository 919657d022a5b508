//! Where a desired object and another manager's fields meet.
//!
//! Comes in: the desired body, the live body, another manager's fields. Goes out: the fields that both
//! want with different values, and the entries of keyed lists beside which ours are invalid.

use serde_json::{Map, Value};

use super::fields::{Element, FieldSet};
use crate::field::{FieldPath, default_of, push_token};

/// How sure it is that the server will see a conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// Two different scalars.
    Certain,
    /// Values that the server may yet find equal, after its defaults.
    Possible,
}

/// A field that we and another manager want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dispute {
    /// The field, as a pointer into the desired body.
    pub(crate) pointer: String,
    /// How sure it is.
    pub(crate) certainty: Certainty,
}

/// An entry of a keyed list that another manager owns, that we do not declare, and beside which the
/// entries that we do declare are invalid.
///
/// A hand edit of a Service's port makes one: the key of the list is (port, protocol), so the edit
/// replaces our entry by another one with the same name. Our next apply would add ours beside it, the
/// server finds the name twice and refuses, and nothing that a plain apply can send mends it
/// (kubernetes#130292, kubernetes#131147, fluxcd/flux2 discussion 6068).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Intruder {
    /// The list, as a pointer into the desired body.
    pub(crate) list: String,
    /// The entry, as a pointer into the live body.
    pub(crate) live: String,
    /// The steps of `fieldsV1` to the entry.
    pub(crate) steps: Vec<String>,
    /// What the manager owns of it.
    pub(crate) fields: FieldSet,
}

/// What was found in one manager's fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) disputes: Vec<Dispute>,
    pub(crate) intruders: Vec<Intruder>,
}

/// A place in the desired and the live body at once.
struct Here<'v> {
    desired: &'v Value,
    live: Option<&'v Value>,
    pointer: String,
    live_pointer: String,
    steps: Vec<String>,
}

/// Compares what `theirs` owns of `live` with `desired`.
pub(crate) fn find(theirs: &FieldSet, desired: &Value, live: &Value) -> Findings {
    let mut findings = Findings::default();
    let here = Here {
        desired,
        live: Some(live),
        pointer: String::new(),
        live_pointer: String::new(),
        steps: Vec::new(),
    };
    walk(theirs, &here, &mut findings);
    findings
}

fn walk(theirs: &FieldSet, here: &Here<'_>, findings: &mut Findings) {
    for (step, element, below) in theirs.children() {
        let ours = element.find(here.desired);
        let live = here.live.and_then(|live| element.find(live));
        match (ours, live) {
            (Some((token, desired)), live) => {
                let mut steps = here.steps.clone();
                steps.push(step.to_owned());
                let next = Here {
                    desired,
                    live: live.as_ref().map(|(_, value)| *value),
                    pointer: push_token(&here.pointer, &token),
                    live_pointer: live.map_or_else(String::new, |(token, _)| {
                        push_token(&here.live_pointer, &token)
                    }),
                    steps,
                };
                meet(element, below, &next, findings);
            }
            (None, Some((token, entry))) => {
                let intruder = intruder(here, step, element, below, (&token, entry));
                findings.intruders.extend(intruder);
            }
            (None, None) => {}
        }
    }
}

/// Compares one field that both have.
fn meet(element: &Element, theirs: &FieldSet, here: &Here<'_>, findings: &mut Findings) {
    let granular = matches!(here.desired, Value::Object(_) | Value::Array(_))
        && here.live.is_none_or(|live| {
            std::mem::discriminant(live) == std::mem::discriminant(here.desired)
        });
    if matches!(element, Element::Member(_)) || here.desired.is_null() {
        return;
    }
    if !theirs.is_leaf() && granular {
        return walk(theirs, here, findings);
    }
    if let Some(certainty) = here.live.and_then(|live| certainty(here.desired, live)) {
        findings.disputes.push(Dispute { pointer: here.pointer.clone(), certainty });
    }
}

/// Returns how sure it is that the server sees a conflict over two values; none where they are the same.
///
/// What only looks like defaults may be the other manager's will: Argo Rollouts owns the whole selector
/// of a Service and adds a key to it. And `1.10` is `1.1` only where the field is a quantity. The server
/// knows, so it is asked.
fn certainty(desired: &Value, live: &Value) -> Option<Certainty> {
    let scalar = |value: &Value| !matches!(value, Value::Object(_) | Value::Array(_));
    if desired == live {
        None
    } else if scalar(desired) && scalar(live) && !same_quantity(desired, live) {
        Some(Certainty::Certain)
    } else {
        Some(Certainty::Possible)
    }
}

/// Returns whether both are the same Kubernetes quantity, as in `1000m` and `1`.
fn same_quantity(one: &Value, other: &Value) -> bool {
    quantity(one).zip(quantity(other)).is_some_and(|(one, other)| {
        (one - other).abs() <= f64::EPSILON * one.abs().max(other.abs())
    })
}

fn quantity(value: &Value) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let text = match value {
        Value::Number(number) => return number.as_f64(),
        Value::String(text) => text,
        _ => return None,
    };
    let (digits, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let number: f64 = digits.parse().ok()?;
    (number.is_finite() && digits.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)))
        .then_some(number * factor)
}

/// Returns the entry that `element` names, where it stands in the way of ours.
fn intruder(
    here: &Here<'_>,
    step: &str,
    element: &Element,
    below: &FieldSet,
    (token, entry): (&str, &Value),
) -> Option<Intruder> {
    let Element::Entry(keys) = element else { return None };
    let ours = here.desired.as_array().filter(|ours| !ours.is_empty())?;
    let rule = RULES.iter().find(|rule| {
        rule.keys.len() == keys.len() && rule.keys.iter().all(|key| keys.contains_key(*key))
    })?;
    if !rule.is_broken_by(entry, ours) {
        return None;
    }
    let mut steps = here.steps.clone();
    steps.push(step.to_owned());
    Some(Intruder {
        list: here.pointer.clone(),
        live: push_token(&here.live_pointer, token),
        steps,
        fields: below.clone(),
    })
}

/// What the server demands of the entries of a list beyond its key: lists are told by their key.
struct ListRule {
    keys: &'static [&'static str],
    /// Fields that, taken together, no two entries may share, where both have the first of them.
    unique: &'static [&'static [&'static str]],
    /// Whether every entry needs a name as soon as there are two.
    all_named: AllNamed,
}

#[derive(PartialEq, Eq)]
enum AllNamed {
    Demanded,
    Not,
}

const RULES: &[ListRule] = &[
    // The ports of a Service.
    ListRule {
        keys: &["port", "protocol"],
        unique: &[&["name"], &["nodePort", "protocol"]],
        all_named: AllNamed::Demanded,
    },
    // The ports of a container.
    ListRule {
        keys: &["containerPort", "protocol"],
        unique: &[&["name"], &["hostPort", "protocol", "hostIP"]],
        all_named: AllNamed::Not,
    },
    // The block devices of a container.
    ListRule { keys: &["devicePath"], unique: &[&["name"]], all_named: AllNamed::Not },
];

impl ListRule {
    fn is_broken_by(&self, entry: &Value, ours: &[Value]) -> bool {
        let named = |entry: &Value| is_set(entry.get("name"));
        let unnamed =
            self.all_named == AllNamed::Demanded && !(named(entry) && ours.iter().all(named));
        unnamed || self.unique.iter().any(|fields| ours.iter().any(|own| share(entry, own, fields)))
    }
}

/// Returns whether both entries have the first of `fields`, and the same values of all.
fn share(one: &Value, other: &Value, fields: &[&str]) -> bool {
    let value = |entry: &Value, field: &str| {
        entry.get(field).cloned().or_else(|| default_of(field).map(Value::from))
    };
    fields.first().is_some_and(|first| is_set(one.get(first)))
        && fields.iter().all(|field| value(one, field) == value(other, field))
}

fn is_set(value: Option<&Value>) -> bool {
    value.is_some_and(|value| !value.is_null() && *value != 0 && *value != "")
}

// === leaving fields to others ===

/// Takes out of the value at `pointer` in `desired` all that `theirs` owns of it, and returns whether anything went.
///
/// Keys of a list's entry stay as long as anything of the entry stays.
pub(crate) fn leave_out(theirs: &FieldSet, pointer: &str, desired: &mut Value) -> bool {
    let Some(below) = theirs.below(pointer, desired) else { return false };
    let (parent, token) = pointer.rsplit_once('/').unwrap_or_default();
    let list = parent.rsplit_once('/').map_or("", |(list, _)| list);
    if theirs.list_keys(list, desired).is_some_and(|keys| keys.iter().any(|key| key == token)) {
        return false;
    }
    let keys = theirs.list_keys(parent, desired).unwrap_or_default();
    let mut gone = false;
    let rest = match desired.pointer_mut(pointer) {
        Some(value) => strip_entry(&keys, &below, value, &mut gone),
        None => Rest::Something,
    };
    if rest == Rest::Nothing && !pointer.is_empty() {
        crate::field::remove_pointer(desired, pointer);
    }
    gone
}

#[derive(PartialEq, Eq)]
enum Rest {
    Nothing,
    Something,
}

fn strip(theirs: &FieldSet, value: &mut Value, gone: &mut bool) -> Rest {
    if theirs.is_leaf() || !matches!(value, Value::Object(_) | Value::Array(_)) {
        *gone = true;
        return Rest::Nothing;
    }
    for (_, element, below) in theirs.children() {
        let Some((token, found)) = element.find(value).map(|(token, found)| (token, found.clone()))
        else {
            continue;
        };
        let mut rest = found;
        let keys = match element {
            Element::Entry(keys) => keys.keys().cloned().collect(),
            Element::Field(_) | Element::Member(_) | Element::Index(_) => Vec::new(),
        };
        let empty = strip_entry(&keys, below, &mut rest, gone) == Rest::Nothing;
        match value {
            Value::Object(map) if empty => {
                map.remove(&token);
            }
            Value::Object(map) => {
                map.insert(token, rest);
            }
            Value::Array(list) => {
                let Some(index) = token.parse::<usize>().ok().filter(|index| *index < list.len())
                else {
                    continue;
                };
                if empty {
                    list.remove(index);
                } else if let Some(slot) = list.get_mut(index) {
                    *slot = rest;
                }
            }
            _ => {}
        }
    }
    let empty = match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    if empty { Rest::Nothing } else { Rest::Something }
}

/// Strips one value; the `keys` of a list's entry are put back unless nothing else is left of it.
fn strip_entry(keys: &[String], below: &FieldSet, value: &mut Value, gone: &mut bool) -> Rest {
    let is_key = |key: &String| keys.contains(key);
    let kept: Map<String, Value> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| is_key(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if strip(below, value, gone) == Rest::Nothing {
        return Rest::Nothing;
    }
    match value.as_object_mut() {
        Some(map) if !keys.is_empty() && map.keys().all(is_key) => Rest::Nothing,
        Some(map) => {
            map.extend(kept);
            Rest::Something
        }
        None => Rest::Something,
    }
}

/// Returns the path of the steps, for people.
pub(crate) fn path_of(steps: &[String]) -> FieldPath {
    let mut set = FieldSet::default();
    set.insert(steps, &FieldSet::default());
    set.paths().into_iter().next().unwrap_or_default()
}

//! Sets of fields as `managedFields` writes them (`fieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Attribution, ManagerEntry};
use crate::field::{FieldPath, Segment, default_of, scalar_text, tokens};

/// A set of fields, as a tree; the keys are those of `fieldsV1`, prefix included.
///
/// A node without children is owned whole: a scalar, or a list or map that is replaced as one
/// ("atomic"). A node with children is granular: only what is below it is owned, and itself where it
/// has the member `.`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// Whether the node itself is a member (`.`).
    itself: bool,
    /// By the key as written; the step that it spells is read once.
    children: BTreeMap<String, (Element, FieldSet)>,
}

/// One step of `fieldsV1`, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// `f:name`: a key of a map.
    Field(String),
    /// `k:{...}`: an entry of a keyed list.
    Entry(Map<String, Value>),
    /// `v:...`: a member of a set.
    Member(Value),
    /// `i:N`: a position.
    Index(usize),
}

/// Where a pointer leads within a set.
enum Reached<'s> {
    /// To a node of the set.
    Node(&'s FieldSet),
    /// Below a node that is owned whole.
    Inside,
}

// === impl Element ===

impl Element {
    /// Reads a key of `fieldsV1`; none where it is of no known form.
    pub(crate) fn read(key: &str) -> Option<Self> {
        let (form, rest) = key.split_once(':')?;
        match form {
            "f" => Some(Self::Field(rest.to_owned())),
            "k" => serde_json::from_str(rest).ok().map(Self::Entry),
            "v" => serde_json::from_str(rest).ok().map(Self::Member),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    /// Returns what the step leads to within `value`, with its pointer token.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Option<(String, &'v Value)> {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => {
                map.get(name).map(|value| (name.clone(), value))
            }
            (Self::Index(index), Value::Array(list)) => {
                list.get(*index).map(|value| (index.to_string(), value))
            }
            (_, Value::Array(list)) => list
                .iter()
                .enumerate()
                .find(|(_, entry)| self.names(entry))
                .map(|(index, entry)| (index.to_string(), entry)),
            _ => None,
        }
    }

    /// Returns whether the step, as one of a list, names this entry.
    fn names(&self, entry: &Value) -> bool {
        match self {
            Self::Entry(keys) => keys.iter().all(|(key, wanted)| match entry.get(key) {
                Some(value) => value == wanted,
                None => default_of(key).is_some_and(|default| wanted == default),
            }),
            Self::Member(wanted) => entry == wanted,
            Self::Field(_) | Self::Index(_) => false,
        }
    }

    fn segment(&self) -> Segment {
        let text = |value: &Value| scalar_text(value).unwrap_or_else(|| value.to_string());
        match self {
            Self::Field(name) => Segment::Key(name.clone()),
            Self::Entry(keys) => {
                Segment::Entry(keys.iter().map(|(key, value)| (key.clone(), text(value))).collect())
            }
            Self::Member(value) => Segment::Member(text(value)),
            Self::Index(index) => Segment::Index(*index),
        }
    }
}

// === impl FieldSet ===

impl FieldSet {
    /// Reads `fieldsV1`; steps of unknown forms are left out.
    pub fn read(fields: &Value) -> Self {
        let mut set = Self::default();
        for (key, below) in fields.as_object().into_iter().flatten() {
            if key == "." {
                set.itself = true;
            } else if let Some(element) = Element::read(key) {
                set.children.insert(key.clone(), (element, Self::read(below)));
            }
        }
        set
    }

    /// Returns the set as `fieldsV1`.
    pub fn to_value(&self) -> Value {
        let mut map: Map<String, Value> =
            self.children.iter().map(|(key, (_, below))| (key.clone(), below.to_value())).collect();
        if self.itself {
            map.insert(".".into(), Value::Object(Map::new()));
        }
        Value::Object(map)
    }

    /// Returns whether nothing is below this node: it is owned whole.
    pub fn is_leaf(&self) -> bool {
        self.children.is_empty()
    }

    /// Returns the steps below this node, each as written and as read.
    pub(crate) fn children(&self) -> impl Iterator<Item = (&str, &Element, &FieldSet)> {
        self.children.iter().map(|(key, (element, below))| (key.as_str(), element, below))
    }

    /// Returns the paths of all members.
    pub fn paths(&self) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        self.collect(&FieldPath::root(), &mut paths);
        paths
    }

    fn collect(&self, at: &FieldPath, paths: &mut Vec<FieldPath>) {
        if self.itself {
            paths.push(at.clone());
        }
        for (_, element, below) in self.children() {
            let path = at.join(element.segment());
            if below.is_leaf() && !below.itself {
                paths.push(path);
            } else {
                below.collect(&path, paths);
            }
        }
    }

    /// Returns whether the value at `pointer` into `body`, or a part of it, or what holds it as one, is a member.
    pub fn owns(&self, pointer: &str, body: &Value) -> bool {
        self.reach(pointer, body).is_some()
    }

    /// Returns the part of the set below `pointer` into `body`: none where it holds nothing there,
    /// an empty set where the value is owned whole.
    pub(crate) fn below(&self, pointer: &str, body: &Value) -> Option<FieldSet> {
        self.reach(pointer, body).map(|reached| match reached {
            Reached::Node(set) => set.clone(),
            Reached::Inside => Self::default(),
        })
    }

    fn reach(&self, pointer: &str, body: &Value) -> Option<Reached<'_>> {
        let mut at = body;
        let mut set = self;
        for (depth, token) in tokens(pointer).enumerate() {
            if set.is_leaf() {
                return (depth > 0).then_some(Reached::Inside);
            }
            let next = match at {
                Value::Object(map) => {
                    let below = set.children.get(&format!("f:{token}")).map(|(_, below)| below);
                    below.zip(map.get(&token))
                }
                Value::Array(_) => set.children().find_map(|(_, element, below)| {
                    element
                        .find(at)
                        .filter(|(found, _)| *found == token)
                        .map(|(_, value)| (below, value))
                }),
                _ => None,
            };
            (set, at) = next?;
        }
        Some(Reached::Node(set))
    }

    /// Adds the members of `other`.
    pub fn merge(&mut self, other: &FieldSet) {
        self.itself |= other.itself;
        for (key, (element, below)) in &other.children {
            let (_, mine) = self
                .children
                .entry(key.clone())
                .or_insert_with(|| (element.clone(), Self::default()));
            mine.merge(below);
        }
    }

    /// Adds `set` below the steps `path`, each a key of `fieldsV1`.
    pub(crate) fn insert(&mut self, path: &[String], set: &FieldSet) {
        let Some((first, rest)) = path.split_first() else { return self.merge(set) };
        let Some(element) = Element::read(first) else { return };
        let (_, below) =
            self.children.entry(first.clone()).or_insert_with(|| (element, Self::default()));
        below.insert(rest, set);
    }

    /// Removes every subtree whose root is a member of `other`, and the nodes that this leaves empty:
    /// an empty node would mean that its field is owned whole.
    pub(crate) fn subtract_subtrees(&mut self, other: &FieldSet) {
        for (key, (_, theirs)) in &other.children {
            let Some((_, mine)) = self.children.get_mut(key) else { continue };
            let emptied = if theirs.itself || theirs.is_leaf() {
                true
            } else {
                mine.subtract_subtrees(theirs);
                mine.is_leaf()
            };
            if emptied {
                self.children.remove(key);
            }
        }
    }

    /// Returns the names of the keys of the list at `pointer` into `body`, where the set tells them.
    pub(crate) fn list_keys(&self, pointer: &str, body: &Value) -> Option<Vec<String>> {
        let Reached::Node(set) = self.reach(pointer, body)? else { return None };
        set.children().find_map(|(_, element, _)| match element {
            Element::Entry(keys) => Some(keys.keys().cloned().collect()),
            _ => None,
        })
    }
}

// === owners ===

/// The owners of one object's fields, read once.
#[derive(Clone, Debug)]
pub struct Owners<'e> {
    entries: Vec<(&'e ManagerEntry, FieldSet)>,
}

impl<'e> Owners<'e> {
    /// Reads all entries but those that wrote through the subresource `status`.
    pub fn read(entries: &'e [ManagerEntry]) -> Self {
        let entries = entries
            .iter()
            .filter(|entry| entry.subresource != "status")
            .map(|entry| (entry, FieldSet::read(&entry.fields)))
            .collect();
        Self { entries }
    }

    /// Returns the entries of all managers but `ours`, with their fields.
    pub fn others(&self, ours: &str) -> impl Iterator<Item = (&'e ManagerEntry, &FieldSet)> {
        self.entries
            .iter()
            .filter(move |(entry, _)| entry.manager != ours)
            .map(|(entry, set)| (*entry, set))
    }

    /// Returns the entries of the manager `ours`, with their fields.
    pub fn ours(&self, ours: &str) -> impl Iterator<Item = (&'e ManagerEntry, &FieldSet)> {
        self.entries
            .iter()
            .filter(move |(entry, _)| entry.manager == ours)
            .map(|(entry, set)| (*entry, set))
    }

    /// Returns the entries that own the value at `pointer` into `body`, a part of it, or what holds it as one.
    pub fn of(&self, pointer: &str, body: &Value) -> Vec<&'e ManagerEntry> {
        self.entries
            .iter()
            .filter(|(_, set)| set.owns(pointer, body))
            .map(|(entry, _)| *entry)
            .collect()
    }

    /// Returns who, other than `ours`, wrote the value at `pointer` into the live `body`: of several
    /// the one that wrote last, those first that own the very field.
    pub fn attribution(&self, ours: &str, pointer: &str, body: &Value) -> Option<Attribution> {
        self.others(ours)
            .filter_map(|(entry, set)| Some((entry, set.reach(pointer, body)?)))
            .max_by_key(|(entry, reached)| (matches!(reached, Reached::Node(_)), &entry.time))
            .map(|(entry, _)| Attribution {
                manager: entry.manager.clone(),
                time: entry.time.clone(),
            })
    }

    /// Returns the names of the keys of the list at `pointer` into `body`, where any owner tells them.
    pub(crate) fn list_keys(&self, pointer: &str, body: &Value) -> Option<Vec<String>> {
        self.entries.iter().find_map(|(_, set)| set.list_keys(pointer, body))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Value {
        json!({
            "f:metadata": { "f:labels": { ".": {}, "f:a/b": {} } },
            "f:spec": {
                "f:ports": {
                    ".": {},
                    "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:port": {}, "f:name": {} },
                },
                "f:selector": {},
                "f:finalizers": { "v:\"x/y\"": {} },
            },
        })
    }

    fn body() -> Value {
        json!({
            "metadata": { "labels": { "a/b": "1", "c": "2" } },
            "spec": {
                "ports": [{ "port": 53 }, { "port": 80, "name": "http", "targetPort": 8080 }],
                "selector": { "app": "x" },
                "finalizers": ["x/y", "z"],
            },
        })
    }

    #[test]
    fn ownership_follows_keys_sets_and_atomic_maps() {
        let set = FieldSet::read(&fields());
        let body = body();
        let owned = [
            "/metadata/labels/a~1b",
            "/metadata/labels",
            "/spec/ports/1/name",
            "/spec/ports/1",
            "/spec/selector",
            "/spec/selector/app",
            "/spec/finalizers/0",
        ];
        let foreign = [
            "/metadata/labels/c",
            "/spec/ports/0",
            "/spec/ports/1/targetPort",
            "/spec/finalizers/1",
            "/spec/replicas",
        ];
        for pointer in owned {
            assert!(set.owns(pointer, &body), "{pointer}");
        }
        for pointer in foreign {
            assert!(!set.owns(pointer, &body), "{pointer}");
        }
    }

    #[test]
    fn a_set_round_trips_and_lists_its_members() {
        let set = FieldSet::read(&fields());
        assert_eq!(set.to_value(), fields());
        let paths: Vec<String> = set.paths().iter().map(ToString::to_string).collect();
        assert_eq!(
            paths,
            [
                "metadata.labels",
                "metadata.labels[\"a/b\"]",
                "spec.finalizers[=\"x/y\"]",
                "spec.ports",
                "spec.ports[port=80,protocol=TCP]",
                "spec.ports[port=80,protocol=TCP].name",
                "spec.ports[port=80,protocol=TCP].port",
                "spec.selector",
            ]
        );
    }

    #[test]
    fn subtraction_leaves_no_empty_node_behind() {
        let port =
            json!({ "f:spec": { "f:ports": { "k:{\"port\":80,\"protocol\":\"TCP\"}": {} } } });
        let mut set = FieldSet::read(&json!({
            "f:spec": { "f:ports": { "k:{\"port\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:port": {} } } }
        }));
        set.subtract_subtrees(&FieldSet::read(&port));
        assert_eq!(set, FieldSet::default());
    }

    #[test]
    fn the_last_writer_is_named_and_status_writers_are_not() {
        let entry = |manager: &str, subresource: &str, time: &str| ManagerEntry {
            manager: manager.into(),
            operation: "Update".into(),
            subresource: subresource.into(),
            api_version: "v1".into(),
            time: Some(time.into()),
            fields: json!({ "f:spec": { "f:replicas": {} } }),
        };
        let entries = [
            entry("kubectl-edit", "", "2026-01-01T00:00:00Z"),
            entry("hpa", "scale", "2026-01-02T00:00:00Z"),
            entry("kubelet", "status", "2026-01-03T00:00:00Z"),
            entry("sitewright-x", "", "2026-01-04T00:00:00Z"),
        ];
        let body = json!({ "spec": { "replicas": 3 } });
        let who = Owners::read(&entries).attribution("sitewright-x", "/spec/replicas", &body);
        assert_eq!(who.unwrap().manager, "hpa");
    }
}

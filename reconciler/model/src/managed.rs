//! `metadata.managedFields`: who owns which field, and since when; and what an apply may send because of it.
//!
//! Format: structured-merge-diff's `fieldsV1` (KEP-555): `f:name` for map keys, `k:{...}` for
//! entries of keyed lists, `v:...` for set members, `i:N` for positions.
//!
//! Comes in: a desired object, what is live, who owns it, the rules of site and component.
//! Goes out: [`Prepared`], what the dry run and the apply send. Never: sends anything.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    desired::DesiredComponent, format::site::SitePolicy, live::FieldConflict, name::SiteName,
};

mod adoption;
mod dispute;
mod fields;
mod prepare;
mod stand_in;

pub use adoption::{is_adopted, is_signed};
pub use fields::{FieldSet, Owners};
pub use prepare::{drift_policy, is_person, prepare, resolve};

/// The name of the field manager of `site`: at most 128 bytes; a compatibility contract, never to change.
pub fn field_manager(site: &SiteName) -> String {
    format!("sitewright-{site}")
}

/// How the managers begin under which queues and nodes are held back.
pub(crate) const DRAIN_MANAGER: &str = "sitewright-drain/";

/// Returns the field manager under which `site` holds queues and nodes back while it drains them: of its own, so that
/// giving back takes away exactly what was added, and leaves what a person set.
pub fn drain_manager(site: &SiteName) -> String {
    format!("{DRAIN_MANAGER}{site}")
}

/// One entry of `managedFields`.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagerEntry {
    /// The manager's name.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// The subresource it wrote through; empty for the object itself.
    pub subresource: String,
    /// The API version of the fields.
    pub api_version: String,
    /// When it last wrote, RFC 3339.
    pub time: Option<String>,
    /// The raw `fieldsV1`.
    pub fields: Value,
}

/// Who wrote a live value, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attribution {
    /// The field manager.
    pub manager: String,
    /// The time of its last write, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// The rules under which one component's objects are applied.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// The site.
    pub site: &'a SiteName,
    /// The site's rules for changes.
    pub policy: &'a SitePolicy,
    /// The component.
    pub component: &'a DesiredComponent,
}

/// What was read of a live object. Its Debug shows who it is: the body may hold secrets.
#[derive(Clone, Copy)]
pub struct LiveFields<'a> {
    /// The body; `managedFields` may be in it or not.
    pub body: &'a Value,
    /// Who owns which field.
    pub managers: &'a [ManagerEntry],
}

/// What an apply of one object sends, decided before the dry run. Its Debug shows who it is: the body
/// may hold secrets.
#[derive(Clone, PartialEq)]
pub struct Prepared {
    /// The body: the desired one without the fields that are left to others. For a live object it has
    /// the live UID, so that an apply never makes anew what was deleted in between; for one that is
    /// not there, a resource version that no object has, so that an apply never merges into what
    /// somebody made in between.
    pub body: Value,
    /// Whether the request forces: only where every field that it takes is a person's or named by a `takeOver`.
    /// A forced apply also carries the resource version that was looked at ([`Prepared::pin`]).
    pub force: bool,
    /// Entries of keyed lists to take from others before the apply, since beside them ours are invalid.
    pub transfers: Vec<Transfer>,
    /// Fields of other managers that nothing allows to take: the object is held, nothing is sent (law 4).
    pub conflicts: Vec<FieldConflict>,
    /// Fields that are left to others, as an ignore rule says.
    pub left_out: Vec<LeftOut>,
    /// With transfers: the body whose dry-run *update* (PUT) stands in for the dry run of the apply,
    /// which cannot see the transfer.
    pub stand_in: Option<Value>,
}

/// A field that is not sent, since another manager may own it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The JSON pointer (RFC 6901) of the field in the desired body.
    pub pointer: String,
    /// The manager that owns it.
    pub manager: String,
}

/// Entries of keyed lists that pass from another manager to us, so that our next apply removes them.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// The manager that loses them.
    pub manager: String,
    /// Its operation: part of a manager's identity.
    pub operation: String,
    /// Its subresource: part of a manager's identity.
    pub subresource: String,
    /// The entries for people, for example `spec.ports[port=8080,protocol=TCP]`.
    pub entries: Vec<String>,
    /// The part of its `fieldsV1` that passes to us.
    pub fields: Value,
}

/// What to do about the conflicts that a dry run without force met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// All of them may be taken: ask again with force.
    Force,
    /// Nothing allows to take these: hold the object.
    Held(Vec<FieldConflict>),
}

impl Prepared {
    /// Binds the request to the state that was looked at: it fails with 409 where the object has changed since.
    pub fn pin(&mut self, resource_version: &str) {
        self.bind(resource_version);
    }

    /// Binds the request to there being no object: it fails with 409 where there is one.
    ///
    /// The server compares resource versions only where there is something to compare with, and drops
    /// the one that was sent where it creates (`registry/generic/registry/store.go`, `Update`). No object
    /// has version 1: etcd begins to count there, before the first write.
    pub fn pin_to_nothing(&mut self) {
        self.bind("1");
    }

    fn bind(&mut self, resource_version: &str) {
        if let Some(metadata) = self.body.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.insert("resourceVersion".into(), resource_version.into());
        }
    }
}

/// Returns the `managedFields` of an object after `transfers`: what the cluster stage writes before the
/// apply, in one patch of that list alone that names the resource version that was looked at.
///
/// The entries pass to our own entry of operation `Apply`, so that the apply that follows, which does
/// not declare them, removes them. A crash between the two leaves entries that are ours: the next
/// apply removes them.
pub fn transferred(entries: &[ManagerEntry], transfers: &[Transfer], our_manager: &str) -> Value {
    let mut taken = FieldSet::default();
    let mut kept = Vec::new();
    let mut mine = None;
    for entry in entries {
        let mut fields = FieldSet::read(&entry.fields);
        for transfer in transfers.iter().filter(|transfer| transfer.is_from(entry)) {
            let moved = FieldSet::read(&transfer.fields);
            fields.subtract_subtrees(&moved);
            taken.merge(&moved);
        }
        if entry.manager == our_manager
            && entry.operation == "Apply"
            && entry.subresource.is_empty()
        {
            mine = Some((entry.clone(), fields));
        } else if fields != FieldSet::default() {
            kept.push((entry.clone(), fields));
        }
    }
    let (entry, mut fields) =
        mine.unwrap_or_else(|| (our_entry(entries, our_manager), FieldSet::default()));
    fields.merge(&taken);
    kept.push((entry, fields));
    kept.iter().map(|(entry, fields)| entry.to_value(fields)).collect()
}

fn our_entry(entries: &[ManagerEntry], our_manager: &str) -> ManagerEntry {
    ManagerEntry {
        manager: our_manager.to_owned(),
        operation: "Apply".to_owned(),
        subresource: String::new(),
        api_version: entries.first().map(|entry| entry.api_version.clone()).unwrap_or_default(),
        time: None,
        fields: Value::Null,
    }
}

impl fmt::Debug for LiveFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveFields({})", name_in(self.body))
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({}, force: {})", name_in(&self.body), self.force)
    }
}

/// Returns kind and name of a body.
fn name_in(body: &Value) -> String {
    let text = |pointer| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {}", text("/kind"), text("/metadata/name"))
}

impl Transfer {
    fn is_from(&self, entry: &ManagerEntry) -> bool {
        (&self.manager, &self.operation, &self.subresource)
            == (&entry.manager, &entry.operation, &entry.subresource)
    }
}

impl ManagerEntry {
    /// Returns the entry as the server has it, with other fields.
    fn to_value(&self, fields: &FieldSet) -> Value {
        let mut map = serde_json::Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put("manager", self.manager.clone().into());
        put("operation", self.operation.clone().into());
        put("apiVersion", self.api_version.clone().into());
        put("fieldsType", "FieldsV1".into());
        put("fieldsV1", fields.to_value());
        if !self.subresource.is_empty() {
            put("subresource", self.subresource.clone().into());
        }
        if let Some(time) = &self.time {
            put("time", time.clone().into());
        }
        Value::Object(map)
    }
}

#[cfg(test)]
mod tests;

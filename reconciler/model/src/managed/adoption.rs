//! Whether a live object is of our making, or was there before us.
//!
//! The inventory knows. Where it was lost, or was not written before a kill, the object itself tells:
//! by its labels and its field managers.

use serde_json::Value;

use super::{LiveFields, field_manager};
use crate::{
    inventory::Entry,
    name::SiteName,
    object::{ADOPTED_LABEL, SITE_LABEL},
};

/// Returns whether `live` carries the label and the field manager of `site`: we have applied it.
pub fn is_signed(site: &SiteName, live: LiveFields<'_>) -> bool {
    let manager = field_manager(site);
    label(live.body, SITE_LABEL) == Some(site.as_str())
        && live.managers.iter().any(|entry| entry.manager == manager)
}

/// Returns whether `live` was there before `site` had it; `entry` is its inventory entry.
///
/// What the inventory has by UID is as the inventory says. Else it was there before us, unless we have
/// signed it without a mark: a create never merges into what is there ([`super::Prepared::pin_to_nothing`]),
/// and an adoption leaves its mark.
pub fn is_adopted(site: &SiteName, entry: Option<&Entry>, live: LiveFields<'_>) -> bool {
    let uid = live.body.pointer("/metadata/uid").and_then(Value::as_str);
    let recorded = entry.and_then(Entry::uid).map(|uid| uid.0.as_str());
    let is_known = entry.is_some_and(|entry| entry.adopted);
    if recorded.is_some() && recorded == uid {
        return is_known;
    }
    is_known || label(live.body, ADOPTED_LABEL).is_some() || !is_signed(site, live)
}

fn label<'v>(body: &'v Value, key: &str) -> Option<&'v str> {
    body.pointer("/metadata/labels")?.get(key)?.as_str()
}

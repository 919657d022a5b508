//! Whose a live object is.

use serde_json::Value;

use crate::{
    inventory::{Entry, EntryState},
    live::LiveObject,
    managed::{LiveFields, is_signed},
    name::SiteName,
    object::SITE_LABEL,
};

/// Whose a live object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ownership {
    /// Ours: the inventory has its UID.
    Recorded,
    /// Ours: the inventory names it, without this UID, and it carries our label and field manager. A run
    /// was cut off between writing it and recording it.
    Unrecorded,
    /// It carries our label and field manager, and the inventory does not know it: the inventory was lost.
    Lost,
    /// It was there before us, or somebody made it anew; it is nobody's, as far as we know.
    Nobody(Unowned),
    /// Another site's, by its label.
    OtherSite(String),
}

/// Why an object is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unowned {
    /// We never had it.
    NeverOurs,
    /// We had one of this name, with another UID.
    MadeAnew,
}

/// Returns whose the live object is.
pub(super) fn of(site: &SiteName, entry: Option<&Entry>, live: &LiveObject) -> Ownership {
    let label = live
        .object
        .expose()
        .pointer("/metadata/labels")
        .and_then(|labels| labels.get(SITE_LABEL))
        .and_then(Value::as_str);
    if let Some(other) = label.filter(|label| *label != site.as_str()) {
        return Ownership::OtherSite(other.to_owned());
    }
    let fields = LiveFields { body: live.object.expose(), managers: &live.managers };
    let is_signed = is_signed(site, fields);
    match entry.map(|entry| &entry.state) {
        Some(EntryState::Applied { uid, .. }) if *uid == live.uid => Ownership::Recorded,
        Some(_) if is_signed => Ownership::Unrecorded,
        None if is_signed => Ownership::Lost,
        Some(EntryState::Applied { .. }) => Ownership::Nobody(Unowned::MadeAnew),
        Some(EntryState::Planned) | None => Ownership::Nobody(Unowned::NeverOurs),
    }
}

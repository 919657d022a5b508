//! The inventory while an apply runs: written ahead of the first change, then in batches.
//!
//! A change that is not recorded yet loses nothing: its object is named as planned, and carries our
//! label and field manager, by which the next run knows it.

use std::{collections::BTreeMap, time::Duration};

use sitewright_model::{
    inventory::{Entry, EntryState},
    object::ObjectId,
    plan::Action,
};
use tokio::time::Instant;

use super::{
    change::{Note, is_adopted},
    scene::Scene,
};
use crate::{Error, inventory::Store};

/// So many notes are written at once, at the latest: what a kill makes the next run look at again.
const NOTES: usize = 5_000;

/// So old a note is written, at the latest.
const AGE: Duration = Duration::from_secs(20);

/// The inventory, and what is not written yet.
pub(super) struct Book {
    /// None while it is being written.
    store: Option<Store>,
    notes: BTreeMap<ObjectId, Note>,
    oldest: Option<Instant>,
}

/// Names every object that will be created, adopted or replaced, before the first of them is (law 2).
pub(super) async fn write_ahead(scene: &Scene<'_>, mut store: Store) -> Result<Book, Error> {
    let ahead: Vec<(ObjectId, Entry)> = scene
        .parts()
        .filter_map(|part| {
            let brings = matches!(
                part.change.action,
                Action::Create | Action::Adopt { .. } | Action::Replace { .. }
            );
            let (component, desired) =
                part.desired.filter(|_| brings && !part.is_held(scene.consent))?;
            let entry = Entry {
                api_version: desired.object.api_version().to_owned(),
                component: component.name.clone(),
                adopted: is_adopted(scene, part),
                unproven: true,
                state: EntryState::Planned,
            };
            Some((part.change.id.clone(), entry))
        })
        .collect();
    let new = ahead.iter().filter(|(id, _)| store.get(id).is_none()).count();
    store.make_room(new).await?;
    for (id, entry) in ahead {
        store.set(id, entry);
    }
    store.flush().await?;
    Ok(Book { store: Some(store), notes: BTreeMap::new(), oldest: None })
}

impl Book {
    /// Notes what came of an object.
    pub(super) fn note(&mut self, id: &ObjectId, note: Note) {
        if !matches!(note, Note::Nothing) {
            self.notes.insert(id.clone(), note);
            self.oldest.get_or_insert_with(Instant::now);
        }
    }

    /// Returns the entry of an object as it will be written.
    pub(super) fn entry(&self, id: &ObjectId) -> Option<&Entry> {
        match self.notes.get(id) {
            Some(Note::Entry(entry)) => Some(entry),
            Some(Note::Forget) => None,
            Some(Note::Nothing) | None => self.store.as_ref()?.get(id),
        }
    }

    /// Notes that an object was seen healthy.
    pub(super) fn prove(&mut self, id: &ObjectId) {
        if let Some(entry) = self.entry(id).filter(|entry| entry.unproven) {
            let entry = Entry { unproven: false, ..entry.clone() };
            self.note(id, Note::Entry(entry));
        }
    }

    /// Returns the store with all notes in it, where it is time to write; [`Book::written`] gives it back.
    pub(super) fn due(&mut self) -> Option<Store> {
        let is_due =
            self.notes.len() >= NOTES || self.oldest.is_some_and(|oldest| oldest.elapsed() >= AGE);
        if is_due { self.take() } else { None }
    }

    fn take(&mut self) -> Option<Store> {
        let mut store = self.store.take()?;
        for (id, note) in std::mem::take(&mut self.notes) {
            match note {
                Note::Entry(entry) => store.set(id, entry),
                Note::Forget => store.forget(&id),
                Note::Nothing => {}
            }
        }
        self.oldest = None;
        Some(store)
    }

    pub(super) fn written(&mut self, store: Store) {
        self.store = Some(store);
    }

    /// Writes all that is left, through `http`: also after the signal to stop.
    pub(super) async fn close(mut self, http: &crate::client::http::Http) -> Result<(), Error> {
        match self.take() {
            Some(store) => store.through(http).flush().await,
            None => Ok(()),
        }
    }
}

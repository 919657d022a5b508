//! The inventory while an apply runs: written ahead of the first change, then in batches.
//!
//! A change that is not recorded yet loses nothing: its object is named as planned, and carries our
//! label and field manager, by which the next run knows it.

use std::{collections::BTreeMap, time::Duration};

use sitewright_model::{
    inventory::{Entry, EntryState, Said},
    object::ObjectId,
    plan::Action,
};
use tokio::time::Instant;

use super::{
    change::{Note, is_adopted},
    scene::Scene,
};
use crate::{
    Error,
    client::http::Http,
    inventory::{Batch, Store, Written},
};

/// So many notes are written at once, at the latest: what a kill makes the next run look at again.
const NOTES: usize = 5_000;

/// So old a note is written, at the latest, unless the options say otherwise.
const AGE: Duration = Duration::from_secs(20);

/// The inventory, and what is not written yet.
pub(super) struct Book {
    store: Store,
    /// A batch is on its way.
    writing: bool,
    notes: BTreeMap<ObjectId, Note>,
    oldest: Option<Instant>,
    /// How old a note may get.
    age: Duration,
}

/// Names every object that will be created, adopted or replaced, before the first of them is (law 2).
///
/// What comes of them is written through `to_the_end`: also after the signal to stop.
pub(super) async fn write_ahead(
    scene: &Scene<'_>,
    mut store: Store,
    to_the_end: &Http,
) -> Result<Book, Error> {
    let ahead: Vec<(ObjectId, Entry)> = scene
        .parts()
        .filter_map(|part| {
            let brings = matches!(
                part.change.action,
                Action::Create | Action::Adopt { .. } | Action::Replace { .. }
            );
            let (component, desired) =
                part.desired.filter(|_| brings && !part.is_held(scene.consent))?;
            let before = part.entry.and_then(|entry| entry.said.as_ref());
            let entry = Entry {
                api_version: desired.object.api_version().to_owned(),
                component: component.name.clone(),
                adopted: is_adopted(scene, part),
                unproven: true,
                said: Some(Said::after(before, component, &desired.object)),
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
    Ok(Book {
        store: store.through(to_the_end),
        writing: false,
        notes: BTreeMap::new(),
        oldest: None,
        age: scene.record_every().unwrap_or(AGE),
    })
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
            Some(Note::Nothing) | None => self.store.get(id),
        }
    }

    /// Notes that an object was seen healthy.
    pub(super) fn prove(&mut self, id: &ObjectId) {
        if let Some(entry) = self.entry(id).filter(|entry| entry.unproven) {
            let entry = Entry { unproven: false, ..entry.clone() };
            self.note(id, Note::Entry(entry));
        }
    }

    /// Returns what is to be written, where it is time; [`Book::written`] must be told how it went.
    pub(super) fn due(&mut self) -> Option<Batch> {
        let is_due = self.notes.len() >= NOTES
            || self.oldest.is_some_and(|oldest| oldest.elapsed() >= self.age);
        (is_due && !self.writing).then(|| {
            self.enter();
            self.writing = true;
            self.store.batch()
        })
    }

    /// Enters all notes into the inventory.
    fn enter(&mut self) {
        for (id, note) in std::mem::take(&mut self.notes) {
            match note {
                Note::Entry(entry) => self.store.set(id, entry),
                Note::Forget => self.store.forget(&id),
                Note::Nothing => {}
            }
        }
        self.oldest = None;
    }

    /// Takes note of how the writing went; what failed is written by [`Book::close`].
    pub(super) fn written(&mut self, written: Written) -> Result<(), Error> {
        self.writing = false;
        self.store.written(written)
    }

    /// Writes all that is left.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        self.enter();
        self.store.flush().await
    }
}

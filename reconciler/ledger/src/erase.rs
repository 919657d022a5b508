//! Erasing what was recorded: bodies go, leaves and proofs stay, and that something was erased is recorded.
//!
//! Comes in: what is to be forgotten. Goes out: a plan, and where it is carried out, a folder in which no byte of it is
//! left. Never: a leaf that is taken out of the log; a word of what was erased in the record of it.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use sitewright_model::lineage::{
    EntityId, EntityKind, Grade, Record, RecordKind, Source, Statement,
};

use crate::{Error, Index, Log, Reading};

/// Bodies that are read at a time.
const STRIDE: u64 = 256;

/// What is to be forgotten. All that is given has to be so of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forget {
    /// What records are about; of a person, what names the person.
    pub thing: Option<EntityId>,
    /// Whose they are.
    pub namespace: Option<String>,
    /// They were recorded before then.
    pub before: Option<Timestamp>,
}

/// What would be erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// The positions in the log.
    pub positions: Vec<u64>,
    /// How many records of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// When the first and the last of them were recorded.
    pub times: Option<(Timestamp, Timestamp)>,
}

impl Forget {
    fn means(&self, record: &Record) -> bool {
        // what says that something was missed, or erased, is about the log itself
        let is_of_log =
            matches!(record.kind, RecordKind::Began | RecordKind::Blind | RecordKind::Erased);
        let is_about = |thing: &EntityId| {
            record.subject == *thing || (thing.kind() == EntityKind::Person && names(record, thing))
        };
        !is_of_log
            && self.thing.as_ref().is_none_or(is_about)
            && (self.namespace.is_none() || record.namespace == self.namespace)
            && self.before.is_none_or(|before| record.at < before)
    }

    /// Returns what would be erased.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn plan(&self, log: &Reading) -> Result<Erasure, Error> {
        let mut found = Erasure::default();
        let leaves = log.leaves()?;
        let mut at = 0;
        while at < leaves {
            let bodies = log.bodies(at, STRIDE.min(leaves - at))?;
            for (offset, body) in bodies.iter().enumerate() {
                let record = body.as_ref().and_then(|body| serde_json::from_slice(body).ok());
                if let Some(record) = record.filter(|record| self.means(record)) {
                    found.add(at + offset as u64, &record);
                }
            }
            at += bodies.len().max(1) as u64;
        }
        Ok(found)
    }
}

fn names(record: &Record, thing: &EntityId) -> bool {
    record.statements.iter().any(|statement| match statement {
        Statement::Fact { of, .. } => of == thing,
        Statement::Edge { from, to, .. } => from == thing || to == thing,
    })
}

impl Erasure {
    fn add(&mut self, position: u64, record: &Record) {
        self.positions.push(position);
        *self.kinds.entry(word(record.kind)).or_default() += 1;
        let (first, last) = self.times.unwrap_or((record.at, record.at));
        self.times = Some((first.min(record.at), last.max(record.at)));
    }
}

/// Returns the word for a kind of records, as it stands in the log.
fn word(kind: RecordKind) -> String {
    let value = serde_json::to_value(kind).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

impl Log {
    /// Erases bodies for good, records that and why, and folds the index again, so that nothing of them is left in the
    /// folder. `subject` stands for the log in the record.
    ///
    /// # Errors
    /// The folder cannot be written, or somebody reads the log just now.
    pub fn forget(
        &mut self,
        erasure: &Erasure,
        why: &str,
        now: Timestamp,
        dir: &Path,
    ) -> Result<(), Error> {
        // first: what is erased without a word would be a gap that nobody can explain
        let record = self.record_of(erasure, why, now)?;
        self.append(&[record])?;
        self.erase_all(&erasure.positions)?;
        Index::remove(dir)?;
        Index::open(dir, self.reading()).map(drop)
    }

    fn record_of(&self, erasure: &Erasure, why: &str, now: Timestamp) -> Result<Record, Error> {
        let first = self.reading().record(0)?;
        let subject = match first {
            Some(record) => record.subject,
            None => return Err(Error::Tampered { why: "its first record was erased".to_owned() }),
        };
        let source = Source::rule("erased by who keeps the log");
        let fact = |field: &str, value: String| {
            Statement::fact(&subject, field, value, Grade::Observed, &source)
        };
        let said = vec![
            fact("erased", erasure.positions.len().to_string()),
            fact("erasedPositions", ranges(&erasure.positions)),
            fact("erasedBecause", why.chars().filter(|c| !c.is_control()).take(512).collect()),
        ];
        Ok(Record::new(RecordKind::Erased, now, subject.clone(), said))
    }
}

/// Writes positions as ranges: `3-5 9`, as many as fit into a record.
fn ranges(positions: &[u64]) -> String {
    /// Characters: a record with more would be of no use to people.
    const LONGEST: usize = 8_000;
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for position in positions {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *position => *last = *position,
            _ => ranges.push((*position, *position)),
        }
    }
    let mut text = String::new();
    for (first, last) in ranges {
        if text.len() > LONGEST {
            text.push_str(" …");
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        match first == last {
            true => text.push_str(&first.to_string()),
            false => text.push_str(&format!("{first}-{last}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use sitewright_model::lineage::{ClusterId, Relation};

    use super::*;
    use crate::{SecretKey, verify};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    /// Returns whether any file of the folder holds `word`.
    fn holds(dir: &Path, word: &str) -> bool {
        std::fs::read_dir(dir).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(word.len()).any(|window| window == word.as_bytes())
        })
    }

    #[test]
    fn what_was_erased_is_in_no_file_and_every_proof_holds() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let cluster = ClusterId::new("c");
        let key = SecretKey::generate("x.example.org").unwrap();
        let public = key.public();
        let mut log = Log::open(dir, key).unwrap();
        let source = Source::rule("test");
        let began = EntityId::node(&cluster, "cluster");
        let said = vec![Statement::fact(&began, "cluster", "c", Grade::Observed, &source)];
        log.append(&[Record::new(RecordKind::Began, at(0), began, said)]).unwrap();
        let person = EntityId::person(b"salt", "ada");
        for (second, namespace, name) in
            [(1, "vision", "zebra"), (2, "nlp", "okapi"), (3, "vision", "quagga")]
        {
            let run = EntityId::run(&cluster, name);
            let mut said = vec![Statement::fact(
                &run,
                "name",
                format!("{name}-name"),
                Grade::Observed,
                &source,
            )];
            if name == "okapi" {
                said.push(Statement::edge(
                    &run,
                    Relation::OwnedBy,
                    &person,
                    Grade::Claimed,
                    &source,
                ));
            }
            log.append(&[
                Record::new(RecordKind::Run, at(second), run, said).within(Some(namespace))
            ])
            .unwrap();
        }
        Index::open(dir, log.reading()).unwrap();
        assert!(["zebra-name", "okapi-name", "quagga-name"].iter().all(|name| holds(dir, name)));

        let forget =
            Forget { namespace: Some("vision".into()), before: Some(at(3)), ..Forget::default() };
        let plan = forget.plan(log.reading()).unwrap();
        assert_eq!((plan.positions.as_slice(), plan.times), (&[1][..], Some((at(1), at(1)))));
        assert!(holds(dir, "zebra-name"), "a plan changes nothing");
        log.forget(&plan, "asked for", at(10), dir).unwrap();
        assert!(!holds(dir, "zebra-name") && holds(dir, "okapi-name") && holds(dir, "quagga-name"));

        let forget = Forget { thing: Some(person.clone()), ..Forget::default() };
        let plan = forget.plan(log.reading()).unwrap();
        assert_eq!(plan.positions, [2]);
        log.forget(&plan, "asked for", at(11), dir).unwrap();
        assert!(!holds(dir, "okapi-name") && !holds(dir, person.as_str()));
        assert!(forget.plan(log.reading()).unwrap().positions.is_empty());
        // that something was erased is recorded, and is not erased with all that was before
        let all = Forget { before: Some(at(100)), ..Forget::default() };
        assert_eq!(all.plan(log.reading()).unwrap().positions, [3]);
        assert!(holds(dir, "erasedBecause"));
        drop(log);
        let verified = verify(dir, &public, &[]).unwrap();
        assert!(verified.is_whole() && verified.erased == 2, "{verified:?}");
    }

    #[test]
    fn ranges_are_short() {
        assert_eq!(ranges(&[3, 4, 5, 9, 11, 12]), "3-5 9 11-12");
    }
}

//! What was sent of the log to somebody, and up to where the log was read for it: beside the log, and not in it.
//!
//! It holds ids alone. Without it, everything is sent again.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sitewright_model::lineage::EntityId;

use crate::{Error, store::failed};

/// Things that wait, which are returned at once.
const MOST: usize = 256;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS stage (run TEXT PRIMARY KEY, stage INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS wait (thing TEXT PRIMARY KEY, since INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS told (thing TEXT PRIMARY KEY, upto INTEGER NOT NULL) STRICT, WITHOUT ROWID;
";

/// What was sent.
#[derive(Debug)]
pub struct Sent {
    db: Connection,
    place: PathBuf,
}

/// Something to remember.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// How far a run was told, by what it is called there; only ever further.
    Stage(String, u8),
    /// The end of a run waits, since when.
    Waits(EntityId, Timestamp),
    /// All that is known of a run before this position was told, and nothing of it waits.
    Told(EntityId, u64),
}

impl Sent {
    /// Opens what was sent from the log in `dir` to whom `name` stands for; empty where there is nothing, or where it was
    /// about another log.
    ///
    /// # Errors
    /// The file cannot be used.
    pub fn open(dir: &Path, name: &str, leaves: u64) -> Result<Self, Error> {
        let place = dir.join(format!("{name}.db"));
        let sent = Self::of(Connection::open(&place), place)?;
        if sent.next()? > leaves {
            let sql = "DELETE FROM meta; DELETE FROM stage; DELETE FROM wait; DELETE FROM told;";
            sent.db.execute_batch(sql).map_err(|error| sent.failed(error))?;
        }
        Ok(sent)
    }

    /// Remembers for as long as it lives.
    ///
    /// # Errors
    /// There is no room.
    pub fn in_memory() -> Result<Self, Error> {
        Self::of(Connection::open_in_memory(), PathBuf::from(":memory:"))
    }

    fn of(db: rusqlite::Result<Connection>, place: PathBuf) -> Result<Self, Error> {
        let of = |error| failed(&place, error);
        let db = db.map_err(of)?;
        db.busy_timeout(std::time::Duration::from_secs(10)).map_err(of)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(of)?;
        db.execute_batch(SCHEMA).map_err(of)?;
        Ok(Self { db, place })
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        failed(&self.place, error)
    }

    fn number(&self, sql: &str, key: &str) -> Result<Option<i64>, Error> {
        let found = self.db.query_row(sql, [key], |row| row.get(0)).optional();
        found.map_err(|error| self.failed(error))
    }

    /// Returns the first position of the log that was not read.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next(&self) -> Result<u64, Error> {
        let next = self.number("SELECT value FROM meta WHERE name = ?1", "next")?;
        Ok(next.and_then(|next| u64::try_from(next).ok()).unwrap_or_default())
    }

    /// Returns how far a run was told; 0 for not at all.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn stage(&self, run: &str) -> Result<u8, Error> {
        let stage = self.number("SELECT stage FROM stage WHERE run = ?1", run)?;
        Ok(stage.and_then(|stage| u8::try_from(stage).ok()).unwrap_or_default())
    }

    /// Returns since when the end of a run waits.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn waits_since(&self, run: &EntityId) -> Result<Option<Timestamp>, Error> {
        let since = self.number("SELECT since FROM wait WHERE thing = ?1", run.as_str())?;
        Ok(since.and_then(|since| Timestamp::from_second(since).ok()))
    }

    /// Returns up to which position what is known of a run was told.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn told(&self, run: &EntityId) -> Result<Option<u64>, Error> {
        let upto = self.number("SELECT upto FROM told WHERE thing = ?1", run.as_str())?;
        Ok(upto.and_then(|upto| u64::try_from(upto).ok()))
    }

    /// Returns runs whose end has waited since before `then`, some at most.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn waiting_since(&self, then: Timestamp) -> Result<Vec<EntityId>, Error> {
        let sql = "SELECT thing FROM wait WHERE since <= ?1 ORDER BY since LIMIT ?2";
        let mut query = self.db.prepare_cached(sql).map_err(|error| self.failed(error))?;
        let rows = query
            .query_map(params![then.as_second(), MOST as i64], |row| row.get::<_, String>(0))
            .map_err(|error| self.failed(error))?;
        let ids = rows.map(|row| row.map_err(|error| self.failed(error)));
        ids.filter_map(|id| id.map(|id| id.parse().ok()).transpose()).collect()
    }

    /// Remembers marks and that the log was read up to `next`, all or nothing.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&mut self, next: u64, marks: &[Mark]) -> Result<(), Error> {
        let place = self.place.clone();
        let of = |error| failed(&place, error);
        let deed = self.db.transaction().map_err(of)?;
        for mark in marks {
            match mark {
                Mark::Stage(run, stage) => {
                    let sql = "INSERT INTO stage VALUES (?1, ?2) ON CONFLICT DO UPDATE SET stage = max(stage, excluded.stage)";
                    deed.execute(sql, params![run, stage])
                }
                Mark::Waits(run, since) => {
                    let sql = "INSERT INTO wait VALUES (?1, ?2) ON CONFLICT DO NOTHING";
                    deed.execute(sql, params![run.as_str(), since.as_second()])
                }
                Mark::Told(run, upto) => {
                    let sql = "DELETE FROM wait WHERE thing = ?1";
                    deed.execute(sql, [run.as_str()]).map_err(of)?;
                    let sql = "INSERT INTO told VALUES (?1, ?2) ON CONFLICT DO UPDATE SET upto = max(upto, excluded.upto)";
                    deed.execute(sql, params![run.as_str(), upto.cast_signed()])
                }
            }
            .map_err(of)?;
        }
        let sql =
            "INSERT INTO meta VALUES ('next', ?1) ON CONFLICT DO UPDATE SET value = excluded.value";
        deed.execute(sql, [next.cast_signed()]).map_err(of)?;
        deed.commit().map_err(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_outlives_the_program_and_goes_only_further() {
        let folder = tempfile::tempdir().unwrap();
        let run: EntityId = "run:c/u".parse().unwrap();
        let since = Timestamp::from_second(100).unwrap();
        let mut sent = Sent::open(folder.path(), "x", 10).unwrap();
        let marks = [Mark::Stage("r".into(), 2), Mark::Waits(run.clone(), since)];
        sent.keep(7, &marks).unwrap();
        sent.keep(7, &[Mark::Stage("r".into(), 1)]).unwrap();
        drop(sent);
        let mut sent = Sent::open(folder.path(), "x", 10).unwrap();
        assert_eq!((sent.next().unwrap(), sent.stage("r").unwrap()), (7, 2));
        assert_eq!(sent.waiting_since(since).unwrap(), std::slice::from_ref(&run));
        sent.keep(8, &[Mark::Told(run.clone(), 8)]).unwrap();
        assert!(sent.waiting_since(since).unwrap().is_empty());
        assert_eq!(sent.told(&run).unwrap(), Some(8));
        drop(sent);
        // a log with fewer leaves is another one
        let sent = Sent::open(folder.path(), "x", 5).unwrap();
        assert_eq!((sent.next().unwrap(), sent.stage("r").unwrap()), (0, 0));
    }
}

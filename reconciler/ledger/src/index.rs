//! The index: things, facts and ties by identity, folded from the log and from nothing else.
//!
//! It can be thrown away at any time: folded again from the same log it has the same rows, byte for byte. It may lag
//! behind the log, and catches up before it is asked.

use std::path::{Path, PathBuf};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};
use sitewright_model::{
    digest::{Digest, DigestOfParts},
    lineage::{EntityId, EntityKind, Grade, Record, RecordKind, Relation, Statement},
};

use crate::{
    Error, Reading,
    held::Bodies,
    store::{failed, parse},
};

/// The file of the index in the folder of the log.
pub(crate) const FILE: &str = "index.db";

/// The form of the index; one of another form is made again.
const FORM: i64 = 2;

/// Names that are looked through for one that may have been meant.
const SIMILAR: u32 = 1_000;

/// How many records are folded in one transaction.
const STRIDE: u64 = 4_096;

const SCHEMA: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE thing (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, namespace TEXT);
CREATE TABLE tie (down INTEGER, relation INTEGER, up INTEGER, position INTEGER, ordinal INTEGER, grade INTEGER NOT NULL,
    PRIMARY KEY (down, relation, up, position, ordinal)) WITHOUT ROWID;
CREATE INDEX tie_up ON tie (up, relation, down);
CREATE TABLE fact (thing INTEGER, field TEXT, position INTEGER, ordinal INTEGER, grade INTEGER NOT NULL,
    value TEXT NOT NULL, PRIMARY KEY (thing, field, position, ordinal)) WITHOUT ROWID;
CREATE INDEX fact_name ON fact (value, thing) WHERE field IN ('name', 'uri');
CREATE TABLE open (thing INTEGER PRIMARY KEY);
CREATE TABLE space (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE blind (position INTEGER PRIMARY KEY, since TEXT NOT NULL, until TEXT NOT NULL, why TEXT NOT NULL);
";

/// Tables in the order in which they are compared, with the columns that order their rows.
const TABLES: [(&str, &str); 7] = [
    ("thing", "number"),
    ("tie", "down, relation, up, position, ordinal"),
    ("fact", "thing, field, position, ordinal"),
    ("open", "thing"),
    ("space", "name"),
    ("blind", "position"),
    ("meta", "key"),
];

/// The index of a log.
#[derive(Debug)]
pub struct Index {
    db: Connection,
    place: PathBuf,
}

/// A tie as the index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tie {
    pub(crate) down: i64,
    pub(crate) relation: Relation,
    pub(crate) up: i64,
    pub(crate) position: u64,
    pub(crate) ordinal: u32,
    pub(crate) grade: Grade,
}

/// A fact as the index has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) field: String,
    pub(crate) value: String,
    pub(crate) grade: Grade,
    pub(crate) position: u64,
    pub(crate) ordinal: u32,
}

impl Index {
    /// Opens the index in the folder `dir`, makes it where there is none or one that cannot be used, and folds into it
    /// what the log has beyond it.
    ///
    /// # Errors
    /// The folder cannot be written, or the log not be read.
    pub fn open(dir: &Path, log: &Reading) -> Result<Self, Error> {
        Self::of_log(dir, log)
    }

    pub(crate) fn of_log(dir: &Path, log: &impl Bodies) -> Result<Self, Error> {
        let place = dir.join(FILE);
        let mut index = match Self::known(&place) {
            Ok(Some(index)) if index.upto()? <= log.leaves()? => index,
            // it is of another form, of another log, or broken: it is no loss
            Ok(_)
            | Err(Error::NotALog { .. } | Error::Database { .. } | Error::Tampered { .. }) => {
                Self::remove(dir)?;
                Self::new(place)?
            }
            Err(error) => return Err(error),
        };
        index.fold_of(log)?;
        Ok(index)
    }

    /// Opens the index in the folder `dir` as its writer keeps it, to read it alone; none where there is none of this form.
    ///
    /// It may lag behind the log for a moment, and says so by [`Index::upto`].
    ///
    /// # Errors
    /// It cannot be read.
    pub fn beside(dir: &Path) -> Result<Option<Self>, Error> {
        let place = dir.join(FILE);
        if !place.exists() {
            return Ok(None);
        }
        // a reader of a write-ahead log writes its shared memory
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db =
            Connection::open_with_flags(&place, flags).map_err(|error| failed(&place, error))?;
        let of = |error| failed(&place, error);
        db.busy_timeout(std::time::Duration::from_secs(10)).map_err(of)?;
        db.pragma_update(None, "query_only", true).map_err(of)?;
        db.pragma_update(None, "cache_size", -4_096).map_err(of)?;
        let index = Self { db, place };
        Ok((index.number("form")? == Some(FORM)).then_some(index))
    }

    /// Removes the index of a folder: it is folded again from the log.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn remove(dir: &Path) -> Result<(), Error> {
        for end in ["", "-wal", "-shm"] {
            let path = dir.join(format!("{FILE}{end}"));
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::File { path, why: error.to_string() });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes an index in memory.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn in_memory(log: &Reading) -> Result<Self, Error> {
        Self::in_memory_of(log)
    }

    /// Reads everything from now on as it is now, whatever its writer adds.
    pub(crate) fn hold_still(&self) -> Result<(), Error> {
        self.db.execute_batch("BEGIN").map_err(|error| self.of(error))?;
        // the transaction begins with the first look
        self.upto().map(drop)
    }

    pub(crate) fn in_memory_of(log: &impl Bodies) -> Result<Self, Error> {
        let mut index = Self::new(PathBuf::from(":memory:"))?;
        index.fold_of(log)?;
        Ok(index)
    }

    fn known(place: &Path) -> Result<Option<Self>, Error> {
        if !place.exists() {
            return Ok(None);
        }
        let index = Self::connect(place.to_owned())?;
        let form = index.number("form");
        Ok((form? == Some(FORM)).then_some(index))
    }

    fn new(place: PathBuf) -> Result<Self, Error> {
        let index = Self::connect(place)?;
        index.db.execute_batch(SCHEMA).map_err(|error| index.of(error))?;
        let sql = "INSERT INTO meta VALUES ('form', ?1), ('upto', 0)";
        index.db.execute(sql, [FORM]).map_err(|error| index.of(error))?;
        Ok(index)
    }

    fn connect(place: PathBuf) -> Result<Self, Error> {
        let db = Connection::open(&place).map_err(|error| failed(&place, error))?;
        let of = |error| failed(&place, error);
        db.busy_timeout(std::time::Duration::from_secs(10)).map_err(of)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(of)?;
        // what a crash takes is folded again
        db.pragma_update(None, "synchronous", "NORMAL").map_err(of)?;
        db.pragma_update(None, "cache_size", -16_384).map_err(of)?;
        Ok(Self { db, place })
    }

    fn of(&self, error: rusqlite::Error) -> Error {
        failed(&self.place, error)
    }

    fn number(&self, key: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let query = self.db.query_row(sql, [key], |row| row.get(0)).optional();
        query.map_err(|error| self.of(error))
    }

    /// Returns how many leaves of the log are folded in.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn upto(&self) -> Result<u64, Error> {
        Ok(self.number("upto")?.unwrap_or_default() as u64)
    }

    /// Folds in what the log has beyond it; returns how many leaves.
    ///
    /// # Errors
    /// The log cannot be read, or the index not be written.
    pub fn fold(&mut self, log: &Reading) -> Result<u64, Error> {
        self.fold_of(log)
    }

    pub(crate) fn fold_of(&mut self, log: &impl Bodies) -> Result<u64, Error> {
        let size = log.leaves()?;
        let mut folded = 0;
        loop {
            let place = self.place.clone();
            let of = |error| failed(&place, error);
            // a reader beside the writer may fold as well: who comes second finds it done
            let immediate = TransactionBehavior::Immediate;
            if self.upto()? >= size {
                return Ok(folded);
            }
            let transaction = self.db.transaction_with_behavior(immediate).map_err(of)?;
            let sql = "SELECT value FROM meta WHERE key = 'upto'";
            let upto: i64 = transaction.query_row(sql, [], |row| row.get(0)).map_err(of)?;
            let upto = upto as u64;
            let bodies = log.bodies(upto, STRIDE.min(size.saturating_sub(upto)))?;
            if bodies.is_empty() && upto < size {
                return Err(Error::Tampered { why: format!("the body of leaf {upto} is missing") });
            }
            for (at, body) in bodies.iter().enumerate() {
                let position = upto + at as u64;
                if let Some(body) = body {
                    add(&transaction, &parse(body, position)?, position).map_err(of)?;
                }
            }
            let sql = "UPDATE meta SET value = ?1 WHERE key = 'upto'";
            transaction.execute(sql, [(upto + bodies.len() as u64) as i64]).map_err(of)?;
            transaction.commit().map_err(of)?;
            folded += bodies.len() as u64;
        }
    }

    /// Returns the digest of all rows: that of the same log is the same.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn digest(&self) -> Result<Digest, Error> {
        let mut digest = DigestOfParts::default();
        for (table, order) in TABLES {
            digest.push(table);
            let sql = format!("SELECT * FROM {table} ORDER BY {order}");
            let mut query = self.db.prepare(&sql).map_err(|error| self.of(error))?;
            let columns = query.column_count();
            let mut rows = query.query([]).map_err(|error| self.of(error))?;
            while let Some(row) = rows.next().map_err(|error| self.of(error))? {
                for column in 0..columns {
                    let value = row.get_ref(column).map_err(|error| self.of(error))?;
                    digest.push(match value {
                        rusqlite::types::ValueRef::Null => b"n".to_vec(),
                        rusqlite::types::ValueRef::Integer(number) => {
                            [b"i".as_slice(), &number.to_be_bytes()].concat()
                        }
                        rusqlite::types::ValueRef::Real(number) => {
                            [b"r".as_slice(), &number.to_be_bytes()].concat()
                        }
                        rusqlite::types::ValueRef::Text(text) => [b"t".as_slice(), text].concat(),
                        rusqlite::types::ValueRef::Blob(bytes) => [b"b".as_slice(), bytes].concat(),
                    });
                }
            }
        }
        Ok(digest.finish())
    }

    /// Returns whether the database itself is whole.
    pub(crate) fn is_whole(&self) -> Result<bool, Error> {
        let sql = "PRAGMA integrity_check(1)";
        let said: String =
            self.db.query_row(sql, [], |row| row.get(0)).map_err(|error| self.of(error))?;
        Ok(said == "ok")
    }

    // === things ===

    /// Returns the number of a thing; none where nothing was said of it.
    pub(crate) fn find(&self, id: &str) -> Result<Option<i64>, Error> {
        let mut query = self.prepare("SELECT number FROM thing WHERE id = ?1")?;
        query.query_row([id], |row| row.get(0)).optional().map_err(|error| self.of(error))
    }

    /// Returns identities that begin with `start`, some at most.
    pub(crate) fn begin_with(&self, start: &str, most: u32) -> Result<Vec<EntityId>, Error> {
        let mut end = start.to_owned();
        end.push(char::MAX);
        let sql = "SELECT id FROM thing WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3";
        let mut query = self.prepare(sql)?;
        let rows = query
            .query_map(params![start, end, most], |row| row.get::<_, String>(0))
            .map_err(|error| self.of(error))?;
        self.ids(rows)
    }

    /// Returns things of which a name or URI is `value`.
    pub(crate) fn named(&self, value: &str) -> Result<Vec<EntityId>, Error> {
        let sql = "SELECT DISTINCT id FROM fact JOIN thing ON number = thing WHERE value = ?1 AND field IN ('name', 'uri') ORDER BY id";
        let mut query = self.prepare(sql)?;
        let rows = query
            .query_map([value], |row| row.get::<_, String>(0))
            .map_err(|error| self.of(error))?;
        self.ids(rows)
    }

    /// Returns names that begin with the letter that `name` begins with, and the namespaces of what is called so; some at
    /// most, those that begin like it in two letters first.
    pub(crate) fn similar(&self, name: &str) -> Result<Vec<(String, Option<String>)>, Error> {
        let sql = "SELECT DISTINCT value, namespace FROM fact JOIN thing ON number = thing \
            WHERE field IN ('name', 'uri') AND field = 'name' AND value >= ?1 AND value < ?2 LIMIT ?3";
        let mut names = Vec::new();
        for letters in [2, 1] {
            let start: String = name.chars().take(letters).collect();
            if start.is_empty() {
                continue;
            }
            let end = format!("{start}{}", char::MAX);
            let mut query = self.prepare(sql)?;
            let rows = query
                .query_map(params![start, end, SIMILAR], |row| Ok((row.get(0)?, row.get(1)?)))
                .map_err(|error| self.of(error))?;
            for row in rows {
                names.push(row.map_err(|error| self.of(error))?);
            }
        }
        Ok(names)
    }

    fn ids(
        &self,
        rows: impl Iterator<Item = rusqlite::Result<String>>,
    ) -> Result<Vec<EntityId>, Error> {
        let parsed = rows.map(|row| {
            let text = row.map_err(|error| self.of(error))?;
            text.parse().map_err(|error| Error::Tampered { why: format!("the index: {error}") })
        });
        parsed.collect()
    }

    /// Returns the identity of a thing, and its namespace.
    pub(crate) fn thing(&self, number: i64) -> Result<Option<(EntityId, Option<String>)>, Error> {
        let mut query = self.prepare("SELECT id, namespace FROM thing WHERE number = ?1")?;
        let row: Option<(String, Option<String>)> = query
            .query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(|error| self.of(error))?;
        let Some((id, namespace)) = row else { return Ok(None) };
        let id =
            id.parse().map_err(|error| Error::Tampered { why: format!("the index: {error}") })?;
        Ok(Some((id, namespace)))
    }

    /// Returns everything that is said of a thing, in order of the log.
    pub(crate) fn facts(&self, number: i64) -> Result<Vec<Row>, Error> {
        let sql = "SELECT field, value, grade, position, ordinal FROM fact WHERE thing = ?1 ORDER BY position, ordinal";
        let mut query = self.prepare(sql)?;
        let rows = query
            .query_map([number], |row| {
                Ok(Row {
                    field: row.get(0)?,
                    value: row.get(1)?,
                    grade: grade_of(row.get(2)?),
                    position: row.get::<_, i64>(3)? as u64,
                    ordinal: row.get(4)?,
                })
            })
            .map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns the ties that lead from a thing to what it came from.
    pub(crate) fn up(&self, number: i64) -> Result<Vec<Tie>, Error> {
        self.ties(
            "SELECT down, relation, up, position, ordinal, grade FROM tie WHERE down = ?1",
            number,
        )
    }

    /// Returns the ties that lead to a thing from what came of it.
    pub(crate) fn down(&self, number: i64) -> Result<Vec<Tie>, Error> {
        self.ties("SELECT down, relation, up, position, ordinal, grade FROM tie INDEXED BY tie_up WHERE up = ?1", number)
    }

    fn ties(&self, sql: &str, number: i64) -> Result<Vec<Tie>, Error> {
        let mut query = self.prepare(sql)?;
        let rows = query
            .query_map([number], |row| {
                Ok(Tie {
                    down: row.get(0)?,
                    relation: relation_of(row.get(1)?),
                    up: row.get(2)?,
                    position: row.get::<_, i64>(3)? as u64,
                    ordinal: row.get(4)?,
                    grade: grade_of(row.get(5)?),
                })
            })
            .map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns the things of `kind` that are not over: runs, attempts, services and epochs, with their namespaces.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn open_things(&self, kind: EntityKind) -> Result<Vec<(EntityId, Option<String>)>, Error> {
        let mut query = self.prepare("SELECT thing FROM open ORDER BY thing")?;
        let rows =
            query.query_map([], |row| row.get::<_, i64>(0)).map_err(|error| self.of(error))?;
        let mut open = Vec::new();
        for row in rows {
            let number = row.map_err(|error| self.of(error))?;
            open.extend(self.thing(number)?.filter(|(id, _)| id.kind() == kind));
        }
        Ok(open)
    }

    /// Returns the last word on a property of a thing.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn last_word(&self, of: &EntityId, field: &str) -> Result<Option<String>, Error> {
        let Some(thing) = self.find(of.as_str())? else { return Ok(None) };
        let sql = "SELECT value FROM fact WHERE thing = ?1 AND field = ?2 ORDER BY position DESC, ordinal DESC LIMIT 1";
        let mut query = self.prepare(sql)?;
        let found = query.query_row(params![thing, field], |row| row.get(0)).optional();
        found.map_err(|error| self.of(error))
    }

    /// Returns the different values of a property of a thing, the newest first, some at most.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn words(&self, of: &EntityId, field: &str, most: usize) -> Result<Vec<String>, Error> {
        let Some(thing) = self.find(of.as_str())? else { return Ok(Vec::new()) };
        let sql = "SELECT value FROM fact WHERE thing = ?1 AND field = ?2 GROUP BY value ORDER BY max(position) DESC LIMIT ?3";
        let mut query = self.prepare(sql)?;
        let rows = query
            .query_map(params![thing, field, most as i64], |row| row.get(0))
            .map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns the things that came of a thing in one way.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn ties_to(&self, up: &EntityId, relation: Relation) -> Result<Vec<EntityId>, Error> {
        let sql = "SELECT DISTINCT id FROM tie JOIN thing ON number = down WHERE up = ?1 AND relation = ?2 ORDER BY id";
        self.tied(up, relation, sql)
    }

    /// Returns the things that a thing came from in one way.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn ties_from(&self, down: &EntityId, relation: Relation) -> Result<Vec<EntityId>, Error> {
        let sql = "SELECT DISTINCT id FROM tie JOIN thing ON number = up WHERE down = ?1 AND relation = ?2 ORDER BY id";
        self.tied(down, relation, sql)
    }

    fn tied(&self, id: &EntityId, relation: Relation, sql: &str) -> Result<Vec<EntityId>, Error> {
        let Some(thing) = self.find(id.as_str())? else { return Ok(Vec::new()) };
        let mut query = self.prepare(sql)?;
        let rows = query
            .query_map(params![thing, number_of_relation(relation)], |row| row.get::<_, String>(0))
            .map_err(|error| self.of(error))?;
        self.ids(rows)
    }

    /// Returns where a name led last, as far as it is known so well and was one of `kind`.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn led_to(
        &self,
        name: &EntityId,
        grade: Grade,
        kind: EntityKind,
    ) -> Result<Option<EntityId>, Error> {
        let Some(thing) = self.find(name.as_str())? else { return Ok(None) };
        let sql = "SELECT id FROM tie JOIN thing ON number = up WHERE down = ?1 AND relation = ?2 AND grade = ?3 AND id LIKE ?4 ORDER BY position DESC, ordinal DESC LIMIT 1";
        let mut query = self.prepare(sql)?;
        let relation = number_of_relation(Relation::LedTo);
        let kind = format!("{}:%", kind.word());
        let rows = query
            .query_map(params![thing, relation, number_of_grade(grade), kind], |row| {
                row.get::<_, String>(0)
            })
            .map_err(|error| self.of(error))?;
        Ok(self.ids(rows)?.pop())
    }

    /// Returns things after the number `after`, with their numbers, that nobody found anything out about: commits,
    /// images, data and names.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn unresolved(&self, after: i64, most: usize) -> Result<Vec<(i64, EntityId)>, Error> {
        let sql = "SELECT number, id FROM thing WHERE number > ?1 \
            AND substr(id, 1, instr(id, ':')) IN ('commit:', 'image:', 'data:', 'ref:') \
            AND NOT EXISTS (SELECT 1 FROM fact WHERE thing = number AND field = 'resolution') \
            AND NOT EXISTS (SELECT 1 FROM tie WHERE down = number AND relation = ?2 AND grade <> ?3) \
            ORDER BY number LIMIT ?4";
        let mut query = self.prepare(sql)?;
        let (led, claimed) = (number_of_relation(Relation::LedTo), number_of_grade(Grade::Claimed));
        let rows = query
            .query_map(params![after, led, claimed, most as i64], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(|error| self.of(error))?;
        let parsed = rows.map(|row| {
            let (number, text) = row.map_err(|error| self.of(error))?;
            let id = text.parse();
            let id = id.map_err(|error| Error::Tampered { why: format!("the index: {error}") })?;
            Ok((number, id))
        });
        parsed.collect()
    }

    /// Returns every interval in which something may have been missed: position, since, until, why.
    pub(crate) fn blind(&self) -> Result<Vec<(u64, String, String, String)>, Error> {
        let mut query =
            self.prepare("SELECT position, since, until, why FROM blind ORDER BY position")?;
        let rows = query
            .query_map([], |row| {
                Ok((row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns every namespace that something is recorded of, in order, some at most.
    pub(crate) fn namespaces(&self, most: usize) -> Result<Vec<String>, Error> {
        let mut query = self.prepare("SELECT name FROM space ORDER BY name LIMIT ?1")?;
        let rows =
            query.query_map([most as i64], |row| row.get(0)).map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns whether the log says this already: nothing is gained by saying it again.
    ///
    /// Of a property it has to be the last word of its grade and source; of a claim any word.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn has(&self, statement: &Statement) -> Result<bool, Error> {
        match statement {
            Statement::Fact { of, field, value, grade, .. } => {
                let Some(thing) = self.find(of.as_str())? else { return Ok(false) };
                let sql = "SELECT 1 FROM fact WHERE thing = ?1 AND field = ?2 AND grade = ?3 AND value = ?4 LIMIT 1";
                let mut query = self.prepare(sql)?;
                let found = query.exists(params![thing, field, number_of_grade(*grade), value]);
                found.map_err(|error| self.of(error))
            }
            Statement::Edge { from, relation, to, grade, .. } => {
                let (Some(down), Some(up)) = (self.find(from.as_str())?, self.find(to.as_str())?)
                else {
                    return Ok(false);
                };
                let sql = "SELECT 1 FROM tie WHERE down = ?1 AND relation = ?2 AND up = ?3 AND grade = ?4 LIMIT 1";
                let mut query = self.prepare(sql)?;
                let found = query.exists(params![
                    down,
                    number_of_relation(*relation),
                    up,
                    number_of_grade(*grade)
                ]);
                found.map_err(|error| self.of(error))
            }
        }
    }

    fn prepare(&self, sql: &str) -> Result<rusqlite::CachedStatement<'_>, Error> {
        self.db.prepare_cached(sql).map_err(|error| self.of(error))
    }
}

/// Adds a record to the index.
fn add(db: &Transaction<'_>, record: &Record, position: u64) -> rusqlite::Result<()> {
    let position = position as i64;
    let namespace = record.namespace.as_deref();
    if let Some(name) = namespace {
        db.prepare_cached("INSERT OR IGNORE INTO space VALUES (?1)")?.execute([name])?;
    }
    number(db, &record.subject, namespace)?;
    if record.kind == RecordKind::Blind {
        add_blind(db, record, position)?;
    }
    let mut tie = db.prepare_cached("INSERT INTO tie VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let mut fact = db.prepare_cached("INSERT INTO fact VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (ordinal, statement) in record.statements.iter().enumerate() {
        let ordinal = ordinal as i64;
        match statement {
            Statement::Fact { of, field, value, grade, .. } => {
                let is_over = ends(of, field, value);
                let of = number(db, of, namespace)?;
                if is_over {
                    db.prepare_cached("DELETE FROM open WHERE thing = ?1")?.execute([of])?;
                }
                fact.execute(params![
                    of,
                    field,
                    position,
                    ordinal,
                    number_of_grade(*grade),
                    value
                ])?;
            }
            Statement::Edge { from, relation, to, grade, .. } => {
                let (from, to) = (number(db, from, namespace)?, number(db, to, namespace)?);
                let (relation, grade) = (number_of_relation(*relation), number_of_grade(*grade));
                tie.execute(params![from, relation, to, position, ordinal, grade])?;
            }
        }
    }
    Ok(())
}

fn add_blind(db: &Transaction<'_>, record: &Record, position: i64) -> rusqlite::Result<()> {
    let value = |name: &str| {
        let found = record.statements.iter().find_map(|one| match one {
            Statement::Fact { field, value, .. } if field == name => Some(value.clone()),
            _ => None,
        });
        found.unwrap_or_default()
    };
    db.execute(
        "INSERT INTO blind VALUES (?1, ?2, ?3, ?4)",
        params![position, value("since"), value("until"), value("why")],
    )?;
    Ok(())
}

/// Returns the number of a thing, a new one where it was not heard of.
///
/// Runs, attempts, volumes and services belong to a namespace. Content does not: it is seen by whoever may see something
/// that leads to it.
fn number(db: &Transaction<'_>, id: &EntityId, namespace: Option<&str>) -> rusqlite::Result<i64> {
    use sitewright_model::lineage::EntityKind as Kind;
    let mut find = db.prepare_cached("SELECT number FROM thing WHERE id = ?1")?;
    if let Some(number) = find.query_row([id.as_str()], |row| row.get(0)).optional()? {
        return Ok(number);
    }
    let is_of_a_namespace =
        matches!(id.kind(), Kind::Run | Kind::Attempt | Kind::Service | Kind::Volume);
    let namespace = namespace.filter(|_| is_of_a_namespace);
    let mut add = db.prepare_cached("INSERT INTO thing (id, namespace) VALUES (?1, ?2)")?;
    let number = add.insert(params![id.as_str(), namespace])?;
    if matches!(id.kind(), Kind::Run | Kind::Attempt | Kind::Service | Kind::Epoch) {
        db.prepare_cached("INSERT INTO open VALUES (?1)")?.execute([number])?;
    }
    Ok(number)
}

/// Returns whether a thing is over once this is said of it.
fn ends(of: &EntityId, field: &str, value: &str) -> bool {
    use sitewright_model::lineage::EntityKind as Kind;
    match (of.kind(), field) {
        (_, "goneAt" | "endedAt" | "incomplete") => true,
        (Kind::Run, "outcome") => true,
        (Kind::Attempt, "phase") => matches!(value, "Succeeded" | "Failed"),
        _ => false,
    }
}

fn number_of_grade(grade: Grade) -> i64 {
    Grade::ALL.iter().position(|one| *one == grade).unwrap_or_default() as i64
}

fn grade_of(number: i64) -> Grade {
    let found = usize::try_from(number).ok().and_then(|at| Grade::ALL.get(at));
    found.copied().unwrap_or(Grade::Unknown)
}

fn number_of_relation(relation: Relation) -> i64 {
    Relation::ALL.iter().position(|one| *one == relation).unwrap_or_default() as i64
}

fn relation_of(number: i64) -> Relation {
    let found = usize::try_from(number).ok().and_then(|at| Relation::ALL.get(at));
    found.copied().unwrap_or(Relation::Expected)
}

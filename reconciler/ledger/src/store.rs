//! The log in a SQLite database: leaves, bodies, tiles and the last checkpoint, written in one transaction.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};
use rustix::fs::{FlockOperation, flock};
use sitewright_model::{
    digest::Digest,
    lineage::{Header, Record},
};

use crate::{
    Checkpoint, Error, Hash, Note, SecretKey,
    merkle::{Edge, Tile, Tiles, WIDTH, leaf_hash, path, prove_consistency, prove_inclusion},
};

/// The file of the log in its folder.
pub(crate) const FILE: &str = "log.db";

/// The form of the database; another one is not read.
const FORM: &str = "1";

/// How long a reader waits for a writer of the same database.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often, and after which pause, it is tried to take the lock of a log.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Random bytes in a body whose content could be guessed.
const SALT: usize = 16;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leaf (position INTEGER PRIMARY KEY, header BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS body (position INTEGER PRIMARY KEY, bytes BLOB);
CREATE TABLE IF NOT EXISTS tile (level INTEGER, number INTEGER, hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subject (id TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
";

/// The log, and the right to write it. There is one at a time.
#[derive(Debug)]
pub struct Log {
    reading: Reading,
    key: SecretKey,
    edge: Edge,
    /// Locked for as long as the log is open.
    _lock: File,
}

/// The log as it is read.
#[derive(Debug)]
pub struct Reading {
    db: Connection,
    place: PathBuf,
}

/// What was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first record.
    pub first: u64,
    /// How many.
    pub count: u64,
}

impl Log {
    /// Opens the log in the folder `dir`, or begins one, and takes the right to write it.
    ///
    /// # Errors
    /// The folder cannot be used, another process writes there, the key is not the log's, or the end of the log is not
    /// what was signed.
    pub fn open(dir: &Path, key: SecretKey) -> Result<Self, Error> {
        let file = |error: io::Error| Error::File { path: dir.to_owned(), why: error.to_string() };
        std::fs::create_dir_all(dir).map_err(file)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(dir.join("lock"))
            .map_err(file)?;
        take(&lock).map_err(|_| Error::Busy { place: dir.to_owned() })?;
        let place = dir.join(FILE);
        let of = |error| failed(&place, error);
        let db = Connection::open(&place).map_err(of)?;
        db.busy_timeout(PATIENCE).map_err(of)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(of)?;
        // an acknowledged record is on the disk: NORMAL would lose it with the power
        db.pragma_update(None, "synchronous", "FULL").map_err(of)?;
        db.execute_batch(SCHEMA).map_err(of)?;
        let reading = Reading { db, place: place.clone() };
        let origin = key.public().name().to_owned();
        match (reading.meta("form")?, reading.meta("origin")?) {
            (None, None) => {
                reading.set("form", FORM)?;
                reading.set("origin", &origin)?;
                reading.set("key", &key.public().to_string())?;
            }
            (Some(form), Some(_)) if form != FORM => {
                return Err(Error::NotALog { place, why: format!("it has the form {form}") });
            }
            (Some(_), Some(known)) if known == origin => {}
            (_, known) => {
                let why = format!(
                    "the log is {}, and the key is of {origin}",
                    known.as_deref().unwrap_or("of no origin")
                );
                return Err(Error::Key { why });
            }
        }
        let edge = match reading.checkpoint()? {
            None if reading.leaves()? == 0 => Edge::default(),
            None => return Err(tampered("it has leaves and no checkpoint")),
            Some(note) => {
                if !key.public().signed(&note) {
                    return Err(Error::Key { why: "it did not sign the log's checkpoint".into() });
                }
                let checkpoint = Checkpoint::parse(&note.text)?;
                let edge = Edge::read(checkpoint.size, &reading)?;
                if edge.root() != checkpoint.root || reading.leaves()? != checkpoint.size {
                    return Err(tampered("its end is not what the checkpoint signs"));
                }
                edge
            }
        };
        Ok(Self { reading, key, edge, _lock: lock })
    }

    /// Appends records, all or none, and signs the new end. Once it returns, they survive a crash.
    ///
    /// Cost: one write to the disk however many they are.
    ///
    /// # Errors
    /// The disk is full or the database cannot be written: nothing was appended.
    pub fn append(&mut self, records: &[Record]) -> Result<Appended, Error> {
        let first = self.edge.size();
        if records.is_empty() {
            return Ok(Appended { first, count: 0 });
        }
        let before = self.edge.clone();
        let done = self.append_all(records);
        if done.is_err() {
            self.edge = before;
        }
        done.map(|()| Appended { first, count: records.len() as u64 })
    }

    fn append_all(&mut self, records: &[Record]) -> Result<(), Error> {
        let place = self.reading.place.clone();
        let of = |error| failed(&place, error);
        let transaction = self.reading.db.transaction().map_err(of)?;
        let mut full: Vec<Tile> = Vec::new();
        {
            let prepare = |sql| transaction.prepare_cached(sql).map_err(of);
            let mut count = prepare(
                "INSERT INTO subject VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count",
            )?;
            let mut leaf = prepare("INSERT INTO leaf VALUES (?1, ?2)")?;
            let mut body = prepare("INSERT INTO body VALUES (?1, ?2)")?;
            for record in records {
                let bytes = salted(record)?;
                let seen: i64 =
                    count.query_row([record.subject.as_str()], |row| row.get(0)).map_err(of)?;
                let header = Header::of(record, (seen - 1) as u64, Digest::of(&bytes)).leaf();
                let position = self.edge.size() as i64;
                leaf.execute(params![position, header]).map_err(of)?;
                body.execute(params![position, bytes]).map_err(of)?;
                self.edge.push(leaf_hash(&header), &mut full);
            }
            let mut tile = prepare("INSERT OR REPLACE INTO tile VALUES (?1, ?2, ?3)")?;
            for one in full.into_iter().chain(self.edge.partial()) {
                let bytes = one.hashes.concat();
                tile.execute(params![one.level, one.number as i64, bytes]).map_err(of)?;
            }
            let origin = self.key.public().name().to_owned();
            let (size, root) = (self.edge.size(), self.edge.root());
            let note = self.key.sign(&Checkpoint { origin, size, root }.to_string()).to_string();
            let mut meta = prepare("INSERT OR REPLACE INTO meta VALUES (?1, ?2)")?;
            meta.execute(["checkpoint", &note]).map_err(of)?;
        }
        transaction.commit().map_err(of)
    }

    /// Says that the recorder sees everything at `at`. Who finds the log later knows since when it did not.
    ///
    /// # Errors
    /// The database cannot be written.
    pub fn alive(&self, at: Timestamp) -> Result<(), Error> {
        self.reading.set("alive", &at.to_string())
    }

    /// Keeps a checkpoint that witnesses have signed beside our own.
    ///
    /// # Errors
    /// It is none of ours, or the database cannot be written.
    pub fn keep(&self, note: &Note) -> Result<(), Error> {
        if !self.key.public().signed(note) {
            return Err(Error::Key { why: "the checkpoint is not signed by the log's key".into() });
        }
        self.reading.set("cosigned", &note.to_string())
    }

    /// Erases the body of a record for good. The leaf stays, and so do all proofs.
    ///
    /// # Errors
    /// The database cannot be written, or is read just now.
    pub fn erase(&mut self, position: u64) -> Result<bool, Error> {
        self.erase_all(&[position]).map(|erased| erased > 0)
    }

    /// Erases bodies, all or none, and returns how many there were.
    ///
    /// # Errors
    /// The database cannot be written, or is read just now.
    pub fn erase_all(&mut self, positions: &[u64]) -> Result<u64, Error> {
        let place = self.reading.place.clone();
        let of = |error| failed(&place, error);
        let mut erased = 0;
        let deed = self.reading.db.transaction().map_err(of)?;
        for position in positions {
            let sql = "UPDATE body SET bytes = NULL WHERE position = ?1 AND bytes IS NOT NULL";
            erased += deed.execute(sql, [position.cast_signed()]).map_err(of)? as u64;
        }
        deed.commit().map_err(of)?;
        // what was erased is not to be read from free pages or from the write-ahead log either
        for step in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
            let mut query = self.reading.db.prepare(step).map_err(of)?;
            let mut rows = query.query([]).map_err(of)?;
            let is_busy = match rows.next().map_err(of)? {
                Some(row) => row.get::<_, i64>(0).map_err(of)? != 0,
                None => false,
            };
            if is_busy {
                let why = "somebody reads it, so that what was erased is still in its write-ahead log; erase again";
                return Err(Error::Database { place: place.clone(), why: why.to_owned() });
            }
        }
        Ok(erased)
    }

    /// Returns what reads the log.
    pub fn reading(&self) -> &Reading {
        &self.reading
    }

    /// Returns the key that signs.
    pub fn key(&self) -> &SecretKey {
        &self.key
    }
}

/// Takes a lock. A process that was begun holds it for a moment, though it is not its own: until it runs its program.
fn take(lock: &File) -> rustix::io::Result<()> {
    let mut attempts = 0;
    loop {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if attempts < ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// Returns the body with salt where somebody could guess what it holds.
fn salted(record: &Record) -> Result<Vec<u8>, Error> {
    if record.salt.is_some() || record.namespace.is_none() {
        return Ok(record.body());
    }
    let mut salt = [0; SALT];
    let random = SystemRandom::new().fill(&mut salt);
    random.map_err(|_| Error::Key { why: "the system gives no random bytes".into() })?;
    Ok(Record { salt: Some(STANDARD.encode(salt)), ..record.clone() }.body())
}

fn tampered(why: &str) -> Error {
    Error::Tampered { why: why.to_owned() }
}

/// Returns what an error of the database is to us.
pub(crate) fn failed(place: &Path, error: rusqlite::Error) -> Error {
    let place = place.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Error::Full { place },
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            Error::NotALog { place, why: error.to_string() }
        }
        _ => Error::Database { place, why: error.to_string() },
    }
}

// === impl Reading ===

impl Reading {
    /// Opens the log in the folder `dir` to read it, beside its writer perhaps.
    ///
    /// # Errors
    /// There is none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let place = dir.join(FILE);
        if !place.is_file() {
            let why = "there is no log.db in it".to_owned();
            return Err(Error::NotALog { place: dir.to_owned(), why });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // a reader of a write-ahead log needs its shared memory; where it may not write, the file alone is read
        let db = Connection::open_with_flags(&place, flags)
            .or_else(|_| Connection::open_with_flags(&place, OpenFlags::SQLITE_OPEN_READ_ONLY))
            .map_err(|error| failed(&place, error))?;
        db.busy_timeout(PATIENCE).map_err(|error| failed(&place, error))?;
        let _ = db.pragma_update(None, "query_only", true);
        let reading = Self { db, place };
        match reading.meta("form")? {
            Some(form) if form == FORM => Ok(reading),
            form => {
                let why = format!("it has the form {}", form.as_deref().unwrap_or("of nothing"));
                Err(Error::NotALog { place: reading.place, why })
            }
        }
    }

    /// Reads everything from now on as it is now, whatever its writer adds.
    pub(crate) fn hold_still(&self) -> Result<(), Error> {
        self.db.execute_batch("BEGIN").map_err(|error| self.of(error))?;
        // the transaction begins with the first look
        self.leaves().map(drop)
    }

    fn of(&self, error: rusqlite::Error) -> Error {
        failed(&self.place, error)
    }

    fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        let sql = "SELECT value FROM meta WHERE key = ?1";
        let query = self.db.query_row(sql, [key], |row| row.get(0)).optional();
        query.map_err(|error| self.of(error))
    }

    /// Keeps a checkpoint of `size` that witnesses have signed, unless there is a larger one.
    pub(crate) fn keep_cosigned(&self, size: u64, note: &Note) -> Result<(), Error> {
        let of = |error| self.of(error);
        // nobody else writes this; the writer of the log waits for it no longer than for one row
        self.db.pragma_update(None, "query_only", false).map_err(of)?;
        let known = self.cosigned()?.and_then(|note| Checkpoint::parse(&note.text).ok());
        let kept = match known {
            Some(known) if known.size > size => Ok(()),
            _ => self.set("cosigned", &note.to_string()),
        };
        self.db.pragma_update(None, "query_only", true).map_err(of)?;
        kept
    }

    fn set(&self, key: &str, value: &str) -> Result<(), Error> {
        let sql = "INSERT OR REPLACE INTO meta VALUES (?1, ?2)";
        self.db.execute(sql, [key, value]).map(drop).map_err(|error| self.of(error))
    }

    /// Returns the last checkpoint; none where nothing was recorded.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn checkpoint(&self) -> Result<Option<Note>, Error> {
        self.meta("checkpoint")?.map(|text| Note::parse(&text)).transpose()
    }

    /// Returns the last checkpoint that witnesses have signed too.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn cosigned(&self) -> Result<Option<Note>, Error> {
        self.meta("cosigned")?.map(|text| Note::parse(&text)).transpose()
    }

    /// Returns the name of the log.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn origin(&self) -> Result<String, Error> {
        Ok(self.meta("origin")?.unwrap_or_default())
    }

    /// Returns the key that the log says is its own. Who trusts it has to know it from elsewhere.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn key(&self) -> Result<Option<String>, Error> {
        self.meta("key")
    }

    /// Returns when the recorder last said that it sees everything.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_alive(&self) -> Result<Option<Timestamp>, Error> {
        Ok(self.meta("alive")?.and_then(|text| text.parse().ok()))
    }

    /// Returns when the last leaf was recorded.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn last_leaf(&self) -> Result<Option<Timestamp>, Error> {
        let Some(last) = self.leaves()?.checked_sub(1) else { return Ok(None) };
        let leaf = self.headers(last, 1)?.pop();
        Ok(leaf.and_then(|leaf| serde_json::from_slice::<Header>(&leaf).ok()).map(|leaf| leaf.at))
    }

    /// Returns how many leaves there are.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn leaves(&self) -> Result<u64, Error> {
        let sql = "SELECT coalesce(max(position) + 1, 0) FROM leaf";
        let size: i64 = self.db.query_row(sql, [], |row| row.get(0)).map_err(|e| self.of(e))?;
        Ok(size as u64)
    }

    /// Returns the bytes of the leaves from `from` on, `count` at most.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn headers(&self, from: u64, count: u64) -> Result<Vec<Vec<u8>>, Error> {
        let sql = "SELECT header FROM leaf WHERE position >= ?1 ORDER BY position LIMIT ?2";
        let mut query = self.db.prepare_cached(sql).map_err(|error| self.of(error))?;
        let rows = query
            .query_map([from as i64, count as i64], |row| row.get(0))
            .map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns the bodies from `from` on, `count` at most; none of those that were erased.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn bodies(&self, from: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let sql = "SELECT bytes FROM body WHERE position >= ?1 ORDER BY position LIMIT ?2";
        let mut query = self.db.prepare_cached(sql).map_err(|error| self.of(error))?;
        let rows = query
            .query_map([from as i64, count as i64], |row| row.get(0))
            .map_err(|error| self.of(error))?;
        rows.collect::<Result<_, _>>().map_err(|error| self.of(error))
    }

    /// Returns the record at `position`; none where its body was erased.
    ///
    /// # Errors
    /// The database cannot be read, or holds something else.
    pub fn record(&self, position: u64) -> Result<Option<Record>, Error> {
        let body = self.bodies(position, 1)?.into_iter().next().flatten();
        body.map(|body| parse(&body, position)).transpose()
    }

    /// Calls `each` with every thing, and how many records are about it.
    pub(crate) fn subjects(&self, mut each: impl FnMut(&str, u64)) -> Result<(), Error> {
        let mut query =
            self.db.prepare("SELECT id, count FROM subject").map_err(|error| self.of(error))?;
        let mut rows = query.query([]).map_err(|error| self.of(error))?;
        while let Some(row) = rows.next().map_err(|error| self.of(error))? {
            let id = row.get_ref(0).and_then(|id| Ok(id.as_str()?));
            let count: rusqlite::Result<i64> = row.get(1);
            each(
                id.map_err(|error| self.of(error))?,
                count.map_err(|error| self.of(error))? as u64,
            );
        }
        Ok(())
    }

    /// Returns how many tiles there are beside those that a tree of this size has.
    pub(crate) fn stray_tiles(&self) -> Result<u64, Error> {
        let mut expected: i64 = 0;
        let mut count = self.leaves()?;
        while count > 0 {
            expected += count.div_ceil(WIDTH) as i64;
            count /= WIDTH;
        }
        let sql = "SELECT count(*) FROM tile";
        let there: i64 = self.db.query_row(sql, [], |row| row.get(0)).map_err(|e| self.of(e))?;
        Ok((there - expected).unsigned_abs())
    }

    /// Returns the proof that leaf `index` is in the log when it had `size` leaves.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, Error> {
        prove_inclusion(self, index, size)
    }

    /// Returns the proof that the log of `old` leaves is the beginning of that of `new`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        prove_consistency(self, old, new)
    }

    /// Returns what a path of C2SP tlog-tiles leads to; none where there is no such thing.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn resource(&self, wanted: &str) -> Result<Option<Vec<u8>>, Error> {
        if wanted == "checkpoint" {
            let (signed, cosigned) = (self.checkpoint()?, self.cosigned()?);
            // witnesses come later: where the log has grown since, its own last word is the newest
            let same = |note: &Note| signed.as_ref().is_some_and(|signed| signed.text == note.text);
            let note = cosigned.filter(same).or(signed);
            return Ok(note.map(|note| note.to_string().into_bytes()));
        }
        if wanted == "cosigned" {
            return Ok(self.cosigned()?.map(|note| note.to_string().into_bytes()));
        }
        let Some((level, number, width)) = read_path(wanted) else { return Ok(None) };
        let size = self.leaves()?;
        let all = match level {
            Level::Tile(level) => size.checked_shr(8 * level).unwrap_or(0),
            Level::Entries | Level::Bodies => size,
        };
        let there = all.saturating_sub(number.saturating_mul(WIDTH)).min(WIDTH);
        if width > there {
            return Ok(None);
        }
        Ok(Some(match level {
            Level::Tile(level) => {
                let mut hashes = self.tile(level, number)?;
                hashes.truncate(width as usize);
                hashes.concat()
            }
            Level::Entries => bundle(&self.headers(number * WIDTH, width)?),
            Level::Bodies => bundle_of_bodies(&self.bodies(number * WIDTH, width)?),
        }))
    }
}

impl Tiles for Reading {
    fn tile(&self, level: u32, number: u64) -> Result<Vec<Hash>, Error> {
        let sql = "SELECT hashes FROM tile WHERE level = ?1 AND number = ?2";
        let mut query = self.db.prepare_cached(sql).map_err(|error| self.of(error))?;
        let bytes: Option<Vec<u8>> = query
            .query_row(params![level, number as i64], |row| row.get(0))
            .optional()
            .map_err(|error| self.of(error))?;
        hashes(&bytes.unwrap_or_default())
    }
}

/// Reads a record.
pub(crate) fn parse(body: &[u8], position: u64) -> Result<Record, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Tampered {
        why: format!("the body of leaf {position} is no record: {error}"),
    })
}

/// Reads the hashes of a tile.
pub(crate) fn hashes(bytes: &[u8]) -> Result<Vec<Hash>, Error> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    if rest.is_empty() { Ok(hashes.to_vec()) } else { Err(tampered("a tile has a part of a hash")) }
}

/// What a path leads to.
pub(crate) enum Level {
    /// A tile of hashes.
    Tile(u32),
    /// Leaves.
    Entries,
    /// Bodies: our own, beside what tlog-tiles has.
    Bodies,
}

/// Reads a path of tlog-tiles.
pub(crate) fn read_path(wanted: &str) -> Option<(Level, u64, u64)> {
    let rest = wanted.strip_prefix("tile/")?;
    let (level, rest) = rest.split_once('/')?;
    let kind = match level {
        "entries" => Level::Entries,
        "bodies" => Level::Bodies,
        number => Level::Tile(number.parse().ok().filter(|level| *level < 8)?),
    };
    let (rest, width) = match rest.split_once(".p/") {
        Some((rest, width)) => {
            (rest, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?)
        }
        None => (rest, WIDTH),
    };
    let mut number = 0u64;
    for part in rest.split('/') {
        let digits = part.strip_prefix('x').unwrap_or(part);
        let is_formed = digits.len() == 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_formed {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(digits.parse().ok()?)?;
    }
    // one thing has one path
    (path(level, number, width) == wanted).then_some((kind, number, width))
}

/// Returns leaves as a bundle of tlog-tiles: each led by its length in two bytes.
pub(crate) fn bundle(leaves: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for leaf in leaves {
        let length = u16::try_from(leaf.len()).expect("an identity is bounded, and so is a header");
        bytes.extend(length.to_be_bytes());
        bytes.extend(leaf);
    }
    bytes
}

/// Returns bodies as a bundle: each led by its length in four bytes; one that was erased has all bits set.
pub(crate) fn bundle_of_bodies(bodies: &[Option<Vec<u8>>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for body in bodies {
        match body {
            None => bytes.extend(u32::MAX.to_be_bytes()),
            Some(body) => {
                bytes.extend(u32::try_from(body.len()).unwrap_or(0).to_be_bytes());
                bytes.extend(body);
            }
        }
    }
    bytes
}

/// Reads a bundle of leaves.
pub(crate) fn unbundle(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let mut leaves = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = u16::from_be_bytes(*length).into();
        let (leaf, rest) = rest
            .split_at_checked(length)
            .ok_or_else(|| tampered("a bundle of leaves ends early"))?;
        leaves.push(leaf.to_vec());
        bytes = rest;
    }
    if bytes.is_empty() { Ok(leaves) } else { Err(tampered("a bundle of leaves ends early")) }
}

/// Reads a bundle of bodies.
pub(crate) fn unbundle_bodies(mut bytes: &[u8]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let mut bodies = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length);
        if length == u32::MAX {
            bodies.push(None);
            bytes = rest;
            continue;
        }
        let (body, rest) = rest
            .split_at_checked(length as usize)
            .ok_or_else(|| tampered("a bundle of bodies ends early"))?;
        bodies.push(Some(body.to_vec()));
        bytes = rest;
    }
    if bytes.is_empty() { Ok(bodies) } else { Err(tampered("a bundle of bodies ends early")) }
}

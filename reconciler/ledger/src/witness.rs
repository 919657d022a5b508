//! Witnesses: who signs that the log of somebody else only grew, and how a log asks for that
//! ([C2SP tlog-witness](https://c2sp.org/tlog-witness)).
//!
//! Comes in: checkpoints with proofs that they are consistent with the last one. Goes out: cosignatures. Never: one for a
//! log that has another history than the witness has seen, or before it is on the disk what was seen.

use std::{path::Path, path::PathBuf, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{
    Checkpoint, Error, Hash, Note, PublicKey, Reading, SecretKey,
    merkle::{proves_consistency, root_of},
    store::failed,
};

/// The file of what a witness has seen, beside its own log.
const FILE: &str = "witness.db";

/// Lines of a proof: the tree is no higher.
const LINES: usize = 63;

/// Bytes of a request: a proof, and a checkpoint with some hundred signatures.
pub const LARGEST: usize = 64 * 1024;

/// How long one request waits for another.
const PATIENCE: Duration = Duration::from_secs(5);

/// Signs for the logs of others.
#[derive(Debug)]
pub struct Witness {
    db: Connection,
    place: PathBuf,
    key: SecretKey,
    logs: Vec<PublicKey>,
}

/// Why a witness does not sign.
#[derive(Debug, thiserror::Error)]
pub enum Unsigned {
    /// The request has not the form that it should have.
    #[error("the request has not the form of add-checkpoint: {0}")]
    Malformed(&'static str),
    /// Nobody told the witness of this log.
    #[error("the log is not known here")]
    UnknownLog,
    /// None of the log's keys signed the checkpoint.
    #[error("no key that is known for this log signed the checkpoint")]
    NotSigned,
    /// The proof begins at another size than the witness has seen last.
    #[error("the last checkpoint that was seen has {0} leaves")]
    Elsewhere(u64),
    /// The log has two roots for one size.
    #[error("the log had another root at this size")]
    Fork(u64),
    /// It is not proven that the log only grew.
    #[error("it is not proven that the log only grew")]
    Unproven,
    /// What was seen cannot be read or kept.
    #[error(transparent)]
    Broken(#[from] Error),
}

impl Witness {
    /// Opens what a witness has seen, in the folder `dir`. It signs with `key` for `logs`, by whose names their logs are
    /// called.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(dir: &Path, key: SecretKey, logs: Vec<PublicKey>) -> Result<Self, Error> {
        let place = dir.join(FILE);
        let of = |error| failed(&place, error);
        let db = Connection::open(&place).map_err(of)?;
        db.busy_timeout(PATIENCE).map_err(of)?;
        db.pragma_update(None, "journal_mode", "WAL").map_err(of)?;
        // a signature that is given binds the witness, also after the power has failed
        db.pragma_update(None, "synchronous", "FULL").map_err(of)?;
        let sql = "CREATE TABLE IF NOT EXISTS seen (origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL) WITHOUT ROWID";
        db.execute_batch(sql).map_err(of)?;
        Ok(Self { db, place, key, logs })
    }

    /// Judges a request, and returns the lines that sign its checkpoint at `at`, in seconds since 1970.
    ///
    /// # Errors
    /// Why it does not sign. Nothing was kept then.
    pub fn add(&mut self, request: &[u8], at: u64) -> Result<String, Unsigned> {
        let Request { old, proof, mut note } = Request::read(request)?;
        let Ok(checkpoint) = Checkpoint::parse(&note.text) else {
            return Err(Unsigned::Malformed("there is no checkpoint in it"));
        };
        let mut keys = self.logs.iter().filter(|key| key.name() == checkpoint.origin).peekable();
        if keys.peek().is_none() {
            return Err(Unsigned::UnknownLog);
        }
        if !keys.any(|key| key.signed(&note)) {
            return Err(Unsigned::NotSigned);
        }
        if old > checkpoint.size || i64::try_from(checkpoint.size).is_err() {
            return Err(Unsigned::Malformed("the old size is larger than that of the checkpoint"));
        }
        self.advance(&checkpoint, old, &proof)?;
        self.key.cosign(&mut note, at);
        let ours = note.signatures.pop();
        Ok(ours.map(|signature| signature.line()).unwrap_or_default())
    }

    /// Checks a checkpoint against what was seen last, and keeps it, in one transaction: of two requests at once, one sees
    /// what the other kept.
    fn advance(&mut self, new: &Checkpoint, old: u64, proof: &[Hash]) -> Result<(), Unsigned> {
        let place = self.place.clone();
        let of = |error| failed(&place, error);
        let begun = self.db.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(of)?;
        let sql = "SELECT size, root FROM seen WHERE origin = ?1";
        let seen: Option<(i64, Vec<u8>)> = transaction
            .query_row(sql, [&new.origin], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()
            .map_err(of)?;
        let (size, root) = match seen {
            Some((size, root)) => {
                let root = Hash::try_from(root.as_slice());
                let root = root.map_err(|_| Error::Tampered { why: "a root is no hash".into() })?;
                (size as u64, root)
            }
            None => (0, root_of(&[])),
        };
        if old != size {
            return Err(Unsigned::Elsewhere(size));
        }
        if size == new.size && root != new.root {
            return Err(Unsigned::Fork(size));
        }
        if !proves_consistency((size, &root), (new.size, &new.root), proof) {
            return Err(Unsigned::Unproven);
        }
        let sql = "INSERT OR REPLACE INTO seen VALUES (?1, ?2, ?3)";
        let kept = params![new.origin, new.size as i64, new.root.as_slice()];
        transaction.execute(sql, kept).map_err(of)?;
        Ok(transaction.commit().map_err(of)?)
    }
}

/// A request to sign.
struct Request {
    old: u64,
    proof: Vec<Hash>,
    note: Note,
}

impl Request {
    fn read(bytes: &[u8]) -> Result<Self, Unsigned> {
        use Unsigned::Malformed;
        if bytes.len() > LARGEST {
            return Err(Malformed("it is too large"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed("it is no text"))?;
        let (head, note) =
            text.split_once("\n\n").ok_or(Malformed("there is no empty line in it"))?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old "));
        let old = old.ok_or(Malformed("it does not begin with the old size"))?;
        let number: u64 = old.parse().map_err(|_| Malformed("the old size is no number"))?;
        if number.to_string() != old {
            return Err(Malformed("the old size is no number"));
        }
        let mut proof = Vec::new();
        for line in lines {
            let hash = STANDARD.decode(line).ok().and_then(|hash| Hash::try_from(hash).ok());
            proof.push(hash.ok_or(Malformed("a line of the proof is no hash"))?);
            if proof.len() > LINES {
                return Err(Malformed("the proof is too long"));
            }
        }
        let note = Note::parse(note).map_err(|_| Malformed("there is no signed note in it"))?;
        Ok(Self { old: number, proof, note })
    }
}

// === who asks ===

/// Returns the request that asks a witness, which has seen `old` leaves of this log, to sign `note`.
///
/// # Errors
/// The log cannot be read, or is smaller than what the witness has seen.
pub fn request(log: &Reading, old: u64, note: &Note) -> Result<String, Error> {
    let checkpoint = Checkpoint::parse(&note.text)?;
    if old > checkpoint.size {
        let why = format!("a witness has seen {old} leaves, and the log has {}", checkpoint.size);
        return Err(Error::Tampered { why });
    }
    let proof = log.consistency(old, checkpoint.size)?;
    let lines: String = proof.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
    Ok(format!("old {old}\n{lines}\n{note}"))
}

/// Adds what a witness answered to `note`: its own valid signature and nothing else. Returns whether there is one.
pub fn add_signature(note: &mut Note, answer: &str, witness: &PublicKey) -> bool {
    let Ok(told) = Note::parse(&format!("{}\n{answer}", note.text)) else { return false };
    let theirs = told.signatures.into_iter().find(|signature| {
        let alone = Note { text: note.text.clone(), signatures: vec![signature.clone()] };
        witness.witnessed(&alone).is_some()
    });
    let Some(theirs) = theirs else { return false };
    note.signatures.retain(|one| !(one.name == theirs.name && one.id == theirs.id));
    note.signatures.push(theirs);
    true
}

/// Keeps a checkpoint that witnesses have signed in the folder of the log, whose writer may be at work. One that is larger
/// stays.
///
/// # Errors
/// The log's key `key` did not sign it, or it cannot be written.
pub fn keep(dir: &Path, key: &PublicKey, note: &Note) -> Result<(), Error> {
    if !key.signed(note) {
        return Err(Error::Key { why: "the checkpoint is not signed by the log's key".into() });
    }
    let size = Checkpoint::parse(&note.text)?.size;
    Reading::open(dir)?.keep_cosigned(size, note)
}

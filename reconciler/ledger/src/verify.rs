//! Proof that a log is what was signed: every leaf, tile, body and row, offline, by the public key alone.

use std::{collections::HashMap, fmt, path::Path};

use sitewright_model::{
    digest::Digest,
    lineage::{Header, LEAF_FORMAT, RECORD_FORMAT},
};

use crate::{
    Checkpoint, Error, Index, Note, PublicKey, Reading,
    archive::{Folder, Resources, TilesOf, bundle, checkpoint, cosigned},
    held::Bodies,
    merkle::{Edge, Tile, Tiles, WIDTH, leaf_hash},
    store::{self, parse},
};

/// Faults that are told; of further ones the number is.
const MOST: usize = 100;

/// Bundles that are checked at a time, so that memory is bounded.
const STRIDE: u64 = 64;

/// Something that is not what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: String,
    /// What is wrong.
    pub why: String,
}

/// What a log was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The name of the log.
    pub origin: String,
    /// How many leaves it has.
    pub size: u64,
    /// The root of the tree over them, in hexadecimal digits.
    pub root: String,
    /// How many bodies were erased.
    pub erased: u64,
    /// Which witnesses have signed the checkpoint, and when, in seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// Whether the index was compared with the log.
    pub has_index: bool,
    /// What is not as it should be.
    pub faults: Vec<Fault>,
    /// How many faults there are beyond those.
    pub further: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}

impl Verified {
    /// Returns whether everything is what was recorded.
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, place: impl Into<String>, why: impl Into<String>) {
        if self.faults.len() < MOST {
            self.faults.push(Fault { place: place.into(), why: why.into() });
        } else {
            self.further += 1;
        }
    }
}

/// Checks the log in the folder `dir`: a database, or an export. `key` is what it has to be signed with.
///
/// # Errors
/// There is no log. What is wrong with one that is there is in [`Verified::faults`].
pub fn verify(dir: &Path, key: &PublicKey, witnesses: &[PublicKey]) -> Result<Verified, Error> {
    if dir.join(store::FILE).exists() {
        // beside a writer: each as it is at one moment, and the index at one that the log has reached
        let index = Index::beside(dir).and_then(|index| {
            index.as_ref().map_or(Ok(()), Index::hold_still)?;
            Ok(index)
        });
        let reading = Reading::open(dir)?;
        reading.hold_still()?;
        let (mut verified, counts) = check(&reading, key, witnesses)?;
        check_database(&reading, index, &counts, &mut verified);
        Ok(verified)
    } else if dir.join("checkpoint").exists() {
        let (mut verified, _) = check(&Folder(dir.to_owned()), key, witnesses)?;
        check_files(dir, &mut verified);
        Ok(verified)
    } else {
        let why = "there is neither log.db nor a checkpoint in it".to_owned();
        Err(Error::NotALog { place: dir.to_owned(), why })
    }
}

fn check(
    log: &impl Resources,
    key: &PublicKey,
    witnesses: &[PublicKey],
) -> Result<(Verified, Counts), Error> {
    let mut verified = Verified {
        origin: key.name().to_owned(),
        size: 0,
        root: String::new(),
        erased: 0,
        witnesses: Vec::new(),
        has_index: false,
        faults: Vec::new(),
        further: 0,
    };
    let signed = match checkpoint(log) {
        Ok(Some(signed)) => signed,
        Ok(None) => {
            verified.fault("checkpoint", "there is none");
            return Ok((verified, Counts::new()));
        }
        Err(error) => {
            verified.fault("checkpoint", error.to_string());
            return Ok((verified, Counts::new()));
        }
    };
    let (note, Checkpoint { origin, size, root }) = &signed;
    verified.size = *size;
    verified.root = Digest::from_bytes(*root).hex();
    let earlier = match cosigned(log) {
        // what is no word of this log, or of a size that it has not, is nobody's proof
        Ok(found) => found.filter(|(_, one)| one.origin == *origin && one.size <= *size),
        Err(error) => {
            verified.fault("cosigned", error.to_string());
            None
        }
    };
    let notes: Vec<&Note> =
        [note].into_iter().chain(earlier.as_ref().map(|(note, _)| note)).collect();
    check_signatures(&mut verified, &notes, origin, key, witnesses);
    let earlier = earlier.map(|(_, checkpoint)| (checkpoint.size, checkpoint.root));
    let counts = check_leaves(&mut verified, log, (*size, *root), earlier);
    Ok((verified, counts))
}

fn check_signatures(
    verified: &mut Verified,
    notes: &[&Note],
    origin: &str,
    key: &PublicKey,
    witnesses: &[PublicKey],
) {
    for (note, place) in notes.iter().zip(["checkpoint", "cosigned"]) {
        if !key.signed(note) {
            verified.fault(place, format!("it is not signed by {}", key.name()));
        }
    }
    if origin != key.name() {
        verified.fault("checkpoint", format!("it is of the log {origin}, not of {}", key.name()));
    }
    for witness in witnesses {
        match notes.iter().find_map(|note| witness.witnessed(note)) {
            Some(cosigned) => verified.witnesses.push((cosigned.name, cosigned.at)),
            None => {
                verified.fault("checkpoint", format!("it is not witnessed by {}", witness.name()))
            }
        }
    }
}

/// How many records are about each thing, by a digest of its identity.
type Counts = HashMap<u64, u64>;

/// What is found out of one bundle, on any thread.
#[derive(Default)]
struct Bundle {
    hashes: Vec<[u8; 32]>,
    /// By leaf: which thing it is about, and the how many-th record.
    subjects: Vec<(u64, u64)>,
    erased: u64,
    faults: Vec<(String, String)>,
}

fn check_leaves(
    verified: &mut Verified,
    log: &impl Resources,
    (size, root): (u64, [u8; 32]),
    earlier: Option<(u64, [u8; 32])>,
) -> Counts {
    let tiles = TilesOf { log, size };
    let (mut edge, mut seen) = (Edge::default(), Counts::new());
    let bundles = size.div_ceil(WIDTH);
    let mut from = 0;
    let is_other = |edge: &Edge| {
        earlier.is_some_and(|(size, root)| edge.size() == size && edge.root() != root)
    };
    while from < bundles {
        let to = bundles.min(from + STRIDE);
        let checked = checked(log, from..to, size);
        for (number, bundle) in (from..to).zip(checked) {
            let mut full = Vec::new();
            for hash in &bundle.hashes {
                edge.push(*hash, &mut full);
                if is_other(&edge) {
                    verified
                        .fault("cosigned", "the leaves have another root than witnesses signed");
                }
            }
            for tile in full {
                check_tile(verified, &tiles, &tile);
            }
            for (at, (subject, sequence)) in bundle.subjects.iter().enumerate() {
                let count = seen.entry(*subject).or_default();
                if sequence != count {
                    let place = format!("leaf {}", number * WIDTH + at as u64);
                    let why =
                        format!("it says that {sequence} records came before it, not {count}");
                    verified.fault(place, why);
                }
                *count += 1;
            }
            verified.erased += bundle.erased;
            for (place, why) in bundle.faults {
                verified.fault(place, why);
            }
        }
        from = to;
    }
    for tile in edge.partial() {
        check_tile(verified, &tiles, &tile);
    }
    if edge.size() == size && edge.root() != root {
        verified.fault("checkpoint", "the leaves have another root than it signs");
    }
    seen
}

fn check_tile(verified: &mut Verified, tiles: &impl Tiles, tile: &Tile) {
    let place = format!("tile {}/{}", tile.level, tile.number);
    match tiles.tile(tile.level, tile.number) {
        Ok(hashes) if hashes == tile.hashes => {}
        Ok(_) => verified.fault(place, "it is not what the leaves give"),
        Err(error) => verified.fault(place, error.to_string()),
    }
}

/// Checks bundles. What is read is read here; what is hashed is hashed by all cores.
fn checked(log: &impl Resources, numbers: std::ops::Range<u64>, size: u64) -> Vec<Bundle> {
    use rayon::prelude::*;
    let read: Vec<_> = numbers.map(|number| (number, bundle(log, number, size))).collect();
    read.into_par_iter()
        .map(|(number, read)| match read {
            Ok((leaves, bodies)) => check_bundle(number, &leaves, &bodies),
            Err(error) => Bundle {
                faults: vec![(format!("bundle {number}"), error.to_string())],
                ..Bundle::default()
            },
        })
        .collect()
}

fn check_bundle(number: u64, leaves: &[Vec<u8>], bodies: &[Option<Vec<u8>>]) -> Bundle {
    let mut found = Bundle::default();
    for (at, (leaf, body)) in leaves.iter().zip(bodies).enumerate() {
        let position = number * WIDTH + at as u64;
        let place = || format!("leaf {position}");
        found.hashes.push(leaf_hash(leaf));
        let header: Header = match serde_json::from_slice(leaf) {
            Ok(header) => header,
            Err(error) => {
                found.faults.push((place(), format!("it is no header: {error}")));
                found.subjects.push((position, 0));
                continue;
            }
        };
        if header.format != LEAF_FORMAT {
            found.faults.push((place(), format!("it has the form {}", header.format)));
        }
        found.subjects.push((sign(header.subject.as_str()), header.sequence));
        match body {
            None => found.erased += 1,
            Some(body) if Digest::of(body) != header.body => {
                found.faults.push((place(), "its body is not the one that it names".into()));
            }
            Some(body) => match parse(body, position) {
                Ok(record)
                    if record.format == RECORD_FORMAT && record.subject == header.subject => {}
                Ok(_) => found.faults.push((place(), "its body is of something else".into())),
                Err(error) => found.faults.push((place(), error.to_string())),
            },
        }
    }
    found
}

/// Checks what a database has beside the log: counts, stray rows, and the index.
fn check_database(
    log: &Reading,
    index: Result<Option<Index>, Error>,
    counts: &Counts,
    verified: &mut Verified,
) {
    match log.leaves() {
        Ok(leaves) if leaves == verified.size => {}
        Ok(leaves) => {
            let why = format!("it has {leaves} leaves, and the checkpoint signs {}", verified.size);
            verified.fault("log.db", why);
        }
        Err(error) => verified.fault("log.db", error.to_string()),
    }
    match log.stray_tiles() {
        Ok(0) => {}
        Ok(count) => verified.fault("log.db", format!("it has {count} tiles too many or too few")),
        Err(error) => verified.fault("log.db", error.to_string()),
    }
    if let Err(error) = check_subjects(log, counts, verified) {
        verified.fault("log.db", error.to_string());
    }
    // one that is not there, or of another form, is made by whoever asks next; nothing is written here
    let checked = match index {
        Ok(None) => return,
        Ok(Some(index)) => check_index(log, &index, verified),
        Err(error) => Err(error),
    };
    verified.has_index = true;
    if let Err(error) = checked {
        verified.fault("index.db", format!("{error}; delete it, and it is made again"));
    }
}

fn check_subjects(log: &Reading, counts: &Counts, verified: &mut Verified) -> Result<(), Error> {
    let mut kept = 0;
    let mut differs = false;
    log.subjects(|id, count| {
        kept += 1;
        differs |= counts.get(&sign(id)) != Some(&count);
    })?;
    if differs || kept != counts.len() {
        verified.fault("log.db", "the counts of records by subject are not what the leaves give");
    }
    Ok(())
}

/// Returns a digest of an identity that is short enough to be kept for ten millions of them.
fn sign(id: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *Digest::of(id).bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The beginning of a log, as far as an index has come.
struct Beginning<'l>(&'l Reading, u64);

impl Bodies for Beginning<'_> {
    fn leaves(&self) -> Result<u64, Error> {
        Ok(self.0.leaves()?.min(self.1))
    }

    fn bodies(&self, from: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.0.bodies(from, count)
    }
}

fn check_index(log: &Reading, index: &Index, verified: &mut Verified) -> Result<(), Error> {
    if !index.is_whole()? {
        verified.fault("index.db", "the database is broken");
    }
    let upto = index.upto()?;
    let folded = Index::in_memory_of(&Beginning(log, upto))?;
    if upto > log.leaves()? || index.digest()? != folded.digest()? {
        verified.fault("index.db", "it is not what the log gives; delete it, and it is made again");
    }
    Ok(())
}

/// Checks that an export holds nothing beside the log: what nobody vouches for must not look as if somebody did.
fn check_files(dir: &Path, verified: &mut Verified) {
    let expected: std::collections::BTreeSet<std::path::PathBuf> =
        crate::archive::paths(verified.size).map(|path| dir.join(path)).collect();
    let mut folders = vec![dir.join("tile")];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if !expected.contains(&path) {
                let place = path.strip_prefix(dir).unwrap_or(&path).display().to_string();
                verified.fault(place, "it is no part of the log that the checkpoint signs");
            }
        }
    }
}

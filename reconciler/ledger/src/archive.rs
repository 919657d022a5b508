//! The log as files, as C2SP tlog-tiles lays them out: for mirrors, for offline proofs, and for good.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    Checkpoint, Error, Hash, Note, Reading,
    merkle::{Tiles, WIDTH, path},
    store::{hashes, unbundle, unbundle_bodies},
};

/// A log that is read resource by resource: of a folder, a server, a database.
pub trait Resources {
    /// Returns what `path` of tlog-tiles leads to; none where there is no such thing.
    ///
    /// # Errors
    /// It cannot be read.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error>;
}

impl Resources for Reading {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.resource(path)
    }
}

/// A log in a folder.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Resources for Folder {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.0.join(path);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::File { path, why: error.to_string() }),
        }
    }
}

/// Returns the checkpoint of a log.
pub(crate) fn checkpoint(log: &impl Resources) -> Result<Option<(Note, Checkpoint)>, Error> {
    signed(log, "checkpoint")
}

/// Returns the last checkpoint of a log that witnesses have signed.
pub(crate) fn cosigned(log: &impl Resources) -> Result<Option<(Note, Checkpoint)>, Error> {
    signed(log, "cosigned")
}

fn signed(log: &impl Resources, path: &str) -> Result<Option<(Note, Checkpoint)>, Error> {
    let Some(bytes) = log.get(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes)
        .map_err(|_| Error::Tampered { why: "the checkpoint is not text".into() })?;
    let note = Note::parse(&text)?;
    let checkpoint = Checkpoint::parse(&note.text)?;
    Ok(Some((note, checkpoint)))
}

/// Leaves, and their bodies as far as they were not erased.
pub(crate) type Bundle = (Vec<Vec<u8>>, Vec<Option<Vec<u8>>>);

/// Returns the leaves and bodies of bundle `number` of a log of `size`.
pub(crate) fn bundle(log: &impl Resources, number: u64, size: u64) -> Result<Bundle, Error> {
    let width = size.saturating_sub(number * WIDTH).min(WIDTH);
    let get = |kind: &str| {
        let path = path(kind, number, width);
        log.get(&path)?.ok_or_else(|| Error::Tampered { why: format!("{path} is missing") })
    };
    let (leaves, bodies) = (unbundle(&get("entries")?)?, unbundle_bodies(&get("bodies")?)?);
    if leaves.len() as u64 != width || bodies.len() as u64 != width {
        let why = format!("bundle {number} has not the {width} leaves and bodies it should have");
        return Err(Error::Tampered { why });
    }
    Ok((leaves, bodies))
}

/// The tiles of a log of a size.
pub(crate) struct TilesOf<'l, L> {
    pub(crate) log: &'l L,
    pub(crate) size: u64,
}

impl<L: Resources> Tiles for TilesOf<'_, L> {
    fn tile(&self, level: u32, number: u64) -> Result<Vec<Hash>, Error> {
        let all = self.size.checked_shr(8 * level).unwrap_or(0);
        let width = all.saturating_sub(number * WIDTH).min(WIDTH);
        let path = path(&level.to_string(), number, width);
        let bytes = self.log.get(&path)?;
        hashes(&bytes.ok_or_else(|| Error::Tampered { why: format!("{path} is missing") })?)
    }
}

/// Returns the paths of everything that a log of `size` has.
pub(crate) fn paths(size: u64) -> impl Iterator<Item = String> {
    let of = |kind: String, count: u64| {
        (0..count.div_ceil(WIDTH))
            .map(move |number| path(&kind, number, count.saturating_sub(number * WIDTH).min(WIDTH)))
    };
    let levels = (0..8u32)
        .map(move |level| (level, size.checked_shr(8 * level).unwrap_or(0)))
        .take_while(|(_, count)| *count > 0)
        .flat_map(move |(level, count)| of(level.to_string(), count));
    of("entries".into(), size).chain(of("bodies".into(), size)).chain(levels)
}

/// Writes the log into the folder `to`, with its public key; returns how many leaves.
///
/// What is there already and is full stays: an export that is repeated writes what is new.
///
/// # Errors
/// The log cannot be read, or the folder not be written.
pub fn export(log: &Reading, to: &Path) -> Result<u64, Error> {
    copy(log, log.key()?.as_deref(), to)
}

/// Writes a log that is read from anywhere into the folder `to`, with its public key where somebody says it; returns how
/// many leaves. Nothing is proven by it: [`verify`](crate::verify()) does that.
///
/// # Errors
/// The log cannot be read, has not what its checkpoint speaks of, or the folder cannot be written.
pub fn copy(log: &impl Resources, key: Option<&str>, to: &Path) -> Result<u64, Error> {
    let Some((note, checkpoint)) = checkpoint(log)? else { return Ok(0) };
    for path in paths(checkpoint.size) {
        let target = to.join(&path);
        if !path.contains(".p/") && !path.contains("/bodies/") && target.exists() {
            continue;
        }
        let bytes = log.get(&path)?;
        let bytes = bytes.ok_or_else(|| Error::Tampered { why: format!("{path} is missing") })?;
        let partial = match path.split_once(".p/") {
            Some((full, _)) => to.join(format!("{full}.p")),
            None => to.join(format!("{path}.p")),
        };
        // what was smaller before is of no use, and nothing would vouch for it
        match fs::remove_dir_all(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::File { path: partial, why: error.to_string() });
            }
            _ => write(&target, &bytes)?,
        }
    }
    if let Some(key) = key {
        write(&to.join("key.pub"), format!("{key}\n").as_bytes())?;
    }
    if let Some((cosigned, _)) = cosigned(log)?.filter(|(_, one)| one.size <= checkpoint.size) {
        write(&to.join("cosigned"), cosigned.to_string().as_bytes())?;
    }
    // last: whoever finds it finds everything that it speaks of
    write(&to.join("checkpoint"), note.to_string().as_bytes())?;
    Ok(checkpoint.size)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let of = |error: std::io::Error| Error::File { path: path.to_owned(), why: error.to_string() };
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(of)?;
    let unfinished = path.with_extension("new");
    let mut file = fs::File::create(&unfinished).map_err(of)?;
    file.write_all(bytes).and_then(|()| file.sync_data()).map_err(of)?;
    fs::rename(&unfinished, path).map_err(of)
}

/// Calls `each` with every leaf and body of the log in the folder `from`, in order; returns how many.
///
/// # Errors
/// The folder does not hold a log, or `each` fails.
pub fn import(
    from: &Path,
    mut each: impl FnMut(u64, &[u8], Option<&[u8]>) -> Result<(), Error>,
) -> Result<u64, Error> {
    let folder = Folder(from.to_owned());
    let Some((_, checkpoint)) = checkpoint(&folder)? else {
        let why = "there is no checkpoint in it".to_owned();
        return Err(Error::NotALog { place: from.to_owned(), why });
    };
    for number in 0..checkpoint.size.div_ceil(WIDTH) {
        let (leaves, bodies) = bundle(&folder, number, checkpoint.size)?;
        for (at, (leaf, body)) in leaves.iter().zip(&bodies).enumerate() {
            each(number * WIDTH + at as u64, leaf, body.as_deref())?;
        }
    }
    Ok(checkpoint.size)
}

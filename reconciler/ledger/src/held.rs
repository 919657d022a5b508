//! A log as it is held: in the database of its writer, or in a folder of files.
//!
//! Comes in: a folder. Goes out: resources of tlog-tiles, bodies, and what the end of the log is. Never: a write.

use std::path::{Path, PathBuf};

use sitewright_model::lineage::Record;

use crate::{
    Checkpoint, Error, Note, Reading,
    archive::{self, Folder, Resources, TilesOf},
    merkle::{Edge, WIDTH},
    store::{self, parse},
};

/// A log in its database, or as files.
#[derive(Debug)]
pub enum Held {
    /// The database, beside its writer perhaps.
    Database(Reading),
    /// Files, as an export has them.
    Files(PathBuf),
}

/// What is bodies by position, whatever holds them.
pub(crate) trait Bodies {
    /// Returns how many leaves there are.
    fn leaves(&self) -> Result<u64, Error>;
    /// Returns the bodies from `from` on, `count` at most; none of those that were erased.
    fn bodies(&self, from: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error>;
}

/// What the end of a log is, as far as it can be told without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The name of the log.
    pub origin: String,
    /// The key that the log says is its own; who trusts it has to know it from elsewhere.
    pub key: Option<String>,
    /// The last checkpoint; none where nothing was recorded.
    pub checkpoint: Option<(Note, Checkpoint)>,
    /// The last checkpoint that witnesses have signed as well.
    pub cosigned: Option<Note>,
    /// Whether the tiles give the root that the checkpoint signs.
    pub fits: bool,
}

impl Held {
    /// Opens the log in a folder: a database, or an export.
    ///
    /// # Errors
    /// There is neither.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        if !dir.join(store::FILE).exists() && dir.join("checkpoint").exists() {
            return Ok(Self::Files(dir.to_owned()));
        }
        Reading::open(dir).map(Self::Database)
    }

    /// Returns what a path of C2SP tlog-tiles leads to; none where there is no such thing.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn resource(&self, wanted: &str) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Database(reading) => reading.resource(wanted),
            // only paths that tlog-tiles knows: no other file of the folder
            Self::Files(dir)
                if ["checkpoint", "cosigned"].contains(&wanted)
                    || store::read_path(wanted).is_some() =>
            {
                Folder(dir.clone()).get(wanted)
            }
            Self::Files(_) => Ok(None),
        }
    }

    /// Returns how many leaves there are.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn leaves(&self) -> Result<u64, Error> {
        Bodies::leaves(self)
    }

    /// Returns the bodies from `from` on, `count` at most; none of those that were erased.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn bodies(&self, from: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error> {
        Bodies::bodies(self, from, count)
    }

    /// Returns the record at `position`; none where its body was erased.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn record(&self, position: u64) -> Result<Option<Record>, Error> {
        if let Self::Database(reading) = self {
            return reading.record(position);
        }
        let body = self.bodies(position, 1)?.into_iter().next().flatten();
        body.map(|body| parse(&body, position)).transpose()
    }

    /// Returns the end of the log.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn end(&self) -> Result<End, Error> {
        let (origin, key, cosigned, signed) = match self {
            Self::Database(reading) => {
                let note = reading.checkpoint()?;
                let parsed = note.map(|note| Checkpoint::parse(&note.text).map(|one| (note, one)));
                (Some(reading.origin()?), reading.key()?, reading.cosigned()?, parsed.transpose()?)
            }
            Self::Files(dir) => {
                let folder = Folder(dir.clone());
                let key = folder.get("key.pub")?.and_then(|key| String::from_utf8(key).ok());
                let cosigned = archive::cosigned(&folder)?.map(|(note, _)| note);
                (
                    None,
                    key.map(|key| key.trim().to_owned()),
                    cosigned,
                    archive::checkpoint(&folder)?,
                )
            }
        };
        let fits = match &signed {
            None => self.leaves()? == 0,
            Some((_, checkpoint)) => {
                let edge =
                    Edge::read(checkpoint.size, &TilesOf { log: self, size: checkpoint.size });
                match edge {
                    Ok(edge) => edge.root() == checkpoint.root,
                    Err(Error::Tampered { .. }) => false,
                    Err(error) => return Err(error),
                }
            }
        };
        let of_checkpoint = signed.as_ref().map(|(_, checkpoint)| checkpoint.origin.clone());
        let origin = origin.or(of_checkpoint).unwrap_or_default();
        Ok(End { origin, key, checkpoint: signed, cosigned, fits })
    }
}

impl Resources for Held {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.resource(path)
    }
}

impl Bodies for Reading {
    fn leaves(&self) -> Result<u64, Error> {
        Self::leaves(self)
    }

    fn bodies(&self, from: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error> {
        Self::bodies(self, from, count)
    }
}

impl Bodies for Held {
    fn leaves(&self) -> Result<u64, Error> {
        match self {
            Self::Database(reading) => reading.leaves(),
            Self::Files(dir) => {
                let signed = archive::checkpoint(&Folder(dir.clone()))?;
                Ok(signed.map_or(0, |(_, checkpoint)| checkpoint.size))
            }
        }
    }

    fn bodies(&self, from: u64, count: u64) -> Result<Vec<Option<Vec<u8>>>, Error> {
        let dir = match self {
            Self::Database(reading) => return reading.bodies(from, count),
            Self::Files(dir) => dir,
        };
        let size = self.leaves()?;
        let to = from.saturating_add(count).min(size);
        let mut found = Vec::new();
        let mut at = from;
        while at < to {
            let (_, bodies) = archive::bundle(&Folder(dir.clone()), at / WIDTH, size)?;
            let skipped = (at % WIDTH) as usize;
            let some = bodies.into_iter().skip(skipped).take((to - at) as usize);
            let before = found.len();
            found.extend(some);
            at += (found.len() - before) as u64;
        }
        Ok(found)
    }
}

//! A repository on a server, read into memory: for commits that somebody named, not for sources of sites.

use std::time::{Duration, Instant};

use super::{
    GitError,
    http::HttpWire,
    objects::{BadPack, Name, Objects, Room},
    protocol::{ObjectName, RemoteReference, Session, Wire, Wish},
    ssh::SshWire,
};
use crate::{outbound::Reach, url::Url};

/// A repository on a server, for so long.
pub(crate) struct Remote<'a> {
    url: &'a Url,
    reach: &'a Reach,
    room: Room,
    /// Bytes of one answer.
    bytes: u64,
    end: Instant,
}

/// What to fetch.
#[derive(Default)]
pub(crate) struct Want {
    /// Objects.
    pub(crate) ids: Vec<Name>,
    /// Commits that are left out with their history.
    pub(crate) except: Vec<Name>,
    /// Whether the history of the commits is left out.
    pub(crate) is_shallow: bool,
    /// What is left out, where the server can.
    pub(crate) filter: Option<&'static str>,
}

/// What a reference leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The full name of the reference.
    pub(crate) name: String,
    /// The commit, if it is one.
    pub(crate) commit: Name,
    /// The object itself: another one where it is an annotated tag.
    pub(crate) id: Name,
}

impl<'a> Remote<'a> {
    pub(crate) fn new(
        url: &'a Url,
        reach: &'a Reach,
        room: Room,
        bytes: u64,
        end: Instant,
    ) -> Self {
        Self { url, reach, room, bytes, end }
    }

    /// Returns the references that begin with any of `prefixes`.
    pub(crate) fn tips(&self, prefixes: &[&str]) -> Result<Vec<Tip>, GitError> {
        let found: Vec<RemoteReference<Name>> = self.session()?.references(prefixes)?;
        let tips =
            found.into_iter().map(|RemoteReference { name, id, commit }| Tip { name, commit, id });
        Ok(tips.collect())
    }

    /// Makes room for objects of the repository.
    pub(crate) fn objects(&self) -> Result<Objects, GitError> {
        Ok(Objects::new(self.session()?.format(), self.room))
    }

    /// Fetches objects into `objects`.
    pub(crate) fn fetch(&self, want: Want, objects: &mut Objects) -> Result<(), GitError> {
        let Want { ids, except, is_shallow, filter } = want;
        let depth = is_shallow.then_some(1);
        let wish = Wish { wants: ids, haves: Vec::new(), except, depth, filter };
        let mut pack = Vec::new();
        self.session()?.fetch(&wish, &mut pack)?;
        objects.add(&pack).map_err(|bad| match bad {
            BadPack::Malformed(_) => {
                GitError::Protocol { repository: self.url.clone(), problem: bad.to_string() }
            }
            BadPack::TooLarge(_) => {
                GitError::TooLargeInside { repository: self.url.clone(), what: bad.to_string() }
            }
        })
    }

    fn session(&self) -> Result<Session<'_, Name>, GitError> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left < Duration::from_secs(1) {
            let facts = vec!["the time for it is over".to_owned()];
            return Err(GitError::Unreachable { repository: self.url.clone(), facts });
        }
        let wire: Box<dyn Wire> = match self.url.scheme() {
            "ssh" => Box::new(SshWire::open(self.url, left.as_secs(), self.bytes)?),
            _ => Box::new(HttpWire::new(self.url, left.as_secs(), self.bytes).within(self.reach)),
        };
        Session::start(wire, self.url)
    }
}

impl Name {
    /// Reads an id, written in full.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        <Self as ObjectName>::read(text)
    }
}

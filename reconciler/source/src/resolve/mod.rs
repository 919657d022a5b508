//! From an id that somebody claimed, or a name, to what is really there.
//!
//! Comes in: an [`EntityId`], where it is said to be, and who may be spoken to ([`Resolving`]). Goes out: statements
//! about the artifact, `resolved` where an immutable id was fetched and checked, `attested` where a signature was,
//! `inferred` where a name led somewhere at the time, `claimed` where the artifact says so of itself; or why there are
//! none ([`Unresolved`]). Never: a statement about the run that claimed it, so that a claim stays a claim; a file of
//! this machine; more than the bounds, in bytes, entries and time. Everything here blocks.
//!
//! One file per system. [`resolve`] is the one entry; [`tree::hash`] is for directories, which have no server.

pub(crate) mod annex;
mod commit;
pub mod dsse;
pub(crate) mod dvc;
mod git;
mod gitconfig;
mod iceberg;
mod lakefs;
mod oci;
mod s3;
mod store;
pub mod tree;

use std::time::{Duration, Instant};

use jiff::Timestamp;
use sitewright_model::{
    lineage::{EntityId, EntityKind, Grade, Relation, Source, Statement},
    terminal,
};

use self::dsse::TrustedKey;
pub use self::{
    oci::push_envelope,
    s3::{Listed, PrefixManifest, hash_prefix, prefix_manifest},
    store::{Catalog, LakeFs, S3, S3Login, Stores},
};
use crate::{
    git::GitError,
    http::HttpError,
    outbound::Reach,
    settings::{MirrorError, Settings},
    url::Url,
};

/// Edges and facts that are made of one artifact; of further ones the number is said.
pub const MOST: usize = 2_000;

/// How an artifact is looked up.
#[derive(Clone, Debug)]
pub struct Resolving<'a> {
    /// Mirrors, and whether the network may be used. Where a mirror leads was chosen by who runs the program.
    pub settings: &'a Settings,
    /// Who may be spoken to: whoever wrote an annotation chose the address.
    pub reach: Reach,
    /// The time, for what is so at a time.
    pub now: Timestamp,
    /// How long all of it may take; of the list of a prefix and its checksums too.
    pub deadline: Duration,
    /// Keys whose signatures make a claim attested.
    pub keys: &'a [TrustedKey],
    /// Stores of data that the site names.
    pub stores: &'a Stores,
}

/// No store.
static NO_STORES: Stores = Stores { s3: Vec::new(), lakefs: Vec::new(), iceberg: Vec::new() };

/// Why there is nothing to say.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// It is not there, as far as we may see: a fact to record, with [`Unresolved::statements`].
    #[error("it is not there: {0}")]
    Gone(String),
    /// It cannot be reached now: to be tried again.
    #[error("it cannot be reached now: {0}")]
    Away(String),
    /// We may not: it has to be let in, by a login or by the site. Trying again alone changes nothing.
    #[error("it may not be read: {0}")]
    Refused(String),
    /// It is beyond a bound.
    #[error("it is too large: {0}")]
    TooLarge(String),
    /// What was fetched is not what the id says, or is broken.
    #[error("it is not what its id says: {0}")]
    Broken(String),
    /// Nothing here looks up such a thing.
    #[error("nothing looks it up: {0}")]
    Unknown(String),
}

/// Returns what there is to say of `id`, which is said to be at `uri`.
///
/// # Errors
/// It is gone, away, refused or too large. Only [`Unresolved::Away`] is worth another try as it is.
pub fn resolve(
    id: &EntityId,
    uri: Option<&str>,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let uri = uri.or((id.kind() == EntityKind::Ref).then(|| id.rest())).unwrap_or_default();
    match (id.kind(), scheme(uri)) {
        (EntityKind::Commit, "git" | "git+https" | "git+http" | "git+ssh") => {
            git::commit(id, uri, with)
        }
        (EntityKind::Ref, "git+https" | "git+http" | "git+ssh") => git::name(id, uri, with),
        (EntityKind::Image, _) => oci::image(id, uri, with),
        (EntityKind::Ref, "oci" | "docker") => oci::tag(id, uri, with),
        (EntityKind::Data, _) => match id.rest().split_once(':').unwrap_or_default().0 {
            "s3" => s3::version(id, with),
            "lakefs" => lakefs::commit(id, with),
            "uri" if id.rest().starts_with("uri:iceberg://") => iceberg::table(id, uri, with),
            other => Err(Unresolved::Unknown(format!("data of `{}`", shown(other)))),
        },
        (EntityKind::Ref, "s3") => s3::name(id, uri, with),
        (EntityKind::Ref, "lakefs") => lakefs::name(id, uri, with),
        (EntityKind::Ref, "iceberg") => iceberg::table(id, uri, with),
        (EntityKind::Ref, "https" | "http") if uri.ends_with(".metadata.json") => {
            iceberg::table(id, uri, with)
        }
        (kind, _) => Err(Unresolved::Unknown(format!("a {kind} at `{}`", shown(uri)))),
    }
}

/// Returns what leads to the commit `id` on the server of `url`: references, or none where the server does not have it,
/// or only until it tidies up.
///
/// # Errors
/// The server cannot be asked, or there is too much to look through.
pub fn leads_to(url: &Url, id: &str, with: &Resolving<'_>) -> Result<Option<String>, Unresolved> {
    git::leads_to(url, id, with)
}

/// Returns what stands before `://`.
fn scheme(uri: &str) -> &str {
    uri.split_once("://").map_or("", |(scheme, _)| scheme)
}

/// Returns whether every part of a path is one: a server, or a proxy before it, may take `..` for another folder.
fn is_plain_path(path: &str) -> bool {
    !path.split('/').any(|part| matches!(part, "." | ".."))
}

/// Returns text of others as it may be shown and recorded.
fn shown(text: &str) -> String {
    terminal::clean(&text.chars().take(200).collect::<String>())
}

// === impl Unresolved ===

impl Unresolved {
    /// Returns the word for it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Gone(_) => "gone",
            Self::Away(_) => "away",
            Self::Refused(_) => "refused",
            Self::TooLarge(_) => "tooLarge",
            Self::Broken(_) => "broken",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Returns whether trying again, with nothing changed here, may end in another way.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// Returns what is to be recorded of it: nothing of what is to be tried again.
    ///
    /// That it is gone stands against an earlier `found` of the same place, since both have one source.
    pub fn statements(&self, id: &EntityId, uri: &str) -> Vec<Statement> {
        let grade = match self {
            Self::Away(_) | Self::Unknown(_) => return Vec::new(),
            Self::Gone(_) => Grade::Resolved,
            Self::Refused(_) | Self::TooLarge(_) | Self::Broken(_) => Grade::Unknown,
        };
        let source = place(uri);
        vec![
            Statement::fact(id, RESOLUTION, self.word(), grade, &source),
            Statement::fact(id, "resolutionNote", shown(&self.to_string()), grade, &source),
        ]
    }
}

impl From<GitError> for Unresolved {
    fn from(error: GitError) -> Self {
        let said = error.to_string();
        match error {
            GitError::Unreachable { facts, .. } => Self::Away(with_facts(said, &facts)),
            GitError::Offline { .. } | GitError::NoSsh { .. } | GitError::Busy { .. } => {
                Self::Away(said)
            }
            GitError::Refused { facts, .. } => Self::Refused(with_facts(said, &facts)),
            GitError::NotFound { facts, .. } => Self::Gone(with_facts(said, &facts)),
            GitError::TooLarge { .. } | GitError::TooLargeInside { .. } => Self::TooLarge(said),
            GitError::Protocol { .. } | GitError::Server { .. } | GitError::Store { .. } => {
                Self::Away(said)
            }
        }
    }
}

impl From<HttpError> for Unresolved {
    fn from(error: HttpError) -> Self {
        let said = error.to_string();
        match error {
            HttpError::NotFound { .. } => Self::Gone(said),
            HttpError::Refused { .. }
            | HttpError::Plaintext { .. }
            | HttpError::Forbidden { .. }
            | HttpError::Redirect { .. } => Self::Refused(said),
            HttpError::TooLarge { .. } => Self::TooLarge(said),
            // a server that is overloaded, or in pieces
            HttpError::Unreachable { .. } | HttpError::Status { .. } => Self::Away(said),
        }
    }
}

impl From<MirrorError> for Unresolved {
    fn from(error: MirrorError) -> Self {
        Self::Refused(error.to_string())
    }
}

fn with_facts(mut said: String, facts: &[String]) -> String {
    for fact in facts.iter().take(3) {
        said.push_str("; ");
        said.push_str(fact);
    }
    said
}

// === impl Resolving ===

impl<'a> Resolving<'a> {
    /// Makes one that speaks to others alone, and takes at most a minute.
    pub fn new(settings: &'a Settings, now: Timestamp) -> Self {
        let (reach, deadline) = (Reach::Others, Duration::from_secs(60));
        Self { settings, reach, now, deadline, keys: &[], stores: &NO_STORES }
    }

    /// As [`Self::place`], for an address that begins with `oci://`.
    fn place_of_registry(&self, url: &Url) -> Result<(Url, Reach), Unresolved> {
        let mirrored = self.settings.mirrored(url)?;
        let is_ours = mirrored != *url;
        if mirrored.scheme() != "oci" {
            return self.place(url);
        }
        if self.settings.offline {
            return Err(Unresolved::Away(format!("the network may not be used for `{url}`")));
        }
        let reach = if is_ours { Reach::Anybody } else { self.reach.clone() };
        reach.permits(&mirrored).map_err(|reason| {
            Unresolved::Refused(format!("`{}` may not be spoken to: {reason}", mirrored.host()))
        })?;
        Ok((mirrored, reach))
    }

    fn end(&self) -> Instant {
        Instant::now() + self.deadline
    }

    /// Returns where `url` is read from, and who may be spoken to for it.
    fn place(&self, url: &Url) -> Result<(Url, Reach), Unresolved> {
        let mirrored = self.settings.mirrored(url)?;
        let is_ours = mirrored != *url;
        let reach = if is_ours { Reach::Anybody } else { self.reach.clone() };
        if self.settings.offline {
            return Err(Unresolved::Away(format!("the network may not be used for `{url}`")));
        }
        match mirrored.scheme() {
            "https" | "http" => {}
            // ssh resolves names by itself, with the keys of this machine: whom it may speak to has to be said
            "ssh" if matches!(reach, Reach::Others) => {
                let why = "over ssh only hosts are asked that the site names".to_owned();
                return Err(Unresolved::Refused(why));
            }
            "ssh" => {}
            other => {
                let why = format!("`{other}` is no way to a server");
                return Err(Unresolved::Refused(why));
            }
        }
        reach.permits(&mirrored).map_err(|reason| {
            Unresolved::Refused(format!("`{}` may not be spoken to: {reason}", mirrored.host()))
        })?;
        Ok((mirrored, reach))
    }
}

// === statements ===

/// The fact that says whether an artifact is there: `found` or `gone`.
const RESOLUTION: &str = "resolution";

/// Returns the source of what is found at `uri`: the place itself.
fn place(uri: &str) -> Source {
    Source::rule(format!("resolved at {}", shown(&crate::url::public(uri))))
}

/// Gathers statements about one artifact.
struct Said {
    id: EntityId,
    source: Source,
    statements: Vec<Statement>,
    /// Edges that were left out because there are too many.
    left_out: usize,
}

impl Said {
    fn of(id: &EntityId, source: Source) -> Self {
        Self { id: id.clone(), source, statements: Vec::new(), left_out: 0 }
    }

    /// Says that the artifact is there.
    fn found(id: &EntityId, source: Source) -> Self {
        let mut said = Self::of(id, source);
        said.fact(RESOLUTION, "found");
        said
    }

    fn fact(&mut self, field: &str, value: impl AsRef<str>) {
        self.graded(field, value, Grade::Resolved);
    }

    fn graded(&mut self, field: &str, value: impl AsRef<str>, grade: Grade) {
        let value = terminal::clean(&value.as_ref().chars().take(LONGEST).collect::<String>());
        self.statements.push(Statement::fact(&self.id, field, value, grade, &self.source));
    }

    /// Says that the artifact depends on `to`, read from `field` of it; returns whether there was room for it.
    fn edge(&mut self, relation: Relation, to: &EntityId, grade: Grade, field: &str) -> bool {
        if self.statements.len() >= MOST {
            self.left_out += 1;
            return false;
        }
        let source = self.source.at(shown(field));
        self.statements.push(Statement::edge(&self.id, relation, to, grade, &source));
        true
    }

    /// Says something of another artifact.
    fn of_other(&mut self, other: &EntityId, field: &str, value: impl AsRef<str>, grade: Grade) {
        if self.statements.len() < MOST {
            let value = terminal::clean(&value.as_ref().chars().take(LONGEST).collect::<String>());
            self.statements.push(Statement::fact(other, field, value, grade, &self.source));
        }
    }

    fn finish(mut self) -> Vec<Statement> {
        if self.left_out > 0 {
            let left_out = self.left_out.to_string();
            self.fact("leftOut", left_out);
        }
        self.statements
    }
}

/// Characters of a value that is recorded.
const LONGEST: usize = 1_000;

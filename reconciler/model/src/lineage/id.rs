//! What things are called. This scheme is documented in the book and never changes.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The longest identity, in bytes: it has to fit in a leaf of the log beside others.
const LONGEST: usize = 2_000;

/// Which cluster: the UID of its `kube-system` namespace.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct ClusterId(String);

/// The identity of a thing: a kind, a colon, and what tells it from all others of that kind.
///
/// Content is called by its digest, a commit by its id, an object of a cluster by the cluster's id and its UID. Names
/// (of repositories, buckets, models) are facts, never identities, but for [`EntityKind::Ref`], which is a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct EntityId(String);

/// What kind of thing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum EntityKind {
    /// `commit:ID`: a commit of code, or of a cluster's configuration.
    Commit,
    /// `image:sha256:HEX`: an image index, manifest or config.
    Image,
    /// `data:SCHEME:ID`: data in one state, by the id of the system that holds it.
    Data,
    /// `tree:sha256:HEX`: a directory, by its `dirHash`: a model, most of all.
    Tree,
    /// `ref:URI`: a name that may lead elsewhere tomorrow.
    Ref,
    /// `volume:CLUSTER/UID`: a claim whose content has no id.
    Volume,
    /// `run:CLUSTER/UID`: a training run, by the outermost object that stands for it.
    Run,
    /// `attempt:CLUSTER/UID`: one pod of a run.
    Attempt,
    /// `epoch:CLUSTER/SITE/DIGEST`: an interval in which one revision was in force.
    Epoch,
    /// `node:CLUSTER/UID`: a node.
    Node,
    /// `state:sha256:HEX`: kernel, runtime, driver and so on of a node, by its content.
    State,
    /// `part:NAME/VERSION`: a driver, kernel or runtime in one version.
    Part,
    /// `service:CLUSTER/UID`: what serves models.
    Service,
    /// `person:HEX`: a person or account, by pseudonym.
    Person,
}

/// The text is no identity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is no identity: {why}")]
pub struct NotAnEntity {
    text: String,
    why: &'static str,
}

// === impl ClusterId ===

impl ClusterId {
    /// Takes the UID of the cluster's `kube-system` namespace.
    pub fn new(uid: impl Into<String>) -> Self {
        Self(uid.into())
    }

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

// === impl EntityKind ===

impl EntityKind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Commit,
        Self::Image,
        Self::Data,
        Self::Tree,
        Self::Ref,
        Self::Volume,
        Self::Run,
        Self::Attempt,
        Self::Epoch,
        Self::Node,
        Self::State,
        Self::Part,
        Self::Service,
        Self::Person,
    ];

    /// Returns the word that identities of it begin with.
    pub fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Image => "image",
            Self::Data => "data",
            Self::Tree => "tree",
            Self::Ref => "ref",
            Self::Volume => "volume",
            Self::Run => "run",
            Self::Attempt => "attempt",
            Self::Epoch => "epoch",
            Self::Node => "node",
            Self::State => "state",
            Self::Part => "part",
            Self::Service => "service",
            Self::Person => "person",
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

// === impl EntityId ===

impl EntityId {
    /// Returns the commit `id`, 40 or 64 hexadecimal digits, where it has that form.
    pub fn commit(id: &str) -> Option<Self> {
        is_commit(id).then(|| Self(format!("commit:{}", id.to_ascii_lowercase())))
    }

    /// Returns the image, manifest or config with `digest`.
    pub fn image(digest: Digest) -> Self {
        Self(format!("image:{digest}"))
    }

    /// Returns data in one state; `scheme` is the system that calls it `id`.
    pub fn data(scheme: &str, id: &str) -> Option<Self> {
        let is_scheme = !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if is_scheme { format!("data:{scheme}:{id}").parse().ok() } else { None }
    }

    /// Returns the directory with the `dirHash` `digest`.
    pub fn tree(digest: Digest) -> Self {
        Self(format!("tree:{digest}"))
    }

    /// Returns the mutable name `uri`.
    pub fn reference(uri: &str) -> Option<Self> {
        format!("ref:{uri}").parse().ok()
    }

    /// Returns the claim with `uid`.
    pub fn volume(cluster: &ClusterId, uid: &str) -> Self {
        Self::of_object(EntityKind::Volume, cluster, uid)
    }

    /// Returns the run that the object with `uid` stands for.
    pub fn run(cluster: &ClusterId, uid: &str) -> Self {
        Self::of_object(EntityKind::Run, cluster, uid)
    }

    /// Returns the attempt that the pod with `uid` is.
    pub fn attempt(cluster: &ClusterId, uid: &str) -> Self {
        Self::of_object(EntityKind::Attempt, cluster, uid)
    }

    /// Returns the node with `uid`.
    pub fn node(cluster: &ClusterId, uid: &str) -> Self {
        Self::of_object(EntityKind::Node, cluster, uid)
    }

    /// Returns the service that the object with `uid` is.
    pub fn service(cluster: &ClusterId, uid: &str) -> Self {
        Self::of_object(EntityKind::Service, cluster, uid)
    }

    /// Returns the epoch of `site` whose beginning has `digest`.
    pub fn epoch(cluster: &ClusterId, site: &str, digest: Digest) -> Self {
        Self(format!("epoch:{cluster}/{site}/{}", digest.hex()))
    }

    /// Returns the state of a node with `digest`.
    pub fn state(digest: Digest) -> Self {
        Self(format!("state:{digest}"))
    }

    /// Returns the driver, kernel or runtime `name` in `version`.
    pub fn part(name: &str, version: &str) -> Option<Self> {
        let version = version.trim();
        if version.is_empty() { None } else { format!("part:{name}/{version}").parse().ok() }
    }

    /// Returns the person that is called `name` on this cluster.
    ///
    /// `salt` is the log's own secret: without it nobody finds the name by trying names.
    pub fn person(salt: &[u8], name: &str) -> Self {
        let digest = Digest::of_parts([salt, name.as_bytes()]);
        Self(format!("person:{}", digest.hex().get(..32).unwrap_or_default()))
    }

    fn of_object(kind: EntityKind, cluster: &ClusterId, uid: &str) -> Self {
        Self(format!("{kind}:{cluster}/{uid}"))
    }

    /// Returns the kind.
    pub fn kind(&self) -> EntityKind {
        let word = self.0.split_once(':').map_or("", |(word, _)| word);
        EntityKind::ALL
            .into_iter()
            .find(|kind| kind.word() == word)
            .expect("an identity is only made with the word of a kind")
    }

    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns what follows the kind.
    pub fn rest(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, rest)| rest)
    }

    /// Returns a short form for people; it may be that of another thing too.
    pub fn short(&self) -> String {
        let rest = self.rest();
        match self.kind() {
            EntityKind::Commit => rest.chars().take(12).collect(),
            EntityKind::Image | EntityKind::Tree | EntityKind::State => {
                rest.strip_prefix("sha256:").unwrap_or(rest).chars().take(12).collect()
            }
            EntityKind::Epoch => {
                let mut parts = rest.split('/').skip(1);
                let (site, digest) =
                    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                format!("{site}@{}", digest.chars().take(8).collect::<String>())
            }
            EntityKind::Person => rest.chars().take(8).collect(),
            EntityKind::Run
            | EntityKind::Attempt
            | EntityKind::Node
            | EntityKind::Service
            | EntityKind::Volume => {
                rest.rsplit('/').next().unwrap_or(rest).chars().take(8).collect()
            }
            EntityKind::Data | EntityKind::Ref | EntityKind::Part => rest.to_owned(),
        }
    }
}

/// Returns whether `id` is the full id of a git object: SHA-1 or SHA-256.
pub(crate) fn is_commit(id: &str) -> bool {
    matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for EntityId {
    type Err = NotAnEntity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no = |why| Err(NotAnEntity { text: text.chars().take(80).collect(), why });
        let Some((word, rest)) = text.split_once(':') else { return no("it has no kind") };
        let Some(kind) = EntityKind::ALL.into_iter().find(|kind| kind.word() == word) else {
            return no("there is no such kind");
        };
        if rest.is_empty() {
            return no("nothing follows the kind");
        }
        if text.len() > LONGEST {
            return no("it is too long");
        }
        // white space and control characters would break lines of output and of exports
        if rest.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return no("it has white space or control characters");
        }
        let is_formed = match kind {
            EntityKind::Commit => is_commit(rest),
            EntityKind::Image | EntityKind::Tree | EntityKind::State => {
                rest.parse::<Digest>().is_ok()
            }
            EntityKind::Data => rest
                .split_once(':')
                .is_some_and(|(scheme, id)| !scheme.is_empty() && !id.is_empty()),
            EntityKind::Run
            | EntityKind::Attempt
            | EntityKind::Node
            | EntityKind::Service
            | EntityKind::Volume => {
                rest.split_once('/').is_some_and(|(one, two)| !one.is_empty() && !two.is_empty())
            }
            EntityKind::Epoch => rest.split('/').count() == 3,
            EntityKind::Part => rest.contains('/'),
            EntityKind::Ref | EntityKind::Person => true,
        };
        if is_formed { Ok(Self(text.to_owned())) } else { no("it has not the form of its kind") }
    }
}

impl<'de> Deserialize<'de> for EntityId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

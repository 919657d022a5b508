//! What somebody was told, in a form that outlives the agent: it is kept in the status of the SiteSync.

use std::collections::{BTreeMap, BTreeSet};

/// What is told of a site, besides the status of its commit; in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// Which revision it is at.
    Revision,
    /// What does not work.
    Problem,
    /// What is held.
    Held,
    /// What differs, and stays so.
    Drift,
    /// What somebody fights over.
    Fight,
    /// What is not healthy.
    Health,
    /// What a revision made unhealthy.
    Bad,
}

/// The commit whose status was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToldCommit {
    /// The commit.
    pub(super) commit: String,
    /// The digest of what was read at it: a commit that changes nothing of the site is not its business.
    pub(super) inputs: String,
    /// The digest of what was said of it.
    pub(super) said: String,
}

/// What somebody was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    topics: BTreeMap<Topic, BTreeSet<String>>,
    /// The status of the last commit.
    pub(super) commit: Option<ToldCommit>,
}

const TOPICS: [(Topic, &str); 7] = [
    (Topic::Revision, "revision"),
    (Topic::Problem, "problem"),
    (Topic::Held, "held"),
    (Topic::Drift, "drift"),
    (Topic::Fight, "fight"),
    (Topic::Health, "health"),
    (Topic::Bad, "bad"),
];

/// What a line about the status of a commit begins with.
const COMMIT: &str = "commit";

// === impl Told ===

impl Told {
    /// Returns what is known of a topic.
    pub(super) fn keys(&self, topic: Topic) -> BTreeSet<String> {
        self.topics.get(&topic).cloned().unwrap_or_default()
    }

    /// Takes that a topic was told.
    pub(super) fn set(&mut self, topic: Topic, keys: impl IntoIterator<Item = String>) {
        let keys: BTreeSet<String> = keys.into_iter().collect();
        if keys.is_empty() {
            self.topics.remove(&topic);
        } else {
            self.topics.insert(topic, keys);
        }
    }

    /// Reads the lines of a status; those that are none are nothing that was told.
    pub(super) fn of_lines<'l>(lines: impl IntoIterator<Item = &'l str>) -> Self {
        let mut told = Self::default();
        for line in lines {
            let Some((name, rest)) = line.split_once('/') else { continue };
            if name == COMMIT {
                told.commit = commit(rest);
            } else if let Some((topic, _)) = TOPICS.iter().find(|(_, known)| *known == name) {
                told.topics.entry(*topic).or_default().insert(rest.to_owned());
            }
        }
        told
    }

    /// Returns the lines of a status.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(ToldCommit { commit, inputs, said }) = &self.commit {
            lines.push(format!("{COMMIT}/{commit}/{inputs}/{said}"));
        }
        for (topic, name) in TOPICS {
            let keys = self.topics.get(&topic).into_iter().flatten();
            lines.extend(keys.map(|key| format!("{name}/{key}")));
        }
        lines
    }
}

fn commit(text: &str) -> Option<ToldCommit> {
    let mut parts = text.split('/').map(str::to_owned);
    let (commit, inputs, said) = (parts.next()?, parts.next()?, parts.next()?);
    Some(ToldCommit { commit, inputs, said })
}

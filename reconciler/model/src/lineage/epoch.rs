//! Epochs: the intervals in which one revision was in force on one cluster, and what happened in them.

use super::{ClusterId, EntityId, Grade, Relation, Source, Statement, claim::clean};
use crate::{digest::Digest, name::SiteName, object::ObjectId, revision::Revision};

/// Objects that one record names; of further ones the number is said.
pub const MOST: usize = 500;

/// A revision that comes in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Began<'e> {
    /// The cluster.
    pub cluster: &'e ClusterId,
    /// The site.
    pub site: &'e SiteName,
    /// The revision.
    pub revision: &'e Revision,
    /// The digest of what was rendered.
    pub rendered: Digest,
    /// The version of the agent.
    pub agent: &'e str,
    /// What was in force before.
    pub before: Option<&'e EntityId>,
    /// Random text, so that coming back to an old revision is another epoch.
    pub nonce: &'e str,
}

/// What happened in an epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// An apply ended: how, by which plan, and what came of each object that was not as desired.
    Applied {
        /// How it ended.
        end: String,
        /// The digest of the plan.
        plan: String,
        /// Objects and what came of them.
        objects: Vec<(ObjectId, String)>,
    },
    /// Somebody had changed an object; who, and whether it was mended.
    Drifted {
        /// The object.
        object: ObjectId,
        /// Who, as far as that is known, and which fields.
        what: String,
        /// Whether it was mended.
        is_mended: bool,
    },
    /// A change waits, and for what.
    Held {
        /// The object.
        object: ObjectId,
        /// For what.
        why: String,
    },
    /// A change that waited does so no longer.
    Released {
        /// The object.
        object: ObjectId,
    },
}

impl Began<'_> {
    /// Returns the identity of the epoch.
    pub fn id(&self) -> EntityId {
        let Self { revision, .. } = self;
        let commit = revision.commit.as_deref().unwrap_or_default();
        let inputs = revision.inputs.to_string();
        let rendered = self.rendered.to_string();
        let before = self.before.map(EntityId::as_str).unwrap_or_default();
        let digest = Digest::of_parts([
            self.cluster.as_str(),
            self.site.as_str(),
            &revision.repository,
            &revision.path,
            commit,
            &inputs,
            &rendered,
            before,
            self.nonce,
        ]);
        EntityId::epoch(self.cluster, self.site.as_str(), digest)
    }

    /// Returns that `epoch` puts the commit in force: this one, or the one before that goes on.
    pub fn puts_in_force(&self, epoch: &EntityId) -> Vec<Statement> {
        let source = Source::rule("agent");
        // of a working tree that differs from its commit, the commit says nothing
        if self.revision.dirty {
            return Vec::new();
        }
        let Some(commit) = self.revision.commit.as_deref().and_then(EntityId::commit) else {
            return Vec::new();
        };
        let uri = format!("git+{}", clean(&self.revision.repository));
        vec![
            Statement::edge(epoch, Relation::PutInForce, &commit, Grade::Observed, &source),
            Statement::fact(&commit, "uri", uri, Grade::Observed, &source),
        ]
    }

    /// Returns what is said of its beginning.
    pub fn statements(&self) -> Vec<Statement> {
        let (id, source) = (self.id(), Source::rule("agent"));
        let Revision { repository, path, reference, dirty, inputs, commit: _ } = self.revision;
        let fact =
            |field: &str, value: &str| Statement::fact(&id, field, value, Grade::Observed, &source);
        let mut said = vec![
            fact("site", self.site.as_str()),
            fact("cluster", self.cluster.as_str()),
            fact("repository", &clean(repository)),
            fact("path", path),
            fact("inputs", &inputs.to_string()),
            fact("rendered", &self.rendered.to_string()),
            fact("agent", self.agent),
            // nobody checks signatures of commits yet, and that is said rather than left out
            Statement::fact(&id, "signature", "not checked", Grade::Unknown, &source),
        ];
        said.extend(reference.iter().map(|reference| fact("reference", reference)));
        if *dirty {
            said.push(fact("dirty", "true"));
        }
        said.extend(self.puts_in_force(&id));
        said.extend(self.before.map(|before| {
            Statement::edge(&id, Relation::Follows, before, Grade::Observed, &source)
        }));
        said
    }
}

impl Happened {
    /// Returns what is said of it.
    pub fn statements(&self, epoch: &EntityId) -> Vec<Statement> {
        let source = Source::rule("agent");
        let fact = |field: &str, value: String| {
            Statement::fact(epoch, field, value, Grade::Observed, &source)
        };
        let of = |object: &ObjectId| Source { object: Some(object.clone()), ..source.clone() };
        match self {
            Self::Applied { end, plan, objects } => {
                let mut said = vec![fact("applied", end.clone()), fact("plan", plan.clone())];
                said.extend(objects.iter().take(MOST).map(|(object, outcome)| {
                    Statement::fact(
                        epoch,
                        "object",
                        format!("{object}: {outcome}"),
                        Grade::Observed,
                        &of(object),
                    )
                }));
                if objects.len() > MOST {
                    said.push(fact("furtherObjects", (objects.len() - MOST).to_string()));
                }
                said
            }
            Self::Drifted { object, what, is_mended } => {
                let field = if *is_mended { "mended" } else { "drift" };
                let value = format!("{object}: {what}");
                vec![Statement::fact(epoch, field, value, Grade::Observed, &of(object))]
            }
            Self::Held { object, why } => {
                let value = format!("{object}: {why}");
                vec![Statement::fact(epoch, "held", value, Grade::Observed, &of(object))]
            }
            Self::Released { object } => {
                vec![Statement::fact(
                    epoch,
                    "released",
                    object.to_string(),
                    Grade::Observed,
                    &of(object),
                )]
            }
        }
    }
}

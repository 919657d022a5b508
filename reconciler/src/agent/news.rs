//! What the agent tells people, each thing once.

use sitewright_model::{name::ComponentName, object::ObjectId};

/// One thing that happened, in the form of a Kubernetes Event: a reason for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct News {
    /// What it is.
    pub(crate) reason: Reason,
    /// One sentence; never a secret.
    pub(crate) message: String,
    /// The object that it is about, where it is about one.
    pub(crate) object: Option<ObjectId>,
    /// The component that it is about, where that is counted.
    pub(crate) component: Option<ComponentName>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    /// Git has a new revision of the site.
    NewRevision,
    /// A revision was applied, as far as nothing holds it.
    Applied,
    /// Changes wait at their gates.
    Held,
    /// Nothing waits any more.
    Released,
    /// Queues and nodes are held back for a change, or given back.
    Draining,
    /// Somebody changed a live field, and it stays as it is.
    Drifted,
    /// Somebody changed a live field, and it is about to be put right.
    Mending,
    /// Somebody changed a live field, and it was put right.
    Mended,
    /// A field is rewritten again and again.
    Fight,
    /// A component is no longer healthy.
    Unhealthy,
    /// Everything is healthy again.
    Healthy,
    /// A revision made a healthy component unhealthy.
    BadRevision,
    /// What made a component unhealthy is taken back.
    RolledBack,
    /// Something does not work.
    Failed,
    /// What did not work works again.
    Recovered,
}

impl Reason {
    /// Returns the reason as an Event has it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::NewRevision => "NewRevision",
            Self::Applied => "Applied",
            Self::Held => "Held",
            Self::Released => "Released",
            Self::Draining => "Draining",
            Self::Drifted => "Drifted",
            Self::Mending => "Mending",
            Self::Mended => "Mended",
            Self::Fight => "Fight",
            Self::Unhealthy => "Unhealthy",
            Self::Healthy => "Healthy",
            Self::BadRevision => "BadRevision",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
            Self::Recovered => "Recovered",
        }
    }

    /// Returns whether a person should look.
    pub(crate) fn is_warning(self) -> bool {
        matches!(
            self,
            Self::Held
                | Self::Drifted
                | Self::Fight
                | Self::Unhealthy
                | Self::BadRevision
                | Self::RolledBack
                | Self::Failed
        )
    }
}

impl News {
    pub(super) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), object: None, component: None }
    }

    pub(super) fn about(mut self, id: &ObjectId) -> Self {
        self.object = Some(id.clone());
        self
    }

    /// Says which component it is about.
    pub(super) fn of(self, component: &ComponentName) -> Self {
        Self { component: Some(component.clone()), ..self }
    }
}

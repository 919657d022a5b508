//! What can go wrong between here and the cluster as a whole; what is wrong with one object is an
//! [`ObjectOutcome`](crate::apply::ObjectOutcome) or a [`Refusal`](sitewright_model::live::Refusal).

use sitewright_model::{
    code::{self, Code},
    diagnostic::Diagnostic,
    name::ComponentName,
    plan::{PlanDigest, graph::Cycle},
};

/// Why the cluster could not be asked or told something. Never holds a secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No kubeconfig, or one that cannot be used.
    #[error("cannot connect to a cluster: {why}")]
    NoKubeconfig {
        /// What is wrong with it.
        why: String,
    },
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context `{context}`")]
    NoContext {
        /// What was asked for.
        context: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Nothing answers there.
    #[error("{server} does not answer: {why}")]
    Unreachable {
        /// The server's URL.
        server: String,
        /// The last reason.
        why: String,
    },
    /// The server's certificate is not trusted.
    #[error("the certificate of {server} is not trusted: {why}")]
    Certificate {
        /// The server's URL.
        server: String,
        /// What the verifier said.
        why: String,
    },
    /// The credentials are not accepted, or none could be had.
    #[error("{server} does not accept these credentials: {why}")]
    Unauthorised {
        /// The server's URL.
        server: String,
        /// What it said.
        why: String,
    },
    /// The credentials lack a right.
    #[error("no right to {verb} {resource}: {why}")]
    Forbidden {
        /// The verb.
        verb: String,
        /// The resource.
        resource: String,
        /// What the server said.
        why: String,
    },
    /// The server is older than what this program speaks.
    #[error("the server is {version}; {oldest} or newer is needed")]
    TooOld {
        /// The server's version.
        version: String,
        /// The oldest that works.
        oldest: String,
    },
    /// The server answers, and keeps failing, retries included.
    #[error("the server keeps failing to {verb} {resource}: {why}")]
    Unavailable {
        /// The verb.
        verb: String,
        /// The resource.
        resource: String,
        /// The last answer.
        why: String,
    },
    /// The server's answer cannot be understood.
    #[error("the answer to {verb} {resource} makes no sense: {why}")]
    BadAnswer {
        /// The verb.
        verb: String,
        /// The resource.
        resource: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server refused a request that is not about one object of the site.
    #[error("the server refuses to {verb} {resource}: {why}")]
    Refused {
        /// The verb.
        verb: String,
        /// The resource.
        resource: String,
        /// What it said.
        why: String,
    },
    /// An aggregated API does not answer, and kinds of it are needed.
    #[error("the API group version {group_version} does not answer")]
    PartialDiscovery {
        /// The group and version.
        group_version: String,
    },
    /// The plan that was approved is not the plan that would be applied.
    #[error("the plan is {}, and {} was approved", actual.0, approved.0)]
    PlanChanged {
        /// What was approved.
        approved: PlanDigest,
        /// What would be applied.
        actual: PlanDigest,
    },
    /// The inventory cannot be read; it is never taken for empty.
    #[error("the inventory {object} cannot be read: {why}")]
    InventoryUnreadable {
        /// The ConfigMap.
        object: String,
        /// What is wrong with it.
        why: String,
    },
    /// Someone else wrote the inventory while we held the lock.
    #[error("the inventory {object} was changed by someone else")]
    InventoryRace {
        /// The ConfigMap.
        object: String,
    },
    /// Another apply of this site is running.
    #[error("another apply of this site is running: {holder}")]
    Locked {
        /// Who holds the lock.
        holder: String,
    },
    /// The lock could not be renewed in time, or was taken by another.
    #[error("the lock was lost: {why}")]
    LockLost {
        /// Who has it, or what failed.
        why: String,
    },
    /// Objects wait for each other in a circle: none can be first.
    #[error("{0}")]
    Circle(Box<Cycle>),
    /// A health rule of a blueprint is not CEL.
    #[error("a health rule cannot be read: {why}")]
    HealthRule {
        /// The component.
        component: ComponentName,
        /// What is wrong with it.
        why: String,
    },
    /// A signal asked to stop.
    #[error("stopped before the end")]
    Stopped,
}

impl Error {
    /// Returns the number of this error.
    pub fn code(&self) -> Code {
        use code::{apply, cluster, format, plan};
        match self {
            Self::NoKubeconfig { .. } => cluster::NO_KUBECONFIG,
            Self::NoContext { .. } => cluster::NO_CONTEXT,
            Self::Unreachable { .. } => cluster::UNREACHABLE,
            Self::Certificate { .. } => cluster::CERTIFICATE,
            Self::Unauthorised { .. } => cluster::UNAUTHORISED,
            Self::Forbidden { .. } => cluster::FORBIDDEN,
            Self::TooOld { .. } => cluster::TOO_OLD,
            Self::Unavailable { .. } => cluster::UNAVAILABLE,
            Self::BadAnswer { .. } => cluster::BAD_ANSWER,
            Self::Refused { .. } => cluster::REFUSED_REQUEST,
            Self::PartialDiscovery { .. } => cluster::PARTIAL_DISCOVERY,
            Self::PlanChanged { .. } => apply::PLAN_CHANGED,
            Self::InventoryUnreadable { .. } => apply::INVENTORY_UNREADABLE,
            Self::InventoryRace { .. } => apply::INVENTORY_RACE,
            Self::Locked { .. } => apply::LOCKED,
            Self::LockLost { .. } => apply::LOCK_LOST,
            Self::Circle(_) => plan::CIRCLE,
            Self::HealthRule { .. } => format::BAD_EXPRESSION,
            Self::Stopped => apply::STOPPED,
        }
    }

    /// Returns whether nothing more can be done on this cluster: everything else is the trouble of the
    /// object or the kind that was asked about, and of what depends on it (law 8).
    pub(crate) fn loses_ground(&self) -> bool {
        match self {
            Self::NoKubeconfig { .. }
            | Self::NoContext { .. }
            | Self::Unreachable { .. }
            | Self::Certificate { .. }
            | Self::Unauthorised { .. }
            | Self::TooOld { .. }
            | Self::InventoryUnreadable { .. }
            | Self::InventoryRace { .. }
            | Self::Locked { .. }
            | Self::LockLost { .. }
            | Self::Stopped => true,
            Self::Forbidden { .. }
            | Self::Unavailable { .. }
            | Self::BadAnswer { .. }
            | Self::Refused { .. }
            | Self::PartialDiscovery { .. }
            | Self::PlanChanged { .. }
            | Self::Circle(_)
            | Self::HealthRule { .. } => false,
        }
    }

    /// Returns this error as it is shown, with the way out.
    pub fn diagnostic(&self) -> Diagnostic {
        let diagnostic = Diagnostic::error(self.code(), self.to_string()).help(self.help());
        match self {
            Self::HealthRule { component, .. } => diagnostic.component(component),
            _ => diagnostic,
        }
    }

    /// Returns the way out.
    pub(crate) fn help(&self) -> String {
        match self {
            Self::NoKubeconfig { .. } => {
                "give --kubeconfig FILE, set KUBECONFIG, or run inside a cluster".to_owned()
            }
            Self::NoContext { known, .. } if known.is_empty() => {
                "the kubeconfig has no contexts; is it the right file?".to_owned()
            }
            Self::NoContext { known, .. } => format!("known contexts: {}", known.join(", ")),
            Self::Unreachable { .. } => {
                "check the address in the kubeconfig, the network, and that the API server runs"
                    .to_owned()
            }
            Self::Certificate { .. } => {
                "check `certificate-authority-data` in the kubeconfig, and the clock of this machine"
                    .to_owned()
            }
            Self::Unauthorised { .. } => {
                "log in again, or check the token or client certificate in the kubeconfig".to_owned()
            }
            Self::Forbidden { .. } => {
                "`sitewright doctor` lists every right that is needed and missing".to_owned()
            }
            Self::TooOld { oldest, .. } => format!("upgrade the cluster to {oldest} or newer"),
            Self::Unavailable { .. } => {
                "look at the API server's own health: `kubectl get --raw /readyz?verbose`".to_owned()
            }
            Self::PartialDiscovery { .. } => {
                "`kubectl get apiservice` shows which one is down and why".to_owned()
            }
            Self::PlanChanged { .. } => {
                "look at the new plan with `sitewright plan`, and approve that one".to_owned()
            }
            Self::InventoryUnreadable { .. } => {
                "nothing was changed; restore the ConfigMap from a backup, see the page of this number"
                    .to_owned()
            }
            Self::InventoryRace { .. } | Self::LockLost { .. } => {
                "run the command again: it goes on where this one stopped".to_owned()
            }
            Self::Locked { .. } => "wait until it is done, then run the command again".to_owned(),
            Self::Circle(_) => {
                "take out one of the references, or one `dependsOn`, of the circle".to_owned()
            }
            Self::HealthRule { .. } => "mend the expression in the blueprint".to_owned(),
            Self::Stopped => "run the command again: it goes on where this one stopped".to_owned(),
            Self::BadAnswer { .. } => {
                "see what answers there, the API server or a proxy: `kubectl get --raw /version`"
                    .to_owned()
            }
            Self::Refused { .. } => {
                "mend what the server names, then run the command again".to_owned()
            }
        }
    }
}

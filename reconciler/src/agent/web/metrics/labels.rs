//! The labels: enums with a name for each value, so that no series is made by a slip of the pen.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use sitewright_model::format::blueprint::Hazard;

/// Declares an enum whose values are names in a label.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum $name { $($(#[$value_doc])* $value,)+ }

        impl $name {
            /// Every value.
            #[allow(dead_code, reason = "only labels of one site are forgotten value by value")]
            pub(crate) const ALL: &[Self] = &[$(Self::$value,)+];

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
                self.name().encode(encoder)
            }
        }
    };
}

label! {
    /// A stage of a reconcile.
    Stage {
        /// A look at git.
        Fetch = "fetch",
        /// Rendering.
        Render = "render",
        /// A look at the cluster, and the plan.
        Plan = "plan",
        /// The apply, with what it waits for.
        Apply = "apply",
    }
}

label! {
    /// Where a node of a wave stands.
    WaveStage {
        /// Its turn has not come.
        Pending = "pending",
        /// What runs on it is waited for.
        Waiting = "waiting",
        /// It is being changed.
        Changing = "changing",
        /// It was given back at the deadline.
        GaveUp = "gave-up",
        /// It did not come back.
        Broken = "broken",
    }
}

label! {
    /// What came of a look at the whole.
    Reconciled {
        /// Everything is as it should be.
        Converged = "converged",
        /// The rest waits at its gates.
        Held = "held",
        /// Not all of it works.
        Failed = "failed",
        /// It was stopped before the end.
        Stopped = "stopped",
    }
}

label! {
    /// What came of a look at git.
    Fetched {
        /// There is something new.
        New = "new",
        /// It is as it was.
        Same = "same",
        /// It could not be read.
        Failed = "failed",
    }
}

label! {
    /// Who sends a message.
    Forge {
        /// GitHub.
        GitHub = "github",
        /// GitLab.
        GitLab = "gitlab",
        /// Gitea.
        Gitea = "gitea",
        /// Forgejo.
        Forgejo = "forgejo",
        /// Anything else that signs.
        Generic = "generic",
        /// Nobody can tell.
        Unknown = "unknown",
    }
}

label! {
    /// What came of a message.
    Hooked {
        /// Git is looked at.
        Pulled = "pulled",
        /// It was known already.
        Replayed = "replayed",
        /// The forge tried whether anybody is there.
        Ping = "ping",
        /// It is about something else.
        Ignored = "ignored",
        /// Its signature is wrong, or nobody waits for it.
        Refused = "refused",
        /// It is too large.
        TooLarge = "too-large",
        /// It came too slowly.
        Late = "late",
        /// Another agent works.
        StandingBy = "standing-by",
    }
}

label! {
    /// What came of a look at something that a run names.
    Looked {
        /// It is there.
        Found = "found",
        /// It is not there.
        Gone = "gone",
        /// It cannot be reached; it is tried again.
        Away = "away",
        /// Nobody looks up such a thing, or it may not be looked at, or is broken.
        Refused = "refused",
    }
}

label! {
    /// Who is told of a site.
    NotificationKind {
        /// The status of a commit at GitHub.
        GitHub = "github",
        /// At GitLab.
        GitLab = "gitlab",
        /// At Gitea.
        Gitea = "gitea",
        /// At Forgejo.
        Forgejo = "forgejo",
        /// CloudEvents.
        CloudEvents = "cloudevents",
        /// A chat.
        Slack = "slack",
    }
}

label! {
    /// What came of telling somebody.
    Notified {
        /// It is there.
        Delivered = "delivered",
        /// It is not there, and tried again.
        Retried = "retried",
        /// It is not there, and no longer tried.
        GivenUp = "given-up",
        /// There was too much to tell: the oldest is lost.
        Dropped = "dropped",
    }
}

label! {
    /// The first digit of what an API server answers.
    CodeClass {
        /// 1xx.
        Information = "1xx",
        /// 2xx.
        Success = "2xx",
        /// 3xx.
        Redirection = "3xx",
        /// 4xx.
        Refusal = "4xx",
        /// 5xx.
        Failure = "5xx",
        /// There was no answer.
        None = "none",
    }
}

impl CodeClass {
    /// Returns the class of a code.
    pub(crate) fn of(code: Option<u16>) -> Self {
        match code.map(|code| code / 100) {
            Some(1) => Self::Information,
            Some(2) => Self::Success,
            Some(3) => Self::Redirection,
            Some(4) => Self::Refusal,
            Some(_) => Self::Failure,
            None => Self::None,
        }
    }
}

/// A hazard in a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct HazardName(pub(super) Hazard);

impl EncodeLabelValue for HazardName {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        self.0.name().encode(encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct SiteOf {
    site: String,
}

impl SiteOf {
    pub(super) fn new(site: &str) -> Self {
        Self { site: site.to_owned() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ComponentOf {
    pub(super) site: String,
    pub(super) component: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StageOf {
    pub(super) site: String,
    pub(super) stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WaveOf {
    pub(super) site: String,
    pub(super) stage: WaveStage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HazardOf {
    pub(super) site: String,
    pub(super) hazard: HazardName,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindOf {
    pub(super) site: String,
    pub(super) kind: String,
}

/// A site, and what came of something, by the name of a [`Reconciled`] or a [`Fetched`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultOf {
    pub(super) site: String,
    pub(super) result: &'static str,
}

impl ResultOf {
    pub(super) fn new(site: &str, result: &'static str) -> Self {
        Self { site: site.to_owned(), result }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct VerbAndCode {
    pub(super) verb: &'static str,
    pub(super) code: CodeClass,
}

/// A site, whom it is told to, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NotificationOf {
    pub(super) site: String,
    pub(super) kind: NotificationKind,
    pub(super) result: Notified,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LookedUp {
    pub(super) result: Looked,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ForgeAndResult {
    pub(super) forge: Forge,
    pub(super) result: Hooked,
}

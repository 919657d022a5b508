//! How each forge says what a message is about.

use axum::http::HeaderMap;
use serde::Deserialize;

use super::Message;
use crate::agent::web::metrics::Forge;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Somebody pushed.
    Push,
    /// Somebody tries whether anybody is there.
    Ping,
    /// Something else.
    Else,
}

/// Headers that tell who sends. Forgejo sends those of Gitea too, and Gitea those of GitHub: the order matters.
const SENDERS: [(&str, Forge); 6] = [
    ("x-forgejo-event", Forge::Forgejo),
    ("x-gitea-event", Forge::Gitea),
    ("x-gitlab-event", Forge::GitLab),
    ("x-github-event", Forge::GitHub),
    ("webhook-signature", Forge::Generic),
    ("x-signature-256", Forge::Generic),
];

/// The body of a message whose headers do not tell what it is about.
#[derive(Default, Deserialize)]
struct Body {
    /// What it is about, as a system hook of GitLab has it.
    #[serde(default)]
    event_name: Option<String>,
    /// What it is about, as Standard Webhooks recommends it.
    #[serde(default, rename = "type")]
    kind: Option<String>,
}

impl Forge {
    /// Returns who says to send a message.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sender = SENDERS.into_iter().find(|(header, _)| headers.contains_key(*header));
        sender.map_or(Self::Unknown, |(_, forge)| forge)
    }
}

/// Returns what a message is about that is signed.
pub(super) fn about(message: &Message<'_>) -> About {
    match message.forge {
        Forge::GitHub => named(event(message, "x-github-event")),
        Forge::Gitea => named(event(message, "x-gitea-event")),
        Forge::Forgejo => named(event(message, "x-forgejo-event")),
        Forge::GitLab => match event(message, "x-gitlab-event") {
            "Push Hook" | "Tag Push Hook" => About::Push,
            "System Hook" => match body(message).event_name.as_deref() {
                Some("push" | "tag_push" | "repository_update") => About::Push,
                _ => About::Else,
            },
            _ => About::Else,
        },
        // who sends it was told to send it on a push
        Forge::Generic => match body(message).kind.as_deref() {
            Some("ping") => About::Ping,
            _ => About::Push,
        },
        Forge::Unknown => About::Else,
    }
}

/// Returns what tells a message from all others, if it says so.
pub(super) fn delivery<'m>(message: &Message<'m>) -> Option<&'m str> {
    let names: &[&str] = match message.forge {
        Forge::GitHub => &["x-github-delivery"],
        Forge::Gitea => &["x-gitea-delivery"],
        Forge::Forgejo => &["x-forgejo-delivery"],
        // the first two are the same where there are both
        Forge::GitLab => &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"],
        Forge::Generic => &["webhook-id"],
        Forge::Unknown => &[],
    };
    names.iter().find_map(|name| message.headers.get(*name)?.to_str().ok())
}

fn event<'m>(message: &Message<'m>, header: &str) -> &'m str {
    message.headers.get(header).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn named(event: &str) -> About {
    match event {
        "push" => About::Push,
        "ping" => About::Ping,
        _ => About::Else,
    }
}

fn body(message: &Message<'_>) -> Body {
    serde_json::from_slice(message.body).unwrap_or_default()
}

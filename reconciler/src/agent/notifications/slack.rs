//! A message to a chat: short, for somebody who is woken by it.

use sitewright_cluster::sync::EventKind;

use super::{Scope, event::Event};
use crate::output::{event::EventObject, words};

/// Events of one message; the rest comes in the next.
pub(super) const AT_ONCE: usize = 10;

/// Objects that one event lists.
const LISTED: usize = 5;

/// Characters of a message: Slack cuts a text at 40,000, and nobody reads so much.
const TEXT: usize = 3_000;

/// Returns what happened, at which commit, what waits for what, and what to do.
pub(super) fn text(events: &[Event], scope: &Scope) -> String {
    let parts: Vec<String> = events.iter().map(|event| one(event, scope)).collect();
    words::cut(&parts.join("\n\n"), TEXT, "\n…")
}

fn one(event: &Event, scope: &Scope) -> String {
    let (mark, happened) = head(event);
    let site = escaped(&event.data.site);
    let at = event.revision.as_ref().map(|revision| format!(" at `{}`", plain(revision)));
    let mut text = format!("{mark} *{site}*{} {happened}", at.unwrap_or_default());
    match event.kind {
        EventKind::Held => {
            let listed = event.data.objects.iter().take(LISTED);
            listed.for_each(|object| text.push_str(&held(object)));
            let more = event.data.objects.len().saturating_sub(LISTED) as u64 + event.data.more;
            if more > 0 {
                text.push_str(&format!("\n• and {more} more"));
            }
        }
        EventKind::Released | EventKind::Healthy | EventKind::Recovered => {}
        _ => {
            let message = event.data.message.as_str();
            let begin = event.revision.as_ref().map(|revision| format!("{revision}: "));
            let message = begin.and_then(|begin| message.strip_prefix(&begin)).unwrap_or(message);
            text.push_str(&format!("\n{}", escaped(message)));
        }
    }
    if let Some(way) = way(event, scope) {
        text.push_str(&format!("\nWhat to do: {way}"));
    }
    text
}

fn head(event: &Event) -> (&'static str, String) {
    let (mark, text) = match event.kind {
        EventKind::NewRevision => (":inbox_tray:", "has a new revision"),
        EventKind::Applied => (":white_check_mark:", "was applied"),
        EventKind::Held => {
            let count = event.data.objects.len() + usize::try_from(event.data.more).unwrap_or(0);
            let verb = if count == 1 { "waits" } else { "wait" };
            let text = format!("goes ahead, but {} {verb}:", words::count(count.max(1), "change"));
            return (":hourglass_flowing_sand:", text);
        }
        EventKind::Released => (":white_check_mark:", "has no change that waits any more"),
        EventKind::Draining => (":construction:", "holds back work for a change, or gives it back"),
        EventKind::Drifted => (":pencil2:", "was changed on the cluster, and stays so"),
        EventKind::Mended => (":wrench:", "was changed on the cluster, and is put right"),
        EventKind::Fight => (":crossed_swords:", "is fought over"),
        EventKind::Unhealthy => (":red_circle:", "is not healthy"),
        EventKind::Healthy => (":white_check_mark:", "is healthy again"),
        EventKind::BadRevision => (":red_circle:", "was made unhealthy by a revision"),
        EventKind::RolledBack => (":leftwards_arrow_with_hook:", "is back at what was healthy"),
        EventKind::Failed => (":red_circle:", "failed"),
        EventKind::Recovered => (":white_check_mark:", "works again"),
    };
    let failed = event.data.outcome.as_ref().is_some_and(|outcome| outcome.failed > 0);
    if event.kind == EventKind::Applied && failed {
        return (":red_circle:", "was applied in part".to_owned());
    }
    (mark, text.to_owned())
}

fn held(object: &EventObject) -> String {
    let hazard = object.hazard.as_ref().map(|hazard| format!(" ({hazard})")).unwrap_or_default();
    let gates = object.gates.join(", ");
    let mut text = format!("\n• {}{} waits for {gates}", escaped(&object.object), escaped(&hazard));
    if let Some(waits) = &object.waits {
        text.push_str(&format!(": {}", escaped(waits)));
    }
    if let Some(first) = object.work.first() {
        text.push_str(&format!("; it would hit {}", escaped(first)));
        let more = object.work.len() - 1;
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
    }
    text
}

/// Returns what a person can do, as a command to copy.
fn way(event: &Event, scope: &Scope) -> Option<String> {
    let explain = event.data.code.as_ref().map(|code| format!("`sitewright explain {code}`"));
    match event.kind {
        EventKind::Held | EventKind::Failed => explain,
        EventKind::Unhealthy => Some("`sitewright status` has all of it".to_owned()),
        EventKind::BadRevision | EventKind::RolledBack => {
            Some("mend it in git: this revision is not tried again".to_owned())
        }
        EventKind::Drifted => Some("commit the change, or undo it".to_owned()),
        EventKind::Fight => Some(
            "decide who owns the field: an `ignore` rule, or a change of the other tool".to_owned(),
        ),
        EventKind::NewRevision
        | EventKind::Applied
        | EventKind::Released
        | EventKind::Draining
        | EventKind::Mended
        | EventKind::Healthy
        | EventKind::Recovered => None,
    }
    .map(|way| match &scope.sync {
        Some(sync) => {
            let (namespace, name) = sync.split_once('/').unwrap_or(("", sync));
            format!("{way}; `kubectl describe sitesync {name} -n {namespace}`")
        }
        None => way,
    })
}

/// Returns `text` so that a chat reads it as text: no links, no mentions (`<!channel>`), no markup of code.
fn escaped(text: &str) -> String {
    // Mattermost and Rocket.Chat mention by an @ that begins a word
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    for character in plain(text).chars() {
        out.push(character);
        if character == '@' && !before.is_alphanumeric() {
            out.push('\u{200b}');
        }
        before = character;
    }
    out
}

/// Returns `text` for a span of code: there nobody is mentioned.
fn plain(text: &str) -> String {
    let text = words::clean(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('`', "'")
}

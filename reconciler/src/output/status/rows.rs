//! What is held, drained and bad, and who follows the site: as rows.

use jiff::Timestamp;
use sitewright_model::{drain::Stage, verdict::Fate};

use super::{
    Status, TOLD,
    held::{BadRevision, Follower, HeldBack, HeldChange},
};
use crate::output::{
    look::{self, Detail, Look, paint},
    plan::{hazard_name, wave},
    table::{Cell, Table},
    words,
};

/// Nodes and queues that one row names.
const NAMED: usize = 4;

/// One row, and what stands below it.
struct Row {
    cells: Vec<Cell>,
    below: Vec<String>,
}

/// One kind of thing that stands in the way.
struct Section {
    heads: Vec<&'static str>,
    rows: Vec<Row>,
    /// What more rows would be called.
    noun: &'static str,
}

/// Returns everything that stands in the way, as tables with an empty line before each; empty where nothing does.
pub(super) fn text(status: &Status, look: &Look) -> String {
    let sections = sections(status).into_iter().filter(|section| !section.rows.is_empty());
    let mut out: String = sections.map(|section| format!("\n{}", drawn(section, look))).collect();
    if !status.unread.is_empty() {
        out.push('\n');
    }
    for unread in &status.unread {
        let lead = paint(look::WARN, "not read");
        out.push_str(&format!("{lead}  {}\n", words::clean(unread)));
    }
    out
}

fn sections(status: &Status) -> [Section; 5] {
    let now = status.at;
    [
        Section {
            heads: vec!["HELD BACK", "HAZARD", "WAITS FOR", "SINCE"],
            rows: status.held.iter().map(|held| self::held(held, now)).collect(),
            noun: "change",
        },
        Section {
            heads: vec!["DRAINED FOR", "STAGE", "HOLDS", "SINCE"],
            rows: status.held_back.iter().map(|back| held_back(back, now)).collect(),
            noun: "drain",
        },
        Section {
            heads: vec!["WAVE"],
            rows: status.waves.iter().map(|plan| waves(&wave(plan, now))).collect(),
            noun: "wave",
        },
        Section {
            heads: vec!["BAD REVISION", "COMPONENT", "WHAT CAME OF IT", "SINCE"],
            rows: status.bad_revisions.iter().map(|bad| bad_revision(bad, now)).collect(),
            noun: "bad revision",
        },
        Section {
            heads: vec!["FOLLOWED BY", "STATE", "APPLIED"],
            rows: status.followers.iter().map(follower).collect(),
            noun: "SiteSync",
        },
    ]
}

fn drawn(section: Section, look: &Look) -> String {
    let limit = if look.detail == Detail::Full { usize::MAX } else { TOLD };
    let mut table = Table::with_heads(look::DIM, &section.heads);
    let (mut below, mut more) = (Vec::new(), 0);
    for (index, row) in section.rows.into_iter().enumerate() {
        if index >= limit {
            more += 1;
            continue;
        }
        table.row(row.cells);
        below.push(row.below);
    }
    let drawn = table.draw(0, look);
    let mut lines = drawn.lines();
    let mut out = format!("{}\n", lines.next().unwrap_or_default());
    for (line, below) in lines.zip(below) {
        out.push_str(&format!("{line}\n"));
        let wrapped =
            below.iter().flat_map(|text| words::wrap(text, look.prose_width().saturating_sub(4)));
        wrapped.for_each(|line| out.push_str(&format!("    {line}\n")));
    }
    if more > 0 {
        let more = words::count(more, &format!("more {}", section.noun));
        out.push_str(&format!("{} {more} (-v lists all)\n", look.glyphs.ellipsis()));
    }
    out
}

fn held(held: &HeldChange, now: Timestamp) -> Row {
    let gates: Vec<String> = held
        .waits_for
        .iter()
        .map(|wait| match &wait.code {
            Some(code) => format!("{} [{code}]", wait.what),
            None => wait.what.clone(),
        })
        .collect();
    let mut below: Vec<String> = Vec::new();
    for why in held.waits_for.iter().flat_map(|wait| &wait.why) {
        if !below.contains(why) {
            below.push(why.clone());
        }
    }
    Row {
        cells: vec![
            Cell::new(look::STRONG, words::clean(&held.id.to_string())),
            hazard_name(held.hazard).into(),
            Cell::new(look::WARN, gates.join(", ")),
            held.since
                .map_or_else(|| "not known".to_owned(), |since| self::since(since, now))
                .into(),
        ],
        below,
    }
}

fn held_back(back: &HeldBack, now: Timestamp) -> Row {
    let what = match (&back.wave, &back.node) {
        (Some(wave), Some(node)) => {
            format!("{} {}: {}", back.component, words::clean(wave), words::clean(node))
        }
        _ => format!("changes of {}", back.component),
    };
    let (stage, style, below) = match &back.stage {
        Stage::Waiting => ("waiting for running work", look::WARN, None),
        Stage::Changing => ("being changed", look::WARN, None),
        Stage::GaveUp => ("given back at the deadline", look::WARN, None),
        Stage::Broken { why } => ("did not come back", look::FAIL, Some(words::clean(why))),
    };
    let mut holds = Vec::new();
    if !back.nodes.is_empty() {
        holds.push(format!("{} cordoned", named("node", &back.nodes)));
    }
    if !back.queues.is_empty() {
        holds.push(format!("{} stopped", named("queue", &back.queues)));
    }
    let holds = if holds.is_empty() { "nothing".to_owned() } else { holds.join("; ") };
    Row {
        cells: vec![
            Cell::new(look::STRONG, what),
            Cell::new(style, stage),
            holds.into(),
            since(back.since, now).into(),
        ],
        below: below.into_iter().collect(),
    }
}

fn waves(wave: &crate::output::plan::Wave) -> Row {
    let nodes = wave.nodes.iter().take(TOLD).map(|(node, stage)| format!("{node}: {stage}"));
    let more = wave.nodes.len().saturating_sub(TOLD);
    let more = (more > 0).then(|| words::count(more, "more node"));
    let stopped = wave.stopped.iter().map(|why| format!("stopped: {why}"));
    Row {
        cells: vec![Cell::new(look::STRONG, wave.lead.clone())],
        below: stopped.chain(nodes).chain(more).collect(),
    }
}

fn bad_revision(bad: &BadRevision, now: Timestamp) -> Row {
    let (fate, because) = match &bad.fate {
        Fate::RolledBack => ("the last healthy content took its place", None),
        Fate::Held { why } => ("it stays", Some(format!("it stays: {}", words::clean(why)))),
    };
    Row {
        cells: vec![
            Cell::new(look::STRONG, words::clean(&bad.revision)),
            bad.component.as_str().into(),
            Cell::new(look::FAIL, fate),
            since(bad.since, now).into(),
        ],
        below: [words::clean(&bad.why)].into_iter().chain(because).collect(),
    }
}

fn follower(follower: &Follower) -> Row {
    let style = match follower.state.as_str() {
        "Ready" => look::GOOD,
        "Failing" | "Unhealthy" | "RolledBack" => look::FAIL,
        _ => look::WARN,
    };
    let revision = follower.revision.as_deref().map_or("nothing yet".to_owned(), words::clean);
    Row {
        cells: vec![
            Cell::new(look::STRONG, words::clean(&follower.sync)),
            Cell::new(style, words::clean(&follower.state)),
            revision.into(),
        ],
        below: follower.message.iter().map(|message| words::clean(message)).collect(),
    }
}

fn named(noun: &str, names: &[String]) -> String {
    let mut shown: Vec<String> = names.iter().take(NAMED).map(|name| words::clean(name)).collect();
    if names.len() > NAMED {
        shown.push(format!("{} more", names.len() - NAMED));
    }
    let noun = if names.len() == 1 { noun.to_owned() } else { format!("{noun}s") };
    format!("{noun} {}", words::list(&shown))
}

fn since(since: Timestamp, now: Timestamp) -> String {
    format!("{}, {}", words::time(&since.to_string()), words::age(since, now))
}

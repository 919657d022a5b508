//! A plan as Markdown for a comment on a pull request.

use sitewright_model::{
    format::blueprint::Hazard,
    plan::{Action, Change, ComponentPlan, Plan},
};

use super::{
    Invocation, Tally,
    view::{self, ComponentView},
    waits::{self, Wait, Way},
    work,
};
use crate::output::{
    field::{self, Body, DiffLine},
    look::{Detail, Glyphs, Look, UNLIMITED},
    words,
};

/// Bytes of the whole comment: GitHub takes 65,536 characters, and rejects a longer one.
pub(crate) const LIMIT: usize = 65_536;
/// Bytes kept free for what follows the components.
const TAIL: usize = 1_024;
/// Bytes that the section on waits may take.
const WAITS: usize = 24_000;
/// Bytes that one component may take.
const COMPONENT: usize = 16_000;
/// Bytes kept free for what closes a fence and a fold; a fence is longer than the longest run of ticks inside.
const CLOSING: usize = 256;
/// Rows of the table of hazards that go ahead.
const HAZARD_ROWS: usize = 40;

/// How values are folded in Markdown: the reader's width is unknown.
const LOOK: Look = Look { width: UNLIMITED, glyphs: Glyphs::Unicode, detail: Detail::Folded };

/// Returns `plan` as Markdown shorter than `LIMIT` bytes; what is cut is said.
pub fn markdown(plan: &Plan, invocation: &Invocation) -> String {
    markdown_within(plan, invocation, LIMIT)
}

/// Returns `plan` as Markdown of at most `limit` bytes; what is cut is said.
pub(crate) fn markdown_within(plan: &Plan, invocation: &Invocation, limit: usize) -> String {
    let tally = Tally::of_plan(plan);
    let mut page = head(plan, &tally);
    let waits = waits::waits(plan, invocation);
    page.push_str(&bounded_waits(&waits));
    page.push_str(&hazards(plan));
    page.push_str(&running(plan));
    page.push_str(&waves(plan));
    let left_out = components(plan, &mut page, limit);
    page.push_str(&tail(plan, &tally, left_out, invocation));
    cut(page, limit, invocation)
}

/// Cuts a page that is too long all the same, at the end of a line, and says so in the last one.
fn cut(mut page: String, limit: usize, invocation: &Invocation) -> String {
    if page.len() <= limit {
        return page;
    }
    let last = format!("\n_Cut to fit; `{}` shows all._\n", invocation.command("plan", "-v"));
    let room = limit.saturating_sub(last.len() + CLOSING);
    let end = (0..=room).rev().find(|at| page.is_char_boundary(*at)).unwrap_or(0);
    page.truncate(page.get(..end).and_then(|kept| kept.rfind('\n')).map_or(end, |at| at + 1));
    // an open fence or fold would swallow the last line
    page.push_str(&closing(&page));
    page + &last
}

/// Returns what closes the fence and the fold that `page` ends in, if it does.
fn closing(page: &str) -> String {
    let mut fence: Option<&str> = None;
    for line in page.lines().filter(|line| line.starts_with("```")) {
        let ticks = line.trim_end_matches(|character| character != '`');
        fence = match fence {
            None => Some(ticks),
            Some(open) if line == open => None,
            Some(open) => Some(open),
        };
    }
    let mut closing = fence.map(|ticks| format!("{ticks}\n\n")).unwrap_or_default();
    if page.matches("<details").count() > page.matches("</details>").count() {
        closing.push_str("</details>\n");
    }
    closing
}

/// Returns the line by which a bot finds its earlier comment on the same site.
fn marker(plan: &Plan) -> String {
    format!("<!-- sitewright plan: {} -->\n", plan.site)
}

fn head(plan: &Plan, tally: &Tally) -> String {
    let mut page = marker(plan);
    page.push_str(&format!("### Sitewright plan for `{}`\n\n", plan.site));
    let summary = if tally.is_quiet() {
        format!("**No changes**: {} as desired.", words::count(tally.unchanged, "object"))
    } else {
        format!("**{}**", tally.phrase())
    };
    page.push_str(&format!("{summary}\n\n"));
    page.push_str("| | |\n|---|---|\n");
    page.push_str(&format!("| Revision | {} |\n", code(&plan.revision.short())));
    let cluster = format!("{} ({})", code(&plan.cluster.name), code(&plan.cluster.version));
    page.push_str(&format!("| Cluster | {cluster} |\n"));
    page.push_str(&format!("| Plan | `{}` |\n", plan.digest.0));
    if let Some(file) = view::approved_by(plan) {
        page.push_str(&format!("| Approved | by {} |\n", code(&file)));
    }
    page.push('\n');
    page
}

fn running(plan: &Plan) -> String {
    let rows = work::rows(plan);
    if rows.is_empty() {
        return String::new();
    }
    let mut page = format!("#### Running now, and would be hit: {}\n\n", work::total(&rows));
    page.push_str("| | work | whose | holds | runs |\n|---|---|---|---|---|\n");
    for row in rows.iter().take(HAZARD_ROWS) {
        let (whose, holds) = (prose(&row.whose), prose(&row.holds));
        page.push_str(&format!(
            "| {} | {} | {whose} | {holds} | {} |\n",
            row.sort,
            code(&row.work),
            row.age
        ));
    }
    if rows.len() > HAZARD_ROWS {
        page.push_str(&format!("| | … {} more | | | |\n", rows.len() - HAZARD_ROWS));
    }
    page.push('\n');
    page
}

fn waves(plan: &Plan) -> String {
    let waves = work::waves(plan);
    if waves.is_empty() {
        return String::new();
    }
    let mut page = "#### Node by node\n\n".to_owned();
    for wave in &waves {
        page.push_str(&format!("- {}\n", prose(&wave.lead)));
        if let Some(stopped) = &wave.stopped {
            page.push_str(&format!("  - **It stops there**: {}\n", prose(stopped)));
        }
        for (node, told) in wave.nodes.iter().take(HAZARD_ROWS) {
            page.push_str(&format!("  - {}: {}\n", code(node), prose(told)));
        }
        if wave.nodes.len() > HAZARD_ROWS {
            page.push_str(&format!("  - … {} more\n", wave.nodes.len() - HAZARD_ROWS));
        }
    }
    page.push('\n');
    page
}

fn bounded_waits(waits: &[Wait<'_>]) -> String {
    if waits.is_empty() {
        return String::new();
    }
    let mut page = "#### Held\n\n".to_owned();
    let mut dropped = Vec::new();
    for wait in waits {
        let section = [wait_section(wait, usize::MAX), wait_section(wait, 5)]
            .into_iter()
            .find(|section| page.len() + section.len() <= WAITS);
        match section {
            Some(section) => page.push_str(&section),
            None => dropped.push(wait.title),
        }
    }
    if !dropped.is_empty() {
        page.push_str(&format!("_Cut to fit: {}._\n\n", words::list(&dropped)));
    }
    if let Some((command, or)) = waits::for_more(waits) {
        page.push_str(&format!("For more: `{command}`{or}\n\n"));
    }
    page
}

fn wait_section(wait: &Wait<'_>, rows: usize) -> String {
    let number = wait.code.map(|code| format!(" [{code}]")).unwrap_or_default();
    let mut page = format!("**{}**{number}: {}\n\n", wait.title, wait.rule);
    page.push_str("| | object | component | why |\n|---|---|---|---|\n");
    for item in wait.items.iter().take(rows) {
        let why: Vec<String> = item.reasons.iter().map(|reason| prose(reason)).collect();
        page.push_str(&format!(
            "| {} | {} | `{}` | {} |\n",
            code(view::symbol(&item.change.action).0),
            code(&item.change.id.to_string()),
            item.component,
            why.join("<br>")
        ));
    }
    if wait.items.len() > rows {
        let more = words::count(wait.items.len() - rows, "more object");
        page.push_str(&format!("| | … {more} | | |\n"));
    }
    page.push('\n');
    wait.ways.iter().for_each(|way| page.push_str(&self::way(way, rows)));
    page
}

fn way(way: &Way, rows: usize) -> String {
    match way {
        Way::Advice(text) => format!("{}\n\n", prose_with_code(text)),
        Way::Paste { into, yaml } => {
            let kept: Vec<&str> = yaml.lines().take(rows.saturating_mul(6)).collect();
            let cut = if kept.len() < yaml.lines().count() { "# … cut to fit\n" } else { "" };
            let yaml = format!("{}\n{cut}", kept.join("\n"));
            format!("{}:\n\n{}", prose_with_code(into), fence("yaml", &yaml))
        }
        Way::Run { does, command } => {
            format!("{does}:\n\n{}", fence("sh", &format!("{command}\n")))
        }
    }
}

fn hazards(plan: &Plan) -> String {
    let mut rows = Vec::new();
    let approved_by = view::approved_by(plan);
    for (component, change) in plan.changes() {
        if change.hazard > Hazard::Safe && !view::is_held(change) {
            let mut why: Vec<String> = change.because.iter().map(|text| prose(text)).collect();
            if let Some(file) = approved_by.as_ref().filter(|_| !change.approved.is_empty()) {
                why.push(format!("approved by {}", code(file)));
            }
            rows.push(format!(
                "| {} | {} | {} | `{}` | {} |\n",
                view::hazard_name(change.hazard),
                code(view::symbol(&change.action).0),
                code(&change.id.to_string()),
                component.name,
                why.join("<br>")
            ));
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    let mut page = "#### Hazards that go ahead\n\n".to_owned();
    page.push_str("| hazard | | object | component | why |\n|---|---|---|---|---|\n");
    rows.iter().take(HAZARD_ROWS).for_each(|row| page.push_str(row));
    if rows.len() > HAZARD_ROWS {
        let more = words::count(rows.len() - HAZARD_ROWS, "more change");
        page.push_str(&format!("| | | … {more} | | |\n"));
    }
    page.push('\n');
    page
}

/// Adds every component that changes while there is room; returns how many lost their details.
fn components(plan: &Plan, page: &mut String, limit: usize) -> usize {
    let mut left_out = 0;
    let mut quiet = Vec::new();
    for component in &plan.components {
        if !component.changes.iter().any(view::is_visible) {
            quiet.push(component);
            continue;
        }
        let section = component_section(component);
        if page.len() + section.len() + TAIL <= limit {
            page.push_str(&section);
        } else {
            left_out += 1;
            let line = format!("- {}\n", title(component));
            if page.len() + line.len() + TAIL <= limit {
                page.push_str(&line);
            }
        }
    }
    if !quiet.is_empty() {
        let objects: usize = quiet.iter().map(|component| component.changes.len()).sum();
        page.push_str(&format!(
            "\n{} unchanged ({}).\n",
            words::count(quiet.len(), "component"),
            words::count(objects, "object")
        ));
    }
    left_out
}

fn title(component: &ComponentPlan) -> String {
    let blueprint = match &component.blueprint {
        Some((blueprint, version)) => format!("{blueprint} {}", prose(version)),
        None => "no longer in the site".to_owned(),
    };
    let tally = Tally::of(&component.changes).phrase();
    format!("<b>{}</b> ({blueprint}): {tally}", component.name)
}

fn component_section(component: &ComponentPlan) -> String {
    let view = ComponentView::new(component, &LOOK);
    let mut body = String::new();
    let mut cut = view.left_out;
    for change in &view.shown {
        let lines = change_lines(change);
        if body.len() + lines.len() > COMPONENT {
            cut += 1;
        } else {
            body.push_str(&lines);
        }
    }
    if let Some(fold) = &view.folded {
        body.push_str(&format!("+ {}\n", fold.phrase()));
    }
    if cut > 0 {
        body.push_str(&format!("  … {}\n", words::count(cut, "more object")));
    }
    let open = if view.tally.held > 0 { " open" } else { "" };
    format!(
        "<details{open}><summary>{}</summary>\n\n{}</details>\n",
        title(component),
        fence("diff", &body)
    )
}

fn change_lines(change: &Change) -> String {
    let symbol = if view::is_held(change) { "!" } else { view::symbol(&change.action).0 };
    let mut line = format!("{symbol} {}", words::clean(&change.id.to_string()));
    if view::is_held(change) {
        let verb = view::symbol(&change.action).0;
        line = format!(
            "! {verb} {} (held: {})",
            words::clean(&change.id.to_string()),
            waits::short(change)
        );
    }
    if change.hazard > Hazard::Safe {
        line.push_str(&format!(" ({})", view::hazard_name(change.hazard)));
    }
    if !change.approved.is_empty() {
        line.push_str(&format!(" (approved: {})", waits::approved(change)));
    }
    if let Some(doubt) = view::doubt(change) {
        line.push_str(&format!(" {doubt}"));
    }
    line.push('\n');
    match &change.action {
        Action::Update { fields } | Action::Adopt { fields } => {
            fields.iter().for_each(|change| line.push_str(&field_lines(change)));
        }
        Action::Replace { immutable, .. } => {
            let fields: Vec<String> = immutable.iter().map(|field| words::clean(field)).collect();
            line.push_str(&format!("    cannot be changed in place: {}\n", words::list(&fields)));
        }
        Action::None
        | Action::Record
        | Action::Create
        | Action::Delete { .. }
        | Action::Release { .. }
        | Action::Forget
        | Action::Unknown => {}
    }
    line
}

fn field_lines(change: &sitewright_model::plan::FieldChange) -> String {
    let lines = field::lines(change, &LOOK);
    let by = lines.by.map(|by| format!("  ({by})")).unwrap_or_default();
    match lines.body {
        Body::Inline(before, after) => {
            format!("    {}: {before} → {after}{by}\n", lines.field)
        }
        Body::Diff(diff) => {
            let mut text = format!("    {}:{by}\n", lines.field);
            for line in diff {
                text.push_str(&match line {
                    DiffLine::Kept(line) | DiffLine::Folded(line) => format!("        {line}\n"),
                    DiffLine::Gone(line) => format!("-       {line}\n"),
                    DiffLine::New(line) => format!("+       {line}\n"),
                });
            }
            text
        }
    }
}

fn tail(plan: &Plan, tally: &Tally, left_out: usize, invocation: &Invocation) -> String {
    let mut page = String::new();
    for note in view::footnotes(plan) {
        page.push_str(&format!("\n{}\n", prose(&note)));
    }
    if left_out > 0 {
        page.push_str(&format!(
            "\n_Cut to fit: the details of {} are left out; `{}` shows all._\n",
            words::count(left_out, "component"),
            invocation.command("plan", "-v")
        ));
    }
    if tally.applicable() > 0 {
        let digest = plan.digest.0.to_string();
        page.push_str(&format!(
            "\nTo apply exactly this plan: `{}`\n",
            invocation.command("apply", &format!("--plan {digest}"))
        ));
    }
    page
}

/// Returns `text` in a fence that nothing inside can close.
fn fence(language: &str, text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    let ticks = "`".repeat(longest.max(2) + 1);
    format!("{ticks}{language}\n{text}{ticks}\n\n")
}

/// Returns `text` as a code span that is safe in a table.
pub(crate) fn code(text: &str) -> String {
    let text = words::clean(text).replace('|', "\\|").replace('`', "'");
    format!("`{text}`")
}

/// Returns `text` so that it is read as text: no markup, no mentions, no new cells.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in words::clean(text).chars() {
        match character {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '~' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            other => out.push(other),
        }
    }
    out
}

/// Returns our own sentence, whose `code` stays code.
fn prose_with_code(text: &str) -> String {
    text.split('`')
        .enumerate()
        .map(|(index, part)| if index % 2 == 0 { prose(part) } else { code(part) })
        .collect()
}

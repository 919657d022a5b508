//! A plan as text for a terminal or a pipe.

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
    look::{self, Detail, Look, paint},
    words,
};

/// Objects that are named under one wait, unless everything is asked for; all are in the component's list.
const NAMED_PER_WAIT: usize = 12;
/// Fields of one object that are shown, unless everything is asked for.
const FIELDS_PER_OBJECT: usize = 12;
/// Columns before what is said of an object: under its kind.
const FIELD_INDENT: usize = 10;

/// Returns `plan` as text: what it is for, what waits and what is hazardous, then component by component.
pub fn text(plan: &Plan, look: &Look, invocation: &Invocation) -> String {
    let mut page = Page { out: String::new(), look };
    let tally = Tally::of_plan(plan);
    page.header(plan);
    page.waits(plan, &waits::waits(plan, invocation));
    page.hazards(plan);
    page.work(plan);
    page.waves(plan);
    if !tally.is_quiet() || look.detail == Detail::Full {
        page.components(plan);
    }
    page.footnotes(plan);
    page.summary(plan, &tally, invocation);
    page.out
}

struct Page<'l> {
    out: String,
    look: &'l Look,
}

impl Page<'_> {
    fn line(&mut self, text: impl AsRef<str>) {
        self.out.push_str(text.as_ref().trim_end());
        self.out.push('\n');
    }

    fn gap(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    fn prose(&mut self, indent: usize, text: &str) {
        let room = self.look.prose_width().saturating_sub(indent).max(30);
        for line in words::wrap(text, room) {
            self.line(format!("{}{line}", " ".repeat(indent)));
        }
    }

    fn header(&mut self, plan: &Plan) {
        let revision = &plan.revision;
        let mut from = words::clean(&revision.short());
        if !revision.repository.is_empty() {
            from.push_str(&format!(" of {}", words::clean(&revision.repository)));
        }
        let cluster = &plan.cluster;
        let mut rows = vec![
            ("Site", paint(look::STRONG, &plan.site)),
            ("Revision", from),
            (
                "Cluster",
                format!("{} ({})", words::clean(&cluster.name), words::clean(&cluster.version)),
            ),
            ("Plan", plan.digest.0.to_string()),
        ];
        rows.extend(view::approved_by(plan).map(|file| ("Approved", format!("by {file}"))));
        for (name, value) in rows {
            self.line(format!("{}{value}", paint(look::DIM, format!("{name:<10}"))));
        }
    }

    fn waits(&mut self, plan: &Plan, waits: &[Wait<'_>]) {
        if waits.is_empty() {
            return;
        }
        self.gap();
        let held = Tally::of_plan(plan).held;
        self.line(paint(look::HELD, format!("Held: {}", words::count(held, "change"))));
        for wait in waits {
            self.gap();
            self.wait(wait);
        }
        if let Some((command, or)) = waits::for_more(waits) {
            self.gap();
            self.prose(2, &format!("For more: {command}{or}"));
        }
    }

    fn wait(&mut self, wait: &Wait<'_>) {
        let number = wait.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        let lead = format!("  {}{number}: {}", wait.title, wait.rule);
        let room = self.look.prose_width().saturating_sub(4).max(30);
        for (index, line) in words::wrap(&lead, room).iter().enumerate() {
            let line = match line.split_once(": ").filter(|_| index == 0) {
                Some((_, rest)) => {
                    let title = paint(look::STRONG, wait.title);
                    format!("  {title}{}: {rest}", paint(look::DIM, &number))
                }
                None => format!("    {line}"),
            };
            self.line(line);
        }
        let limit = if self.look.detail == Detail::Full { usize::MAX } else { NAMED_PER_WAIT };
        for item in wait.items.iter().take(limit) {
            let of = paint(look::DIM, format!("  in {}", item.component));
            let object = self.object(item.change);
            self.line(format!("    {object}{of}"));
            for reason in &item.reasons {
                self.prose(FIELD_INDENT, reason);
            }
        }
        if wait.items.len() > limit {
            let more = words::count(wait.items.len() - limit, "more object");
            self.line(format!("    {} {more}", self.look.glyphs.ellipsis()));
        }
        wait.ways.iter().for_each(|way| self.way(way));
    }

    fn way(&mut self, way: &Way) {
        match way {
            Way::Advice(text) => self.prose(4, text),
            Way::Paste { into, yaml } => {
                self.prose(4, &format!("{into}:"));
                self.line("");
                for line in yaml.lines() {
                    self.line(format!("      {}", paint(look::CODE, line)));
                }
                self.line("");
            }
            Way::Run { does, command } => {
                self.prose(4, &format!("{does}:"));
                self.line("");
                self.line(format!("      {}", paint(look::CODE, command)));
                self.line("");
            }
        }
    }

    /// Lists the hazardous changes that go ahead; the held ones were listed above.
    fn hazards(&mut self, plan: &Plan) {
        let hazardous: Vec<(&ComponentPlan, &Change)> = plan
            .changes()
            .filter(|(_, change)| change.hazard > Hazard::Safe && change.gates.is_empty())
            .collect();
        if hazardous.is_empty() {
            return;
        }
        let approved_by = view::approved_by(plan);
        self.gap();
        self.line(paint(look::WARN, "Hazards that go ahead"));
        self.gap();
        for (component, change) in hazardous {
            let of = paint(look::DIM, format!("  in {}", component.name));
            let object = self.object(change);
            self.line(format!("    {object}{of}"));
            for reason in &change.because {
                self.prose(FIELD_INDENT, &words::clean(reason));
            }
            if let Some(sentence) = work::sentence(change) {
                self.prose(FIELD_INDENT, &sentence);
            }
            if let Some(file) = approved_by.as_ref().filter(|_| !change.approved.is_empty()) {
                self.prose(FIELD_INDENT, &format!("approved by {file}"));
            }
        }
    }

    /// Names what runs now and would be hit.
    fn work(&mut self, plan: &Plan) {
        let rows = work::rows(plan);
        if rows.is_empty() {
            return;
        }
        self.gap();
        let total = work::total(&rows);
        self.line(format!("{} {total}", paint(look::WARN, "Running now, and would be hit:")));
        self.gap();
        let limit = if self.look.detail == Detail::Full { usize::MAX } else { NAMED_PER_WAIT };
        for row in rows.iter().take(limit) {
            let whose =
                if row.whose.is_empty() { String::new() } else { format!("  {}", row.whose) };
            let sort = paint(look::DIM, format!("{:<8}", row.sort));
            self.line(format!("    {sort}  {}{whose}", row.work));
            let gap = if row.age.is_empty() { "" } else { ", " };
            self.prose(FIELD_INDENT + 4, &format!("{}{gap}{}", row.holds, row.age));
        }
        if rows.len() > limit {
            let dots = self.look.glyphs.ellipsis();
            self.line(format!("    {dots} {} more (-v lists all)", rows.len() - limit));
        }
    }

    fn waves(&mut self, plan: &Plan) {
        let waves = work::waves(plan);
        if waves.is_empty() {
            return;
        }
        self.gap();
        self.line(paint(look::STRONG, "Node by node"));
        let limit = if self.look.detail == Detail::Full { usize::MAX } else { NAMED_PER_WAIT };
        for wave in &waves {
            self.gap();
            self.line(format!("  {}", wave.lead));
            if let Some(stopped) = &wave.stopped {
                self.prose(4, &format!("It stops there: {stopped}"));
            }
            for (node, told) in wave.nodes.iter().take(limit) {
                self.prose(4, &format!("{node}: {told}"));
            }
            if wave.nodes.len() > limit {
                let dots = self.look.glyphs.ellipsis();
                self.line(format!("    {dots} {} more", wave.nodes.len() - limit));
            }
        }
    }

    fn components(&mut self, plan: &Plan) {
        let detailed = |component: &&ComponentPlan| {
            self.look.detail == Detail::Full || component.changes.iter().any(view::is_visible)
        };
        let (loud, quiet): (Vec<_>, Vec<_>) = plan.components.iter().partition(detailed);
        for component in loud {
            self.gap();
            self.component(component);
        }
        self.gap();
        for component in quiet {
            let what = match component.changes.len() {
                0 => "no objects".to_owned(),
                count => format!("unchanged ({})", words::count(count, "object")),
            };
            self.line(format!("{} {}", title(component), paint(look::DIM, what)));
        }
    }

    fn component(&mut self, component: &ComponentPlan) {
        let view = ComponentView::new(component, self.look);
        let mut head = format!("{} {}", title(view.component), view.tally.phrase());
        if !component.depends_on.is_empty() {
            let after: Vec<&str> = component.depends_on.iter().map(AsRef::as_ref).collect();
            head.push_str(&paint(look::DIM, format!("  after {}", words::list(&after))));
        }
        self.line(head);
        for change in &view.shown {
            self.change(change);
        }
        if let Some(fold) = &view.folded {
            let text = format!("  + {}", fold.phrase());
            let room = self.look.width.saturating_sub(2);
            for (index, line) in words::wrap(&text, room).iter().enumerate() {
                let indent = if index == 0 { "    " } else { "        " };
                self.line(format!("{indent}{}", paint(look::CREATE, line)));
            }
        }
        if view.left_out > 0 {
            let more = words::count(view.left_out, "more object");
            self.line(format!("    {} {more} (-v lists all)", self.look.glyphs.ellipsis()));
        }
        if self.look.detail == Detail::Full {
            component.changes.iter().filter(|change| !view::is_visible(change)).for_each(
                |change| {
                    let line = format!("    = {}", words::clean(&change.id.to_string()));
                    self.line(paint(look::DIM, line));
                },
            );
        }
    }

    fn change(&mut self, change: &Change) {
        let mut line = format!("  {}", self.object(change));
        if view::is_held(change) {
            line.push_str(&paint(look::HELD, format!("  held: {}", waits::short(change))));
        }
        if !change.approved.is_empty() {
            line.push_str(&paint(look::GOOD, format!("  approved: {}", waits::approved(change))));
        }
        self.line(line);
        if self.look.detail == Detail::Brief {
            return;
        }
        match &change.action {
            Action::Update { fields } | Action::Adopt { fields } => self.fields(fields),
            Action::Replace { immutable, .. } => {
                let fields: Vec<String> =
                    immutable.iter().map(|field| words::clean(field)).collect();
                self.prose(
                    FIELD_INDENT,
                    &format!("cannot be changed in place: {}", words::list(&fields)),
                );
            }
            Action::None
            | Action::Record
            | Action::Create
            | Action::Delete { .. }
            | Action::Release { .. }
            | Action::Forget
            | Action::Unknown => {}
        }
    }

    /// Returns the mark, symbol, identity, hazard and doubt of a change, without a line end.
    fn object(&self, change: &Change) -> String {
        let (symbol, style) = view::symbol(&change.action);
        let held = if view::is_held(change) { paint(look::HELD, "!") } else { " ".to_owned() };
        let kind = words::clean(&change.id.kind.to_string());
        let name = match &change.id.namespace {
            Some(namespace) => format!("{namespace}/{}", change.id.name),
            None => change.id.name.clone(),
        };
        let mut text = format!(
            "{held} {} {} {}",
            paint(style, format!("{symbol:<3}")),
            paint(look::DIM, kind),
            words::clean(&name)
        );
        if change.hazard > Hazard::Safe {
            let style = if change.hazard >= Hazard::EvictsJobs { look::FAIL } else { look::WARN };
            text.push_str(&format!("  {}", paint(style, view::hazard_name(change.hazard))));
        }
        if let Some(doubt) = view::doubt(change) {
            text.push_str(&format!("  {}", paint(look::DIM, doubt)));
        }
        text
    }

    fn fields(&mut self, fields: &[sitewright_model::plan::FieldChange]) {
        let limit = if self.look.detail == Detail::Full { usize::MAX } else { FIELDS_PER_OBJECT };
        for change in fields.iter().take(limit) {
            self.field(&field::lines(change, self.look));
        }
        if fields.len() > limit {
            let more = words::count(fields.len() - limit, "more field");
            let dots = self.look.glyphs.ellipsis();
            self.line(format!("          {dots} {more} (-v shows all)"));
        }
    }

    fn field(&mut self, lines: &field::FieldLines) {
        let by = match &lines.by {
            Some(by) => paint(look::DIM, format!("  ({by})")),
            None => String::new(),
        };
        match &lines.body {
            Body::Inline(before, after) if self.fits(&[&lines.field, before, after]) => {
                let arrow = self.look.glyphs.arrow();
                let before = paint(look::DELETE, before);
                let after = paint(look::CREATE, after);
                self.line(format!("          {}: {before} {arrow} {after}{by}", lines.field));
            }
            Body::Inline(before, after) => {
                self.line(format!("          {}:{by}", lines.field));
                self.diff_line(&DiffLine::Gone(before.clone()));
                self.diff_line(&DiffLine::New(after.clone()));
            }
            Body::Diff(diff) => {
                self.line(format!("          {}:{by}", lines.field));
                diff.iter().for_each(|line| self.diff_line(line));
            }
        }
    }

    /// Returns whether a field and its two values fit on one line.
    fn fits(&self, parts: &[&str]) -> bool {
        const BETWEEN: usize = 6;
        let length: usize = parts.iter().map(|part| part.chars().count()).sum();
        FIELD_INDENT + length + BETWEEN <= self.look.width
    }

    fn diff_line(&mut self, line: &DiffLine) {
        let text = match line {
            DiffLine::Kept(text) => format!("  {text}"),
            DiffLine::Gone(text) => paint(look::DELETE, format!("- {text}")),
            DiffLine::New(text) => paint(look::CREATE, format!("+ {text}")),
            DiffLine::Folded(text) => paint(look::DIM, format!("  {text}")),
        };
        self.line(format!("            {text}"));
    }

    fn footnotes(&mut self, plan: &Plan) {
        for note in view::footnotes(plan) {
            self.gap();
            self.prose(0, &note);
        }
    }

    fn summary(&mut self, plan: &Plan, tally: &Tally, invocation: &Invocation) {
        self.gap();
        if tally.is_quiet() {
            if !plan.waves.is_empty() {
                self.line("The objects are as desired; the agent takes the nodes that are left.");
                return;
            }
            let objects = words::count(tally.unchanged + tally.record, "object");
            self.line(format!("{} {objects} as desired.", paint(look::GOOD, "No changes:")));
            if tally.record > 0 {
                let records = words::count(tally.record, "record");
                self.line(format!("The next apply renews {records} in the inventory."));
            }
            return;
        }
        let legend = view::legend(plan);
        for line in words::wrap(&legend, self.look.prose_width()) {
            self.line(paint(look::DIM, line));
        }
        self.line(format!("{} {}.", paint(look::STRONG, "Plan:"), tally.phrase()));
        if tally.applicable() > 0 && self.look.detail != Detail::Brief {
            let what = if tally.held > 0 { "To apply what is not held:" } else { "To apply it:" };
            let command = paint(look::CODE, invocation.command("apply", ""));
            self.line(format!("{what} {command}"));
        }
    }
}

/// Returns the name and blueprint of a component.
fn title(component: &ComponentPlan) -> String {
    let name = paint(look::STRONG, &component.name);
    let blueprint = match &component.blueprint {
        Some((blueprint, version)) => format!("{blueprint} {}", words::clean(version)),
        None => "no longer in the site".to_owned(),
    };
    format!("{name} {}:", paint(look::DIM, format!("({blueprint})")))
}

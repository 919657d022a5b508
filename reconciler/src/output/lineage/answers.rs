//! What is needed again, in what two differ, what is said of one thing.

use sitewright_model::lineage::{
    EntityKind, Gap, Grade, Graph,
    compare::{Difference, Need, Reproduction, Sides},
    policy::Verdict,
    touch::{Touch, touches},
};

use crate::output::{
    Look,
    look::{self, paint},
    words::clean,
};

/// What may have touched a run: lines of it.
const TOUCHES: usize = 30;

/// Returns what is needed to make something again.
pub fn reproduction(again: &Reproduction, _: &Look) -> String {
    let mut lines = Vec::new();
    for run in &again.runs {
        lines.push(paint(look::STRONG, clean(&run.name)).to_string());
        for (aspect, needs) in &run.needs {
            lines.extend(needs.iter().map(|one| format!("  {:<14} {}", aspect.word(), need(one))));
        }
        for (name, setting) in &run.settings {
            lines.push(format!(
                "  {:<14} {} ({})",
                clean(name),
                clean(&setting.what),
                setting.grade
            ));
        }
    }
    let touched: Vec<Touch> = again.runs.iter().flat_map(|run| run.touched.clone()).collect();
    lines.extend(touching(&touched));
    if !again.doubts.is_empty() {
        lines.push(paint(look::WARN, "not certain:").to_string());
        lines.extend(again.doubts.iter().map(|doubt| format!("  {}", clean(doubt))));
    }
    lines.join("\n") + "\n" + &gaps(&again.gaps)
}

/// Returns what of the cluster's configuration may have touched the runs of a graph.
pub fn touched(graph: &Graph) -> String {
    let runs = graph.of_kind(EntityKind::Run);
    let touched: Vec<Touch> = runs.flat_map(|run| touches(graph, run)).collect();
    touching(&touched).iter().fold(String::new(), |text, line| text + line + "\n")
}

fn touching(touched: &[Touch]) -> Vec<String> {
    if touched.is_empty() {
        return Vec::new();
    }
    let mut lines =
        vec![paint(look::STRONG, "of the configuration, what may have touched it:").to_string()];
    let further = touched.len().saturating_sub(TOUCHES);
    lines.extend(touched.iter().take(TOUCHES).map(|touch| {
        let Touch { epoch, what, of, because, during } = touch;
        let what = if what == "object" { String::new() } else { format!("{what}: ") };
        let when = if *during { "while it ran" } else { "before it" };
        format!("  {what}{}  ({because}; {when}, {})", clean(of), epoch.short())
    }));
    if further > 0 {
        lines.push(format!("  and {further} more: -o json has them all"));
    }
    lines
}

fn need(need: &Need) -> String {
    let place = need.place.as_deref().map(|place| format!("  {}", clean(place)));
    format!("{} ({}){}", clean(&need.what), need.grade, place.unwrap_or_default())
}

/// Returns in what two things differ.
pub fn difference(difference: &Difference, _: &Look) -> String {
    let mut lines = Vec::new();
    for (aspect, Sides { only_one, only_other, both }) in &difference.aspects {
        let same =
            if only_one.is_empty() && only_other.is_empty() { "the same" } else { "differs" };
        let shared =
            if both.is_empty() { String::new() } else { format!(", {} in common", both.len()) };
        lines.push(format!("{}: {same}{shared}", paint(look::STRONG, aspect.word())));
        lines.extend(only_one.iter().map(|one| format!("  - {}", need(one))));
        lines.extend(only_other.iter().map(|one| format!("  + {}", need(one))));
    }
    for (name, (one, other)) in &difference.settings {
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "-".to_owned(), clean);
        lines.push(format!("{}: {} -> {}", clean(name), value(one), value(other)));
    }
    for (what, (one, other)) in &difference.grades {
        lines.push(format!("{} is {one} in the one, {other} in the other", clean(what)));
    }
    if lines.is_empty() {
        lines.push("nothing is known in which they differ".to_owned());
    }
    lines.join("\n") + "\n"
}

/// Returns whether each service or model meets what is demanded, and why not.
pub fn verdicts(verdicts: &[Verdict], _: &Look) -> String {
    let mut lines = Vec::new();
    for verdict in verdicts {
        let (word, look) =
            if verdict.is_met() { ("ok", look::GOOD) } else { ("UNMET", look::FAIL) };
        lines.push(format!("{} {}", paint(look, format!("{word:<6}")), clean(&verdict.name)));
        lines.extend(verdict.reasons.iter().map(|reason| format!("         {}", clean(reason))));
    }
    let unmet = verdicts.iter().filter(|verdict| !verdict.is_met()).count();
    lines.push(match (verdicts.len(), unmet) {
        (0, _) => "nothing is served that anything is demanded of".to_owned(),
        (all, 0) => format!("{all} checked, all meet what is demanded"),
        (all, unmet) => format!("{all} checked, {unmet} do not meet what is demanded"),
    });
    lines.join("\n") + "\n"
}

/// Returns the intervals in which something may have been missed.
pub fn gaps(gaps: &[Gap]) -> String {
    let line = |gap: &Gap| format!("blind from {} to {}: {}\n", gap.from, gap.to, clean(&gap.why));
    gaps.iter().map(line).collect()
}

/// Returns everything that is said of the focus of a graph, with its sources.
pub fn explanation(graph: &Graph, _: &Look) -> String {
    let mut lines = Vec::new();
    for node in &graph.nodes {
        lines.push(paint(look::STRONG, clean(node.id.as_str())).to_string());
        for fact in &node.facts {
            let grade = match node.known(&fact.field) {
                Some(known) if known.grade == Grade::Conflict => {
                    format!("{}, in conflict", fact.grade)
                }
                _ => fact.grade.to_string(),
            };
            lines.push(format!("  {} = {} ({grade})", clean(&fact.field), clean(&fact.value)));
            lines.push(format!("      {}", source(&fact.source, fact.position, fact.at)));
        }
    }
    for edge in &graph.edges {
        let grade = match graph.grade(edge) {
            Grade::Conflict => format!("{}, in conflict", edge.grade),
            grade => grade.to_string(),
        };
        let (from, to) = (clean(edge.from.as_str()), clean(edge.to.as_str()));
        lines.push(format!("{from} {} {to} ({grade})", edge.relation));
        lines.push(format!("      {}", source(&edge.source, edge.position, edge.at)));
    }
    lines.join("\n") + "\n"
}

fn source(
    source: &sitewright_model::lineage::Source,
    position: u64,
    at: jiff::Timestamp,
) -> String {
    let mut parts = Vec::new();
    parts.extend(source.object.as_ref().map(|object| clean(&object.to_string())));
    parts.extend(source.field.as_deref().map(clean));
    parts.extend(source.version.as_ref().map(|version| format!("version {}", clean(version))));
    parts.extend(source.rule.as_deref().map(clean));
    format!("leaf {position}, {at}: {}", parts.join(", "))
}

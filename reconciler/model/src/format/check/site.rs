//! What the schema of sites cannot say.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, field_path, git_reference, range};
use crate::{
    code::format,
    diagnostic::Diagnostics,
    suggest::{in_words, nearest},
    zone,
};

pub(in crate::format) fn check(root: &Part<'_>, mistakes: &mut Diagnostics) {
    let Some(spec) = root.get("spec") else { return };
    for library in spec.each("blueprints") {
        git_reference(&library, mistakes);
    }
    if let Some(policy) = spec.get("policy") {
        for window in policy.each("maintenance") {
            maintenance(&window, mistakes);
        }
    }
    for component in spec.each("components") {
        if let Some(blueprint) = component.get("blueprint") {
            range(&blueprint, "version", mistakes);
        }
        policy(&component, mistakes);
    }
    let components: Vec<Part<'_>> = spec.each("components").collect();
    names(&components, mistakes);
    dependencies(&components, mistakes);
}

/// Holds a maintenance window to a time zone that exists, and to more than no time.
fn maintenance(window: &Part<'_>, mistakes: &mut Diagnostics) {
    if let Some((name, part)) = window.text("timezone")
        && zone::get(name).is_none()
    {
        let label = match zone::nearest(name) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "no time zone has this name".to_owned(),
        };
        mistakes.push(
            part.error(format::UNKNOWN_VALUE, format!("there is no time zone `{name}`"), label)
                .help("write a name of the IANA database, for example `Europe/Zurich` or `UTC`"),
        );
    }
    if let Some((from, _)) = window.text("from")
        && let Some((to, part)) = window.text("to")
        && from == to
    {
        mistakes.push(
            part.error(format::OUT_OF_RANGE, "the window closes when it opens", "as `from`")
                .help("for a whole day write `from: \"00:00\"` and `to: \"24:00\"`"),
        );
    }
}

fn policy(component: &Part<'_>, mistakes: &mut Diagnostics) {
    let Some(policy) = component.get("policy") else { return };
    for rule in policy.each("takeOver").chain(policy.each("ignore")) {
        field_path(&rule, "field", mistakes);
    }
}

/// Holds the names of components unique.
fn names(components: &[Part<'_>], mistakes: &mut Diagnostics) {
    let mut seen: BTreeMap<&str, String> = BTreeMap::new();
    for (name, part) in components.iter().filter_map(|component| component.text("name")) {
        if let Some(first) = seen.get(name) {
            let message = format!("two components are named `{name}`");
            mistakes.push(
                part.error(format::DUPLICATE_NAME, message, "named so again")
                    .note(format!("the first is at {first}"))
                    .help("give one of them another name"),
            );
        } else {
            seen.insert(name, part.place_in_words());
        }
    }
}

/// Holds `dependsOn` to components that exist, and free of cycles.
fn dependencies(components: &[Part<'_>], mistakes: &mut Diagnostics) {
    let names: BTreeSet<&str> =
        components.iter().filter_map(|component| Some(component.text("name")?.0)).collect();
    let mut graph: Graph<'_> = BTreeMap::new();
    for component in components {
        let Some((name, _)) = component.text("name") else { continue };
        for (wanted, part) in component.each("dependsOn").filter_map(Part::into_text) {
            if names.contains(wanted) {
                graph.entry(name).or_default().push((wanted, part));
            } else {
                mistakes.push(unknown(wanted, &part, &names));
            }
        }
    }
    cycles(&graph, mistakes);
}

fn unknown(wanted: &str, part: &Part<'_>, names: &BTreeSet<&str>) -> crate::diagnostic::Diagnostic {
    let label = match nearest(wanted, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "no component has this name".to_owned(),
    };
    part.error(format::UNKNOWN_COMPONENT, format!("there is no component `{wanted}`"), label)
        .note(format!("the components are {}", in_words(names, "and")))
}

/// Which component waits for which, and where that is written.
type Graph<'a> = BTreeMap<&'a str, Vec<(&'a str, Part<'a>)>>;

/// Reports each cycle once, at the dependency that closes it.
fn cycles(graph: &Graph<'_>, mistakes: &mut Diagnostics) {
    let mut done: BTreeSet<&str> = BTreeSet::new();
    for start in graph.keys() {
        // Depth first without recursion: a chain may be as long as the site. Each entry of the path
        // is a component and how many of its dependencies were looked at.
        let mut path: Vec<(&str, usize)> = Vec::new();
        if !done.contains(start) {
            path.push((start, 0));
        }
        while let Some((name, looked_at)) = path.last_mut() {
            let next = graph.get(name).and_then(|edges| edges.get(*looked_at));
            *looked_at += 1;
            let Some((next, part)) = next else {
                done.insert(name);
                path.pop();
                continue;
            };
            if let Some(position) = path.iter().position(|(name, _)| name == next) {
                let cycle = path.iter().skip(position).map(|(name, _)| *name).chain([*next]);
                mistakes.push(cycle_error(part, &cycle.collect::<Vec<_>>()));
            } else if !done.contains(next) {
                path.push((next, 0));
            }
        }
    }
}

fn cycle_error(part: &Part<'_>, cycle: &[&str]) -> crate::diagnostic::Diagnostic {
    let way = cycle.join(" -> ");
    let message = match cycle {
        [name, _] => format!("component `{name}` waits for itself"),
        _ => format!("components wait for each other: {way}"),
    };
    part.error(format::DEPENDENCY_CYCLE, message, "this closes the circle")
        .help("remove one of the dependencies")
}

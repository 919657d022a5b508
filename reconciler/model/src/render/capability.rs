//! Capabilities: what the components of a site provide, and who must come first because of it.
//!
//! Comes in: every component with its blueprint. Goes out: for each, the components it waits for.

use std::collections::{BTreeMap, BTreeSet};

use super::BlueprintFolder;
use crate::{
    code,
    diagnostic::{Diagnostic, Diagnostics},
    format::site::Component,
    name::{BlueprintName, ComponentName},
};

/// What the blueprints of a library provide, for help where a capability is missing.
pub type Providers = BTreeMap<String, BTreeSet<BlueprintName>>;

/// Returns what the components provide, all together.
pub fn provided<'a>(components: impl IntoIterator<Item = &'a BlueprintFolder>) -> BTreeSet<String> {
    components
        .into_iter()
        .flat_map(|folder| folder.blueprint.spec.provides.iter().cloned())
        .collect()
}

/// Returns for each component the components that must be healthy first: those of `dependsOn`, and
/// those that provide what its blueprint requires.
///
/// # Errors
/// A required capability that nothing provides, and components that wait for each other.
pub fn dependencies(
    components: &[(&Component, &BlueprintFolder)],
    known: &Providers,
) -> Result<BTreeMap<ComponentName, Vec<ComponentName>>, Diagnostics> {
    let mut providers: BTreeMap<&str, Vec<&ComponentName>> = BTreeMap::new();
    for (component, folder) in components {
        for capability in &folder.blueprint.spec.provides {
            providers.entry(capability).or_default().push(&component.name);
        }
    }
    let mut diagnostics = Diagnostics::default();
    let mut edges = BTreeMap::new();
    for (component, folder) in components {
        let mut first = component.depends_on.clone();
        for requirement in &folder.blueprint.spec.requires {
            let (capability, optional) = match requirement.strip_suffix('?') {
                Some(capability) => (capability, true),
                None => (requirement.as_str(), false),
            };
            match providers.get(capability) {
                Some(names) => first.extend(names.iter().map(|&name| name.clone())),
                None if optional => {}
                None => diagnostics.push(missing(component, folder, capability, known)),
            }
        }
        first.retain(|name| *name != component.name);
        let mut seen = BTreeSet::new();
        first.retain(|name| seen.insert(name.clone()));
        edges.insert(component.name.clone(), first);
    }
    if let Some(circle) = circle(&edges) {
        diagnostics.push(in_a_circle(&circle));
    }
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok(edges) }
}

fn missing(
    component: &Component,
    folder: &BlueprintFolder,
    capability: &str,
    known: &Providers,
) -> Diagnostic {
    let blueprint = &folder.blueprint.metadata.name;
    let message = format!(
        "blueprint `{blueprint}` requires `{capability}`, and no component of the site provides it"
    );
    let help = match known.get(capability) {
        Some(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!(
                "add a component of a blueprint that provides `{capability}`: {}",
                names.join(", ")
            )
        }
        None => format!("no blueprint in the site's libraries provides `{capability}`: add one"),
    };
    Diagnostic::error(code::render::CAPABILITY_MISSING, message)
        .component(&component.name)
        .help(help)
}

fn in_a_circle(circle: &[ComponentName]) -> Diagnostic {
    let names: Vec<String> =
        circle.iter().chain(circle.first()).map(|name| format!("`{name}`")).collect();
    let diagnostic = Diagnostic::error(
        code::render::DEPENDENCY_CYCLE,
        format!("components wait for each other: {}", names.join(" waits for ")),
    );
    match circle.first() {
        Some(first) => diagnostic.component(first),
        None => diagnostic,
    }
    .help("take one of them out of `dependsOn`, or out of the `requires` of its blueprint")
}

/// Returns the names along one circle, or none where there is no circle.
fn circle(edges: &BTreeMap<ComponentName, Vec<ComponentName>>) -> Option<Vec<ComponentName>> {
    let mut left: BTreeMap<&ComponentName, &[ComponentName]> =
        edges.iter().map(|(name, first)| (name, first.as_slice())).collect();
    // Take away what waits for nothing until nothing changes: what stays waits for a circle.
    loop {
        let free: Vec<&ComponentName> = left
            .iter()
            .filter(|(_, first)| first.iter().all(|name| !left.contains_key(name)))
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            left.remove(name);
        }
    }
    let mut path: Vec<&ComponentName> = Vec::new();
    let mut next = left.keys().next().copied();
    while let Some(name) = next {
        if let Some(start) = path.iter().position(|&seen| seen == name) {
            return Some(path.iter().skip(start).map(|&name| name.clone()).collect());
        }
        path.push(name);
        next = left.get(name).and_then(|first| first.iter().find(|name| left.contains_key(name)));
    }
    None
}

//! The whole of a site, checked: blueprints found, values resolved, dependencies known.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use sitewright_model::{
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    digest::Digest,
    format::site::Component,
    name::ComponentName,
    render::{self, BlueprintFolder, ComponentInput, capability, unknown_upstream},
    values,
};
use sitewright_source::{Settings, Snapshot};

use super::{
    library::{Found, Libraries},
    site::SiteFolder,
    stored::Looked,
};

/// A site that was read and checked.
pub(super) struct Parsed {
    /// The site's own files.
    pub(super) folder: SiteFolder,
    /// The components in the order of the site file.
    pub(super) components: Vec<ParsedComponent>,
    /// The digest of everything that was read.
    pub(super) inputs: Digest,
    /// Where blueprints were looked for in the site's repository.
    pub(super) looked: Vec<Looked>,
}

/// A component, ready to render.
pub(super) struct ParsedComponent {
    /// What it is rendered from.
    pub(super) input: ComponentInput,
    /// The digest of its blueprint's files.
    pub(super) blueprint: Digest,
    /// Components that must be healthy first.
    pub(super) depends_on: Vec<ComponentName>,
}

impl ParsedComponent {
    fn has_no_sources(&self) -> bool {
        self.input.blueprint.blueprint.spec.sources.is_empty()
    }
}

/// Checks a site whose own files were read.
///
/// # Errors
/// All mistakes of blueprints, values and capabilities at once; before them, those of libraries.
pub(super) fn parse(
    snapshot: &Snapshot,
    folder: SiteFolder,
    settings: &Settings,
) -> Result<Parsed, Diagnostics> {
    let site = &folder.site.value;
    let place = |index: usize| folder.site.document.place(&format!("/spec/blueprints/{index}"));
    let mut libraries = Libraries::open(
        snapshot,
        &folder.path,
        &site.spec.blueprints,
        &folder.lock,
        settings,
        place,
    )?;
    let mut mistakes = Diagnostics::default();
    let found = find_blueprints(&folder, &mut libraries, &mut mistakes);
    let edges = dependencies(&found, &mut libraries, &mut mistakes);
    let capabilities =
        Arc::new(capability::provided(found.iter().map(|(_, found)| found.folder.as_ref())));
    let inputs = inputs(&folder, &found);
    let mut components = Vec::with_capacity(found.len());
    for (component, found) in &found {
        mistakes.extend(unknown_names(&folder, component, &found.folder));
        match values::resolve(found.schema.as_ref(), &folder.site, component) {
            Ok(resolved) => components.push(ParsedComponent {
                blueprint: found.digest,
                depends_on: edges.get(&component.name).cloned().unwrap_or_default(),
                input: ComponentInput {
                    site: site.metadata.name.clone(),
                    component: (*component).clone(),
                    blueprint: Arc::clone(&found.folder),
                    values: resolved.value,
                    sensitive: resolved.sensitive.into_iter().collect(),
                    capabilities: Arc::clone(&capabilities),
                },
            }),
            Err(error) => mistakes.extend(error),
        }
    }
    if mistakes.has_errors() {
        // What needs nothing fetched is rendered all the same: its mistakes are told along.
        let own = components.iter().filter(|component| component.has_no_sources());
        let rendered = own.filter_map(|component| render::component(&component.input, &[]).err());
        rendered.for_each(|more| mistakes.extend(more));
        return Err(mistakes.in_order());
    }
    drop(found);
    let looked = libraries.into_looked();
    Ok(Parsed { folder, components, inputs, looked })
}

/// Finds the blueprint of each component; each mistake is told once.
fn find_blueprints<'s>(
    folder: &'s SiteFolder,
    libraries: &mut Libraries<'_>,
    mistakes: &mut Diagnostics,
) -> Vec<(&'s Component, Arc<Found>)> {
    let document = &folder.site.document;
    let mut found = Vec::new();
    let mut told: BTreeSet<(Option<String>, String)> = BTreeSet::new();
    for (index, component) in folder.site.value.spec.components.iter().enumerate() {
        let at = |key: &str| document.place(&format!("/spec/components/{index}/blueprint/{key}"));
        match libraries.find(&component.blueprint, || at("name"), || at("version")) {
            Ok(blueprint) => found.push((component, blueprint)),
            Err(error) => {
                for error in error.0 {
                    if told.insert((place_of(&error), error.message.clone())) {
                        mistakes.push(with_component(error, component));
                    }
                }
            }
        }
    }
    found
}

fn place_of(error: &Diagnostic) -> Option<String> {
    error.place.span.as_ref().map(|span| format!("{span:?}"))
}

fn with_component(mut error: Diagnostic, component: &Component) -> Diagnostic {
    error.place.component.get_or_insert_with(|| component.name.clone());
    error
}

fn dependencies(
    found: &[(&Component, Arc<Found>)],
    libraries: &mut Libraries<'_>,
    mistakes: &mut Diagnostics,
) -> BTreeMap<ComponentName, Vec<ComponentName>> {
    let pairs: Vec<(&Component, &BlueprintFolder)> =
        found.iter().map(|(component, found)| (*component, found.folder.as_ref())).collect();
    let none = capability::Providers::new();
    // Only a message needs to know what other blueprints provide, so they are read only for it.
    let edges = capability::dependencies(&pairs, &none)
        .or_else(|_| capability::dependencies(&pairs, &libraries.providers()));
    edges.unwrap_or_else(|error| {
        mistakes.extend(error);
        BTreeMap::new()
    })
}

/// Places the names under `upstream` that no source has.
fn unknown_names(
    folder: &SiteFolder,
    component: &Component,
    blueprint: &BlueprintFolder,
) -> Diagnostics {
    let components = &folder.site.value.spec.components;
    let index = components.iter().position(|one| one.name == component.name).unwrap_or_default();
    let place = |name: &str| -> FileSpan {
        folder.site.document.key_place(&format!("/spec/components/{index}/upstream/{name}"))
    };
    let unknown = unknown_upstream(component, &blueprint.blueprint);
    Diagnostics(
        unknown.into_iter().map(|(name, error)| error.at(place(name.as_str()), "")).collect(),
    )
}

/// Returns the digest of the site's files and of every blueprint that it uses.
fn inputs(folder: &SiteFolder, found: &[(&Component, Arc<Found>)]) -> Digest {
    let lock = folder.texts.lock.as_deref().unwrap_or_default();
    let blueprints: BTreeMap<String, String> = found
        .iter()
        .map(|(_, found)| {
            let metadata = &found.folder.blueprint.metadata;
            let name = format!("{}@{}", metadata.name, metadata.version);
            (name, found.digest.to_string())
        })
        .collect();
    let mut parts: Vec<&[u8]> = vec![&folder.texts.site, lock];
    for (name, digest) in &blueprints {
        parts.extend([name.as_bytes(), digest.as_bytes()]);
    }
    Digest::of_parts(parts)
}

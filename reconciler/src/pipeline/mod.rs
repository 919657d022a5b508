//! From a location to the rendered site: read, check, fetch, render.
//!
//! Comes in: where the site is, and [`Settings`]. Goes out: a [`Rendered`] site, or every mistake at once.
//! Never: speaks with a cluster. Everything here blocks; an async caller runs it on a thread of its own.
//!
//! What was rendered before is stored on disk by what it was rendered from (`store`): a site that did not
//! change is neither parsed nor rendered, and a commit renders the components that it touches.

mod approvals;
mod fetch;
mod footprint;
mod library;
mod lock;
mod parsed;
mod site;
mod store;
mod stored;

use rayon::prelude::*;
pub use sitewright_model::render::Rendered;
use sitewright_model::{
    desired::DesiredComponent,
    diagnostic::{Diagnostic, Diagnostics},
    digest::Digest,
    format::lock::Lock,
    name::SiteName,
    render::{self, RenderedComponent, SiteParts, Values},
    revision::Revision,
};
use sitewright_source::{Cache, Snapshot, cache, snapshot::Origin};
pub use sitewright_source::{Location, Settings};

pub use self::{approvals::Approvals, footprint::Footprint};
use self::{
    fetch::Fetcher,
    parsed::{Parsed, ParsedComponent},
    site::{SiteFolder, Texts},
    store::Store,
    stored::{StoredComponent, StoredSite},
};

/// A site that was read and checked, its blueprints found, its values resolved; nothing is fetched yet.
pub struct Loaded {
    snapshot: Snapshot,
    texts: Texts,
    key: Digest,
    state: State,
    approvals: Approvals,
    /// What tells the helm that its charts would be rendered with; none where it has none.
    helm: Option<String>,
}

/// How far it got.
enum State {
    /// It was checked and rendered before, from the same inputs.
    Stored(Box<StoredSite>),
    /// It was checked now.
    Parsed(Box<Parsed>),
}

impl Loaded {
    /// Returns the site's name.
    pub fn site(&self) -> &SiteName {
        match &self.state {
            State::Stored(site) => &site.site,
            State::Parsed(parsed) => &parsed.folder.site.value.metadata.name,
        }
    }

    /// Returns which state of which repository it was read from.
    pub fn origin(&self) -> Origin {
        self.snapshot.origin()
    }

    /// Returns the approvals beside the site, at the same state of the repository.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    /// Returns the revision: the commit, and the digest of everything that was read.
    pub fn revision(&self) -> Revision {
        let inputs = match &self.state {
            State::Stored(site) => site.inputs,
            State::Parsed(parsed) => parsed.inputs,
        };
        let Origin { repository, path, reference, commit } = self.snapshot.origin();
        Revision { repository, path, reference, commit, dirty: self.snapshot.is_dirty(), inputs }
    }
}

/// Reads and checks the site at `location`, finds its blueprints, and resolves its values.
///
/// # Errors
/// All mistakes of the site at once, each with its place.
pub fn load(location: &Location, settings: &Settings) -> Result<Loaded, Diagnostics> {
    load_from(Snapshot::open(location, settings)?, settings)
}

/// As [`load`], from a state of the repository that is open already.
///
/// # Errors
/// As with [`load`].
pub fn load_from(mut snapshot: Snapshot, settings: &Settings) -> Result<Loaded, Diagnostics> {
    let approvals = Approvals::read(&mut snapshot);
    let texts = Texts::read(&snapshot)?;
    let cache = cache_of(settings);
    let store = Store::new(&cache, settings);
    let key = store.site_key(snapshot.path(), &texts);
    let state = match store.site(&key, &snapshot)? {
        Some(site) => State::Stored(Box::new(site)),
        None => State::Parsed(Box::new(parse(&snapshot, &texts, settings)?)),
    };
    let helm = match &state {
        State::Stored(site) => site.helm.clone(),
        State::Parsed(parsed) => {
            parsed.components.iter().find_map(|component| store.helm_of(&component.input))
        }
    };
    Ok(Loaded { snapshot, texts, key, state, approvals, helm })
}

/// Returns what `site.lock` of the site at `location` should say now; its text is
/// [`print`](sitewright_model::format::lock::print)ed and written by the caller.
///
/// # Errors
/// All mistakes of the site at once, and every library and source that cannot be resolved.
pub fn lock(location: &Location, settings: &Settings) -> Result<Lock, Diagnostics> {
    let snapshot = Snapshot::open(location, settings)?;
    lock::lock(&snapshot, settings, &cache_of(settings))
}

/// Fetches what the site builds on, and renders it.
///
/// # Errors
/// All mistakes of all components at once, each with its place.
pub fn render(loaded: Loaded, settings: &Settings) -> Result<Rendered, Diagnostics> {
    let revision = loaded.revision();
    let Loaded { snapshot, texts, key, state, approvals, .. } = loaded;
    let cache = cache_of(settings);
    let store = Store::new(&cache, settings);
    let mut rendered = match state {
        State::Parsed(parsed) => render_parsed(*parsed, revision, &key, &store, settings),
        State::Stored(site) => match take_stored(*site, &revision, &store) {
            Some(rendered) => rendered,
            // A part of it was cleared away meanwhile.
            None => {
                let parsed = parse(&snapshot, &texts, settings)?;
                render_parsed(parsed, revision, &key, &store, settings)
            }
        },
    }?;
    rendered.warnings.0.extend(cache.take_warning());
    rendered.warnings.0.extend(approvals.warnings());
    Ok(rendered)
}

fn cache_of(settings: &Settings) -> Cache {
    Cache::new(&settings.cache_dir, cache::DEFAULT_BYTES)
}

fn parse(snapshot: &Snapshot, texts: &Texts, settings: &Settings) -> Result<Parsed, Diagnostics> {
    match SiteFolder::parse(snapshot, texts.clone()) {
        Ok(folder) => parsed::parse(snapshot, folder, settings),
        Err(mut mistakes) => {
            mistakes.extend(beyond_the_site_file(snapshot, texts, settings));
            Err(mistakes.in_order())
        }
    }
}

/// Returns the mistakes of what a site file with mistakes leads to. Those of a component that has one in the
/// site file are left out: they may come of it.
fn beyond_the_site_file(snapshot: &Snapshot, texts: &Texts, settings: &Settings) -> Diagnostics {
    let Some((folder, broken)) = SiteFolder::sound_part(snapshot, texts.clone()) else {
        return Diagnostics::default();
    };
    let found = parsed::parse(snapshot, folder, settings).err().unwrap_or_default();
    let is_of_its_own = |mistake: &Diagnostic| {
        mistake.place.component.as_ref().is_none_or(|component| !broken.contains(component))
    };
    Diagnostics(found.0.into_iter().filter(is_of_its_own).collect())
}

/// Puts a site together from what is stored; none where a component is no longer there.
fn take_stored(
    site: StoredSite,
    revision: &Revision,
    store: &Store<'_>,
) -> Option<Result<Rendered, Diagnostics>> {
    let objects: Vec<Option<RenderedComponent>> =
        site.components.par_iter().map(|component| store.component(&component.key)).collect();
    let objects: Vec<RenderedComponent> = objects.into_iter().collect::<Option<_>>()?;
    let rules = site.components.into_iter().map(StoredComponent::without_objects);
    let parts = SiteParts {
        site: site.site,
        revision: revision.clone(),
        policy: site.policy,
        tombstones: site.tombstones,
    };
    Some(assemble(parts, rules.zip(objects).collect()))
}

/// Renders what is not stored yet, and stores it.
fn render_parsed(
    parsed: Parsed,
    revision: Revision,
    key: &Digest,
    store: &Store<'_>,
    settings: &Settings,
) -> Result<Rendered, Diagnostics> {
    let Parsed { folder, components, inputs, looked } = parsed;
    let fetcher = Fetcher::new(settings, store.cache(), &folder.lock);
    let rendered: Vec<Result<(Digest, RenderedComponent), Diagnostics>> = components
        .par_iter()
        .map(|component| render_component(component, &folder.lock, &fetcher, store))
        .collect();
    let mut mistakes = Diagnostics::default();
    let mut pairs = Vec::with_capacity(components.len());
    let mut stored = Vec::with_capacity(components.len());
    for (component, rendered) in components.iter().zip(rendered) {
        match rendered {
            Ok((key, rendered)) => {
                let rules = rules_of(component);
                stored.push(StoredComponent::new(&rules, key));
                pairs.push((rules, rendered));
            }
            Err(error) => mistakes.extend(error),
        }
    }
    if mistakes.has_errors() {
        return Err(mistakes.in_order());
    }
    let spec = folder.site.value.spec;
    let stored = StoredSite {
        looked,
        inputs,
        helm: components.iter().find_map(|component| store.helm_of(&component.input)),
        site: folder.site.value.metadata.name.clone(),
        policy: spec.policy.clone(),
        tombstones: spec.tombstones.clone(),
        components: stored,
    };
    let parts = SiteParts {
        site: folder.site.value.metadata.name,
        revision,
        policy: spec.policy,
        tombstones: spec.tombstones,
    };
    let rendered = assemble(parts, pairs)?;
    store.put_site(key, &stored);
    Ok(rendered)
}

fn rules_of(component: &ParsedComponent) -> DesiredComponent {
    let input = &component.input;
    let depends_on = component.depends_on.clone();
    let values = Values { values: &input.values, sensitive: &input.sensitive };
    render::without_objects(&input.component, &input.blueprint.blueprint, values, depends_on)
}

fn render_component(
    component: &ParsedComponent,
    lock: &Lock,
    fetcher: &Fetcher<'_>,
    store: &Store<'_>,
) -> Result<(Digest, RenderedComponent), Diagnostics> {
    let key = store.component_key(component, lock);
    if let Some(stored) = store.component(&key) {
        return Ok((key, stored));
    }
    let outputs = fetcher.fetch_all(&component.input)?;
    let rendered = render::component(&component.input, &outputs)?;
    store.put_component(&key, &rendered);
    Ok((key, rendered))
}

fn assemble(
    parts: SiteParts,
    mut components: Vec<(DesiredComponent, RenderedComponent)>,
) -> Result<Rendered, Diagnostics> {
    let mut warnings = Diagnostics::default();
    for (_, rendered) in &mut components {
        warnings.extend(std::mem::take(&mut rendered.warnings));
    }
    Ok(Rendered { desired: render::assemble(parts, components)?, warnings })
}

#[cfg(test)]
mod tests;

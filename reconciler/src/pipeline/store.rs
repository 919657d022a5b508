//! What was rendered before, found again by what it was rendered from.
//!
//! Two levels. A component is stored by the digest of everything that its objects depend on, so a commit
//! renders only the components that it touches. A site is stored by its own two files, with the blueprint
//! folders that were looked at and the keys of its components, so that a site that did not change is
//! neither parsed nor rendered.

use std::{fs, path::Path, time::SystemTime};

use rayon::prelude::*;
use serde::Serialize;
use sitewright_model::{
    diagnostic::Diagnostics,
    digest::{Digest, canonical_json},
    format::lock::Lock,
    render::{ComponentInput, RenderedComponent},
};
use sitewright_source::{Cache, Settings, Snapshot, cache::Kind, helm};

use super::{
    fetch, library,
    parsed::ParsedComponent,
    site::Texts,
    stored::{self, FORMAT, StoredSite},
};

/// The store of renderings.
pub(super) struct Store<'a> {
    cache: &'a Cache,
    /// What tells this program from another that renders differently.
    program: String,
    /// What tells one helm from another; none where there is none.
    helm: Option<String>,
}

impl<'a> Store<'a> {
    /// Makes the store; looks at the two programs and runs none.
    pub(super) fn new(cache: &'a Cache, settings: &Settings) -> Self {
        let own = std::env::current_exe().ok();
        let own = own.as_deref().and_then(identity).unwrap_or_default();
        let program = format!("{FORMAT} {} {own}", env!("CARGO_PKG_VERSION"));
        let helm = helm::locate(settings).as_deref().and_then(identity);
        Self { cache, program, helm }
    }

    /// Returns the cache that it keeps things in.
    pub(super) fn cache(&self) -> &'a Cache {
        self.cache
    }

    /// Returns what tells the helm of this machine from another.
    pub(super) fn tells_helm(&self) -> Option<String> {
        self.helm.clone()
    }

    /// Returns the key of a site by its own files.
    pub(super) fn site_key(&self, path: &str, texts: &Texts) -> Digest {
        let lock = texts.lock.as_deref().unwrap_or_default();
        let parts: [&[u8]; 4] = [self.program.as_bytes(), path.as_bytes(), &texts.site, lock];
        Digest::of_parts(parts)
    }

    /// Returns the stored site, if everything that it was rendered from is as it was.
    pub(super) fn site(
        &self,
        key: &Digest,
        snapshot: &Snapshot,
    ) -> Result<Option<StoredSite>, Diagnostics> {
        let Some(bytes) = self.cache.get(Kind::Render, key) else { return Ok(None) };
        let Ok(site) = serde_json::from_slice::<StoredSite>(&bytes) else { return Ok(None) };
        if site.helm.is_some() && site.helm != self.helm {
            return Ok(None);
        }
        let same = site
            .looked
            .par_iter()
            .map(|looked| Ok(library::content(snapshot, &looked.path)? == looked.content))
            .collect::<Result<Vec<bool>, Diagnostics>>()?;
        Ok(same.into_iter().all(|same| same).then_some(site))
    }

    /// Stores a site.
    pub(super) fn put_site(&self, key: &Digest, site: &StoredSite) {
        let bytes = serde_json::to_vec(site).expect("a stored site is made of text-keyed maps");
        self.cache.put(Kind::Render, key, &bytes);
    }

    /// Returns the key of a component by all that its objects depend on.
    pub(super) fn component_key(&self, component: &ParsedComponent, lock: &Lock) -> Digest {
        let input = &component.input;
        let parts: Vec<Vec<u8>> = vec![
            self.program.clone().into_bytes(),
            input.site.as_str().into(),
            input.component.name.as_str().into(),
            component.blueprint.to_string().into(),
            canonical_json(&input.values),
            json(&input.sensitive),
            json(&input.component.upstream),
            json(input.capabilities.as_ref()),
            json(&pins(input, lock)),
            self.helm_of(input).unwrap_or_default().into(),
        ];
        Digest::of_parts(parts)
    }

    /// Returns the stored objects of a component.
    pub(super) fn component(&self, key: &Digest) -> Option<RenderedComponent> {
        stored::read(self.cache.get(Kind::Render, key)?)
    }

    /// Stores the objects of a component.
    pub(super) fn put_component(&self, key: &Digest, component: &RenderedComponent) {
        self.cache.put(Kind::Render, key, &stored::write(component));
    }

    /// Returns what tells the helm that a component needs; none where it needs none.
    pub(super) fn helm_of(&self, input: &ComponentInput) -> Option<String> {
        let sources = &input.blueprint.blueprint.spec.sources;
        let needs_helm = sources.iter().any(|source| source.helm.is_some());
        needs_helm.then(|| self.helm.clone().unwrap_or_else(|| "none".to_owned()))
    }
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("names, digests and text-keyed sorted maps always serialize")
}

/// Returns the digests that the lock pins the sources of a component to.
fn pins(input: &ComponentInput, lock: &Lock) -> Vec<Option<Digest>> {
    let blueprint = &input.blueprint.blueprint;
    let pin = |name| fetch::locked(lock, blueprint, name).map(|locked| locked.digest);
    blueprint.spec.sources.iter().map(|source| pin(&source.name)).collect()
}

/// Returns what tells a program on disk from another: a version would have to be asked for by running it.
fn identity(program: &Path) -> Option<String> {
    let metadata = fs::metadata(program).ok()?;
    let changed = metadata.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(format!("{} {} {}", program.display(), metadata.len(), changed.as_nanos()))
}

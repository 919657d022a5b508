//! What components build on: fetched by digest, charts rendered by helm.

use std::sync::OnceLock;

use sitewright_model::{
    diagnostic::Diagnostics,
    format::{
        blueprint::Blueprint,
        lock::{Lock, LockedSource},
    },
    name::SourceName,
    render::{self, Artifact, ComponentInput, SourceOutput, SourceRequest, SourceText},
};
use sitewright_source::{
    Cache, Settings, artifact,
    helm::{Helm, Request},
};

/// The version of Kubernetes that charts see. Fixed, since a chart must not render differently because
/// another helm was installed; the oldest one that is supported, so that charts use nothing newer.
const KUBE_VERSION: &str = "1.34.0";

/// Fetches artifacts for the components of one site.
pub(super) struct Fetcher<'a> {
    settings: &'a Settings,
    cache: &'a Cache,
    lock: &'a Lock,
    /// Found when the first chart needs it: a site without charts needs no helm.
    helm: OnceLock<Result<Helm, Diagnostics>>,
}

impl<'a> Fetcher<'a> {
    /// Makes a fetcher; touches nothing yet.
    pub(super) fn new(settings: &'a Settings, cache: &'a Cache, lock: &'a Lock) -> Self {
        Self { settings, cache, lock, helm: OnceLock::new() }
    }

    /// Fetches everything that a component builds on.
    ///
    /// # Errors
    /// Every artifact that cannot be had, at once.
    pub(super) fn fetch_all(
        &self,
        input: &ComponentInput,
    ) -> Result<Vec<SourceOutput>, Diagnostics> {
        let mut outputs = Vec::new();
        let mut mistakes = Diagnostics::default();
        for request in render::sources(input)? {
            match self.fetch(input, request) {
                Ok(output) => outputs.push(output),
                Err(error) => mistakes.extend(named(error, input)),
            }
        }
        if mistakes.has_errors() { Err(mistakes) } else { Ok(outputs) }
    }

    fn fetch(
        &self,
        input: &ComponentInput,
        request: SourceRequest,
    ) -> Result<SourceOutput, Diagnostics> {
        let SourceRequest { name, namespace, artifact } = request;
        let locked = self.locked(input, &name);
        let files = &input.blueprint.files;
        let text = match artifact {
            Artifact::Manifests(source) => {
                let found =
                    artifact::fetch_manifests(&source, files, locked, self.settings, self.cache)?;
                SourceText::Manifests(found.files)
            }
            Artifact::Chart { source, release, values } => {
                let found =
                    artifact::fetch_chart(&source, files, locked, self.settings, self.cache)?;
                let hide = render::secret_texts(input);
                let request = Request {
                    chart: &found.files,
                    omit_dependencies: &source.omit_dependencies,
                    release: &release,
                    namespace: namespace.as_deref(),
                    values: &values,
                    kube_version: Some(KUBE_VERSION),
                    api_versions: &[],
                    hide: &hide,
                };
                SourceText::Chart(self.template(&request)?)
            }
        };
        Ok(SourceOutput { name, text })
    }

    fn template(&self, request: &Request<'_>) -> Result<String, Diagnostics> {
        let helm = self.helm()?;
        let text = helm.template(request, &self.settings.limits)?;
        helm.check_deterministic(request, &text, &self.settings.limits)?;
        Ok(text)
    }

    /// Returns the helm program.
    pub(super) fn helm(&self) -> Result<&Helm, Diagnostics> {
        self.helm.get_or_init(|| Helm::find(self.settings)).as_ref().map_err(Clone::clone)
    }

    fn locked(&self, input: &ComponentInput, source: &SourceName) -> Option<&LockedSource> {
        locked(self.lock, &input.blueprint.blueprint, source)
    }
}

/// Returns the key of a source in `site.lock`, where the site uses one version of the blueprint.
pub(super) fn lock_key(blueprint: &Blueprint, source: &SourceName) -> String {
    format!("{}/{source}", blueprint.metadata.name)
}

/// Returns the key of a source in `site.lock`, where the site uses several versions of the blueprint.
pub(super) fn versioned_lock_key(blueprint: &Blueprint, source: &SourceName) -> String {
    format!("{}@{}/{source}", blueprint.metadata.name, blueprint.metadata.version)
}

/// Returns what the lock says of a source.
pub(super) fn locked<'a>(
    lock: &'a Lock,
    blueprint: &Blueprint,
    source: &SourceName,
) -> Option<&'a LockedSource> {
    let versioned = lock.sources.get(&versioned_lock_key(blueprint, source));
    versioned.or_else(|| lock.sources.get(&lock_key(blueprint, source)))
}

/// Gives every error the component that needed the artifact.
pub(super) fn named(mut errors: Diagnostics, input: &ComponentInput) -> Diagnostics {
    for error in &mut errors.0 {
        error.place.component.get_or_insert_with(|| input.component.name.clone());
    }
    errors
}

//! Blueprint libraries: folders with one folder for each blueprint, in the site's repository or in others.
//!
//! The first library that holds a blueprint of the right name in a fitting version wins.

use std::{collections::BTreeMap, sync::Arc};

use semver::VersionReq;
use sitewright_model::{
    code,
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
    digest::Digest,
    format::{
        blueprint,
        lock::Lock,
        site::{BlueprintReference, Library},
    },
    name::BlueprintName,
    render::{BlueprintFolder, capability::Providers},
    suggest,
    values::ValuesSchema,
    yaml,
};
use sitewright_source::{Location, Reference, Settings, Snapshot, location::Repository};

use super::{site::join, stored::Looked};

/// Where blueprints are if a site does not say.
const DEFAULT_LIBRARY: &str = "blueprints";
const BLUEPRINT_FILE: &str = "blueprint.yaml";

/// The libraries of a site, opened.
pub(super) struct Libraries<'a> {
    opened: Vec<Opened<'a>>,
    found: BTreeMap<(usize, BlueprintName), Option<Arc<Found>>>,
    looked: Vec<Looked>,
}

/// A blueprint that was found.
pub(super) struct Found {
    /// The blueprint and its files.
    pub(super) folder: Arc<BlueprintFolder>,
    /// The schema of its values.
    pub(super) schema: Option<ValuesSchema>,
    /// The digest of its files.
    pub(super) digest: Digest,
}

enum Tree<'a> {
    /// The site's own repository.
    Site(&'a Snapshot),
    /// Another one.
    Other(Box<Snapshot>),
}

struct Opened<'a> {
    tree: Tree<'a>,
    folder: String,
    /// How messages call it.
    name: String,
}

impl Opened<'_> {
    fn snapshot(&self) -> &Snapshot {
        match &self.tree {
            Tree::Site(snapshot) => snapshot,
            Tree::Other(snapshot) => snapshot,
        }
    }

    /// Returns the names of the folders that hold a blueprint.
    fn names(&self) -> Vec<String> {
        let entries = self.snapshot().list(&self.folder).unwrap_or_default();
        let names = entries.into_iter().map(|entry| entry.name);
        names
            .filter(|name| {
                let file = join(&join(&self.folder, name), BLUEPRINT_FILE);
                self.snapshot().exists(&file).unwrap_or(false)
            })
            .collect()
    }
}

impl<'a> Libraries<'a> {
    /// Opens the libraries of a site.
    ///
    /// # Errors
    /// Every library that cannot be opened, at its place in the site file.
    pub(super) fn open(
        snapshot: &'a Snapshot,
        site_path: &str,
        libraries: &[Library],
        lock: &Lock,
        settings: &Settings,
        place: impl Fn(usize) -> FileSpan,
    ) -> Result<Self, Diagnostics> {
        let default = [Library { path: Some(DEFAULT_LIBRARY.into()), git: None, reference: None }];
        let libraries = if libraries.is_empty() { &default } else { libraries };
        let mut opened = Vec::with_capacity(libraries.len());
        let mut mistakes = Diagnostics::default();
        for (index, library) in libraries.iter().enumerate() {
            match open(snapshot, site_path, library, lock, settings) {
                Ok(library) => opened.push(library),
                Err(error) => mistakes.extend(at_place(error, || place(index))),
            }
        }
        if mistakes.has_errors() {
            Err(mistakes)
        } else {
            Ok(Self { opened, found: BTreeMap::new(), looked: Vec::new() })
        }
    }

    /// Finds the blueprint that a component refers to; `name_at` and `version_at` are where it does so.
    pub(super) fn find(
        &mut self,
        reference: &BlueprintReference,
        name_at: impl Fn() -> FileSpan,
        version_at: impl Fn() -> FileSpan,
    ) -> Result<Arc<Found>, Diagnostics> {
        let wanted = range(reference).map_err(|error| error.at(version_at(), ""))?;
        let mut unfit = Vec::new();
        for index in 0..self.opened.len() {
            let Some(found) = self.load(index, &reference.name)? else { continue };
            let version = &found.folder.blueprint.metadata.version;
            if wanted.as_ref().is_none_or(|wanted| wanted.matches(version)) {
                return Ok(found);
            }
            let library = self.opened.get(index).map_or("", |library| library.name.as_str());
            unfit.push(format!("{library} holds {version}"));
        }
        if unfit.is_empty() {
            Err(self.missing(&reference.name).at(name_at(), "").into())
        } else {
            Err(no_version(reference, &unfit).at(version_at(), "no such version").into())
        }
    }

    /// Returns every folder of the site's own repository that was looked at for a blueprint.
    pub(super) fn into_looked(self) -> Vec<Looked> {
        self.looked
    }

    /// Returns every capability with the blueprints that provide it, for a message.
    pub(super) fn providers(&mut self) -> Providers {
        let mut providers = Providers::new();
        for index in 0..self.opened.len() {
            let names = self.opened.get(index).map(Opened::names).unwrap_or_default();
            for name in names.iter().filter_map(|name| name.parse().ok()) {
                if let Ok(Some(found)) = self.load(index, &name) {
                    for capability in &found.folder.blueprint.spec.provides {
                        providers.entry(capability.clone()).or_default().insert(name.clone());
                    }
                }
            }
        }
        providers
    }

    fn load(
        &mut self,
        index: usize,
        name: &BlueprintName,
    ) -> Result<Option<Arc<Found>>, Diagnostics> {
        let key = (index, name.clone());
        if let Some(found) = self.found.get(&key) {
            return Ok(found.clone());
        }
        let Some(library) = self.opened.get(index) else { return Ok(None) };
        let path = join(&library.folder, name.as_str());
        let snapshot = library.snapshot();
        let is_there = snapshot.exists(&join(&path, BLUEPRINT_FILE))?;
        let found = if is_there { Some(Arc::new(read(snapshot, &path, name)?)) } else { None };
        // What stands in another repository is at the commit of the lock, and cannot change.
        if matches!(library.tree, Tree::Site(_)) {
            let content = match &found {
                Some(found) => Some(content_of(snapshot, &path, &found.digest)?),
                None => None,
            };
            self.looked.push(Looked { path, content });
        }
        self.found.insert(key, found.clone());
        Ok(found)
    }

    fn missing(&self, name: &BlueprintName) -> Diagnostic {
        let mut known: Vec<String> = self.opened.iter().flat_map(Opened::names).collect();
        known.sort();
        known.dedup();
        let libraries = suggest::in_words(self.opened.iter().map(|library| &library.name), "and");
        let message = format!("there is no blueprint `{name}` in {libraries}");
        let error = Diagnostic::error(code::render::BLUEPRINT_MISSING, message);
        let nearest = suggest::nearest(name.as_str(), known.iter().map(String::as_str));
        let error = match known.as_slice() {
            [] => error.note("no blueprint is there"),
            known => error.note(format!("blueprints there: {}", suggest::in_words(known, "and"))),
        };
        match nearest {
            Some(nearest) => error.help(format!("did you mean `{nearest}`?")),
            None => {
                error.help("mend the name, or add the library that holds it to `spec.blueprints`")
            }
        }
    }
}

fn open<'a>(
    snapshot: &'a Snapshot,
    site_path: &str,
    library: &Library,
    lock: &Lock,
    settings: &Settings,
) -> Result<Opened<'a>, Diagnostics> {
    let path = library.path.as_deref().unwrap_or_default();
    let Some(url) = &library.git else {
        let folder = if is_relative(path) { join(site_path, path) } else { path.to_owned() };
        let folder = folder.trim_matches('/').to_owned();
        return Ok(Opened { tree: Tree::Site(snapshot), name: path.to_owned(), folder });
    };
    let key = lock_key(url, library.reference.as_deref());
    let Some(locked) = lock.libraries.get(&key) else { return Err(not_pinned(&key).into()) };
    let location = Location::Git {
        repository: Repository::parse(url)?,
        path: path.trim_matches('/').to_owned(),
        reference: Reference::parse(&locked.commit)?,
    };
    let other = Snapshot::open(&location, settings)?;
    let folder = other.path().to_owned();
    Ok(Opened { tree: Tree::Other(Box::new(other)), folder, name: key })
}

/// Returns what identifies the blueprint in a folder: equal texts, equal blueprints. None where there is none.
pub(super) fn content(snapshot: &Snapshot, path: &str) -> Result<Option<String>, Diagnostics> {
    if !snapshot.exists(&join(path, BLUEPRINT_FILE))? {
        return Ok(None);
    }
    if let Some(id) = snapshot.tree_id(path)? {
        return Ok(Some(id));
    }
    Ok(Some(snapshot.folder(path)?.digest().to_string()))
}

/// As [`content`], for a folder that was read already.
fn content_of(snapshot: &Snapshot, path: &str, digest: &Digest) -> Result<String, Diagnostics> {
    Ok(snapshot.tree_id(path)?.unwrap_or_else(|| digest.to_string()))
}

fn is_relative(path: &str) -> bool {
    matches!(path, "." | "..") || path.starts_with("./") || path.starts_with("../")
}

/// Returns the key of a library in `site.lock`, which is committed: without credentials.
pub(super) fn lock_key(url: &str, reference: Option<&str>) -> String {
    format!("{}@{}", sitewright_source::public(url), reference.unwrap_or("HEAD"))
}

fn not_pinned(key: &str) -> Diagnostic {
    Diagnostic::error(
        code::source::NOT_PINNED,
        format!("blueprint library `{key}` has no commit in site.lock"),
    )
    .help("run `sitewright lock`, review what it writes, and commit it")
}

/// Reads a blueprint and everything in its folder.
fn read(snapshot: &Snapshot, path: &str, name: &BlueprintName) -> Result<Found, Diagnostics> {
    let files = snapshot.folder(path)?;
    let file = files.display(BLUEPRINT_FILE);
    let bytes = files.get(BLUEPRINT_FILE).cloned().unwrap_or_else(|| Arc::from([]));
    let parsed = blueprint::parse(&file, yaml::text_of(&file, &bytes)?)?;
    let blueprint = parsed.value;
    if blueprint.metadata.name != *name {
        let error = Diagnostic::error(
            code::render::BLUEPRINT_FOLDER,
            format!("folder `{name}` holds a blueprint called `{}`", blueprint.metadata.name),
        );
        return Err(error
            .at(parsed.document.place("/metadata/name"), "")
            .help("rename the folder, or the blueprint")
            .into());
    }
    let schema = match &blueprint.spec.values {
        None => None,
        Some(path) => {
            let file = files.display(path);
            let Some(bytes) = files.get(path) else {
                return Err(no_schema(path, parsed.document.place("/spec/values")).into());
            };
            Some(ValuesSchema::parse(&file, yaml::text_of(&file, bytes)?)?)
        }
    };
    let mistakes = waves_without_values(&blueprint, &parsed.document, schema.as_ref());
    if mistakes.has_errors() {
        return Err(mistakes);
    }
    let digest = files.digest();
    Ok(Found { folder: Arc::new(BlueprintFolder { blueprint, files }), schema, digest })
}

/// Finds waves whose label is taken from a value that there can never be: they would have nothing to do, and say nothing.
fn waves_without_values(
    blueprint: &blueprint::Blueprint,
    document: &yaml::Document,
    schema: Option<&ValuesSchema>,
) -> Diagnostics {
    let mut mistakes = Diagnostics::default();
    for (index, wave) in blueprint.spec.waves.iter().enumerate() {
        let Some(label) = &wave.label else { continue };
        let (message, help) = match schema.map(|schema| schema.unknown_part(&label.from)) {
            Some(None) => continue,
            None => (
                format!("the blueprint takes no values, so none stands at `{}`", label.from),
                "give it a values schema (`values: values.schema.json`)".to_owned(),
            ),
            Some(Some((part, near))) => (
                format!("the values have no `{part}`, so none stands at `{}`", label.from),
                match near {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "name a value of the values schema".to_owned(),
                },
            ),
        };
        let at = document.place(&format!("/spec/waves/{index}/label/from"));
        let error = Diagnostic::error(code::format::UNKNOWN_VALUE, message);
        mistakes.push(error.at(at, "no value").help(help));
    }
    mistakes
}

fn no_schema(path: &str, at: FileSpan) -> Diagnostic {
    Diagnostic::error(
        code::render::TEMPLATE_MISSING,
        format!("the blueprint's folder holds no `{path}`"),
    )
    .at(at, "named here")
    .help("name the JSON Schema of the values, or take the line out")
}

/// Returns the range of versions that a component asks for; none for any.
fn range(reference: &BlueprintReference) -> Result<Option<VersionReq>, Box<Diagnostic>> {
    let Some(text) = &reference.version else { return Ok(None) };
    let parse = |text: &str| VersionReq::parse(text);
    // A whole version means that version, not "compatible with it".
    let range = match semver::Version::parse(text) {
        Ok(_) => parse(&format!("={text}")),
        Err(_) => parse(text),
    };
    range.map(Some).map_err(|error| {
        Diagnostic::error(
            code::format::BAD_VERSION,
            format!("`{text}` is not a version or a range of versions: {error}"),
        )
        .help("write for example `1.x`, `1.4.2` or `>=1.2, <2`")
        .into()
    })
}

fn no_version(reference: &BlueprintReference, unfit: &[String]) -> Diagnostic {
    let wanted = reference.version.as_deref().unwrap_or("*");
    Diagnostic::error(
        code::render::BLUEPRINT_VERSION,
        format!("no blueprint `{}` has a version in `{wanted}`", reference.name),
    )
    .note(unfit.join("; "))
    .help("ask for a version that is there")
}

/// Gives errors without a place the one in the site file that led to them.
pub(super) fn at_place(mut errors: Diagnostics, place: impl Fn() -> FileSpan) -> Diagnostics {
    for error in &mut errors.0 {
        if error.place.span.is_none() {
            error.place.span = Some(place());
        }
    }
    errors
}

//! Helm charts: from the blueprint's folder, from git, from a chart repository, from an OCI registry.

use sitewright_model::{
    diagnostic::Diagnostics,
    files::Files,
    format::blueprint::{GitFolder, HelmSource},
    yaml,
};

use super::{
    Artifact, ArtifactError, Pin, archive, manifests, oci, part_of_blueprint, repository, stored,
};
use crate::{
    cache::Cache,
    settings::Settings,
    url::{identity, public},
};

/// Where the chart is.
enum Place<'a> {
    Path(&'a str),
    Git(&'a GitFolder),
    Repository { repo: &'a str, chart: &'a str, version: &'a str },
    Registry { chart: &'a str, version: &'a str },
}

fn place_of(source: &HelmSource) -> Result<Place<'_>, ArtifactError> {
    let version = |chart: &str| {
        let chart = public(chart);
        source.version.as_deref().ok_or(ArtifactError::Incomplete { chart, missing: "version" })
    };
    match (&source.path, &source.git, &source.chart, &source.repo) {
        (Some(path), None, None, None) => Ok(Place::Path(path)),
        (None, Some(git), None, None) => Ok(Place::Git(git)),
        (None, None, Some(chart), None) if chart.starts_with("oci://") => {
            Ok(Place::Registry { chart, version: version(chart)? })
        }
        (None, None, Some(chart), Some(repo)) if !chart.contains("://") => {
            Ok(Place::Repository { repo, chart, version: version(chart)? })
        }
        (None, None, Some(chart), None) => {
            Err(ArtifactError::Incomplete { chart: public(chart), missing: "repo" })
        }
        _ => Err(ArtifactError::Place {
            kind: "helm",
            places: "`path`, `git`, `chart: oci://…`, and `chart` with `repo`",
        }),
    }
}

/// Returns where the chart is, for people.
pub(super) fn place(source: &HelmSource) -> Result<String, ArtifactError> {
    Ok(match place_of(source)? {
        Place::Path(path) => path.to_owned(),
        Place::Git(git) => manifests::git_place(git),
        Place::Repository { repo, chart, version } => {
            format!("{chart} {version} of {}", identity(repo))
        }
        Place::Registry { chart, version } => format!("{}:{version}", identity(chart)),
    })
}

/// Returns the chart, with the content that is pinned.
pub(super) fn get(
    source: &HelmSource,
    blueprint: &Files,
    pin: Pin<'_>,
    settings: &Settings,
    cache: &Cache,
) -> Result<Artifact, Diagnostics> {
    let from = place(source)?;
    pin.check_place(&from)?;
    let kept = manifests::kept(pin, cache, &from);
    let is_kept = kept.is_some();
    let (digest, files) = match kept {
        Some(kept) => kept,
        None => {
            let files = bring(source, blueprint, &from, settings)?;
            (files.digest(), files)
        }
    };
    // A wrong digest comes first: what is not the pinned content is not looked into.
    pin.check_digest(&from, digest)?;
    let version = check(&files, &from, source)?;
    if !is_kept && !matches!(pin, Pin::Unneeded) {
        stored::put(cache, &digest, &files);
    }
    Ok(Artifact { files, digest, version: Some(version), from })
}

fn bring(
    source: &HelmSource,
    blueprint: &Files,
    from: &str,
    settings: &Settings,
) -> Result<Files, Diagnostics> {
    let bytes = match place_of(source)? {
        Place::Path(path) => return Ok(part_of_blueprint(blueprint, path)?),
        Place::Git(git) => return manifests::from_git(git, settings),
        Place::Repository { repo, chart, version } => {
            repository::archive(repo, chart, version, from, settings)?
        }
        Place::Registry { chart, version } => oci::archive(chart, version, from, settings)?,
    };
    let entries = archive::unpack(&bytes, &settings.limits)
        .and_then(archive::strip_top)
        .map_err(|problem| ArtifactError::archive(from, &problem))?;
    Ok(Files { label: from.to_owned(), entries })
}

/// Checks that the files are a chart of the version that the source asks for, with all that it depends on; returns its version.
fn check(files: &Files, from: &str, source: &HelmSource) -> Result<String, ArtifactError> {
    let wanted = source.version.as_deref();
    let not_a_chart = |problem: String| ArtifactError::NotAChart { from: from.to_owned(), problem };
    let bytes = files
        .get("Chart.yaml")
        .ok_or_else(|| not_a_chart("it has no file `Chart.yaml`".to_owned()))?;
    let chart = parse(bytes).map_err(|problem| not_a_chart(format!("`Chart.yaml`: {problem}")))?;
    let text = |key: &str| {
        let value = chart.get(key).and_then(serde_json::Value::as_str);
        value.ok_or_else(|| not_a_chart(format!("`Chart.yaml` has no `{key}`")))
    };
    text("name")?;
    let version = text("version")?.to_owned();
    if wanted.is_some_and(|wanted| !same_version(wanted, &version)) {
        let wanted = wanted.unwrap_or_default().to_owned();
        return Err(ArtifactError::Version { from: from.to_owned(), wanted, found: version });
    }
    let mut missing = missing_dependencies(files, &chart);
    missing.retain(|name| !source.omit_dependencies.contains(name));
    if !missing.is_empty() {
        return Err(ArtifactError::Dependencies { from: from.to_owned(), missing });
    }
    Ok(version)
}

fn parse(bytes: &[u8]) -> Result<serde_json::Value, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let documents = yaml::parse_values(text).map_err(|mistake| mistake.to_string())?;
    documents.into_iter().next().ok_or_else(|| "it is empty".to_owned())
}

/// A leading `v` is decoration, as for helm.
pub(super) fn same_version(a: &str, b: &str) -> bool {
    a.strip_prefix('v').unwrap_or(a) == b.strip_prefix('v').unwrap_or(b)
}

/// Returns the names of dependencies that the folder `charts` does not hold.
fn missing_dependencies(files: &Files, chart: &serde_json::Value) -> Vec<String> {
    // Charts of `apiVersion: v1` name them in a file of its own.
    let requirements = files.get("requirements.yaml").and_then(|bytes| parse(bytes).ok());
    let names = [Some(chart), requirements.as_ref()]
        .into_iter()
        .flatten()
        .filter_map(|file| file.get("dependencies")?.as_array())
        .flatten()
        .filter_map(|dependency| dependency.get("name")?.as_str())
        .filter(|name| !is_vendored(files, name));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort();
    names.dedup();
    names
}

fn is_vendored(files: &Files, name: &str) -> bool {
    files.entries.iter().any(|(path, content)| {
        let Some(inner) = path.strip_prefix("charts/") else { return false };
        match inner.split_once('/') {
            // The folder may have any name: Chart.yaml tells which chart it is.
            Some((_, "Chart.yaml")) => parse(content)
                .is_ok_and(|chart| chart.get("name").is_some_and(|found| found == name)),
            Some(_) => false,
            None => inner.strip_prefix(name).is_some_and(|rest| {
                rest.starts_with('-') && (rest.ends_with(".tgz") || rest.ends_with(".tar.gz"))
            }),
        }
    })
}

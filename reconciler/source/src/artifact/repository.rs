//! Chart repositories: an `index.yaml` on a web server, and archives (helm.sh/docs/topics/chart_repository).

use serde_json::Value;
use sitewright_model::{diagnostic::Diagnostics, digest::Digest, yaml};

use super::{ArtifactError, chart::same_version, download, oci};
use crate::{
    nearest::nearest,
    settings::Settings,
    url::{Url, public},
};

/// Addresses of one archive that are tried.
const MOST_ADDRESSES: usize = 3;

/// Returns the archive of a chart.
pub(super) fn archive(
    repo: &str,
    chart: &str,
    version: &str,
    from: &str,
    settings: &Settings,
) -> Result<Vec<u8>, Diagnostics> {
    let place = public(repo);
    let index_text = format!("{}/index.yaml", repo.trim_end_matches('/'));
    let index_url = download::address(&index_text, settings)?;
    let index = download::bytes(&index_url, &public(&index_text), settings)?;
    let entry = find(&index, &place, chart, version)?;
    let urls = entry.get("urls").and_then(Value::as_array).into_iter().flatten();
    let mut failure = None;
    for text in urls.filter_map(Value::as_str).take(MOST_ADDRESSES) {
        let found = address(repo, &index_url, text, settings)
            .and_then(|url| fetch(&url, version, from, settings));
        match found {
            Ok(bytes) => {
                check_digest(&entry, &bytes, from)?;
                return Ok(bytes);
            }
            Err(error) => failure = Some(error),
        }
    }
    let problem = "its index names no address of the chart".to_owned();
    Err(failure.unwrap_or_else(|| ArtifactError::Registry { place, problem }.into()))
}

/// Returns the address that `text` in the index means.
///
/// The index is written by somebody else: it may not lead to files of this machine, nor from an
/// encrypted repository to an address that is not. A mirror may, since the user named it.
fn address(
    repo: &str,
    index_url: &Url,
    text: &str,
    settings: &Settings,
) -> Result<Url, Diagnostics> {
    // Charts that lie elsewhere have mirrors of their own; those beside the index come from beside the index.
    if !text.contains("://") {
        let beside = index_url.join(text);
        return Ok(beside.map_err(|_| ArtifactError::Address { text: public(text) })?);
    }
    let target = download::address(text, settings)?;
    let is_mirrored = Url::parse(text).is_ok_and(|named| named != target);
    let repository = Url::parse(repo).map_err(|_| ArtifactError::Address { text: public(repo) })?;
    let is_allowed = match target.scheme() {
        "file" => repository.scheme() == "file",
        "http" => repository.scheme() != "https",
        _ => true,
    };
    if !is_allowed && !is_mirrored {
        return Err(ArtifactError::Leads { from: public(repo), to: public(text) }.into());
    }
    let is_same = target.same_origin(index_url) && target.password().is_none();
    Ok(if is_same { target.with_credentials_of(index_url) } else { target })
}

fn fetch(
    url: &Url,
    version: &str,
    from: &str,
    settings: &Settings,
) -> Result<Vec<u8>, Diagnostics> {
    if url.scheme() != "oci" {
        return Ok(download::bytes(url, from, settings)?);
    }
    // The index of a repository that moved to a registry: `oci://registry/charts/name:tag`.
    let path = url.path();
    let (chart, tag) = match path.rsplit_once(':') {
        Some((chart, tag)) if !tag.contains('/') => (chart, tag),
        _ => (path, version),
    };
    oci::archive_at(&url.with_rest(chart), tag, from, settings)
}

/// The index tells the digest of the archive's bytes; old ones leave it out.
fn check_digest(entry: &Value, bytes: &[u8], from: &str) -> Result<(), ArtifactError> {
    let announced = entry.get("digest").and_then(Value::as_str).unwrap_or_default();
    let announced = announced.strip_prefix("sha256:").unwrap_or(announced);
    let found = Digest::of(bytes).hex();
    if announced.is_empty() || announced.eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    let (from, announced) = (from.to_owned(), announced.escape_debug().to_string());
    Err(ArtifactError::Transfer { from, announced, found })
}

/// Returns the entry of one version of one chart.
fn find(index: &[u8], place: &str, chart: &str, version: &str) -> Result<Value, ArtifactError> {
    let bad = |problem: String| ArtifactError::Registry { place: place.to_owned(), problem };
    let text = std::str::from_utf8(index).map_err(|_| bad("its index is not UTF-8".to_owned()))?;
    let versions = match section(text, chart) {
        Some(versions) => versions,
        None => whole(text, place, chart)?,
    };
    let of = |entry: &Value| entry.get("version").and_then(Value::as_str).map(str::to_owned);
    let fits = |entry: &&Value| of(entry).is_some_and(|found| same_version(&found, version));
    if let Some(entry) = versions.iter().find(fits) {
        return Ok(entry.clone());
    }
    let known: Vec<String> = versions.iter().filter_map(of).collect();
    let nearest = nearest(version, known.iter().map(String::as_str));
    Err(ArtifactError::NoChart {
        place: place.to_owned(),
        what: format!("version `{version}` of chart `{chart}`"),
        nearest: nearest.into_iter().map(str::to_owned).collect(),
    })
}

/// Reads the part of the index that is about one chart, as every known tool writes it: the rest of a
/// large index would cost some hundred megabytes of memory. None where the layout is another.
fn section(text: &str, chart: &str) -> Option<Vec<Value>> {
    let (_, entries) = text.split_once("\nentries:")?;
    let start = entries.find(&format!("\n  {chart}:\n"))?;
    let rest = entries.get(start + 1..)?;
    let belongs =
        |line: &&str| line.starts_with("   ") || line.starts_with("  - ") || line.trim().is_empty();
    let mut lines = rest.lines();
    let heading = lines.next()?;
    let body: Vec<&str> = lines.take_while(belongs).collect();
    let document = yaml::parse_values(&format!("{heading}\n{}\n", body.join("\n"))).ok()?.pop()?;
    document.get(chart)?.as_array().cloned()
}

fn whole(text: &str, place: &str, chart: &str) -> Result<Vec<Value>, ArtifactError> {
    let bad = |problem: String| ArtifactError::Registry { place: place.to_owned(), problem };
    let index = yaml::parse_values(text)
        .map_err(|mistake| bad(format!("its index is not YAML: {mistake}")))?
        .pop()
        .unwrap_or_default();
    let entries = index
        .get("entries")
        .and_then(Value::as_object)
        .ok_or_else(|| bad("its index has no `entries`".to_owned()))?;
    if let Some(versions) = entries.get(chart).and_then(Value::as_array) {
        return Ok(versions.clone());
    }
    let nearest = nearest(chart, entries.keys().map(String::as_str));
    Err(ArtifactError::NoChart {
        place: place.to_owned(),
        what: format!("chart `{chart}`"),
        nearest: nearest.into_iter().map(str::to_owned).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "apiVersion: v1\nentries:\n  kueue:\n  - name: kueue\n    version: 0.19.2\n    \
        urls: [kueue-0.19.2.tgz]\n  - name: kueue\n    version: v0.19.1\n  other:\n    - version: 1.0.0\n\
        generated: now\n";

    #[test]
    fn one_chart_is_read_without_the_others() {
        assert_eq!(section(INDEX, "kueue").unwrap().len(), 2);
        assert_eq!(section(INDEX, "other").unwrap().len(), 1);
        assert!(section(INDEX, "none").is_none());
        let entry = find(INDEX.as_bytes(), "p", "kueue", "0.19.1").unwrap();
        assert_eq!(entry["version"], "v0.19.1");
        assert!(find(INDEX.as_bytes(), "p", "kueue", "0.19.3").is_err());
    }

    #[test]
    fn other_layouts_are_read_as_a_whole() {
        let json = r#"{"apiVersion":"v1","entries":{"kueue":[{"version":"0.19.2"}]}}"#;
        assert_eq!(find(json.as_bytes(), "p", "kueue", "0.19.2").unwrap()["version"], "0.19.2");
        let Err(ArtifactError::NoChart { nearest, .. }) = find(json.as_bytes(), "p", "kuue", "1")
        else {
            panic!("a chart that is not there")
        };
        assert_eq!(nearest, ["kueue"]);
        for text in ["", "[]", "a: 1", "<html>", "entries: 3"] {
            assert!(matches!(whole(text, "p", "x"), Err(ArtifactError::Registry { .. })), "{text}");
        }
    }
}

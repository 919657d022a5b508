//! Chart archives and their index, as an upstream release job makes them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

use super::{
    Published,
    module::{Entry, Module},
};
use crate::hex;

/// Writes an archive of each published chart and the `index.yaml` of the repository.
pub(super) fn write(
    folder: &Path,
    published: &Published,
    module: &Module,
    entries: &BTreeMap<String, Entry>,
) -> Result<()> {
    fs::create_dir_all(folder)?;
    let version = module.version.trim_start_matches('v');
    let mut index = String::from("apiVersion: v1\nentries:\n");
    for chart in published.charts {
        let name = chart.rsplit('/').next().context("a chart has a name")?;
        let file = format!("{name}-{version}.tgz");
        archive(&folder.join(&file), chart, name, &module.version, entries)?;
        let digest = hex(&Sha256::digest(fs::read(folder.join(&file))?));
        writeln!(
            index,
            "  {name}:\n  - apiVersion: v2\n    name: {name}\n    version: {version}\n    appVersion: {tag}\n    digest: {digest}\n    urls: [{file}]",
            tag = module.version,
        )?;
    }
    index.push_str("generated: \"2026-01-01T00:00:00Z\"\n");
    Ok(fs::write(folder.join("index.yaml"), index)?)
}

/// One chart as `helm package` lays it out, without times, owners or the order of a folder.
fn archive(
    to: &Path,
    chart: &str,
    name: &str,
    tag: &str,
    entries: &BTreeMap<String, Entry>,
) -> Result<()> {
    let gzip = GzBuilder::new().mtime(0).write(File::create(to)?, Compression::default());
    let mut tar = tar::Builder::new(gzip);
    for (path, entry) in entries {
        let Some(inside) = path.strip_prefix(chart).and_then(|rest| rest.strip_prefix('/')) else {
            continue;
        };
        let Entry::File(bytes) = entry else { continue };
        let bytes = match inside {
            "Chart.yaml" => released(bytes, tag)?,
            _ => bytes.clone(),
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}/{inside}"), bytes.as_slice())?;
    }
    tar.into_inner()?.finish()?;
    Ok(())
}

/// `Chart.yaml` with the version of the release, which upstream's job writes into it.
fn released(chart: &[u8], tag: &str) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(chart)?;
    let line = |line: &str| match line {
        l if l.starts_with("version:") => format!("version: {}\n", tag.trim_start_matches('v')),
        l if l.starts_with("appVersion:") => format!("appVersion: {tag}\n"),
        l => format!("{l}\n"),
    };
    Ok(text.lines().map(line).collect::<String>().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::released;

    #[test]
    fn a_released_chart_has_the_version_of_its_tag() {
        let chart = b"name: a\nversion: 0.2.0\nappVersion: \"0.2.0\"\n";
        let text = String::from_utf8(released(chart, "v1.0.4").unwrap()).unwrap();
        assert_eq!(text, "name: a\nversion: 1.0.4\nappVersion: v1.0.4\n");
    }
}

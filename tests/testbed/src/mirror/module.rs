//! A pinned Go module, unpacked.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::tools::ToolModule;

/// The module whose `go.mod` and `go.sum` pin all others.
fn pins(module: &'static str) -> ToolModule {
    ToolModule::new("charts", module)
}

/// The version of `module` that `tests/tools/charts` pins.
pub(super) fn pinned_version(module: &'static str) -> Result<String> {
    pins(module).version()
}

/// The `h1:` digest of `module` in `go.sum`.
pub(super) fn pinned_sum(module: &'static str, version: &str) -> Result<String> {
    let text = fs::read_to_string(pins(module).dir().join("go.sum"))?;
    let line = format!("{module} {version} ");
    let sum = text.lines().find_map(|l| l.strip_prefix(&line));
    Ok(sum.with_context(|| format!("charts/go.sum does not pin {module} {version}"))?.to_owned())
}

/// A downloaded module.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) version: String,
    folder: PathBuf,
}

/// What a path of a mirror holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(Vec<u8>),
    Link(String),
}

/// The part of `go mod download -json` that is read here.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Downloaded {
    dir: PathBuf,
    sum: String,
}

impl Module {
    /// Downloads `module` at its pinned version; Go checks it against `go.sum`, and so does this.
    pub(super) fn download(module: &'static str) -> Result<Self> {
        let version = pinned_version(module)?;
        let mut command = Command::new("go");
        command
            .args(["mod", "download", "-json", &format!("{module}@{version}")])
            .current_dir(pins(module).dir())
            .env("GOWORK", "off")
            .env("GOFLAGS", "-mod=mod");
        let answer = crate::process::output(&mut command, b"")
            .context("the charts come from Go modules: install Go 1.26 or newer")?;
        let Downloaded { dir, sum } = serde_json::from_str(&answer)?;
        let pinned = pinned_sum(module, &version)?;
        ensure!(sum == pinned, "{module} {version} has the digest {sum}, but {pinned} is pinned");
        Ok(Self { version, folder: dir })
    }

    /// The files below `paths`, and the links that the module zip left out.
    pub(super) fn entries(
        &self,
        paths: &[&str],
        links: &[(&str, &str)],
    ) -> Result<BTreeMap<String, Entry>> {
        let mut entries = BTreeMap::new();
        for path in paths {
            self.collect(Path::new(path), &mut entries)?;
        }
        for (path, target) in links {
            entries.insert((*path).to_owned(), Entry::Link((*target).to_owned()));
        }
        Ok(entries)
    }

    fn collect(&self, path: &Path, entries: &mut BTreeMap<String, Entry>) -> Result<()> {
        let full = self.folder.join(path);
        if full.is_dir() {
            for entry in fs::read_dir(&full)? {
                self.collect(&path.join(entry?.file_name()), entries)?;
            }
            return Ok(());
        }
        let bytes = fs::read(&full).with_context(|| format!("cannot read {}", full.display()))?;
        let path = path.to_str().context("upstream paths are text")?;
        entries.insert(path.to_owned(), Entry::File(bytes));
        Ok(())
    }
}

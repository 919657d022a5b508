//! The site's own files: `site.yaml` and `site.lock`.

use std::{collections::BTreeSet, sync::Arc};

use sitewright_model::{
    diagnostic::Diagnostics,
    format::{Located, lock, lock::Lock, site, site::Site},
    name::ComponentName,
    yaml,
};
use sitewright_source::Snapshot;

const SITE_FILE: &str = "site.yaml";
const LOCK_FILE: &str = "site.lock";

/// The site's own files.
pub(super) const FILES: [&str; 2] = [SITE_FILE, LOCK_FILE];

/// What stands in a site's folder.
pub(super) struct SiteFolder {
    /// The folder, relative to the top of the repository.
    pub(super) path: String,
    /// The files before they were parsed.
    pub(super) texts: Texts,
    /// The site file.
    pub(super) site: Located<Site>,
    /// The lock; empty where there is no file.
    pub(super) lock: Lock,
}

impl SiteFolder {
    /// Checks the files of the folder that the snapshot was opened for.
    pub(super) fn parse(snapshot: &Snapshot, texts: Texts) -> Result<Self, Diagnostics> {
        let path = snapshot.path().to_owned();
        let name = join(&path, SITE_FILE);
        let text = yaml::text_of(&name, &texts.site);
        let site = text.and_then(|text| site::parse(&name, text));
        match (site, Self::lock(&path, texts.lock.as_deref())) {
            (Ok(site), Ok(lock)) => Ok(Self { path, texts, site, lock }),
            (Err(mut mistakes), Err(more)) => {
                mistakes.extend(more);
                Err(mistakes)
            }
            (Err(mistakes), Ok(_)) | (Ok(_), Err(mistakes)) => Err(mistakes),
        }
    }

    /// Returns what is left of a site file with mistakes, and the components that had one; see [`site::sound_part`].
    pub(super) fn sound_part(
        snapshot: &Snapshot,
        texts: Texts,
    ) -> Option<(Self, BTreeSet<ComponentName>)> {
        let path = snapshot.path().to_owned();
        let name = join(&path, SITE_FILE);
        let (site, broken) = site::sound_part(&name, yaml::text_of(&name, &texts.site).ok()?)?;
        let lock = Self::lock(&path, texts.lock.as_deref()).ok()?;
        Some((Self { path, texts, site, lock }, broken))
    }

    fn lock(path: &str, bytes: Option<&[u8]>) -> Result<Lock, Diagnostics> {
        let Some(bytes) = bytes else { return Ok(Lock::default()) };
        let name = join(path, LOCK_FILE);
        Ok(lock::parse(&name, yaml::text_of(&name, bytes)?)?.value)
    }
}

/// The site's files before they are parsed.
#[derive(Clone)]
pub(super) struct Texts {
    pub(super) site: Arc<[u8]>,
    pub(super) lock: Option<Arc<[u8]>>,
}

impl Texts {
    /// Reads the files of the folder that the snapshot was opened for.
    pub(super) fn read(snapshot: &Snapshot) -> Result<Self, Diagnostics> {
        let path = snapshot.path();
        let lock = join(path, LOCK_FILE);
        let lock = if snapshot.exists(&lock)? { Some(snapshot.file(&lock)?) } else { None };
        Ok(Self { site: snapshot.file(&join(path, SITE_FILE))?, lock })
    }
}

/// Returns the path of `name` within `folder`; the folder may be the top.
pub(super) fn join(folder: &str, name: &str) -> String {
    match (folder.trim_end_matches('/'), name) {
        ("", name) => name.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, name) => format!("{folder}/{name}"),
    }
}

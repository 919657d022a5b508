//! What a site was read from, by identity: tells of most commits, without reading a file, that they are not the
//! site's business.

use sitewright_model::diagnostic::Diagnostics;
use sitewright_source::{Settings, Snapshot};

use super::{
    Loaded, State, approvals, cache_of, library,
    site::{FILES, join},
    store::Store,
    stored::Looked,
};

/// What identifies all that a site was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The site's folder, where no link leads out of it: then it tells of its files without being looked into.
    folder: Option<String>,
    /// The site's own files.
    files: [Option<String>; 2],
    /// Where blueprints were looked for, and what was there.
    looked: Vec<Looked>,
    /// The helm that charts were rendered with; none where there are no charts.
    helm: Option<String>,
}

impl Footprint {
    /// Returns whether the site at the folder of `snapshot` would be read from the same. Costs some look-ups in trees.
    ///
    /// # Errors
    /// The repository is damaged, or a path leads out of it: what reading the site will say, too.
    pub fn fits(&self, snapshot: &Snapshot, settings: &Settings) -> Result<bool, Diagnostics> {
        let is_same_folder = self.folder.is_some() && self.folder == folder(snapshot)?;
        if !is_same_folder && (files(snapshot)? != self.files || approvals::are_in(snapshot)?) {
            return Ok(false);
        }
        for looked in &self.looked {
            if library::content(snapshot, &looked.path)? != looked.content {
                return Ok(false);
            }
        }
        let is_same_helm = || Store::new(&cache_of(settings), settings).tells_helm() == self.helm;
        Ok(self.helm.is_none() || is_same_helm())
    }
}

fn folder(snapshot: &Snapshot) -> Result<Option<String>, Diagnostics> {
    snapshot.object_id(snapshot.path())
}

fn files(snapshot: &Snapshot) -> Result<[Option<String>; 2], Diagnostics> {
    let id = |name: &str| snapshot.object_id(&join(snapshot.path(), name));
    let [site, lock] = FILES;
    Ok([id(site)?, id(lock)?])
}

impl Loaded {
    /// Returns what it was read from. None for a working tree, which has no identities; and where there are
    /// approvals, which are read anew each time.
    pub fn footprint(&self) -> Option<Footprint> {
        if approvals::are_in(&self.snapshot).ok()? {
            return None;
        }
        let files = files(&self.snapshot).ok()?;
        files.first()?.as_ref()?;
        let is_plain = |name: &str| self.snapshot.is_plain(&join(self.snapshot.path(), name));
        let folder =
            folder(&self.snapshot).ok()?.filter(|_| FILES.iter().all(|name| is_plain(name)));
        let looked = match &self.state {
            State::Stored(site) => site.looked.clone(),
            State::Parsed(parsed) => parsed.looked.clone(),
        };
        Some(Footprint { folder, files, looked, helm: self.helm.clone() })
    }
}

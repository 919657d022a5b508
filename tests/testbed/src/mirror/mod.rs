//! Upstream's charts as local git repositories, made from pinned Go modules.
//!
//! A Go module zip holds a repository at a tag, and `go.sum` pins every byte of it, so the charts
//! inside need no other download. Each becomes a bare repository with the upstream tag whose chart
//! folders have the tree ids that they have upstream. Only the needed folders are kept, so the commit
//! ids differ from upstream's.
//!
//! Charts that upstream publishes in a chart repository, and that another chart depends on, also
//! become archives with an `index.yaml`, as upstream's release job makes them.

mod charts;
mod module;
mod repository;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use self::module::Module;
use crate::{hex, tools::cache_dir};

/// Counts changes of what is made from a module, so that a cached result of older code is not used.
const FORMAT: u32 = 1;

/// A repository to mirror.
#[derive(Debug)]
struct Upstream {
    /// The mirror's name, and its folder's.
    name: &'static str,
    /// The Go module, pinned in `tests/tools/charts/go.mod`.
    module: &'static str,
    /// The upstream tag, where the version of the module is another.
    tag: Option<&'static str>,
    /// Where upstream's repository is.
    url: &'static str,
    /// The folders and files to keep.
    paths: &'static [&'static str],
    /// Symbolic links, as (path, target): module zips leave links out.
    links: &'static [(&'static str, &'static str)],
    /// Charts that upstream also publishes as archives, and where.
    published: Option<Published>,
}

/// Charts of a repository that upstream publishes in a chart repository.
#[derive(Debug)]
struct Published {
    url: &'static str,
    charts: &'static [&'static str],
}

/// What is mirrored; to add one, add its module to `tests/tools/charts` too.
const UPSTREAMS: [Upstream; 12] = [
    Upstream {
        paths: &["charts/kueue", "config/components/crd", "LICENSE"],
        ..Upstream::new("kueue", "sigs.k8s.io/kueue", "https://github.com/kubernetes-sigs/kueue")
    },
    Upstream {
        paths: &["deploy/charts", "deploy/examples/crds.yaml", "LICENSE"],
        links: &[
            ("deploy/charts/rook-ceph/charts/library", "../../library"),
            ("deploy/charts/rook-ceph-cluster/charts/library", "../../library"),
        ],
        ..Upstream::new("rook", "github.com/rook/rook", "https://github.com/rook/rook")
    },
    Upstream {
        paths: &["deploy/charts", "LICENSE"],
        published: Some(Published {
            url: "https://ceph.github.io/ceph-csi-operator",
            charts: &["deploy/charts/ceph-csi-operator", "deploy/charts/ceph-csi-drivers"],
        }),
        ..Upstream::new(
            "ceph-csi-operator",
            "github.com/ceph/ceph-csi-operator",
            "https://github.com/ceph/ceph-csi-operator",
        )
    },
    Upstream {
        paths: &["deploy/charts/cert-manager", "LICENSE"],
        ..Upstream::new(
            "cert-manager",
            "github.com/cert-manager/cert-manager",
            "https://github.com/cert-manager/cert-manager",
        )
    },
    Upstream {
        // Its tags are no versions that Go knows: the module has the commit in its version.
        tag: Some("v25.3.4"),
        paths: &["deployments/gpu-operator", "LICENSE"],
        ..Upstream::new(
            "gpu-operator",
            "github.com/NVIDIA/gpu-operator",
            "https://github.com/NVIDIA/gpu-operator",
        )
    },
    Upstream {
        paths: &["installer/helm/chart/volcano", "LICENSE"],
        links: &[
            ("installer/helm/chart/volcano/crd/v1", "bases"),
            ("installer/helm/chart/volcano/charts/jobflow/crd/v1", "bases"),
        ],
        ..Upstream::new("volcano", "volcano.sh/volcano", "https://github.com/volcano-sh/volcano")
    },
    Upstream {
        paths: &["manifests/base", "manifests/cluster-install-no-crds", "LICENSE"],
        ..Upstream::new(
            "argo-workflows",
            "github.com/argoproj/argo-workflows/v4",
            "https://github.com/argoproj/argo-workflows",
        )
    },
    Upstream {
        paths: &["charts/jobset", "LICENSE"],
        ..Upstream::new("jobset", "sigs.k8s.io/jobset", "https://github.com/kubernetes-sigs/jobset")
    },
    Upstream {
        paths: &["charts/kubeflow-trainer", "LICENSE"],
        ..Upstream::new(
            "trainer",
            "github.com/kubeflow/trainer/v2",
            "https://github.com/kubeflow/trainer",
        )
    },
    Upstream {
        paths: &[
            "charts/kserve-crd",
            "charts/kserve-resources",
            "charts/kserve-runtime-configs",
            "LICENSE",
        ],
        ..Upstream::new("kserve", "github.com/kserve/kserve", "https://github.com/kserve/kserve")
    },
    Upstream {
        paths: &["example/prometheus-operator-crd", "example/rbac", "LICENSE"],
        ..Upstream::new(
            "prometheus-operator",
            "github.com/prometheus-operator/prometheus-operator",
            "https://github.com/prometheus-operator/prometheus-operator",
        )
    },
    Upstream {
        paths: &["examples/standard", "LICENSE"],
        ..Upstream::new(
            "kube-state-metrics",
            "k8s.io/kube-state-metrics/v2",
            "https://github.com/kubernetes/kube-state-metrics",
        )
    },
];

/// The mirrors in a folder.
#[derive(Clone, Debug)]
pub struct Mirrors {
    /// The repositories, in the order of their names.
    pub repositories: Vec<Repository>,
    /// The rewrite rules, as written to `mirrors.yaml`.
    pub rules: Vec<Rule>,
    /// The file with the rewrite rules.
    pub file: PathBuf,
}

/// One mirrored repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// Upstream's address.
    pub upstream: String,
    /// The upstream tag, such as `v1.20.6`.
    pub tag: String,
    /// The bare repository.
    pub path: PathBuf,
}

/// Whatever starts with `from` is fetched from `to` instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The upstream address.
    pub from: String,
    /// The local one, a `file://` URL.
    pub to: String,
}

impl Mirrors {
    /// Makes the mirrors in `folder`, with a `mirrors.yaml` of absolute addresses. What was made
    /// before comes from the user cache.
    ///
    /// # Errors
    /// Go or git is missing, or a module cannot be downloaded or differs from `go.sum`.
    pub fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let (mut repositories, mut rules) = (Vec::new(), Vec::new());
        for upstream in &UPSTREAMS {
            let cached = upstream.cached().with_context(|| format!("mirror {}", upstream.name))?;
            let path = folder.join(format!("{}.git", upstream.name));
            copy(&cached.join("repository.git"), &path)?;
            rules.push(Rule::new(upstream.url, &path));
            if let Some(published) = &upstream.published {
                let charts = folder.join(format!("{}-charts", upstream.name));
                copy(&cached.join("charts"), &charts)?;
                rules.push(Rule::new(published.url, &charts));
            }
            repositories.push(Repository {
                upstream: upstream.url.into(),
                tag: upstream.tag()?,
                path,
            });
        }
        let file = folder.join("mirrors.yaml");
        fs::write(&file, yaml(&rules))?;
        Ok(Self { repositories, rules, file })
    }

    /// The mirror of an upstream repository.
    ///
    /// # Errors
    /// It is not mirrored.
    pub fn repository(&self, upstream: &str) -> Result<&Repository> {
        let mut all = self.repositories.iter();
        all.find(|r| r.upstream == upstream).with_context(|| format!("{upstream} is not mirrored"))
    }
}

impl Repository {
    /// Checks the tag out into the new folder `to`, without git's own files.
    ///
    /// # Errors
    /// git is missing.
    pub fn checkout(&self, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        let work_tree = to.display().to_string();
        repository::checkout(&self.path, &work_tree, &self.tag)
    }
}

impl Rule {
    fn new(from: &str, to: &Path) -> Self {
        Self { from: from.to_owned(), to: format!("file://{}", to.display()) }
    }
}

impl Upstream {
    const fn new(name: &'static str, module: &'static str, url: &'static str) -> Self {
        Self { name, module, url, tag: None, paths: &[], links: &[], published: None }
    }

    /// The upstream tag of the pinned version.
    fn tag(&self) -> Result<String> {
        match self.tag {
            Some(tag) => Ok(tag.to_owned()),
            None => module::pinned_version(self.module),
        }
    }

    /// The folder in the user cache that holds this mirror; made on the first call ever.
    fn cached(&self) -> Result<PathBuf> {
        let folder = cache_dir()?.join("mirrors").join(self.cache_name()?);
        if folder.exists() {
            return Ok(folder);
        }
        let parent = folder.parent().context("the cache is a folder")?;
        fs::create_dir_all(parent)?;
        let scratch = tempfile::Builder::new().prefix(".making-").tempdir_in(parent)?;
        let module = Module::download(self.module)?;
        let entries = module.entries(self.paths, self.links)?;
        repository::write(&scratch.path().join("repository.git"), self, &entries)?;
        if let Some(published) = &self.published {
            charts::write(&scratch.path().join("charts"), published, &module, &entries)?;
        }
        // Whoever is first puts it there whole; the others throw theirs away.
        match fs::rename(scratch.path(), &folder) {
            Ok(()) => drop(scratch.keep()),
            Err(_) if folder.exists() => {}
            Err(error) => return Err(error).context("cannot put the mirror into the cache"),
        }
        Ok(folder)
    }

    /// Name, version and a digest of everything that the mirror is made from.
    fn cache_name(&self) -> Result<String> {
        use sha2::{Digest, Sha256};
        let version = module::pinned_version(self.module)?;
        let sum = module::pinned_sum(self.module, &version)?;
        let digest = hex(&Sha256::digest(format!("{FORMAT}\n{sum}\n{self:?}")));
        let short: String = digest.chars().take(12).collect();
        Ok(format!("{}-{version}-{short}", self.name))
    }
}

fn yaml(rules: &[Rule]) -> String {
    let rule = |Rule { from, to }: &Rule| format!("  - {{ from: \"{from}\", to: \"{to}\" }}\n");
    format!("mirrors:\n{}", rules.iter().map(rule).collect::<String>())
}

/// Copies a folder; what was at `to` is replaced.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_the_source_settings_read_them() {
        let rule = Rule::new("https://a.example/b", Path::new("/mirrors/b.git"));
        assert_eq!(
            yaml(&[rule]),
            "mirrors:\n  - { from: \"https://a.example/b\", to: \"file:///mirrors/b.git\" }\n"
        );
    }
}

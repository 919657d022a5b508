//! The programs that the test control plane runs: which ones, which version, and where they are.
//!
//! A program is taken from the first place that has it:
//!
//! 1. the folder named by `KUBEBUILDER_ASSETS`, as for any envtest;
//! 2. the user cache, `~/.cache/sitewright/tools`, where a build is kept for every clone;
//! 3. a Go build of the pinned module in `tests/tools`, once, into that cache;
//! 4. the released envtest archive, by pinned checksum (`etcd`, `kube-apiserver` and `kubectl` only).
//!
//! Versions are read from the `go.mod` files alone: to move a program to another version, edit its
//! module with `go get -tool` and nothing else.

mod build;
mod cache;
mod envtest;
mod module;
mod python;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

pub use self::{cache::cache_dir, module::ToolModule, python::PythonTools};

/// A program that the testbed can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tool {
    /// The API server.
    KubeApiserver,
    /// The controllers of Kubernetes itself: namespaces, garbage collection, jobs, service accounts.
    KubeControllerManager,
    /// The scheduler; needed only where pods must land on nodes.
    KubeScheduler,
    /// The command line of Kubernetes.
    Kubectl,
    /// The database of the API server.
    Etcd,
    /// Fake nodes whose pods become ready and finish, without containers.
    Kwok,
    /// Renders Helm charts.
    Helm,
    /// The manager of Kueue, batch queues.
    Kueue,
    /// An OCI registry.
    Registry,
    /// An S3 server over a folder, with versions and checksums.
    VersityGw,
}

impl Tool {
    /// Every program, in the order in which a first build is quickest to use.
    pub const ALL: [Self; 10] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::Kubectl,
        Self::KubeScheduler,
        Self::Kwok,
        Self::Helm,
        Self::Kueue,
        Self::Registry,
        Self::VersityGw,
    ];

    /// The file name of the program.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubectl => "kubectl",
            Self::Etcd => "etcd",
            Self::Kwok => "kwok",
            Self::Helm => "helm",
            Self::Kueue => "kueue",
            Self::Registry => "registry",
            Self::VersityGw => "versitygw",
        }
    }

    /// The pinned module below `tests/tools` that the program is built from.
    #[must_use]
    pub const fn module(self) -> ToolModule {
        match self {
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::KubeScheduler
            | Self::Kubectl => ToolModule::new("kubernetes", "k8s.io/kubernetes"),
            Self::Etcd => ToolModule::new("etcd", "go.etcd.io/etcd/server/v3"),
            Self::Kwok => ToolModule::new("kwok", "sigs.k8s.io/kwok"),
            Self::Helm => ToolModule::new("helm", "helm.sh/helm/v4"),
            Self::Kueue => ToolModule::new("kueue", "sigs.k8s.io/kueue"),
            Self::Registry => {
                ToolModule::new("registry", "github.com/distribution/distribution/v3")
            }
            Self::VersityGw => ToolModule::new("versitygw", "github.com/versity/versitygw"),
        }
    }

    /// The Go package that holds the program's `main`.
    const fn package(self) -> &'static str {
        match self {
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::Kwok => "sigs.k8s.io/kwok/cmd/kwok",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
            Self::Kueue => "sigs.k8s.io/kueue/cmd/kueue",
            Self::Registry => "github.com/distribution/distribution/v3/cmd/registry",
            Self::VersityGw => "github.com/versity/versitygw/cmd/versitygw",
        }
    }

    /// Roughly how many minutes a first build takes on two cores, for the progress line.
    const fn minutes(self) -> u32 {
        match self {
            Self::KubeApiserver => 7,
            Self::KubeControllerManager => 3,
            Self::Kueue => 4,
            Self::KubeScheduler | Self::Helm | Self::Kwok | Self::VersityGw => 2,
            Self::Kubectl | Self::Etcd | Self::Registry => 1,
        }
    }

    /// The version that `tests/tools` pins, such as `v1.37.2`.
    ///
    /// # Errors
    /// The `go.mod` is missing or does not name the module.
    pub fn version(self) -> Result<String> {
        self.module().version()
    }

    /// The program's path; builds it on the first call ever, which can take minutes.
    ///
    /// # Errors
    /// No place has the program; the message says what to install.
    pub fn find(self) -> Result<PathBuf> {
        if let Some(path) = self.in_assets() {
            return Ok(path);
        }
        let built = match cache::Home::of(self)?.fill(|home| build::with_go(self, home)) {
            Ok(path) => return Ok(path),
            Err(error) => error,
        };
        let fetched = match envtest::find(self, envtest::RELEASES) {
            Ok(path) => return Ok(path),
            Err(error) => error,
        };
        bail!(
            "{self} is not here, and could not be had.\n  \
             Go build: {built:#}\n  \
             envtest archive: {fetched:#}\n\
             Install Go 1.26 or newer (https://go.dev/dl), or put {self} into a folder and set KUBEBUILDER_ASSETS to it."
        )
    }

    fn in_assets(self) -> Option<PathBuf> {
        let folder = std::env::var_os("KUBEBUILDER_ASSETS")?;
        let path = Path::new(&folder).join(self.name());
        path.is_file().then_some(path)
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_pinned_version() {
        for tool in Tool::ALL {
            let version = tool.version().unwrap();
            assert!(version.starts_with('v'), "{tool} has version {version}");
        }
    }

    #[test]
    fn the_module_of_every_tool_names_its_package() {
        for tool in Tool::ALL {
            let text = tool.module().go_mod().unwrap();
            assert!(text.contains(tool.package()), "{tool} is not a tool of its go.mod");
        }
    }
}

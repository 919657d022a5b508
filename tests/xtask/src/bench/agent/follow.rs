//! An agent that follows SiteSyncs, and the repository and server that they name.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sitewright_testbed::{ControlPlane, GitHttp};
use tempfile::TempDir;

use super::{commit, git, process::Agent};
use crate::bench::program::Program;

/// The namespace of the SiteSyncs.
pub(super) const NAMESPACE: &str = "bench-syncs";
/// What messages of a forge are signed with.
const TOKEN: &str = "s3cret-of-the-bench";

/// A repository on a server, and its working tree.
pub(super) struct Repository {
    folder: TempDir,
    server: GitHttp,
}

impl Repository {
    /// Makes an empty one.
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        git(folder.path(), &["init", "--quiet", "--bare", "--initial-branch", "main", "site.git"])?;
        fs::create_dir(folder.path().join("work"))?;
        git(&folder.path().join("work"), &["init", "--quiet", "--initial-branch", "main"])?;
        let server = GitHttp::serve(folder.path())?;
        Ok(Self { folder, server })
    }

    /// The working tree.
    pub(super) fn tree(&self) -> std::path::PathBuf {
        self.folder.path().join("work")
    }

    /// Commits what is in the working tree, and pushes it.
    pub(super) fn push(&self, message: &str) -> Result<()> {
        let remote = self.folder.path().join("site.git");
        commit(&self.tree(), message)?;
        git(&self.tree(), &["push", "--quiet", &remote.display().to_string(), "main"])
    }

    /// How often the server was asked which commit a branch has.
    pub(super) fn times_asked(&self) -> usize {
        self.server.requests().iter().filter(|line| line.starts_with("GET ")).count()
    }

    /// Makes SiteSyncs, one for each folder.
    pub(super) fn follow(
        &self,
        plane: &ControlPlane,
        syncs: &[(String, String)],
        interval: &str,
    ) -> Result<()> {
        let items: Vec<_> = syncs
            .iter()
            .map(|(name, path)| {
                let url = format!("{}/site.git", self.server.url());
                json!({ "apiVersion": "sitewright.dev/v1alpha1", "kind": "SiteSync",
                    "metadata": { "name": name, "namespace": NAMESPACE },
                    "spec": {
                        "source": { "url": url, "ref": "main", "path": path, "interval": interval },
                        "resync": "24h",
                        "webhook": { "secretRef": { "name": "push" } },
                    } })
            })
            .collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        plane.kubectl_with(&["create", "-f", "-"], list.to_string().as_bytes()).map(drop)
    }
}

/// Starts an agent that follows SiteSyncs, once there can be any.
pub(super) fn start(program: &Program, folder: &Path, plane: &ControlPlane) -> Result<Agent> {
    let definition = crate::top().join("schema/sitesync.crd.json");
    let definition = definition.display().to_string();
    plane.kubectl(&["apply", "--server-side", "-f", &definition])?;
    plane.kubectl(&["wait", "--for=condition=Established", "crd/sitesyncs.sitewright.dev"])?;
    plane.kubectl(&["create", "namespace", NAMESPACE])?;
    let token = format!("--from-literal=token={TOKEN}");
    plane.kubectl(&["create", "secret", "generic", "push", "-n", NAMESPACE, &token])?;
    run(program, folder, plane)
}

/// Starts it once more.
pub(super) fn run(program: &Program, folder: &Path, plane: &ControlPlane) -> Result<Agent> {
    let listen = ["--listen", "127.0.0.1:0", "--hooks", "127.0.0.1:0"];
    let arguments = [&["--namespace", NAMESPACE][..], &listen].concat();
    Agent::start(program, folder, plane, &arguments)
}

/// Where the agent listens for `what`, from its log; what it listens for is told in a fixed order, probes first.
pub(super) fn address(agent: &Agent, what: &str) -> Result<String> {
    let ending = format!(" for {what}");
    let (_, line) = agent.says(&["listening at ", &ending])?;
    let (before, _) = line.split_once(&ending).context("it was said")?;
    let (_, address) = before.rsplit_once("listening at ").context("an address")?;
    Ok(address.to_owned())
}

/// Tells the agent of a push, as GitLab does.
pub(super) fn tell_of_push(address: &str, sync: &str) -> Result<()> {
    let head = format!(
        "POST /hooks/{NAMESPACE}/{sync} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\
         X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: {TOKEN}\r\nContent-Length: 0\r\n\r\n"
    );
    let answer = ask(address, &head)?;
    ensure!(answer.contains(" 202 "), "the push is refused: {answer}");
    Ok(())
}

/// Returns the sum of a metric over all sites.
pub(super) fn metric(address: &str, name: &str, label: &str) -> Result<f64> {
    let head = "GET /metrics HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n";
    let answer = ask(address, head)?;
    let is_it = |line: &&str| line.starts_with(name) && line.contains(label);
    let values = answer.lines().filter(is_it).filter_map(|line| line.rsplit_once(' '));
    Ok(values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum())
}

fn ask(address: &str, request: &str) -> Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    Ok(answer)
}

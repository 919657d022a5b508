//! etcd, kube-apiserver and what else a test asks for, as local processes.

mod audit;
mod egress;
mod files;
mod options;
mod servers;

use std::{
    ffi::OsStr,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

pub use self::{
    audit::{Audit, AuditEvent, Mark, Mode},
    options::{Nodes, Options},
};
use self::{
    egress::Egress,
    files::Files,
    options::{Controllers, Scheduling},
};
use crate::{
    api::{self, Client},
    kubeconfig,
    pki::{Authority, Certificate},
    port::ReservedPort,
    process::{Janitor, Process},
    tools::Tool,
};

/// How long a server may take to become ready on a busy machine; seconds on an idle one.
const READY: Duration = Duration::from_secs(120);

/// A running control plane. Dropping it ends its processes and removes its files.
///
/// Several can run side by side. When the program that started it dies, by whatever signal, its
/// processes are killed and its files removed all the same.
#[derive(Debug)]
pub struct ControlPlane {
    // The order is the order of dropping: clients first, the database last, then the files.
    node_agent: Option<Process>,
    scheduler: Option<Process>,
    controllers: Option<Process>,
    apiserver: Option<Process>,
    etcd: Option<Process>,
    egress: Egress,
    client: Client,
    authority: Authority,
    ports: Ports,
    options: Options,
    files: Files,
    _folder: TempDir,
    _janitor: Janitor,
}

/// The loopback ports of a control plane, held for its whole life.
#[derive(Debug)]
struct Ports {
    apiserver: ReservedPort,
    etcd: ReservedPort,
    etcd_peer: ReservedPort,
}

impl Ports {
    fn reserve() -> Result<Self> {
        Ok(Self {
            apiserver: ReservedPort::new()?,
            etcd: ReservedPort::new()?,
            etcd_peer: ReservedPort::new()?,
        })
    }
}

impl ControlPlane {
    /// Starts a control plane and waits until it is ready for work.
    ///
    /// # Errors
    /// A program is missing, or ends, or is not ready in two minutes; with the end of its log.
    pub fn start(options: Options) -> Result<Self> {
        find_programs(&options)?;
        let folder = tempfile::Builder::new().prefix("sitewright-").tempdir()?;
        let janitor = Janitor::of(folder.path())?;
        let ports = Ports::reserve()?;
        let url = format!("https://127.0.0.1:{}", ports.apiserver.get());
        let authority = Authority::new("sitewright-testbed")?;
        let files = Files::write(folder.path(), &authority, &url)?;
        let client = Client::new(&url, &authority, &files.testbed)?;
        let egress = Egress::listen(&files.egress_socket(), client.clone())?;
        let mut control_plane = Self {
            node_agent: None,
            scheduler: None,
            controllers: None,
            apiserver: None,
            etcd: None,
            egress,
            client,
            authority,
            ports,
            options,
            files,
            _folder: folder,
            _janitor: janitor,
        };
        control_plane.bring_up()?;
        Ok(control_plane)
    }

    fn bring_up(&mut self) -> Result<()> {
        self.start_etcd()?;
        self.start_apiserver()?;
        if self.options.controllers == Controllers::Run {
            self.controllers = Some(servers::controller_manager(&self.files)?);
        }
        if self.options.scheduling == Scheduling::Run {
            self.scheduler = Some(servers::scheduler(&self.files)?);
        }
        if !self.options.nodes.is_empty() {
            self.node_agent = Some(servers::kwok(&self.files)?);
        }
        self.create_nodes()?;
        self.wait_for_service_account()?;
        self.wait_for_nodes()
    }

    /// The kubeconfig of an administrator (a client certificate in `system:masters`).
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.files.admin
    }

    /// The address of the API server, such as `https://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.apiserver.get())
    }

    /// The folder of this control plane, for files that should go away with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.files.folder
    }

    /// The authority that signs all certificates of this control plane.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a user with a fresh client certificate, who may do what RBAC grants, and gives the path
    /// of a kubeconfig.
    ///
    /// # Errors
    /// More than two groups (see [`Authority::client`]), or the file cannot be written.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let identity = self.authority.client(user, groups)?;
        self.write_kubeconfig(&self.url(), Some(&identity))
    }

    /// Writes a kubeconfig that reaches `url`, which has a certificate of the same authority.
    pub(crate) fn write_kubeconfig(
        &self,
        url: &str,
        identity: Option<&Certificate>,
    ) -> Result<PathBuf> {
        let path = self.files.new_kubeconfig();
        kubeconfig::write(&path, url, &self.authority.certificate(), identity)?;
        Ok(path)
    }

    /// The socket address of the API server.
    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.apiserver.get()).into()
    }

    /// Reads what the API server was asked. The testbed's own requests are left out.
    #[must_use]
    pub fn audit(&self) -> Audit<'_> {
        Audit { path: self.files.audit_log(), client: &self.client }
    }

    /// Runs kubectl as administrator and gives what it prints.
    ///
    /// # Errors
    /// kubectl fails; with what it printed to standard error.
    pub fn kubectl<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<String> {
        self.kubectl_with(arguments, b"")
    }

    /// Runs kubectl with `input` as standard input, as in `kubectl apply -f -`.
    ///
    /// # Errors
    /// kubectl fails; with what it printed to standard error.
    pub fn kubectl_with<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Result<String> {
        let mut command = Command::new(Tool::Kubectl.find()?);
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            .env("KUBECACHEDIR", self.files.folder.join("kubectl-cache"));
        crate::process::output(&mut command, input)
    }

    /// Sends calls of the API server to the in-cluster Service `service`
    /// (`NAME.NAMESPACE.svc:PORT`) to `target` (`127.0.0.1:PORT`) instead: webhooks and aggregated
    /// APIs whose server runs as a local process. Any other Service is refused at once.
    ///
    /// # Errors
    /// `service` is not of that form.
    pub fn route(&self, service: &str, target: &str) -> Result<()> {
        self.egress.route(service, target)
    }

    /// Ends the API server in good order; clients see their connections close.
    pub fn stop_apiserver(&mut self) {
        if let Some(mut process) = self.apiserver.take() {
            process.stop();
        }
    }

    /// Kills the API server at once.
    pub fn kill_apiserver(&mut self) {
        self.apiserver = None;
    }

    /// Starts the API server at the same address as before, and waits until it is ready. Does
    /// nothing if it runs.
    ///
    /// # Errors
    /// It ends or is not ready in two minutes.
    pub fn start_apiserver(&mut self) -> Result<()> {
        if self.apiserver.is_some() {
            return Ok(());
        }
        let mut process = servers::apiserver(&self.files, &self.ports, &self.options)?;
        let client = &self.client;
        process.until_ready(READY, || client.text("/readyz").map(drop))?;
        self.apiserver = Some(process);
        Ok(())
    }

    /// Kills etcd at once; what it had acknowledged is still there after [`Self::start_etcd`], for
    /// only a crash of the machine loses writes that were not synchronised.
    pub fn kill_etcd(&mut self) {
        self.etcd = None;
    }

    /// Starts etcd with the data it had. Does nothing if it runs.
    ///
    /// # Errors
    /// It ends or is not ready in two minutes.
    pub fn start_etcd(&mut self) -> Result<()> {
        if self.etcd.is_some() {
            return Ok(());
        }
        let mut process = servers::etcd(&self.files, &self.ports)?;
        let health = format!("http://127.0.0.1:{}/health", self.ports.etcd.get());
        process.until_ready(READY, || {
            ureq::get(&health).call()?;
            Ok(())
        })?;
        self.etcd = Some(process);
        Ok(())
    }

    /// Kills kube-controller-manager, so that nothing is garbage-collected and no Job makes pods.
    pub fn kill_controllers(&mut self) {
        self.controllers = None;
    }

    /// The process ids of all programs of this control plane.
    #[must_use]
    pub fn process_ids(&self) -> Vec<u32> {
        [&self.etcd, &self.apiserver, &self.controllers, &self.scheduler, &self.node_agent]
            .into_iter()
            .flatten()
            .map(Process::id)
            .collect()
    }

    fn create_nodes(&self) -> Result<()> {
        for node in self.options.nodes.iter().flat_map(Nodes::objects) {
            self.client.create("/api/v1/nodes", &node)?;
        }
        Ok(())
    }

    /// Pods can be created in `default` only once its service account is there.
    fn wait_for_service_account(&mut self) -> Result<()> {
        let Some(controllers) = &mut self.controllers else { return Ok(()) };
        let path = "/api/v1/namespaces/default/serviceaccounts/default";
        controllers.until_ready(READY, || self.client.get(path).map(drop))
    }

    fn wait_for_nodes(&mut self) -> Result<()> {
        let Some(node_agent) = &mut self.node_agent else { return Ok(()) };
        node_agent.until_ready(READY, || {
            let nodes = self.client.get("/api/v1/nodes")?;
            let nodes = nodes.get("items").and_then(Value::as_array).context("no list of nodes")?;
            ensure!(nodes.iter().all(is_ready), "not every node is ready");
            Ok(())
        })
    }
}

/// Finds all programs first, so that a build happens before anything runs.
fn find_programs(options: &Options) -> Result<()> {
    let mut tools = vec![Tool::Etcd, Tool::KubeApiserver, Tool::Kubectl];
    if options.controllers == Controllers::Run {
        tools.push(Tool::KubeControllerManager);
    }
    if options.scheduling == Scheduling::Run {
        tools.push(Tool::KubeScheduler);
    }
    if !options.nodes.is_empty() {
        tools.push(Tool::Kwok);
    }
    tools.into_iter().try_for_each(|tool| tool.find().map(drop))
}

fn is_ready(node: &Value) -> bool {
    let ready = |condition: &Value| {
        condition.get("type").is_some_and(|kind| kind == "Ready")
            && condition.get("status").is_some_and(|status| status == "True")
    };
    node.pointer("/status/conditions")
        .and_then(Value::as_array)
        .is_some_and(|conditions| conditions.iter().any(ready))
}

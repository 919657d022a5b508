//! The real manager of Kueue as a local process, behind the objects of its chart.
//!
//! In a cluster the chart's Deployment would run it in a pod. Here a process takes the pod's place: it
//! has the pod's configuration, arguments and identity, the API server's calls to the chart's
//! Services are routed to it, and a thread copies the Secret with the webhook's certificate into its
//! folder, as the kubelet mounts it.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    ControlPlane,
    api::Client,
    mirror::Mirrors,
    port::free_port,
    process::{self, Process, until},
    tools::Tool,
};

/// Where the chart is installed, under the release name `kueue`.
const NAMESPACE: &str = "kueue-system";

/// The repository whose mirror holds the chart.
const UPSTREAM: &str = "https://github.com/kubernetes-sigs/kueue";

/// Certificates are made, copied and trusted in this time, also on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// Another process can take a port between its choice and its use; more than once in a row is no
/// accident.
const TRIES: u32 = 3;

/// A running manager; ends when dropped.
#[derive(Debug)]
pub struct Kueue {
    process: Process,
    _mount: Mount,
}

impl Kueue {
    /// The manifests that the chart gives with `values` (YAML, may be empty), with its namespace.
    ///
    /// # Errors
    /// The chart cannot be had or rendered.
    pub fn manifests(values: &str) -> Result<String> {
        let folder = tempfile::tempdir()?;
        let mirrors = Mirrors::make(&folder.path().join("mirrors"))?;
        let checkout = folder.path().join("kueue");
        mirrors.repository(UPSTREAM)?.checkout(&checkout)?;
        let mut helm = Command::new(Tool::Helm.find()?);
        helm.args(["template", "kueue", "--include-crds", "--namespace", NAMESPACE])
            .args(["--values", "-", "--kube-version", &Tool::KubeApiserver.version()?])
            .arg(checkout.join("charts/kueue"));
        let rendered = process::output(&mut helm, values.as_bytes())?;
        let namespace =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: {NAMESPACE} }}\n");
        Ok(format!("{namespace}---\n{rendered}"))
    }

    /// Applies the chart with its default values and starts the manager.
    ///
    /// # Errors
    /// As [`Self::manifests`] and [`Self::start`].
    pub fn install(control_plane: &ControlPlane) -> Result<Self> {
        let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        control_plane.kubectl_with(&apply, Self::manifests("")?.as_bytes())?;
        Self::start(control_plane)
    }

    /// Waits until somebody has applied the chart, and starts the manager. The chart's webhooks
    /// refuse Jobs and pods until it is ready.
    ///
    /// # Errors
    /// Nobody does within `limit`, or as [`Self::start`].
    pub fn start_when_installed(control_plane: &ControlPlane, limit: Duration) -> Result<Self> {
        until(limit, || Installation::find(control_plane.client()).map(drop))?;
        Self::start(control_plane)
    }

    /// Starts the manager with the configuration and arguments that the chart's objects hold, and
    /// waits until its webhooks answer.
    ///
    /// # Errors
    /// The chart is not installed in `kueue-system`, or the manager ends or is not ready in time.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        let installation = Installation::find(control_plane.client())?;
        let mut last = None;
        for _ in 0..TRIES {
            match Self::try_start(control_plane, &installation) {
                Err(error) if format!("{error:#}").contains("address already in use") => {
                    last = Some(error);
                }
                other => return other,
            }
        }
        Err(last.context("it was tried at least once")?)
    }

    fn try_start(control_plane: &ControlPlane, installation: &Installation) -> Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("kueue-").tempdir_in(control_plane.folder())?.keep();
        let ports = Ports::choose()?;
        let certificates = folder.join("certificates");
        fs::create_dir(&certificates)?;
        let configuration = installation.configuration(&ports, &certificates)?;
        fs::write(folder.join("configuration.yaml"), configuration)?;

        let kubeconfig = control_plane.kubeconfig_for(
            &format!("system:serviceaccount:{NAMESPACE}:kueue-controller-manager"),
            &["system:serviceaccounts", &format!("system:serviceaccounts:{NAMESPACE}")],
        )?;
        let mount = Mount::start(control_plane.client().clone(), certificates);
        for (service, port) in [
            ("kueue-webhook-service", ports.webhook),
            ("kueue-visibility-server", ports.visibility),
        ] {
            let name = format!("{service}.{NAMESPACE}.svc:443");
            control_plane.route(&name, &format!("127.0.0.1:{port}"))?;
        }
        let mut arguments = vec![
            format!("--config={}", folder.join("configuration.yaml").display()),
            format!("--kubeconfig={}", kubeconfig.display()),
        ];
        arguments.extend(installation.arguments.iter().cloned());
        let environment = [("NO_PROXY", OsStr::new("*"))];
        let log = folder.join("kueue.log");
        let mut process = Process::start(&Tool::Kueue.find()?, arguments, &environment, &log)?;
        process.until_ready(READY, || ports.probe(control_plane))?;
        Ok(Self { process, _mount: mount })
    }

    /// The process id of the manager.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The end of what the manager has logged.
    #[must_use]
    pub fn last_lines(&self) -> String {
        self.process.last_lines()
    }
}

/// The ports of one manager.
struct Ports {
    webhook: u16,
    visibility: u16,
    health: u16,
    metrics: u16,
}

impl Ports {
    fn choose() -> Result<Self> {
        Ok(Self {
            webhook: free_port()?,
            visibility: free_port()?,
            health: free_port()?,
            metrics: free_port()?,
        })
    }

    /// Ready, and reached by the API server: a ResourceFlavor passes two webhooks.
    fn probe(&self, control_plane: &ControlPlane) -> Result<()> {
        ureq::get(format!("http://127.0.0.1:{}/readyz", self.health)).call()?;
        let flavor = json!({
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "ResourceFlavor",
            "metadata": { "generateName": "probe-" },
        });
        let path = "/apis/kueue.x-k8s.io/v1beta2/resourceflavors?dryRun=All";
        control_plane.client().create(path, &flavor).map(drop)
    }
}

/// What the chart's objects say of the manager.
struct Installation {
    configuration: Value,
    arguments: Vec<String>,
}

impl Installation {
    fn find(client: &Client) -> Result<Self> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/configmaps/kueue-manager-config");
        let map = client.get(&path).context("the chart of Kueue is not installed")?;
        let text = map
            .pointer("/data/controller_manager_config.yaml")
            .and_then(Value::as_str)
            .context("the ConfigMap of Kueue holds no configuration")?;
        let path =
            format!("/apis/apps/v1/namespaces/{NAMESPACE}/deployments/kueue-controller-manager");
        let deployment = client.get(&path).context("the chart of Kueue is not installed")?;
        let arguments = deployment
            .pointer("/spec/template/spec/containers/0/args")
            .and_then(Value::as_array)
            .context("the Deployment of Kueue has no arguments")?;
        let own = |argument: &&str| !argument.starts_with("--config");
        let arguments =
            arguments.iter().filter_map(Value::as_str).filter(own).map(ToOwned::to_owned).collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "Kueue's own configuration, written by its own chart; the testbed does not depend on the model"
        )]
        let configuration = serde_yaml::from_str(text)?;
        Ok(Self { configuration, arguments })
    }

    /// The chart's configuration with what a pod would isolate: addresses and folders. JSON, which
    /// is YAML.
    fn configuration(&self, ports: &Ports, certificates: &Path) -> Result<String> {
        let mut configuration = self.configuration.clone();
        let Some(all) = configuration.as_object_mut() else { bail!("the configuration is no map") };
        let mut set = |section: &str, key: &str, value: Value| {
            let section = all.entry(section).or_insert_with(|| Value::Object(Map::new()));
            if let Some(section) = section.as_object_mut() {
                section.insert(key.to_owned(), value);
            }
        };
        let address = |port: u16| Value::from(format!("127.0.0.1:{port}"));
        set("health", "healthProbeBindAddress", address(ports.health));
        set("metrics", "bindAddress", address(ports.metrics));
        set("webhook", "host", "127.0.0.1".into());
        set("webhook", "port", ports.webhook.into());
        set("webhook", "certDir", certificates.display().to_string().into());
        set("visibilityServer", "bindAddress", "127.0.0.1".into());
        set("visibilityServer", "bindPort", ports.visibility.into());
        set("leaderElection", "leaderElect", false.into());
        Ok(serde_json::to_string_pretty(&configuration)?)
    }
}

/// Keeps a folder equal to a Secret, as the kubelet does; ends when dropped.
#[derive(Debug)]
struct Mount {
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mount {
    fn start(client: Client, folder: PathBuf) -> Self {
        let ending = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ending);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                // Until the manager has made its certificate there is nothing to copy.
                let _ = mount(&client, &folder);
                thread::park_timeout(Duration::from_millis(250));
            }
        });
        Self { ending, thread: Some(thread) }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn mount(client: &Client, folder: &Path) -> Result<()> {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/secrets/kueue-webhook-server-cert");
    let secret = client.get(&path)?;
    let data = secret.get("data").and_then(Value::as_object).context("an empty Secret")?;
    for (name, value) in data {
        let bytes = STANDARD.decode(value.as_str().unwrap_or_default())?;
        let file = folder.join(name);
        if fs::read(&file).ok().as_ref() != Some(&bytes) {
            let fresh = folder.join(format!(".{name}"));
            fs::write(&fresh, bytes)?;
            fs::rename(fresh, file)?;
        }
    }
    Ok(())
}

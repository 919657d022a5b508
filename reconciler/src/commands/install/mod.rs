mod admission;
mod network;
mod rights;

use clap::Args;
use serde_json::{Value, json};
use sitewright_cluster::sync;
use sitewright_model::{code::machine, desired::Desired, diagnostic::Diagnostic, yaml};

use self::rights::Account;
use super::{site::SiteArgument, stages};
use crate::cli::{Context, Exit, Failure};

/// The user and group of the agent: nobody that the image knows.
const USER: u32 = 65_532;

/// Where the agent serves its probes and metrics.
const PORT: u16 = 8080;

/// Where forges tell it of a push; a way there from outside is the site's to make.
const HOOKS: u16 = 8081;

/// Where the API server asks whether something may serve.
const REVIEWS: u16 = 8443;
/// Where it answers questions of lineage; a way there from outside, with TLS, is the site's to make.
const LINEAGE: u16 = 8082;

/// Print what an agent in a cluster needs: SiteSync's definition, rights, a Deployment
///
/// Prints manifests and changes nothing: read them, then give them to kubectl, or commit them. The rights
/// are the least that the given sites need, computed from what they render to; run it again when a site
/// gets components of other kinds. With --broad, the agent may do everything.
///
/// Where a site names a service account in its SiteSync, the rights of that account bound it: --act-as gives
/// the rights to that account, and to the agent no more than to act as it.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Install {
    /// The sites that the agent will follow: folders with a site.yaml, or REPOSITORY//path@ref
    #[arg(value_name = "SITE")]
    sites: Vec<String>,
    /// Let the agent do everything (cluster-admin)
    #[arg(long)]
    broad: bool,
    /// The namespace of the agent
    #[arg(long, value_name = "NAME", default_value = "sitewright-system", value_parser = label)]
    namespace: String,
    /// The image of the agent; pin it by digest
    #[arg(long, value_name = "IMAGE", default_value = concat!("sitewright:", env!("CARGO_PKG_VERSION")))]
    image: String,
    /// How many agents; where there are several, one works and the others stand by
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// Among how many agents the SiteSyncs are shared, each with replicas of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    shards: u8,
    /// The service account that the SiteSyncs name in serviceAccountName: it gets the rights on the sites, and
    /// the agent the right to act as it
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = rights::account, conflicts_with = "broad")]
    act_as: Option<Account>,
    /// Record lineage on a volume of this size, for example 20Gi; the key is in the Secret sitewright-lineage. Questions
    /// are answered at port 8082, for whom the ClusterRole sitewright-lineage-reader is bound to
    #[arg(long, value_name = "SIZE", value_parser = size, conflicts_with = "replicas")]
    lineage: Option<String>,
    /// Look up what runs name, and read models, as lineage.yaml in the Secret sitewright-lineage says
    #[arg(long, requires = "lineage")]
    lineage_settings: bool,
    /// Have the API server ask the agent whether what is to serve meets the policy of lineage.yaml; the certificate is
    /// cert-manager's
    #[arg(long, requires = "lineage_settings", conflicts_with = "shards")]
    lineage_admission: bool,
    /// Print no NetworkPolicy
    #[arg(long)]
    no_network_policy: bool,
    /// Print the definition of SiteSync alone
    #[arg(long, conflicts_with_all = ["sites", "broad"])]
    crds: bool,
}

const EXAMPLES: &str = "\
Examples:
  sitewright install sites/lab-gpu --image registry.example.edu/sitewright@sha256:… > agent.yaml
  sitewright install sites/lab-gpu --act-as lab/site > agent.yaml    the site's rights are an account's
  sitewright install sites/lab-gpu --lineage 20Gi > agent.yaml
  sitewright install --broad | kubectl apply --server-side -f -
  sitewright install --crds | kubectl apply --server-side -f -";

/// Reads the name of a namespace (RFC 1123 label).
fn label(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label { Ok(text.to_owned()) } else { Err("this is not the name of a namespace".into()) }
}

/// Reads a size as Kubernetes writes it, for example `20Gi`.
fn size(text: &str) -> Result<String, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let is_size = digits.parse::<u64>().is_ok_and(|number| number > 0)
        && ["", "M", "G", "T", "Mi", "Gi", "Ti"].contains(&unit);
    if is_size { Ok(text.to_owned()) } else { Err("this is no size, for example 20Gi".into()) }
}

impl Install {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        if !self.crds && !self.broad && self.sites.is_empty() {
            return Err(Diagnostic::error(
                machine::BAD_ARGUMENT,
                "without a site it cannot be told which rights the agent needs",
            )
            .help("name the sites that it will follow, or give --broad for all rights")
            .into());
        }
        let mut sites = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            sites.push(stages::rendered(context, &SiteArgument { site: site.clone() })?);
        }
        let documents: Vec<String> = self.objects(&sites).iter().map(yaml::to_yaml).collect();
        context.print(&documents.iter().fold(String::new(), |text, document| {
            format!("{text}---\n{}\n", document.trim_end())
        }))?;
        Ok(Exit::Success)
    }

    fn objects(&self, sites: &[Desired]) -> Vec<Value> {
        let definition = serde_json::to_value(sync::definition()).unwrap_or_default();
        if self.crds {
            return vec![definition];
        }
        let mut objects = vec![self.namespace(), definition];
        objects.extend(self.rights(sites));
        if !self.no_network_policy {
            objects.push(self.network_policy());
        }
        for shard in 1..=self.shards {
            objects.extend(self.volume(shard));
            objects.push(self.deployment(shard));
            objects.push(self.service(shard));
        }
        if self.lineage_admission {
            objects.extend(self.admission());
        }
        objects
    }

    fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "namespace": self.namespace, "labels": labels() })
    }

    fn namespace(&self) -> Value {
        let labels = json!({ "app.kubernetes.io/part-of": "sitewright",
            "pod-security.kubernetes.io/enforce": "restricted" });
        json!({ "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": self.namespace, "labels": labels } })
    }

    /// Returns the name of the agent of a shard.
    fn agent(&self, shard: u8) -> String {
        match self.shards {
            1 => "sitewright-agent".to_owned(),
            _ => format!("sitewright-agent-{shard}"),
        }
    }

    fn deployment(&self, shard: u8) -> Value {
        let hooks = format!("--hooks=0.0.0.0:{HOOKS}");
        let mut arguments = vec!["agent", "--log-format", "json", &hooks];
        if self.replicas > 1 {
            arguments.push("--elect");
        }
        let share = format!("--shard={shard}/{}", self.shards);
        if self.shards > 1 {
            arguments.push(&share);
        }
        let answers = format!("--lineage-listen=0.0.0.0:{LINEAGE}");
        if self.lineage.is_some() {
            arguments.extend([
                "--lineage=/var/lib/sitewright/lineage",
                "--lineage-key=/etc/sitewright/lineage.key",
                &answers,
            ]);
        }
        if self.lineage_settings {
            arguments.push("--lineage-settings=/etc/sitewright/lineage.yaml");
        }
        let reviews = format!("--lineage-admission=0.0.0.0:{REVIEWS}");
        if self.lineage_admission {
            arguments.extend([&*reviews, "--lineage-admission-tls=/etc/sitewright-tls"]);
        }
        let probe = |path: &str| json!({ "httpGet": { "path": path, "port": "http" }, "periodSeconds": 10 });
        let name = self.agent(shard);
        let mut mounts = vec![
            json!({ "name": "cache", "mountPath": "/var/cache/sitewright" }),
            json!({ "name": "tmp", "mountPath": "/tmp" }),
        ];
        let mut volumes = vec![
            json!({ "name": "cache", "emptyDir": { "sizeLimit": "8Gi" } }),
            json!({ "name": "tmp", "emptyDir": { "sizeLimit": "1Gi" } }),
        ];
        if self.lineage.is_some() {
            mounts.push(json!({ "name": "lineage", "mountPath": "/var/lib/sitewright" }));
            mounts.push(
                json!({ "name": "lineage-key", "mountPath": "/etc/sitewright", "readOnly": true }),
            );
            volumes.push(json!({ "name": "lineage", "persistentVolumeClaim": { "claimName": format!("{name}-lineage") } }));
            // without the key the agent works, and records as soon as it is there
            volumes.push(json!({ "name": "lineage-key", "secret": {
                "secretName": "sitewright-lineage", "optional": true, "defaultMode": 0o440,
            } }));
        }
        let ports: Vec<Value> = self
            .ports()
            .map(|(name, port)| json!({ "name": name, "containerPort": port }))
            .collect();
        if self.lineage_admission {
            let tls =
                json!({ "name": "tls", "mountPath": "/etc/sitewright-tls", "readOnly": true });
            mounts.push(tls);
            volumes.push(json!({ "name": "tls", "secret": {
                "secretName": admission::SECRET, "optional": true, "defaultMode": 0o440,
            } }));
        }
        let container = json!({
            "name": "agent",
            "image": self.image,
            "args": arguments,
            "env": [
                { "name": "SITEWRIGHT_CACHE_DIR", "value": "/var/cache/sitewright" },
                { "name": "TMPDIR", "value": "/tmp" },
            ],
            "ports": ports,
            "livenessProbe": probe("/livez"),
            "readinessProbe": probe("/readyz"),
            "resources": {
                "requests": { "cpu": "50m", "memory": "128Mi" },
                "limits": { "memory": "1Gi" },
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": mounts,
        });
        let selector = json!({ "app.kubernetes.io/name": name });
        let pod_labels = json!({ "app.kubernetes.io/part-of": "sitewright",
            "app.kubernetes.io/name": name });
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": self.metadata(&name),
            "spec": {
                "replicas": self.replicas,
                // the old one has let go of its locks before the new one asks for them
                "strategy": { "type": "Recreate" },
                "selector": { "matchLabels": selector },
                "template": {
                    "metadata": { "labels": pod_labels },
                    "spec": {
                        "serviceAccountName": "sitewright-agent",
                        "terminationGracePeriodSeconds": 60,
                        "securityContext": {
                            "runAsNonRoot": true, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
                            "seccompProfile": { "type": "RuntimeDefault" },
                        },
                        "containers": [container],
                        "volumes": volumes,
                    },
                },
            },
        })
    }

    /// Returns the claim that the record is on, where it is recorded.
    fn volume(&self, shard: u8) -> Option<Value> {
        let size = self.lineage.as_ref()?;
        Some(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": self.metadata(&format!("{}-lineage", self.agent(shard))),
            "spec": {
                // a log has one writer
                "accessModes": ["ReadWriteOncePod"],
                "resources": { "requests": { "storage": size } },
            },
        }))
    }

    fn service(&self, shard: u8) -> Value {
        let name = self.agent(shard);
        let ports: Vec<Value> = self
            .ports()
            .map(|(name, port)| json!({ "name": name, "port": port, "targetPort": name }))
            .collect();
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": self.metadata(&name),
            "spec": {
                "selector": { "app.kubernetes.io/name": name },
                "ports": ports,
            },
        })
    }

    /// Returns the ports of the agent, by name.
    fn ports(&self) -> impl Iterator<Item = (&'static str, u16)> {
        let lineage = self.lineage.is_some().then_some(("lineage", LINEAGE));
        let reviews = self.lineage_admission.then_some(("reviews", REVIEWS));
        [("http", PORT), ("hooks", HOOKS)].into_iter().chain(lineage).chain(reviews)
    }
}

fn labels() -> Value {
    json!({ "app.kubernetes.io/part-of": "sitewright" })
}

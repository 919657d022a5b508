//! Settings of the recorder: where it may look things up, and which models it reads.

use std::{path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Located,
    drain::{DURATION, DURATION_IN_WORDS},
    site::API_VERSION,
};
use crate::{
    diagnostic::Diagnostics,
    health::parse_duration,
    lineage::{Grade, policy::Demand},
};

pub(super) const KIND_OF_SETTINGS: &str = "LineageSettings";

/// Reads a file of settings; returns every mistake in it at once.
pub fn parse(file: &str, text: &str) -> Result<Located<LineageSettings>, Diagnostics> {
    super::parse(&super::LINEAGE, file, text)
}

/// How the agent records lineage (`agent --lineage-settings FILE`). A file that is named in it is looked for beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": API_VERSION,
    "kind": KIND_OF_SETTINGS,
    "spec": {
        "resolve": {
            "hosts": ["git.example.edu", "registry.example.edu"],
            "s3": [{
                "endpoint": "https://rgw.example.edu",
                "login": { "accessKey": "sitewright", "secretKeyFile": "s3.key" },
            }],
        },
        "models": [{ "uri": "s3://models/" }],
        "witnesses": [{ "url": "https://lineage.other.example.edu/lineage/witness", "key": "other.pub" }],
        "witnessFor": [{ "key": "other.pub" }],
        "openlineage": { "url": "https://marquez.example.edu/api/v1/lineage", "names": "withContent" },
    },
}]))]
pub struct LineageSettings {
    /// Always `sitewright.dev/v1alpha1`.
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// Always `LineageSettings`.
    #[schemars(extend("const" = KIND_OF_SETTINGS))]
    pub kind: String,
    /// The settings.
    #[serde(default)]
    pub spec: LineageSpec,
}

/// The settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LineageSpec {
    /// Look up what is named: whether a commit exists, what an image consists of, which version a name led to. Without
    /// it nobody is asked anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve: Option<Resolve>,
    /// Models whose bytes are read once a run has made them, so that they have a digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<Models>,
    /// What is demanded of what serves.
    #[serde(default, skip_serializing_if = "Policy::is_empty")]
    pub policy: Policy,
    /// Witnesses that sign that this log only grew (C2SP tlog-witness).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witnesses: Vec<WitnessServer>,
    /// Logs of others that this agent is a witness for, at `/lineage/witness` of `--lineage-listen`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub witness_for: Vec<WitnessedLog>,
    /// Tell a server that takes OpenLineage, such as Marquez, of runs and of what they read and made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openlineage: Option<OpenLineage>,
}

/// What is demanded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    /// What is demanded of models that serve; the first rule that has a service's namespace counts.
    #[serde(default)]
    pub serving: Vec<ServingRule>,
}

/// How well the code of a model that serves has to be known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServingRule {
    /// The namespaces, each by its name, or by how it begins and a `*`.
    #[schemars(length(min = 1))]
    pub namespaces: Vec<String>,
    /// How it has to be known that the commit exists: `resolved` where the recorder has seen it on its server.
    #[serde(default = "resolved")]
    pub commit: Grade,
    /// How it has to be known that the run ran it: `claimed` takes the researcher's word, `attested` a signature's.
    #[serde(default = "claimed")]
    pub tie: Grade,
    /// Whether what does not meet it is refused when somebody makes it, where the agent is asked
    /// (`--lineage-admission`); else it is only reported.
    #[serde(default)]
    pub enforce: bool,
}

fn resolved() -> Grade {
    Grade::Resolved
}

fn claimed() -> Grade {
    Grade::Claimed
}

impl Policy {
    fn is_empty(&self) -> bool {
        self.serving.is_empty()
    }

    /// Returns the rule for a namespace.
    pub fn of(&self, namespace: &str) -> Option<&ServingRule> {
        let has = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => namespace.starts_with(start),
            None => pattern == namespace,
        };
        self.serving.iter().find(|rule| rule.namespaces.iter().any(has))
    }
}

impl ServingRule {
    /// Returns what it demands.
    pub fn demand(&self) -> Demand {
        Demand { commit: self.commit, tie: self.tie }
    }
}

/// A witness that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WitnessServer {
    /// Where it is asked, without `/add-checkpoint`; of an agent, `https://HOST/lineage/witness`.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The file of its public key.
    pub key: PathBuf,
}

/// A log that is witnessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WitnessedLog {
    /// The file of its public key. The name of the key is the name of the log.
    pub key: PathBuf,
}

/// A server that takes OpenLineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenLineage {
    /// The address that takes events, such as `https://marquez.example.edu/api/v1/lineage`. Many at once are sent to
    /// `/batch` below it, where it takes that.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The file that holds a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// How datasets are named.
    #[serde(default)]
    pub names: DatasetNames,
    /// How long the end of a run waits until the content of what it made is known: nothing may be told of a run after
    /// its end. What becomes known later is told of the dataset alone.
    #[serde(default = "default_hold")]
    #[schemars(
        length(min = 1),
        regex(pattern = DURATION),
        extend("patternErrorMessage" = DURATION_IN_WORDS)
    )]
    pub hold: String,
    /// Whether each attempt is told as a run below its run.
    #[serde(default)]
    pub attempts: bool,
}

/// How datasets are named for OpenLineage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DatasetNames {
    /// By their store; which content it was stands in the facet `version`, as the standard has it.
    #[default]
    ByStore,
    /// With the content in the name: for Marquez, which takes any version for the newest.
    WithContent,
}

fn default_hold() -> String {
    "1h".to_owned()
}

impl OpenLineage {
    /// Returns how long the end of a run waits.
    pub fn hold(&self) -> Duration {
        parse_duration(&self.hold).unwrap_or(Duration::from_secs(3600))
    }
}

/// Where things are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resolve {
    /// The only hosts that are asked, `HOST` or `HOST:PORT`: researchers choose what is named. Default any but this
    /// machine and what only it reaches. Servers below `s3`, `lakefs` and `iceberg` are always among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(inner(length(min = 1)))]
    pub hosts: Option<Vec<String>>,
    /// Public keys in PEM (Ed25519, or ECDSA P-256) whose signed provenance of images makes what it says `attested`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
    /// Servers of buckets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub s3: Vec<S3Server>,
    /// Servers of lakeFS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lakefs: Vec<LakeFsServer>,
    /// Catalogs of Iceberg.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub iceberg: Vec<IcebergCatalog>,
}

/// A public key that is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Key {
    /// Whose it is: it is recorded as who signed.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The file.
    pub file: PathBuf,
}

/// A server that speaks S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Server {
    /// Its address, such as `https://rgw.example.edu`.
    #[schemars(regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// Its region.
    #[serde(default = "default_region")]
    pub region: String,
    /// The buckets that are asked for there; default all that no other server has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Vec<String>>,
    /// Who we are; nobody for public buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<KeyLogin>,
    /// Whether a folder of a bucket that a run used is listed when it starts and when it ends: the only way to see that
    /// data of a bucket without snapshots changed meanwhile. Costs one request for a thousand objects.
    #[serde(default)]
    pub list: bool,
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

/// A pair of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyLogin {
    /// The id of the key.
    #[schemars(length(min = 1))]
    pub access_key: String,
    /// The file that holds the secret key.
    pub secret_key_file: PathBuf,
}

/// A server of lakeFS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LakeFsServer {
    /// Its address, without `/api/v1`.
    #[schemars(regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// Who we are.
    pub login: KeyLogin,
}

/// A catalog of Iceberg, by its REST protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IcebergCatalog {
    /// What it is called in `iceberg://NAME/namespace.table`.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Its address, without `/v1`.
    #[schemars(regex(pattern = "^https?://"))]
    pub endpoint: String,
    /// What the catalog wants between `/v1/` and `/namespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The file that holds a bearer token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Models whose bytes are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Models {
    /// What their URIs begin with, such as `s3://models/` or `pvc://models/`.
    #[schemars(regex(pattern = "^[a-z0-9+.-]+://"))]
    pub uri: String,
    /// The folder at which the agent has what the URI begins with, mounted read-only. Default the server below
    /// `resolve.s3` that has the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// How many bytes are read in a second, at most: runs read from the same storage.
    #[serde(default = "default_rate")]
    #[schemars(range(min = 1))]
    pub bytes_per_second: u64,
}

fn default_rate() -> u64 {
    200_000_000
}

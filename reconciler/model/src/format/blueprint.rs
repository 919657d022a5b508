//! `blueprint.yaml`: a versioned, reusable template of one capability.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    KIND, KIND_IN_WORDS, Located,
    drain::{HitsRule, Wave},
    site::{API_VERSION, IgnoreRule},
};
use crate::{
    diagnostic::Diagnostics,
    digest::Digest,
    name::{BlueprintName, SourceName},
};

const KIND_OF_BLUEPRINT: &str = "Blueprint";
const CAPABILITY: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const CAPABILITY_IN_WORDS: &str = "a name of a-z, 0-9 and `-`, for example `batch-queue`";
/// What helm takes for the name of a release.
const RELEASE: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const RELEASE_IN_WORDS: &str =
    "a-z, 0-9, `-` and `.`, with a letter or digit at both ends of each part";
const NAMESPACE: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
const NAMESPACE_IN_WORDS: &str = "a-z, 0-9 and `-`, with a letter or digit at both ends";
const REQUIREMENT: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?\??$";
const REQUIREMENT_IN_WORDS: &str = "a name of a-z, 0-9 and `-`, with `?` behind it where the site may do without, for example `cert-manager?`";

/// Reads a blueprint file; returns every mistake in it at once.
pub fn parse(file: &str, text: &str) -> Result<Located<Blueprint>, Diagnostics> {
    super::parse(&super::BLUEPRINT, file, text)
}

/// A versioned, reusable template of one capability.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": API_VERSION,
    "kind": KIND_OF_BLUEPRINT,
    "metadata": { "name": "kueue", "version": "1.0.0" },
    "spec": {
        "summary": "Fair-share batch queues with guaranteed quota and borrowing",
        "values": "values.schema.json",
        "sources": [{
            "name": "controller",
            "helm": { "chart": "oci://registry.k8s.io/kueue/charts/kueue", "version": "0.19.2" },
            "namespace": "kueue-system",
        }],
        "templates": ["templates/"],
        "provides": ["batch-queue"],
    },
}]))]
pub struct Blueprint {
    /// Always `sitewright.dev/v1alpha1`.
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// Always `Blueprint`.
    #[schemars(extend("const" = KIND_OF_BLUEPRINT))]
    pub kind: String,
    /// Name and version.
    pub metadata: BlueprintMetadata,
    /// What it is made of.
    pub spec: BlueprintSpec,
}

/// Name and version.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlueprintMetadata {
    /// The name; also the name of its folder.
    pub name: BlueprintName,
    /// The version (semver 2.0).
    #[schemars(with = "String", extend("examples" = ["1.0.0"]))]
    pub version: semver::Version,
}

/// What a blueprint is made of.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlueprintSpec {
    /// One sentence: what a site gets.
    #[schemars(length(min = 1))]
    pub summary: String,
    /// The file with the JSON Schema (2020-12) of the values; its `default`s are the blueprint's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["values.schema.json"]))]
    pub values: Option<String>,
    /// Upstream artifacts it builds on.
    #[serde(default)]
    pub sources: Vec<Source>,
    /// Template files (`*.yaml.j2`, `*.yaml`), or folders (`templates/`) of them.
    #[serde(default)]
    #[schemars(extend("examples" = [["templates/"]]))]
    pub templates: Vec<String>,
    /// Capabilities that other components must provide; `x?`: only if the site has it.
    #[serde(default)]
    #[schemars(extend("items" = {
        "type": "string",
        "pattern": REQUIREMENT,
        "patternErrorMessage": REQUIREMENT_IN_WORDS,
    }))]
    pub requires: Vec<String>,
    /// Capabilities that this one provides.
    #[serde(default)]
    #[schemars(extend("items" = {
        "type": "string",
        "pattern": CAPABILITY,
        "patternErrorMessage": CAPABILITY_IN_WORDS,
    }))]
    pub provides: Vec<String>,
    /// When objects count as healthy, beyond what their kind already tells.
    #[serde(default)]
    pub health: Vec<HealthRule>,
    /// What changes do to running work.
    #[serde(default)]
    pub hazards: Vec<HazardRule>,
    /// What is taken node by node once the objects are applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
    /// Fields that another controller may own: never drift.
    #[serde(default)]
    pub ignore: Vec<IgnoreRule>,
}

/// An upstream artifact: exactly one of `helm` and `manifests`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["helm"] }, { "required": ["manifests"] }]))]
pub struct Source {
    /// The name, unique within the blueprint; `upstream` of a component refers to it.
    pub name: SourceName,
    /// A Helm chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmSource>,
    /// Plain manifests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<ManifestsSource>,
    /// The namespace of the release, and of namespaced objects that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = NAMESPACE),
        extend("patternErrorMessage" = NAMESPACE_IN_WORDS)
    )]
    pub namespace: Option<String>,
    /// A template file that renders to the chart's values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
    /// A minijinja expression over the template context; the source is left out where it is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Objects of the artifact that are left out.
    #[serde(default)]
    pub exclude: Vec<Selector>,
}

/// A Helm chart: exactly one of `path`, `git`, and `chart`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{ "required": ["path"] }, { "required": ["git"] }, { "required": ["chart"] }],
    "dependentRequired" = { "repo": ["chart"], "chart": ["version"] },
))]
pub struct HelmSource {
    /// A folder within the blueprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A folder of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitFolder>,
    /// `oci://registry/repository`, or the name of a chart in `repo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// The URL of the HTTP chart repository that holds `chart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The exact version of the chart; with `path` and `git` it must equal the one in Chart.yaml when given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The digest of the chart's files, however they were packed; else `site.lock` holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The release name, of at most 53 characters as helm has it; default the component's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 53),
        regex(pattern = RELEASE),
        extend("patternErrorMessage" = RELEASE_IN_WORDS)
    )]
    pub release: Option<String>,
    /// Dependencies of the chart that are left out: those that are not in its `charts` folder and that its values
    /// switch off, which helm would refuse all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub omit_dependencies: Vec<String>,
    /// Whether hooks other than tests become ordinary objects. Default false: hooks are left out, with a warning.
    #[serde(default)]
    pub hooks: bool,
}

/// A folder or file of a git repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitFolder {
    /// The URL of the repository.
    pub url: String,
    /// A tag, branch, semver range or commit.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The folder or file within it.
    pub path: String,
}

/// Plain manifests: exactly one of `path`, `git`, and `url`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "oneOf" = [{ "required": ["path"] }, { "required": ["git"] }, { "required": ["url"] }],
))]
pub struct ManifestsSource {
    /// A file or folder within the blueprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// A file or folder of a git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitFolder>,
    /// The URL of one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The digest: of the bytes with `url`, of all files together with `git`; else `site.lock` holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// Some objects: every given part must fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// `Kind` or `Kind.group`.
    #[schemars(regex(pattern = KIND), extend("patternErrorMessage" = KIND_IN_WORDS))]
    pub kind: String,
    /// The name; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// When objects of a kind count as healthy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HealthRule {
    /// `Kind` or `Kind.group`.
    #[schemars(regex(pattern = KIND), extend("patternErrorMessage" = KIND_IN_WORDS))]
    pub kind: String,
    /// The object's name; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A CEL expression over the object's fields (`status`, `spec`, `metadata`): healthy when true.
    #[schemars(extend("examples" = ["status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')"]))]
    pub ready: String,
    /// A CEL expression: failed for good when true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// A CEL expression that gives a text: why it is not ready yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How long to wait, for example `20m`; default 5 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        regex(pattern = r"^(?:[1-9][0-9]{0,3}h)?(?:[1-9][0-9]{0,3}m)?(?:[1-9][0-9]{0,3}s)?$"),
        length(min = 2),
        extend("patternErrorMessage" = "hours, minutes and seconds, for example `90s`, `20m` or `1h30m`")
    )]
    pub deadline: Option<String>,
}

/// What a change does to running work: the hazards in order of harm.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Hazard {
    /// Nothing that runs is touched.
    #[default]
    Safe,
    /// Pods restart.
    RestartsPods,
    /// Jobs, notebooks or workloads are evicted.
    EvictsJobs,
    /// A node reboots.
    RebootsNode,
    /// Data is destroyed.
    DestroysData,
}

impl Hazard {
    /// Returns the name as the formats write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::RestartsPods => "restarts-pods",
            Self::EvictsJobs => "evicts-jobs",
            Self::RebootsNode => "reboots-node",
            Self::DestroysData => "destroys-data",
        }
    }
}

/// What a change of one kind does to running work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HazardRule {
    /// `Kind` or `Kind.group`.
    #[schemars(regex(pattern = KIND), extend("patternErrorMessage" = KIND_IN_WORDS))]
    pub kind: String,
    /// The object's name; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which change.
    pub on: HazardOn,
    /// What it does.
    pub is: Hazard,
    /// Why, in words for the plan.
    #[schemars(length(min = 1))]
    pub because: String,
    /// Where the work is that it hits. Default: what the kind itself tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<HitsRule>,
}

/// Which change of an object is hazardous.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HazardOn {
    /// Its deletion or replacement.
    Delete,
    /// Its creation.
    Create,
    /// Any update.
    Update,
    /// A change of this field or anything below it, for example `spec.stopPolicy`.
    #[serde(untagged)]
    #[schemars(extend("additionalProperties" = false))]
    Field {
        /// The field, for example `spec.stopPolicy`.
        field: String,
    },
}

//! `site.yaml`: what one cluster should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    KIND, KIND_IN_WORDS, Located,
    drain::DrainPolicy,
    maintenance::{MaintenanceWindow, WindowFrom},
    unhealthy::UnhealthyPolicy,
};
use crate::{
    diagnostic::Diagnostics,
    name::{BlueprintName, ComponentName, SiteName, SourceName},
    object::Uid,
};

/// The version of the formats that this program reads.
pub const API_VERSION: &str = "sitewright.dev/v1alpha1";
const KIND_OF_SITE: &str = "Site";
/// The keys of a site file under which secrets may stand: what lies there is shown nowhere.
pub(super) const PRIVATE: [&str; 3] = ["values", "upstream", "defaults"];

/// Reads a site file; returns every mistake in it at once.
pub fn parse(file: &str, text: &str) -> Result<Located<Site>, Diagnostics> {
    super::parse(&super::SITE, file, text)
}

/// Returns what is left of a site file once its mistakes are cut out, with the components that had one;
/// none where too little is left to be a site.
///
/// It is for finding further mistakes, never for rendering.
pub fn sound_part(file: &str, text: &str) -> Option<(Located<Site>, BTreeSet<ComponentName>)> {
    const COMPONENTS: &str = "/spec/components";
    let document = super::one_document(&super::SITE, file, text).ok()?;
    super::check_kind(&super::SITE, &document).ok()?;
    let (_, validator) = &*super::SITE.schema;
    let mut value = document.value.clone();
    let cuts = super::sound::cut(&mut value, validator, COMPONENTS)?;
    let site: Site = serde_json::from_value(value).ok()?;
    let index = |cut: &String| -> Option<usize> {
        cut.strip_prefix(COMPONENTS)?.trim_start_matches('/').split('/').next()?.parse().ok()
    };
    let names = cuts.iter().filter_map(index).filter_map(|index| site.spec.components.get(index));
    let broken = names.map(|component| component.name.clone()).collect();
    Some((Located { value: site, document }, broken))
}

/// What one cluster should be.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("examples" = [{
    "apiVersion": API_VERSION,
    "kind": KIND_OF_SITE,
    "metadata": { "name": "lab-gpu" },
    "spec": { "components": [
        { "name": "queues", "blueprint": { "name": "kueue", "version": "1.x" } },
    ] },
}]))]
pub struct Site {
    /// Always `sitewright.dev/v1alpha1`.
    #[schemars(extend("const" = API_VERSION))]
    pub api_version: String,
    /// Always `Site`.
    #[schemars(extend("const" = KIND_OF_SITE))]
    pub kind: String,
    /// The name of the site.
    pub metadata: SiteMetadata,
    /// What the cluster should be.
    pub spec: SiteSpec,
}

/// The name of the site.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteMetadata {
    /// The name; it marks every owned object on the cluster, so a site is not renamed lightly.
    pub name: SiteName,
}

/// What the cluster should be.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SiteSpec {
    /// Where the machines come from.
    #[serde(default)]
    pub cluster: ClusterSpec,
    /// Where blueprints are looked for, first match wins. Default: the folder `blueprints` at the top of the repository.
    #[serde(default)]
    pub blueprints: Vec<Library>,
    /// Values for every component of a blueprint, by the blueprint's name; a component's own values win.
    #[serde(default)]
    pub defaults: BTreeMap<BlueprintName, BTreeMap<String, Value>>,
    /// Rules for changes to this cluster.
    #[serde(default)]
    pub policy: SitePolicy,
    /// What runs on the cluster; each component is one use of a blueprint.
    pub components: Vec<Component>,
    /// Objects that hold data and may be deleted now, by name and UID.
    #[serde(default)]
    pub tombstones: Vec<Tombstone>,
}

/// The defaults may hold secrets and are left out.
impl fmt::Debug for SiteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SiteSpec")
            .field("cluster", &self.cluster)
            .field("blueprints", &self.blueprints)
            .field("policy", &self.policy)
            .field("components", &self.components)
            .field("tombstones", &self.tombstones)
            .finish_non_exhaustive()
    }
}

/// Where the machines come from.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterSpec {
    /// `existing`: a cluster that is already there.
    #[serde(default)]
    pub provider: Provider,
}

/// Who makes the machines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// A cluster that is already there.
    #[default]
    Existing,
}

/// A place that holds blueprints, one folder each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend(
    "anyOf" = [{ "required": ["path"] }, { "required": ["git"] }],
    "dependentRequired" = { "ref": ["git"] },
    "examples" = [{ "path": "blueprints" }, { "git": "https://git.example.edu/blueprints", "ref": "semver:1.x" }],
))]
pub struct Library {
    /// A folder: from the site's folder (`./x`, `../x`) or, without the dots, from the top of the repository.
    /// With `git`, a folder of that repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The URL of a git repository; `site.lock` pins its commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<String>,
    /// A branch, tag, semver range (`semver:1.x`) or commit of `git`.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Rules for changes to this cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SitePolicy {
    /// How much one revision may destroy.
    #[serde(default)]
    pub limits: Limits,
    /// What to do about drift, unless a component says otherwise.
    #[serde(default)]
    pub drift: DriftPolicy,
    /// What to do about a revision that makes a component unhealthy, unless the component says otherwise. Default `hold`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<UnhealthyPolicy>,
    /// From which hazard on a change waits for a person to approve the plan's digest.
    #[serde(default)]
    pub approve: ApproveFrom,
    /// When changes may hurt running work; without one they may at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub maintenance: Vec<MaintenanceWindow>,
    /// From which hazard on a change waits for a maintenance window, where there is one.
    #[serde(default, skip_serializing_if = "WindowFrom::is_default")]
    pub window: WindowFrom,
    /// Further field managers that count as people at a keyboard: what they wrote is drift to mend, not a conflict.
    #[serde(default)]
    pub people: Vec<String>,
}

/// How much one revision may destroy: more than this and all deletes and replaces of the plan are held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Objects that may be deleted: a number, or a share of what is owned (`5%`). Default 10.
    #[serde(default = "ten")]
    pub deletes: Limit,
    /// Objects that may be replaced: a number, or a share of what is owned. Default 10.
    #[serde(default = "ten")]
    pub replaces: Limit,
}

fn ten() -> Limit {
    Limit::Count(10)
}

impl Default for Limits {
    fn default() -> Self {
        Self { deletes: ten(), replaces: ten() }
    }
}

/// A number of objects, or a share of those that are owned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Limit {
    /// So many objects.
    Count(#[schemars(range(max = 4_294_967_295_u32))] u32),
    /// So many of a hundred owned objects, rounded down, written `5%`.
    Share(
        #[schemars(
            regex(pattern = r"^(100|[0-9]{1,2})%$"),
            extend("patternErrorMessage" = "a whole number from 0 to 100 and `%`, for example `5%`")
        )]
        String,
    ),
}

/// What to do about a live field that differs from the desired one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DriftPolicy {
    /// Mend it.
    #[default]
    Enforce,
    /// Show it only.
    Report,
}

/// From which hazard on a change waits for approval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ApproveFrom {
    /// Restarted pods wait too.
    RestartsPods,
    /// Evicted jobs wait (default).
    #[default]
    EvictsJobs,
    /// Only rebooted nodes wait.
    RebootsNode,
    /// Nothing waits for approval; data still goes by tombstone only.
    Never,
}

/// One use of a blueprint.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// The name, unique within the site.
    pub name: ComponentName,
    /// Which blueprint.
    pub blueprint: BlueprintReference,
    /// Components that must be healthy first.
    #[serde(default)]
    pub depends_on: Vec<ComponentName>,
    /// Values for the blueprint, checked against its schema.
    #[serde(default)]
    pub values: BTreeMap<String, Value>,
    /// The escape hatch: upstream values by source, laid over what the blueprint sets.
    #[serde(default)]
    pub upstream: BTreeMap<SourceName, BTreeMap<String, Value>>,
    /// Rules for changes to this component.
    #[serde(default)]
    pub policy: ComponentPolicy,
}

/// The values may hold secrets and are left out.
impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Component")
            .field("name", &self.name)
            .field("blueprint", &self.blueprint)
            .field("depends_on", &self.depends_on)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A blueprint by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlueprintReference {
    /// The name of the blueprint.
    pub name: BlueprintName,
    /// A version or range, for example `1.x`; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["1.x", "1.4.2", ">=1.2, <2"]))]
    pub version: Option<String>,
}

/// Rules for changes to one component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ComponentPolicy {
    /// What to do about drift; default: the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drift: Option<DriftPolicy>,
    /// From which hazard on a change waits for a maintenance window; default: the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowFrom>,
    /// What changes that evict jobs or reboot nodes do about the jobs that run; default they wait for an approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainPolicy>,
    /// What to do about a revision that makes it unhealthy; default: the site's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unhealthy: Option<UnhealthyPolicy>,
    /// Whether objects that are already on the cluster and belong to nobody are taken into ownership. Default false.
    #[serde(default)]
    pub adopt: bool,
    /// Fields to take from another field manager.
    #[serde(default)]
    pub take_over: Vec<TakeOver>,
    /// Fields that another controller may own: never drift, never a conflict.
    #[serde(default)]
    pub ignore: Vec<IgnoreRule>,
}

/// A field to take from another field manager (law 4: explicit, by name).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TakeOver {
    /// `Kind` or `Kind.group`.
    #[schemars(regex(pattern = KIND), extend("patternErrorMessage" = KIND_IN_WORDS))]
    pub kind: String,
    /// The object's name; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The object's namespace; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The field and everything below it, for example `spec.replicas`; default the whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["spec.replicas"]))]
    pub field: Option<String>,
    /// The manager that loses it.
    #[schemars(length(min = 1), extend("examples" = ["kubectl-edit"]))]
    pub manager: String,
}

/// A field that another controller may own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IgnoreRule {
    /// `Kind` or `Kind.group`.
    #[schemars(regex(pattern = KIND), extend("patternErrorMessage" = KIND_IN_WORDS))]
    pub kind: String,
    /// The object's name; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The field and everything below it, for example `spec.stopPolicy`.
    #[schemars(extend("examples" = ["spec.template.spec.containers[name=manager].image"]))]
    pub field: String,
    /// The manager that may own it; default any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
}

/// Leave to delete one object that holds data (law 1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tombstone {
    /// `Kind` or `Kind.group`.
    #[schemars(regex(pattern = KIND), extend("patternErrorMessage" = KIND_IN_WORDS))]
    pub kind: String,
    /// The object's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The object's namespace, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The object's UID, as the plan shows it: a tombstone never fits a later object of the same name.
    #[schemars(
        with = "String",
        regex(pattern = r"^[0-9a-fA-F-]{36}$"),
        extend("patternErrorMessage" = "the object's UID as the plan shows it: 36 hexadecimal digits and `-`")
    )]
    pub uid: Uid,
    /// What may be done to it: a leave to change it is none to delete it.
    #[serde(default, skip_serializing_if = "Allows::is_delete")]
    pub allows: Allows,
    /// Why, for whoever reads the history.
    #[schemars(
        regex(pattern = r"\S"),
        extend("patternErrorMessage" = "a reason in words, for whoever reads the history")
    )]
    pub reason: String,
}

/// What a tombstone lets happen to the object that it names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Allows {
    /// It may be deleted, or replaced by a new one.
    #[default]
    Delete,
    /// Fields may change that destroy its data; it stays.
    Update,
}

impl Allows {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_delete(&self) -> bool {
        *self == Self::Delete
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::report::{self, Style};

    const HEAD: &str =
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: { name: lab }\nspec:\n";

    fn mistakes(spec: &str) -> String {
        let errors = parse("site.yaml", &format!("{HEAD}{spec}")).unwrap_err();
        report::render(&errors, Style::default())
    }

    #[test]
    fn no_mistake_shows_what_lies_under_values() {
        let component = "blueprint: { name: b }";
        for spec in [
            format!(
                "  components: [{{ name: a, {component}, values: {{ p: canary, p: canary }} }}]\n"
            ),
            format!(
                "  components:\n  - name: a\n    {component}\n    values:\n      p: canary\n      p: canary2\n"
            ),
            format!("  components:\n  - name: a\n    {component}\n    values:\n      p: @canary\n"),
            format!("  components:\n  - name: a\n    {component}\n    values:\n      p: *canary\n"),
            format!("  components:\n  - name: a\n    {component}\n    values:\n      p: 'canary\n"),
            format!(
                "  components:\n  - name: a\n    {component}\n    values: {{ p: \"canary\\q\" }}\n"
            ),
            format!("  components:\n  - name: a\n    {component}\n    values: {{ on: canary }}\n"),
            format!(
                "  components:\n  - name: a\n    {component}\n    values: {{ p: !!int canary }}\n"
            ),
            format!(
                "  components:\n  - {{ name: a, {component}, values: {{ p: canary }}, polcy: {{}} }}\n"
            ),
            format!("  components:\n  - {{ name: a, {component}, vales: {{ p: canary }} }}\n"),
            format!("  components:\n  - {{ name: a, {component}, values: canary }}\n"),
            format!("  components:\n  - {{ name: a, {component}, values: [canary] }}\n"),
            format!(
                "  components:\n  - {{ name: A, {component}, upstream: {{ s: {{ p: canary }} }} }}\n"
            ),
            "  components: []\n  defaults: { b: { p: canary }, B: { p: canary } }\n".to_owned(),
            "  components: []\n  defaults: { b: canary }\n".to_owned(),
            "  components: []\n  default: { b: { p: canary } }\n".to_owned(),
            "  defaults: { b: { p: canary } }\n---\nkind: x\nvalues: canary\n".to_owned(),
        ] {
            let shown = mistakes(&spec);
            assert!(!shown.contains("canary"), "{spec}{shown}");
            assert!(shown.contains("site.yaml:"), "{shown}");
        }
    }

    #[test]
    fn a_mistake_beside_values_is_shown() {
        insta::assert_snapshot!(mistakes(
            "  components:\n  - { name: a, blueprnt: { name: b }, values: { p: canary } }\n"
        ));
        insta::assert_snapshot!(mistakes(
            "  components:\n  - name: a\n    values: { p: canary }\n    blueprint: { name: @b }\n"
        ));
    }

    #[test]
    fn a_site_is_debugged_without_values() {
        let spec = "  defaults: { b: { p: canary } }\n  components:\n  - { name: a, blueprint: { name: b }, values: { p: canary }, upstream: { s: { p: canary } } }\n";
        let site = parse("site.yaml", &format!("{HEAD}{spec}")).unwrap();
        let text = format!("{site:?} {:?}", site.document);
        assert!(text.contains("SiteSpec") && !text.contains("canary"), "{text}");
        let place = site.document.place("/spec/components/0/blueprint");
        assert!(place.text.contains("name: b") && !place.text.contains("canary"));
    }
}

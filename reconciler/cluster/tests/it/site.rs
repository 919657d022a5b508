//! Sites made in tests, and the control plane that they share.

use std::sync::OnceLock;

use serde_json::{Value, json};
use sitewright_cluster::{
    CancellationToken, Cluster, Connection, Error,
    apply::{self, ObjectOutcome, Options, Report},
    observe::Depth,
};
use sitewright_model::{
    desired::{Desired, DesiredComponent, DesiredObject},
    digest::Digest,
    format::site::{ComponentPolicy, SitePolicy},
    object::{COMPONENT_LABEL, Object, SITE_LABEL},
    plan,
    revision::Revision,
};
use sitewright_testbed::ControlPlane;

/// Returns the control plane that all tests share; its processes end with this one.
pub(crate) fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| {
        ControlPlane::start(sitewright_testbed::Options::new()).expect("the control plane starts")
    })
}

/// Connects as administrator.
pub(crate) async fn cluster() -> Cluster {
    connect(control_plane().kubeconfig()).await
}

/// Connects with a kubeconfig.
pub(crate) async fn connect(kubeconfig: &std::path::Path) -> Cluster {
    let connection =
        Connection { kubeconfig: Some(kubeconfig.to_owned()), ..Connection::default() };
    Cluster::connect(&connection).await.expect("the control plane answers")
}

/// Makes a namespace with kubectl.
pub(crate) fn namespace(name: &str) {
    control_plane().kubectl(&["create", "namespace", name]).expect("kubectl works");
}

/// Plans and applies a site as administrator.
pub(crate) async fn apply(site: &Site) -> Report {
    apply_on(&cluster().await, site, Options::default()).await.expect("the ground holds")
}

/// Plans and applies a site, and approves the plan.
pub(crate) async fn apply_on(
    cluster: &Cluster,
    site: &Site,
    options: apply::Options,
) -> Result<Report, Error> {
    let live = cluster.observe(site.desired(), Depth::SkipCreates).await?;
    let plan = plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH);
    let options = apply::Options { approval: Some(plan.digest), ..options };
    let (events, _receiver) = tokio::sync::mpsc::channel(1);
    let cancel = CancellationToken::new();
    cluster.apply(site.desired(), &plan, &live, options, events, cancel).await
}

/// Returns the plan of a site, everything asked.
pub(crate) async fn plan(site: &Site) -> plan::Plan {
    let live = cluster().await.observe(site.desired(), Depth::Full).await.unwrap();
    plan::plan(site.desired(), &live, jiff::Timestamp::UNIX_EPOCH)
}

/// Returns what came of an object; unchanged where the report does not name it.
pub(crate) fn outcome(report: &Report, body: &Value) -> ObjectOutcome {
    let id = id(body);
    let mut objects = report.components.iter().flat_map(|component| &component.objects);
    let found = objects.find(|object| object.id == id);
    found.map_or(ObjectOutcome::Unchanged, |object| object.outcome.clone())
}

/// Returns the live object; none where it is not there.
pub(crate) fn live(body: &Value) -> Option<Value> {
    let id = id(body);
    let kind = match id.kind.group.as_str() {
        "" => id.kind.kind.clone(),
        group => format!("{}.{group}", id.kind.kind),
    };
    let namespace = id.namespace.clone().unwrap_or_else(|| "default".into());
    let arguments = [
        "get",
        &kind,
        &id.name,
        "-n",
        &namespace,
        "--ignore-not-found",
        "--show-managed-fields",
        "-o",
        "json",
    ];
    let text = control_plane().kubectl(&arguments).expect("kubectl works");
    (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("JSON"))
}

/// A site in the making.
pub(crate) struct Site(Desired);

impl Site {
    pub(crate) fn new(name: &str) -> Self {
        Self(Desired {
            site: name.parse().unwrap(),
            revision: Revision {
                repository: "test".into(),
                path: name.into(),
                reference: None,
                commit: None,
                dirty: false,
                inputs: Digest::of(name),
            },
            policy: SitePolicy::default(),
            tombstones: Vec::new(),
            components: Vec::new(),
            digest: Digest::of(name),
        })
    }

    /// Adds a component.
    pub(crate) fn component(
        mut self,
        name: &str,
        objects: impl IntoIterator<Item = Value>,
    ) -> Self {
        let site = self.0.site.clone();
        let objects = objects.into_iter().map(|body| labelled(body, site.as_str(), name));
        let mut objects: Vec<DesiredObject> = objects
            .map(|body| {
                let object = Object::new(body).expect("an object");
                let digest = object.digest();
                DesiredObject { object, origin: "test".into(), digest }
            })
            .collect();
        objects.sort_by(|a, b| a.object.id().cmp(b.object.id()));
        self.0.components.push(DesiredComponent {
            name: name.parse().unwrap(),
            blueprint: name.parse().unwrap(),
            version: semver::Version::new(1, 0, 0),
            depends_on: Vec::new(),
            objects,
            health: Vec::new(),
            hazards: Vec::new(),
            waves: Vec::new(),
            ignore: Vec::new(),
            policy: ComponentPolicy::default(),
        });
        self.0.digest = Digest::of(format!("{:?}", self.digests()));
        self
    }

    /// Changes the last component.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut DesiredComponent)) -> Self {
        change(self.0.components.last_mut().expect("a component"));
        self
    }

    pub(crate) fn desired(&self) -> &Desired {
        &self.0
    }

    fn digests(&self) -> Vec<Digest> {
        self.0.objects().map(|(_, object)| object.digest).collect()
    }
}

fn labelled(mut body: Value, site: &str, component: &str) -> Value {
    let metadata = body["metadata"].as_object_mut().expect("metadata");
    let labels = metadata.entry("labels").or_insert_with(|| json!({}));
    labels[SITE_LABEL] = site.into();
    labels[COMPONENT_LABEL] = component.into();
    body
}

/// A config map with one key.
pub(crate) fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name, "namespace": namespace }, "data": { "key": value } })
}

/// Returns the identity of an object.
pub(crate) fn id(body: &Value) -> sitewright_model::object::ObjectId {
    Object::new(body.clone()).unwrap().id().clone()
}

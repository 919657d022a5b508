//! What a control plane should be made of.

use serde_json::{Map, Value, json};

/// Which parts run besides etcd and the API server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) controllers: Controllers,
    pub(super) scheduling: Scheduling,
    pub(super) nodes: Vec<Nodes>,
    pub(super) apiserver_arguments: Vec<String>,
}

/// Whether kube-controller-manager runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Controllers {
    #[default]
    Run,
    Absent,
}

/// Whether kube-scheduler runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scheduling {
    Run,
    #[default]
    Absent,
}

impl Options {
    /// etcd, the API server and the controller manager.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds kube-scheduler, so that pods land on nodes.
    #[must_use]
    pub fn scheduler(mut self) -> Self {
        self.scheduling = Scheduling::Run;
        self
    }

    /// Adds fake nodes, kept alive by kwok.
    #[must_use]
    pub fn nodes(mut self, nodes: Nodes) -> Self {
        self.nodes.push(nodes);
        self
    }

    /// Leaves out kube-controller-manager: quicker and quieter, but namespaces are never deleted,
    /// garbage is never collected and service accounts get no `default`.
    #[must_use]
    pub fn without_controllers(mut self) -> Self {
        self.controllers = Controllers::Absent;
        self
    }

    /// Adds an argument for kube-apiserver, such as `--feature-gates=X=true`.
    #[must_use]
    pub fn apiserver_argument(mut self, argument: impl Into<String>) -> Self {
        self.apiserver_arguments.push(argument.into());
        self
    }
}

/// A group of equal fake nodes.
#[derive(Clone, Debug)]
pub struct Nodes {
    name: String,
    count: u32,
    capacity: Map<String, Value>,
    labels: Map<String, Value>,
    taints: Vec<Value>,
}

impl Nodes {
    /// One node with 64 CPUs, 512 GiB of memory and room for 110 pods; nodes are named `NAME-0`,
    /// `NAME-1` and so on.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let capacity = [("cpu", "64"), ("memory", "512Gi"), ("pods", "110")];
        Self {
            name: name.into(),
            count: 1,
            capacity: capacity.map(|(k, v)| (k.to_owned(), v.into())).into_iter().collect(),
            labels: Map::new(),
            taints: Vec::new(),
        }
    }

    /// How many nodes.
    #[must_use]
    pub const fn count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// How much of `resource` each node has, such as `("nvidia.com/gpu", "8")`.
    #[must_use]
    pub fn capacity(mut self, resource: impl Into<String>, amount: impl Into<String>) -> Self {
        self.capacity.insert(resource.into(), amount.into().into());
        self
    }

    /// A label of each node.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into().into());
        self
    }

    /// A `NoSchedule` taint of each node.
    #[must_use]
    pub fn taint(mut self, key: &str, value: &str) -> Self {
        self.taints.push(json!({ "key": key, "value": value, "effect": "NoSchedule" }));
        self
    }

    /// The Node objects.
    pub(super) fn objects(&self) -> impl Iterator<Item = Value> {
        (0..self.count).map(|index| self.object(&format!("{}-{index}", self.name)))
    }

    fn object(&self, name: &str) -> Value {
        let mut labels = self.labels.clone();
        for (key, value) in [
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("type", "kwok"),
        ] {
            labels.entry(key).or_insert_with(|| value.into());
        }
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": name, "labels": labels },
            "spec": { "taints": self.taints },
            "status": { "capacity": self.capacity, "allocatable": self.capacity },
        })
    }
}

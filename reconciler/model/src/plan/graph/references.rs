//! Which objects an object refers to by name.

use serde_json::Value;

use super::kinds::{id, pod_template};
use crate::object::{GroupKind, ObjectId};

/// Returns the objects that `body`, whose identity is `subject`, refers to by name.
pub(super) fn of(subject: &ObjectId, body: &Value) -> Vec<ObjectId> {
    let mut found = Found { namespace: subject.namespace.as_deref(), ids: Vec::new() };
    if let Some(template) = pod_template(subject, body) {
        found.pod(template.get("spec").unwrap_or(&Value::Null));
    }
    match (subject.kind.group.as_str(), subject.kind.kind.as_str()) {
        ("apps", "StatefulSet") => found.core("Service", text(body, "/spec/serviceName")),
        ("", "PersistentVolumeClaim") => {
            found.global("storage.k8s.io", "StorageClass", text(body, "/spec/storageClassName"));
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => found.binding(body),
        ("autoscaling", "HorizontalPodAutoscaler") => found.scale_target(body),
        ("networking.k8s.io", "Ingress") => found.ingress(body),
        _ => {}
    }
    found.owners(body);
    found.ids
}

/// Returns the service accounts, by namespace and name, that a binding speaks of.
pub(super) fn bound_accounts(body: &Value) -> Vec<ObjectId> {
    let namespace = text(body, "/metadata/namespace");
    list(body, "/subjects")
        .filter(|subject| text(subject, "/kind") == Some("ServiceAccount"))
        .filter_map(|subject| {
            let namespace = text(subject, "/namespace").or(namespace);
            Some(id("", "ServiceAccount", namespace, text(subject, "/name")?))
        })
        .collect()
}

struct Found<'a> {
    namespace: Option<&'a str>,
    ids: Vec<ObjectId>,
}

impl Found<'_> {
    /// Adds an object of the core group in the subject's namespace.
    fn core(&mut self, kind: &str, name: Option<&str>) {
        self.ids.extend(name.map(|name| id("", kind, self.namespace, name)));
    }

    fn global(&mut self, group: &str, kind: &str, name: Option<&str>) {
        self.ids.extend(name.map(|name| id(group, kind, None, name)));
    }

    fn pod(&mut self, spec: &Value) {
        self.core("ServiceAccount", text(spec, "/serviceAccountName"));
        self.global("scheduling.k8s.io", "PriorityClass", text(spec, "/priorityClassName"));
        self.global("node.k8s.io", "RuntimeClass", text(spec, "/runtimeClassName"));
        for secret in list(spec, "/imagePullSecrets") {
            self.core("Secret", text(secret, "/name"));
        }
        for volume in list(spec, "/volumes") {
            self.core("PersistentVolumeClaim", text(volume, "/persistentVolumeClaim/claimName"));
            self.core("ConfigMap", text(volume, "/configMap/name"));
            self.core("Secret", text(volume, "/secret/secretName"));
            for source in list(volume, "/projected/sources") {
                self.core("ConfigMap", text(source, "/configMap/name"));
                self.core("Secret", text(source, "/secret/name"));
            }
        }
        for container in list(spec, "/initContainers").chain(list(spec, "/containers")) {
            self.container(container);
        }
    }

    fn container(&mut self, container: &Value) {
        for variable in list(container, "/env") {
            self.core("ConfigMap", text(variable, "/valueFrom/configMapKeyRef/name"));
            self.core("Secret", text(variable, "/valueFrom/secretKeyRef/name"));
        }
        for source in list(container, "/envFrom") {
            self.core("ConfigMap", text(source, "/configMapRef/name"));
            self.core("Secret", text(source, "/secretRef/name"));
        }
    }

    fn binding(&mut self, body: &Value) {
        const GROUP: &str = "rbac.authorization.k8s.io";
        if let (Some(kind), Some(name)) = (text(body, "/roleRef/kind"), text(body, "/roleRef/name"))
        {
            let namespace = self.namespace.filter(|_| kind == "Role");
            self.ids.push(id(GROUP, kind, namespace, name));
        }
        self.ids.extend(bound_accounts(body));
    }

    fn scale_target(&mut self, body: &Value) {
        let part = |key: &str| text(body, &format!("/spec/scaleTargetRef/{key}"));
        if let (Some(kind), Some(name)) = (part("kind"), part("name")) {
            self.ids.push(id(group_of(part("apiVersion")), kind, self.namespace, name));
        }
    }

    fn ingress(&mut self, body: &Value) {
        self.global("networking.k8s.io", "IngressClass", text(body, "/spec/ingressClassName"));
        self.core("Service", text(body, "/spec/defaultBackend/service/name"));
        for rule in list(body, "/spec/rules") {
            for path in list(rule, "/http/paths") {
                self.core("Service", text(path, "/backend/service/name"));
            }
        }
    }

    fn owners(&mut self, body: &Value) {
        for owner in list(body, "/metadata/ownerReferences") {
            if let (Some(kind), Some(name)) = (text(owner, "/kind"), text(owner, "/name")) {
                let kind = GroupKind::new(group_of(text(owner, "/apiVersion")), kind);
                // An owner is in the namespace of what it owns, or in none.
                for namespace in [self.namespace, None] {
                    let (kind, name) = (kind.clone(), name.to_owned());
                    self.ids.push(ObjectId { kind, namespace: namespace.map(str::to_owned), name });
                }
            }
        }
    }
}

fn group_of(api_version: Option<&str>) -> &str {
    api_version.and_then(|version| version.rsplit_once('/')).map_or("", |(group, _)| group)
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

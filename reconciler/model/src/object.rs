//! Kubernetes objects: their identity, and bodies whose secrets cannot be printed.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{Digest, canonical_json};

/// The label on every object that Sitewright owns; its value is the site.
pub const SITE_LABEL: &str = "sitewright.dev/site";
/// The label that names the component of an owned object.
pub const COMPONENT_LABEL: &str = "sitewright.dev/component";
/// The label on an owned object that was there before the site: it is released, never deleted. The
/// inventory says so too; the label is for the day on which the inventory is lost.
pub const ADOPTED_LABEL: &str = "sitewright.dev/adopted";

/// An API group and kind, without a version: what an object *is*, whichever version speaks of it.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct GroupKind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The kind, for example `Deployment`.
    pub kind: String,
}

impl GroupKind {
    /// Makes a group and kind.
    pub fn new(group: impl Into<String>, kind: impl Into<String>) -> Self {
        Self { group: group.into(), kind: kind.into() }
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.pad(&self.kind)
        } else {
            f.pad(&format!("{}.{}", self.kind, self.group))
        }
    }
}

impl fmt::Debug for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What names one object on a cluster. The version is left out: a migrated API is the same object.
#[derive(
    Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct ObjectId {
    /// Group and kind.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// The namespace; none for cluster-scoped objects.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// The name.
    pub name: String,
}

/// The groups whose kinds the API server brings itself.
const BUILT_IN: &[&str] = &[
    "",
    "apps",
    "batch",
    "autoscaling",
    "policy",
    "extensions",
    "rbac.authorization.k8s.io",
    "networking.k8s.io",
    "storage.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "admissionregistration.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "certificates.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
    "storagemigration.k8s.io",
    "internal.apiserver.k8s.io",
];

impl GroupKind {
    /// Returns whether the kind is none of the API server's own.
    pub fn is_custom(&self) -> bool {
        !BUILT_IN.contains(&self.group.as_str())
    }

    /// Returns whether `text`, written `Kind` or `Kind.group`, means this kind.
    pub fn fits(&self, text: &str) -> bool {
        match text.split_once('.') {
            Some((kind, group)) => kind == self.kind && group == self.group,
            None => text == self.kind,
        }
    }
}

impl ObjectId {
    /// Returns whether a rule for `kind` (`Kind` or `Kind.group`) and `name` (none: any) is about this object.
    pub fn fits(&self, kind: &str, name: Option<&str>) -> bool {
        self.kind.fits(kind) && name.is_none_or(|name| name == self.name)
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The UID that the server gave an object: the proof that a name still means the same object.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Uid(pub String);

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a value may be shown as: law 10 lets no secret value reach a printer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Shown {
    /// There is no value.
    Absent,
    /// A value that may be printed.
    Value(Value),
    /// There is a value, and it is secret.
    Secret,
}

/// Why a JSON value is not an object that Kubernetes could hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnObject {
    /// It is not a JSON map.
    #[error("it is not a map")]
    NotAMap,
    /// A field that every object has is missing or is not text.
    #[error("`{0}` is missing or is not text")]
    Missing(&'static str),
}

/// One object: its identity and its body.
///
/// No Display, no Serialize, and a Debug that shows the identity alone: the body may hold secrets.
/// [`Object::expose`] is for the wire and for digests; printers use [`Object::shown`] or [`Object::redacted`].
///
/// A clone shares the body. An object read back from a store keeps its text and is parsed when its body
/// is first looked at: most objects of an unchanged site never are.
#[derive(Clone)]
pub struct Object {
    id: ObjectId,
    api_version: Arc<str>,
    body: Arc<Body>,
    /// JSON pointers (RFC 6901) of further subtrees that are secret, beyond those that the kind makes secret.
    sensitive: BTreeSet<String>,
}

/// The body of an object: parsed, or its canonical JSON and what was parsed from it.
struct Body {
    stored: Option<StoredBody>,
    parsed: OnceLock<Value>,
}

/// The canonical JSON of one body within the bytes that it was read back with.
#[derive(Clone)]
pub struct StoredBody {
    bytes: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl StoredBody {
    /// Takes the body at `range` of `bytes`; none where the range is not within them.
    pub fn new(bytes: Arc<Vec<u8>>, range: Range<usize>) -> Option<Self> {
        bytes.get(range.clone())?;
        Some(Self { bytes, range })
    }

    fn text(&self) -> &[u8] {
        self.bytes.get(self.range.clone()).expect("the range was checked in `new`")
    }
}

impl Body {
    fn value(&self) -> &Value {
        self.parsed.get_or_init(|| {
            let text = self.stored.as_ref().map_or(&b"null"[..], StoredBody::text);
            serde_json::from_slice(text)
                .expect("stored bodies are checked by digest against what `canonical_json` wrote")
        })
    }
}

impl Object {
    /// Reads the identity of `body`.
    pub fn new(body: Value) -> Result<Self, NotAnObject> {
        let map = body.as_object().ok_or(NotAnObject::NotAMap)?;
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let api_version = text(map.get("apiVersion")).ok_or(NotAnObject::Missing("apiVersion"))?;
        let kind = text(map.get("kind")).ok_or(NotAnObject::Missing("kind"))?;
        let metadata = map.get("metadata");
        let name = text(metadata.and_then(|m| m.get("name")))
            .ok_or(NotAnObject::Missing("metadata.name"))?;
        let namespace = text(metadata.and_then(|m| m.get("namespace")));
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        let id = ObjectId { kind: GroupKind::new(group, kind), namespace, name };
        let api_version = api_version.into();
        let body = Arc::new(Body { stored: None, parsed: OnceLock::from(body) });
        Ok(Self { id, api_version, body, sensitive: BTreeSet::new() })
    }

    /// Takes an object back from a store that proved, by digest, that `body` is what
    /// [`canonical_json`] wrote of the object with this identity.
    pub fn stored(
        id: ObjectId,
        api_version: Arc<str>,
        sensitive: BTreeSet<String>,
        body: StoredBody,
    ) -> Self {
        let body = Arc::new(Body { stored: Some(body), parsed: OnceLock::new() });
        Self { id, api_version, body, sensitive }
    }

    /// Marks the subtree at `pointer` (RFC 6901) as secret.
    #[must_use]
    pub fn with_sensitive(mut self, pointers: impl IntoIterator<Item = String>) -> Self {
        self.sensitive.extend(pointers);
        self
    }

    /// Returns the identity.
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Returns `apiVersion`, for example `apps/v1`.
    pub fn api_version(&self) -> &str {
        &self.api_version
    }

    /// Returns the version alone, for example `v1`.
    pub fn version(&self) -> &str {
        self.api_version.rsplit_once('/').map_or(&*self.api_version, |(_, version)| version)
    }

    /// Returns the whole body, secrets and all: for the wire, for digests and for decisions, never for a printer.
    pub fn expose(&self) -> &Value {
        self.body.value()
    }

    /// Takes the whole body; the same care as with [`Object::expose`].
    pub fn into_exposed(self) -> Value {
        self.body.value();
        match Arc::try_unwrap(self.body) {
            Ok(body) => body.parsed.into_inner().expect("it was parsed one line above"),
            Err(shared) => shared.value().clone(),
        }
    }

    /// Returns the body as canonical JSON; the same care as with [`Object::expose`].
    pub fn canonical(&self) -> Cow<'_, [u8]> {
        match &self.body.stored {
            Some(stored) => Cow::Borrowed(stored.text()),
            None => Cow::Owned(canonical_json(self.body.value())),
        }
    }

    /// Returns the same object as text alone, which takes a fraction of the memory until its body is next looked at.
    #[must_use]
    pub fn folded(&self) -> Self {
        let stored = self.body.stored.clone().unwrap_or_else(|| {
            let bytes = Arc::new(canonical_json(self.body.value()));
            let range = 0..bytes.len();
            StoredBody { bytes, range }
        });
        let body = Arc::new(Body { stored: Some(stored), parsed: OnceLock::new() });
        Self { body, ..self.clone() }
    }

    /// Returns whether its body is text alone.
    pub fn is_folded(&self) -> bool {
        self.body.parsed.get().is_none()
    }

    /// Returns the pointers marked secret beyond those that the kind makes secret.
    pub fn sensitive(&self) -> &BTreeSet<String> {
        &self.sensitive
    }

    /// Returns whether the value at `pointer`, or a part of it, or what holds it, is secret.
    pub fn is_secret(&self, pointer: &str) -> bool {
        let touches = |secret: &str| within(pointer, secret) || within(secret, pointer);
        self.secret_roots().any(touches)
    }

    /// Returns the value at `pointer` as it may be shown.
    pub fn shown(&self, pointer: &str) -> Shown {
        match self.expose().pointer(pointer) {
            None => Shown::Absent,
            Some(_) if self.is_secret(pointer) => Shown::Secret,
            Some(value) => Shown::Value(value.clone()),
        }
    }

    /// Returns the body with every secret leaf replaced by `"(secret)"`.
    pub fn redacted(&self) -> Value {
        let mut body = self.expose().clone();
        for root in self.secret_roots() {
            if let Some(value) = body.pointer_mut(root) {
                redact_leaves(value);
            }
        }
        body
    }

    /// Returns the digest of the whole body.
    pub fn digest(&self) -> Digest {
        Digest::of(self.canonical())
    }

    fn secret_roots(&self) -> impl Iterator<Item = &str> {
        let by_kind: &[&str] = if self.id.kind.group.is_empty() && self.id.kind.kind == "Secret" {
            &[
                "/data",
                "/stringData",
                "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration",
            ]
        } else {
            &[]
        };
        by_kind.iter().copied().chain(self.sensitive.iter().map(String::as_str))
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            && self.sensitive == other.sensitive
            && (Arc::ptr_eq(&self.body, &other.body) || self.expose() == other.expose())
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Object({})", self.id)
    }
}

/// Returns whether `pointer` is `root` or lies below it.
pub(crate) fn within(pointer: &str, root: &str) -> bool {
    pointer.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn redact_leaves(value: &mut Value) {
    match value {
        Value::Object(map) => map.values_mut().for_each(redact_leaves),
        Value::Array(list) => list.iter_mut().for_each(redact_leaves),
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            *value = Value::String("(secret)".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_shows_its_keys_and_never_its_values() {
        let secret = Object::new(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s", "namespace": "n" },
            "data": { "password": "canary" }
        }))
        .unwrap();
        assert_eq!(secret.shown("/data/password"), Shown::Secret);
        assert_eq!(secret.shown("/data"), Shown::Secret);
        assert_eq!(secret.redacted()["data"], json!({ "password": "(secret)" }));
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[test]
    fn a_stored_object_is_the_object_that_was_stored() {
        let object = Object::new(json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": { "a": "1" }
        }))
        .unwrap();
        let mut bytes = b"before".to_vec();
        bytes.extend_from_slice(&object.canonical());
        let range = 6..bytes.len();
        let body = StoredBody::new(Arc::new(bytes), range).unwrap();
        let stored = Object::stored(object.id().clone(), "v1".into(), BTreeSet::new(), body);
        assert_eq!(stored.digest(), object.digest());
        assert_eq!(stored, object);
        assert!(!stored.is_folded() && stored.folded().is_folded());
        assert_eq!((stored.folded(), object.folded()), (object.clone(), object.clone()));
        assert_eq!(stored.into_exposed(), *object.expose());
    }
}

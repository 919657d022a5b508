//! Rendered components and sites as bytes, so that what is unchanged is neither parsed nor rendered.
//!
//! A stored component is a line of JSON that lists its objects, then their digests, 32 bytes each, then their
//! bodies in canonical JSON. Only the list is read; a body stays text until someone looks at it. Whoever
//! keeps the bytes proves by digest that they are what was written.

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};
use sitewright_model::{
    code,
    desired::{DesiredComponent, DesiredObject, DesiredWave},
    diagnostic::{Diagnostic, Diagnostics, FileSpan, Severity},
    digest::Digest,
    format::{
        blueprint::{HazardRule, HealthRule},
        site::{ComponentPolicy, IgnoreRule, SitePolicy, Tombstone},
    },
    name::{BlueprintName, ComponentName, SiteName},
    object::{GroupKind, Object, ObjectId, StoredBody},
    render::{Open, RenderedComponent, Scope},
};

/// Counts changes of the stored form and of what rendering makes of the same inputs.
pub(super) const FORMAT: &str = "sitewright rendering 3";

/// The bytes of a digest.
const DIGEST: usize = 32;

#[derive(Serialize, Deserialize)]
struct Head {
    scopes: Vec<(GroupKind, bool)>,
    open: Vec<(usize, Option<String>)>,
    warnings: Vec<Warning>,
    /// The kinds of the objects, each with its API version, and where objects come from: few, for many rows.
    kinds: Vec<(GroupKind, Arc<str>)>,
    origins: Vec<Arc<str>>,
    objects: Vec<Row>,
}

/// One object: the places of its kind and of its origin in their lists, namespace, name, secret pointers, length
/// of its body.
#[derive(Serialize, Deserialize)]
struct Row(usize, usize, Option<String>, String, BTreeSet<String>, usize);

#[derive(Serialize, Deserialize)]
struct Warning {
    code: u16,
    message: String,
    span: Option<(String, String, usize, usize)>,
    component: Option<ComponentName>,
    object: Option<ObjectId>,
    label: Option<String>,
    notes: Vec<String>,
    help: Option<String>,
}

/// Writes a component.
pub(super) fn write(component: &RenderedComponent) -> Vec<u8> {
    let bodies: Vec<_> = component.objects.iter().map(|object| object.object.canonical()).collect();
    let (mut kinds, mut origins) = (Vec::new(), Vec::new());
    let rows = component.objects.iter().zip(&bodies).map(|(object, body)| {
        let DesiredObject { object, origin, .. } = object;
        let id = object.id();
        Row(
            place_in(&mut kinds, (id.kind.clone(), object.api_version().into())),
            place_in(&mut origins, Arc::clone(origin)),
            id.namespace.clone(),
            id.name.clone(),
            object.sensitive().clone(),
            body.len(),
        )
    });
    let objects = rows.collect();
    let is_cluster = |scope: Scope| scope == Scope::Cluster;
    let head = Head {
        scopes: component
            .scopes
            .iter()
            .map(|(kind, scope)| (kind.clone(), is_cluster(*scope)))
            .collect(),
        open: component.open.iter().map(|open| (open.index, open.namespace.clone())).collect(),
        warnings: component.warnings.0.iter().map(Warning::of).collect(),
        kinds,
        origins,
        objects,
    };
    let mut bytes = serde_json::to_vec(&head).expect("the head is made of text, numbers and lists");
    bytes.push(b'\n');
    for object in &component.objects {
        bytes.extend_from_slice(object.digest.bytes());
    }
    for body in &bodies {
        bytes.extend_from_slice(body);
    }
    bytes
}

/// Returns where `value` stands in `list`, and puts it there if it does not.
fn place_in<T: PartialEq>(list: &mut Vec<T>, value: T) -> usize {
    // The next object mostly has the kind and the origin of the one before.
    list.iter().rposition(|one| *one == value).unwrap_or_else(|| {
        list.push(value);
        list.len() - 1
    })
}

/// Reads a component; none where the bytes are not one.
pub(super) fn read(bytes: Vec<u8>) -> Option<RenderedComponent> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let head: Head = serde_json::from_slice(bytes.get(..end)?).ok()?;
    let bytes = Arc::new(bytes);
    let mut digest_at = end + 1;
    let mut body_at = digest_at + head.objects.len() * DIGEST;
    let mut objects = Vec::with_capacity(head.objects.len());
    for Row(kind, origin, namespace, name, sensitive, length) in head.objects {
        let (kind, api_version) = head.kinds.get(kind)?.clone();
        let origin = Arc::clone(head.origins.get(origin)?);
        let digest = bytes.get(digest_at..digest_at + DIGEST)?.try_into().ok()?;
        let body = StoredBody::new(Arc::clone(&bytes), body_at..body_at.checked_add(length)?)?;
        let id = ObjectId { kind, namespace, name };
        let object = Object::stored(id, api_version, sensitive, body);
        objects.push(DesiredObject { object, origin, digest: Digest::from_bytes(digest) });
        digest_at += DIGEST;
        body_at += length;
    }
    let scope = |is_cluster| if is_cluster { Scope::Cluster } else { Scope::Namespaced };
    Some(RenderedComponent {
        objects,
        scopes: head.scopes.into_iter().map(|(kind, cluster)| (kind, scope(cluster))).collect(),
        open: head.open.into_iter().map(|(index, namespace)| Open { index, namespace }).collect(),
        warnings: Diagnostics(head.warnings.into_iter().filter_map(Warning::back).collect()),
    })
}

impl Warning {
    fn of(warning: &Diagnostic) -> Self {
        let span = warning.place.span.as_ref();
        let span = span.map(|span| {
            (span.file.clone(), span.text.to_string(), span.range.start, span.range.end)
        });
        Self {
            code: warning.code.number,
            message: warning.message.clone(),
            span,
            component: warning.place.component.clone(),
            object: warning.place.object.clone(),
            label: warning.label.clone(),
            notes: warning.notes.clone(),
            help: warning.help.clone(),
        }
    }

    /// None where its number is no more.
    fn back(self) -> Option<Diagnostic> {
        let code = code::all().into_iter().find(|code| code.number == self.code)?;
        let mut warning = Diagnostic::warning(code, self.message);
        debug_assert_eq!(warning.severity, Severity::Warning);
        warning.place.span = self.span.map(|(file, text, start, end)| FileSpan {
            file,
            text: text.into(),
            range: start..end,
        });
        warning.place.component = self.component;
        warning.place.object = self.object;
        warning.label = self.label;
        warning.notes = self.notes;
        warning.help = self.help;
        Some(warning)
    }
}

/// A whole site: what it depends on, and where its components are stored.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredSite {
    /// Where blueprints were looked for in the site's repository, and what was there.
    pub(super) looked: Vec<Looked>,
    /// The digest of everything that was read.
    pub(super) inputs: Digest,
    /// What tells the helm that charts were rendered with; none where there are no charts.
    pub(super) helm: Option<String>,
    /// The site.
    pub(super) site: SiteName,
    /// Its policy.
    pub(super) policy: SitePolicy,
    /// Its tombstones.
    pub(super) tombstones: Vec<Tombstone>,
    /// Its components in order.
    pub(super) components: Vec<StoredComponent>,
}

/// A place where a blueprint was looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Looked {
    /// The folder within the site's repository.
    pub(super) path: String,
    /// What identifies its content; none where there was no blueprint.
    pub(super) content: Option<String>,
}

/// A component of a stored site.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StoredComponent {
    name: ComponentName,
    blueprint: BlueprintName,
    version: semver::Version,
    depends_on: Vec<ComponentName>,
    health: Vec<HealthRule>,
    hazards: Vec<HazardRule>,
    waves: Vec<DesiredWave>,
    ignore: Vec<IgnoreRule>,
    policy: ComponentPolicy,
    /// The key of its objects.
    pub(super) key: Digest,
}

impl StoredComponent {
    /// Takes what is to be stored of a component beside its objects.
    pub(super) fn new(component: &DesiredComponent, key: Digest) -> Self {
        Self {
            name: component.name.clone(),
            blueprint: component.blueprint.clone(),
            version: component.version.clone(),
            depends_on: component.depends_on.clone(),
            health: component.health.clone(),
            hazards: component.hazards.clone(),
            waves: component.waves.clone(),
            ignore: component.ignore.clone(),
            policy: component.policy.clone(),
            key,
        }
    }

    /// Returns the component, without objects.
    pub(super) fn without_objects(self) -> DesiredComponent {
        DesiredComponent {
            name: self.name,
            blueprint: self.blueprint,
            version: self.version,
            depends_on: self.depends_on,
            objects: Vec::new(),
            health: self.health,
            hazards: self.hazards,
            waves: self.waves,
            ignore: self.ignore,
            policy: self.policy,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rendered() -> RenderedComponent {
        let object = |name: &str| {
            let body = json!({
                "apiVersion": "x.dev/v1", "kind": "Foo",
                "metadata": { "name": name, "namespace": "ns" }, "spec": { "token": "canary" },
            });
            let object = Object::new(body).unwrap().with_sensitive(["/spec/token".to_owned()]);
            let digest = object.digest();
            DesiredObject { object, origin: format!("templates/{name}.yaml").into(), digest }
        };
        let warning = Diagnostic::warning(code::render::EXCLUDE_UNUSED, "unused")
            .at(FileSpan { file: "f".into(), text: "text".into(), range: 1..2 }, "label")
            .note("note")
            .help("help");
        RenderedComponent {
            objects: vec![object("a"), object("b")],
            scopes: vec![(GroupKind::new("x.dev", "Foo"), Scope::Cluster)],
            open: vec![Open { index: 1, namespace: Some("sys".into()) }],
            warnings: warning.into(),
        }
    }

    #[test]
    fn a_component_comes_back_as_it_was() {
        let before = rendered();
        let after = read(write(&before)).unwrap();
        assert_eq!(after.scopes, before.scopes);
        assert_eq!(after.open, before.open);
        assert_eq!(after.warnings, before.warnings);
        for (before, after) in before.objects.iter().zip(&after.objects) {
            assert_eq!(after.object, before.object);
            assert_eq!((&after.origin, after.digest), (&before.origin, before.digest));
            assert_eq!(after.object.digest(), after.digest);
        }
    }

    #[test]
    fn bytes_cut_short_are_no_component() {
        let whole = write(&rendered());
        for length in 0..whole.len() {
            assert!(read(whole[..length].to_vec()).is_none(), "{length} of {}", whole.len());
        }
    }
}

//! Putting the components of a site together: scopes across components, one owner for each object, the digest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::{RenderedComponent, Scope, declare};
use crate::{
    code,
    desired::{Desired, DesiredComponent, DesiredObject, DesiredWave},
    diagnostic::{Diagnostic, Diagnostics},
    digest::{Digest, DigestOfParts},
    format::{
        blueprint::Blueprint,
        drain::Wave,
        site::{Component, SitePolicy, Tombstone},
    },
    name::{ComponentName, SiteName},
    object::{GroupKind, Object, ObjectId},
    revision::Revision,
};

/// What a site says beside its components.
#[derive(Clone, Debug)]
pub struct SiteParts {
    /// The site.
    pub site: SiteName,
    /// What it is rendered from.
    pub revision: Revision,
    /// The site's rules for changes.
    pub policy: SitePolicy,
    /// The site's tombstones.
    pub tombstones: Vec<Tombstone>,
}

/// The values of a component.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The values, defaults laid in.
    pub values: &'a Value,
    /// JSON pointers to those that must never be shown.
    pub sensitive: &'a BTreeSet<String>,
}

/// Collects the rules of a component and of its blueprint; its objects come later.
pub fn without_objects(
    component: &Component,
    blueprint: &Blueprint,
    values: Values<'_>,
    depends_on: Vec<ComponentName>,
) -> DesiredComponent {
    let spec = &blueprint.spec;
    DesiredComponent {
        name: component.name.clone(),
        blueprint: blueprint.metadata.name.clone(),
        version: blueprint.metadata.version.clone(),
        depends_on,
        objects: Vec::new(),
        health: spec.health.clone(),
        hazards: spec.hazards.clone(),
        waves: spec.waves.iter().map(|rule| wave(rule, values)).collect(),
        ignore: spec.ignore.iter().chain(&component.policy.ignore).cloned().collect(),
        policy: component.policy.clone(),
    }
}

/// The value of a label is shown, so a secret one is none.
fn wave(rule: &Wave, Values { values, sensitive }: Values<'_>) -> DesiredWave {
    let label = rule.label.as_ref().and_then(|label| {
        let pointer = format!("/{}", label.from.replace('.', "/"));
        if sensitive.iter().any(|secret| pointer.starts_with(secret.as_str())) {
            return None;
        }
        match values.pointer(&pointer)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            value @ (Value::Bool(_) | Value::Number(_)) => Some(value.to_string()),
            _ => None,
        }
    });
    DesiredWave { rule: rule.clone(), label }
}

/// Puts a site together.
///
/// # Errors
/// Every object that is declared twice, with both places, and every object that names no namespace.
pub fn assemble(
    parts: SiteParts,
    components: Vec<(DesiredComponent, RenderedComponent)>,
) -> Result<Desired, Diagnostics> {
    let scopes: HashMap<GroupKind, Scope> =
        components.iter().flat_map(|(_, rendered)| rendered.scopes.iter().cloned()).collect();
    let mut mistakes = Diagnostics::default();
    let mut desired = Vec::with_capacity(components.len());
    for (mut component, rendered) in components {
        let name = component.name.clone();
        component.objects = close(&name, rendered, &scopes, &mut mistakes);
        desired.push(component);
    }
    mistakes.extend(duplicates(&desired));
    if mistakes.has_errors() {
        return Err(mistakes);
    }
    let SiteParts { site, revision, policy, tombstones } = parts;
    let digest = Digest::of("");
    let mut desired = Desired { site, revision, policy, tombstones, components: desired, digest };
    desired.digest = self::digest(&desired);
    Ok(desired)
}

/// Decides about the objects whose scope only the whole site tells.
fn close(
    component: &ComponentName,
    rendered: RenderedComponent,
    scopes: &HashMap<GroupKind, Scope>,
    mistakes: &mut Diagnostics,
) -> Vec<DesiredObject> {
    let RenderedComponent { mut objects, open, .. } = rendered;
    let mut moved = false;
    for open in open {
        let Some(slot) = objects.get_mut(open.index) else { continue };
        let id = slot.object.id();
        let known = scopes.get(&id.kind).copied();
        // A kind that nothing in the site defines is taken to live in namespaces where its source has one.
        let scope = known.unwrap_or(Scope::Namespaced);
        let in_place = match scope {
            Scope::Cluster => id.namespace.is_none(),
            Scope::Namespaced => id.namespace.is_some() || open.namespace.is_none(),
        };
        if !in_place {
            *slot = move_object(slot, open.namespace.as_deref(), scope);
            moved = true;
        }
        if known == Some(Scope::Namespaced) && slot.object.id().namespace.is_none() {
            mistakes.push(declare::no_namespace(&slot.object).component(component));
        }
    }
    if moved {
        sort(&mut objects);
    }
    objects
}

pub(super) fn sort(objects: &mut [DesiredObject]) {
    objects.sort_by(|a, b| a.object.id().cmp(b.object.id()));
}

pub(super) fn move_object(
    object: &DesiredObject,
    namespace: Option<&str>,
    scope: Scope,
) -> DesiredObject {
    let sensitive = object.object.sensitive().iter().cloned();
    let mut body = object.object.expose().clone();
    declare::set_namespace(&mut body, namespace, scope);
    let moved = Object::new(body).expect("only the namespace of an object changed");
    declare::declared(moved.with_sensitive(sensitive), object.origin.clone())
}

pub(super) fn duplicates(components: &[DesiredComponent]) -> Diagnostics {
    type Place<'a> = (&'a ComponentName, &'a str);
    let objects = components.iter().map(|component| component.objects.len()).sum();
    let mut seen: HashMap<&ObjectId, Place<'_>> = HashMap::with_capacity(objects);
    let mut found: BTreeMap<&ObjectId, Vec<Place<'_>>> = BTreeMap::new();
    for component in components {
        for object in &component.objects {
            let place = (&component.name, &*object.origin);
            if let Some(first) = seen.insert(object.object.id(), place) {
                let places = found.entry(object.object.id()).or_insert_with(|| vec![first]);
                places.push(place);
            }
        }
    }
    Diagnostics(found.into_iter().map(|(id, places)| duplicate(id, &places)).collect())
}

fn duplicate(id: &ObjectId, places: &[(&ComponentName, &str)]) -> Diagnostic {
    let mut error = Diagnostic::error(
        code::render::DUPLICATE_OBJECT,
        format!("{id} is declared {} times", places.len()),
    )
    .object(id)
    .help("keep one of them; `exclude` leaves an object out of a source");
    for (component, origin) in places {
        error = error.note(format!("component `{component}` declares it in {origin}"));
    }
    match places.first() {
        Some((component, _)) => error.component(component),
        None => error,
    }
}

/// Returns the digest over everything that the cluster should hold and every rule that judges changes.
/// Origins are left out: a renamed template that writes the same objects is the same desire.
pub(super) fn digest(desired: &Desired) -> Digest {
    let Desired { site, policy, tombstones, components, .. } = desired;
    let mut all = DigestOfParts::default();
    all.push(site.as_str());
    all.push(json(policy));
    all.push(json(tombstones));
    for component in components {
        all.push(rules(component));
        for object in &component.objects {
            all.push(object.digest.bytes());
            let sensitive = object.object.sensitive();
            all.push(if sensitive.is_empty() { Vec::new() } else { json(sensitive) });
        }
    }
    all.finish()
}

fn rules(component: &DesiredComponent) -> Vec<u8> {
    let DesiredComponent {
        name,
        blueprint,
        version,
        depends_on,
        objects,
        health,
        hazards,
        waves,
        ignore,
        policy,
    } = component;
    let version = version.to_string();
    let rules =
        (name, blueprint, version, depends_on, objects.len(), health, hazards, ignore, policy);
    json(&(rules, waves))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    let value: Value = serde_json::to_value(value).expect("our formats have text keys only");
    crate::digest::canonical_json(&value)
}

//! A cluster and a site in memory: enough of a server to plan against and to apply plans to.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    desired::{Desired, DesiredComponent, DesiredObject},
    digest::Digest,
    format::site::{ComponentPolicy, SitePolicy, Tombstone},
    inventory::{Entry, EntryState, Inventory, Said},
    live::{
        Cause, ClusterFacts, Evidence, FieldConflict, Judgement, Live, LiveObject, Observation,
        Reach, Refusal, settled_digest,
    },
    managed::{ManagerEntry, field_manager},
    name::SiteName,
    object::{COMPONENT_LABEL, Object, ObjectId, SITE_LABEL, Uid},
    plan::{Action, Change, Consent, Plan, plan},
    revision::Revision,
};

/// A site, and a cluster that it is for.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) site: SiteName,
    pub(crate) policy: SitePolicy,
    pub(crate) tombstones: Vec<Tombstone>,
    pub(crate) components: Vec<DesiredComponent>,
    pub(crate) cluster: BTreeMap<ObjectId, Row>,
    pub(crate) inventory: Inventory,
    pub(crate) evidence: Evidence,
    /// What the judge says instead of accepting, by object.
    pub(crate) judgements: BTreeMap<ObjectId, Judgement>,
    /// Managers whose fields of another value are a conflict.
    pub(crate) controllers: Vec<&'static str>,
    /// Keys of `spec` that cannot change.
    pub(crate) immutable: Vec<&'static str>,
    clock: u64,
}

/// One live object.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) uid: Uid,
    pub(crate) body: Value,
    pub(crate) managers: Vec<ManagerEntry>,
    pub(crate) deleting_since: Option<String>,
    pub(crate) version: u64,
}

pub(crate) fn component(name: &str, depends_on: &[&str]) -> DesiredComponent {
    DesiredComponent {
        name: name.parse().unwrap(),
        blueprint: name.parse().unwrap(),
        version: semver::Version::new(1, 0, 0),
        depends_on: depends_on.iter().map(|name| name.parse().unwrap()).collect(),
        objects: vec![],
        health: vec![],
        hazards: vec![],
        waves: vec![],
        ignore: vec![],
        policy: ComponentPolicy::default(),
    }
}

/// An object with a flat `spec`.
pub(crate) fn object(api: &str, kind: &str, namespace: &str, name: &str, spec: Value) -> Value {
    let mut metadata = json!({ "name": name });
    if !namespace.is_empty() {
        metadata["namespace"] = namespace.into();
    }
    json!({ "apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec })
}

pub(crate) fn config_map(name: &str, spec: Value) -> Value {
    object("v1", "ConfigMap", "n", name, spec)
}

pub(crate) fn id(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectId {
    ObjectId {
        kind: crate::object::GroupKind::new(group, kind),
        namespace: Some(namespace.to_owned()).filter(|namespace| !namespace.is_empty()),
        name: name.to_owned(),
    }
}

pub(crate) fn now() -> Timestamp {
    "2026-02-03T04:05:06Z".parse().unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        let site: SiteName = "lab".parse().unwrap();
        Self {
            inventory: Inventory::empty(site.clone()),
            site,
            policy: SitePolicy::default(),
            tombstones: vec![],
            components: vec![],
            cluster: BTreeMap::new(),
            evidence: Evidence::default(),
            judgements: BTreeMap::new(),
            controllers: vec![],
            immutable: vec![],
            clock: 0,
        }
    }

    /// A world with one component `app`.
    pub(crate) fn with(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut world = Self::new();
        world.put("app", objects);
        world
    }

    /// Gives the component these objects; makes it where there is none.
    pub(crate) fn put(
        &mut self,
        name: &str,
        objects: impl IntoIterator<Item = Value>,
    ) -> &mut Self {
        if !self.components.iter().any(|component| component.name.as_str() == name) {
            self.components.push(component(name, &[]));
        }
        let site = self.site.clone();
        let found = self.component(name);
        found.objects = objects.into_iter().map(|body| label(body, &site, name)).collect();
        found.objects.sort_by(|one, other| one.object.id().cmp(other.object.id()));
        self
    }

    pub(crate) fn component(&mut self, name: &str) -> &mut DesiredComponent {
        self.components.iter_mut().find(|component| component.name.as_str() == name).unwrap()
    }

    pub(crate) fn remove(&mut self, name: &str) -> &mut Self {
        self.components.retain(|component| component.name.as_str() != name);
        self
    }

    /// Puts an object on the cluster that somebody else made.
    pub(crate) fn make(&mut self, manager: &str, body: Value) -> ObjectId {
        let id = Object::new(body.clone()).unwrap().id().clone();
        let keys = spec_keys(&body);
        let row = self.row(body, vec![entry(manager, "Update", &keys)]);
        self.cluster.insert(id.clone(), row);
        id
    }

    /// Changes a field of `spec` behind our back; `null` removes it.
    pub(crate) fn edit(&mut self, id: &ObjectId, manager: &str, key: &str, value: Value) {
        self.clock += 1;
        let clock = self.clock;
        let row = self.cluster.get_mut(id).unwrap();
        row.version = clock;
        for entry in &mut row.managers {
            disown(entry, key);
        }
        let spec = row.body["spec"].as_object_mut().unwrap();
        if value.is_null() {
            spec.remove(key);
        } else {
            spec.insert(key.to_owned(), value);
            row.managers.retain(|entry| entry.manager != manager);
            row.managers.push(entry(manager, "Update", &[key.to_owned()]));
        }
    }

    fn row(&mut self, body: Value, managers: Vec<ManagerEntry>) -> Row {
        self.clock += 1;
        let uid = Uid(format!("uid-{}", self.clock));
        Row { uid, body, managers, deleting_since: None, version: self.clock }
    }

    // === what the stages before and after the plan do ===

    pub(crate) fn desired(&self) -> Desired {
        let bodies = self
            .components
            .iter()
            .flat_map(|component| component.objects.iter().map(|object| object.digest.to_string()));
        let rules = format!("{:?} {:?}", self.policy, self.tombstones);
        Desired {
            site: self.site.clone(),
            revision: Revision {
                repository: "r".into(),
                path: "p".into(),
                reference: None,
                commit: Some("c".into()),
                dirty: false,
                inputs: Digest::of("i"),
            },
            policy: self.policy.clone(),
            tombstones: self.tombstones.clone(),
            components: self.components.clone(),
            digest: Digest::of_parts(bodies.chain([rules])),
        }
    }

    pub(crate) fn live(&self) -> Live {
        let desired = self.desired();
        let mut wanted: BTreeMap<ObjectId, Option<DesiredObject>> =
            self.inventory.entries.keys().map(|id| (id.clone(), None)).collect();
        for (_, object) in desired.objects() {
            wanted.insert(object.object.id().clone(), Some(object.clone()));
        }
        let objects = wanted
            .into_iter()
            .map(|(id, desired)| {
                let seen = self.observe(&id, desired.as_ref());
                (id, seen)
            })
            .collect();
        Live {
            cluster: ClusterFacts {
                uid: Uid("cluster".into()),
                version: "v1".into(),
                name: "c".into(),
            },
            inventory: self.inventory.clone(),
            kinds: BTreeMap::new(),
            objects,
            evidence: self.evidence.clone(),
            reach: Reach::Whole,
        }
    }

    fn observe(&self, id: &ObjectId, desired: Option<&DesiredObject>) -> Observation {
        let Some(row) = self.cluster.get(id) else {
            return Observation::Absent(self.judge(id, desired, None));
        };
        let body = row.wire();
        let settled = settled_digest(&body);
        let recorded = self.inventory.entries.get(id).map(|entry| &entry.state);
        if let (Some(EntryState::Applied { uid, rendered, settled: known }), Some(desired)) =
            (recorded, desired)
            && *uid == row.uid
            && *known == settled
            && *rendered == desired.digest
        {
            return Observation::Settled;
        }
        Observation::Present(Box::new(LiveObject {
            uid: row.uid.clone(),
            resource_version: row.version.to_string(),
            deleting_since: row.deleting_since.clone(),
            finalizers: vec!["f".into()],
            object: Object::new(body).unwrap(),
            managers: row.managers.clone(),
            settled,
            judgement: self.judge(id, desired, Some(row)),
        }))
    }

    fn judge(
        &self,
        id: &ObjectId,
        desired: Option<&DesiredObject>,
        row: Option<&Row>,
    ) -> Judgement {
        let Some(desired) = desired else { return Judgement::NotAsked };
        let said = self.judgements.get(id).cloned();
        said.or_else(|| row.and_then(|row| self.refusal(desired, row))).unwrap_or_else(|| {
            let (body, _) = self.merged(desired, row);
            Judgement::Accepted(Box::new(Object::new(body).unwrap()))
        })
    }

    /// What a server has against changing `row`: fields of controllers, then fields that cannot change.
    fn refusal(&self, desired: &DesiredObject, row: &Row) -> Option<Judgement> {
        let wanted = desired.object.expose()["spec"].as_object().unwrap();
        let differs = |key: &str| {
            wanted.get(key).is_some_and(|wanted| row.body["spec"].get(key) != Some(wanted))
        };
        let is_controller =
            |entry: &&ManagerEntry| self.controllers.contains(&entry.manager.as_str());
        let conflicts: Vec<FieldConflict> = row
            .managers
            .iter()
            .filter(is_controller)
            .flat_map(|entry| owned(entry).into_iter().map(|key| (entry.manager.clone(), key)))
            .filter(|(_, key)| differs(key))
            .map(|(manager, key)| FieldConflict { manager, field: format!(".spec.{key}") })
            .collect();
        if !conflicts.is_empty() {
            return Some(Judgement::Refused(Refusal::Conflict(conflicts)));
        }
        let fixed = self.immutable.iter().filter(|key| differs(key));
        let causes: Vec<Cause> = fixed
            .map(|key| Cause {
                field: format!("spec.{key}"),
                reason: "FieldValueInvalid".into(),
                message: "field is immutable".into(),
            })
            .collect();
        let refusal = Refusal::Immutable { causes: causes.clone(), replacement: Ok(()) };
        (!causes.is_empty()).then_some(Judgement::Refused(refusal))
    }

    /// Server-side apply on a flat `spec`: what we own and no longer want goes, what we want is ours.
    fn merged(&self, desired: &DesiredObject, row: Option<&Row>) -> (Value, Vec<ManagerEntry>) {
        let ours = field_manager(&self.site);
        let wanted = desired.object.expose();
        let Some(row) = row else {
            return (wanted.clone(), vec![entry(&ours, "Apply", &spec_keys(wanted))]);
        };
        let mut body = row.wire();
        let mut managers = row.managers.clone();
        let mine: BTreeSet<String> =
            managers.iter().filter(|entry| entry.manager == ours).flat_map(owned).collect();
        let theirs: BTreeSet<String> =
            managers.iter().filter(|entry| entry.manager != ours).flat_map(owned).collect();
        let spec = body["spec"].as_object_mut().unwrap();
        for key in mine.difference(&theirs).filter(|key| wanted["spec"].get(*key).is_none()) {
            spec.remove(key);
        }
        for (key, value) in wanted["spec"].as_object().unwrap() {
            if spec.get(key) != Some(value) {
                managers.iter_mut().for_each(|entry| disown(entry, key));
            }
            spec.insert(key.clone(), value.clone());
        }
        body["metadata"]["labels"] = wanted["metadata"]["labels"].clone();
        managers.retain(|entry| entry.manager != ours && !owned(entry).is_empty());
        managers.push(entry(&ours, "Apply", &spec_keys(wanted)));
        (body, managers)
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.desired(), &self.live(), now())
    }

    /// Does all that no gate holds.
    pub(crate) fn apply(&mut self, plan: &Plan, consent: Consent) {
        let changes: Vec<Change> = plan.changes().map(|(_, change)| change.clone()).collect();
        for change in changes.iter().filter(|change| change.held_by(consent).next().is_none()) {
            self.execute(change);
        }
    }

    pub(crate) fn execute(&mut self, change: &Change) {
        let id = &change.id;
        match &change.action {
            Action::None | Action::Unknown => {}
            Action::Create | Action::Update { .. } | Action::Record => self.write(id, false),
            Action::Adopt { .. } => self.write(id, true),
            Action::Replace { uid, .. } => {
                assert_eq!(self.cluster.remove(id).unwrap().uid, *uid);
                self.write(id, false);
            }
            Action::Delete { uid } => {
                assert_eq!(self.cluster.remove(id).unwrap().uid, *uid);
                self.inventory.entries.remove(id);
            }
            Action::Release { .. } => {
                let row = self.cluster.get_mut(id).unwrap();
                row.body["metadata"].as_object_mut().unwrap().remove("labels");
                self.inventory.entries.remove(id);
            }
            Action::Forget => {
                self.inventory.entries.remove(id);
            }
        }
    }

    fn write(&mut self, id: &ObjectId, adopted: bool) {
        let desired = self.desired();
        let (component, object) = desired.by_id()[id];
        let old = self.cluster.get(id).cloned();
        let (body, managers) = self.merged(object, old.as_ref());
        let mut row = self.row(body, managers);
        if let Some(old) = old {
            row.uid = old.uid;
        }
        let known = self.inventory.entries.get(id).is_some_and(|entry| entry.adopted);
        let before = self.inventory.entries.get(id).and_then(|entry| entry.said.as_ref());
        let said = Said::after(before, component, &object.object);
        let state = EntryState::Applied {
            uid: row.uid.clone(),
            rendered: object.digest,
            settled: settled_digest(&row.wire()),
        };
        let entry = Entry {
            api_version: object.object.api_version().to_owned(),
            component: component.name.clone(),
            adopted: adopted || known,
            unproven: false,
            said: Some(said),
            state,
        };
        self.inventory.entries.insert(id.clone(), entry);
        self.cluster.insert(id.clone(), row);
    }
}

/// Plans for what was seen, whatever is there.
pub(crate) fn plan_of(world: &World, live: &Live) -> Plan {
    plan(&world.desired(), live, now())
}

impl Row {
    /// The body as the server answers it.
    pub(crate) fn wire(&self) -> Value {
        let mut body = self.body.clone();
        let metadata = body["metadata"].as_object_mut().unwrap();
        metadata.insert("uid".into(), self.uid.0.clone().into());
        metadata.insert("resourceVersion".into(), self.version.to_string().into());
        body
    }
}

fn label(mut body: Value, site: &SiteName, component: &str) -> DesiredObject {
    body["metadata"]["labels"] = json!({ SITE_LABEL: site.as_str(), COMPONENT_LABEL: component });
    let object = Object::new(body).unwrap();
    let digest = object.digest();
    DesiredObject { object, origin: "t.yaml".into(), digest }
}

fn spec_keys(body: &Value) -> Vec<String> {
    body["spec"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

fn entry(manager: &str, operation: &str, keys: &[String]) -> ManagerEntry {
    let spec: Map<String, Value> = keys.iter().map(|key| (format!("f:{key}"), json!({}))).collect();
    ManagerEntry {
        manager: manager.into(),
        operation: operation.into(),
        subresource: String::new(),
        api_version: "v1".into(),
        time: Some("2026-01-01T00:00:00Z".into()),
        fields: json!({ "f:spec": spec }),
    }
}

pub(crate) fn owned(entry: &ManagerEntry) -> Vec<String> {
    let spec = entry.fields["f:spec"].as_object().into_iter().flatten();
    spec.map(|(key, _)| key.trim_start_matches("f:").to_owned()).collect()
}

fn disown(entry: &mut ManagerEntry, key: &str) {
    entry.fields["f:spec"].as_object_mut().unwrap().remove(&format!("f:{key}"));
}

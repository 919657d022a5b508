//! The edges of what is created and changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Edge, Node, Requirement, Role, Strength, kinds, references, removal, webhooks};
use crate::{
    desired::Desired,
    live::{Live, Observation},
    name::ComponentName,
    object::{GroupKind, ObjectId},
    plan::{Action, Plan},
};

/// An object of the plan, as the graph sees it.
pub(super) struct Subject<'a> {
    pub(super) id: &'a ObjectId,
    pub(super) component: &'a ComponentName,
    pub(super) role: Role,
    /// Whether it is on the cluster now.
    pub(super) there: bool,
    /// Whether it was not seen healthy since it was last applied.
    pub(super) unproven: bool,
    /// The desired body, of what goes the live one; none where it is not known.
    pub(super) body: Option<&'a Value>,
}

/// The graph in the making; circles may be in it.
pub(super) struct Draft {
    pub(super) nodes: Vec<Node>,
    pub(super) roles: Vec<Role>,
    pub(super) there: Vec<bool>,
    pub(super) edges: Vec<Vec<Edge>>,
    pub(super) index: BTreeMap<ObjectId, usize>,
    groups: BTreeMap<Node, usize>,
}

/// What the edges are told from. Subject and node have the same index.
pub(super) struct Site<'a> {
    pub(super) desired: &'a Desired,
    pub(super) subjects: Vec<Subject<'a>>,
    pub(super) index: BTreeMap<&'a ObjectId, usize>,
    /// The components in the site, by name.
    pub(super) depends_on: BTreeMap<&'a ComponentName, &'a [ComponentName]>,
    /// The desired definitions, by the kind that they define.
    pub(super) definitions: BTreeMap<GroupKind, usize>,
    /// The Services that the server is told to call, with the workloads whose pods they select.
    called: BTreeMap<usize, Vec<usize>>,
}

pub(super) fn build(desired: &Desired, live: &Live, plan: &Plan) -> Draft {
    let site = Site::read(desired, live, plan);
    let mut draft = Draft::of(&site.subjects);
    for (index, subject) in site.subjects.iter().enumerate() {
        if is_wanted(subject.role)
            && let Some(body) = subject.body
        {
            site.surroundings(index, subject, &mut draft);
            site.references(index, subject, body, &mut draft);
            site.webhooks(index, subject, body, &mut draft);
        }
    }
    site.accounts(&mut draft);
    site.judged(&mut draft);
    site.components(&mut draft);
    removal::add(&site, &mut draft);
    draft.tidy();
    draft
}

fn is_wanted(role: Role) -> bool {
    match role {
        Role::Idle | Role::Apply | Role::Renew | Role::Lost => true,
        Role::Remove | Role::Book | Role::Group => false,
    }
}

// === impl Draft ===

impl Draft {
    fn of(subjects: &[Subject<'_>]) -> Self {
        Self {
            nodes: subjects.iter().map(|subject| Node::Object(subject.id.clone())).collect(),
            roles: subjects.iter().map(|subject| subject.role).collect(),
            there: subjects.iter().map(|subject| subject.there).collect(),
            edges: subjects.iter().map(|_| Vec::new()).collect(),
            index: subjects.iter().enumerate().map(|(i, s)| (s.id.clone(), i)).collect(),
            groups: BTreeMap::new(),
        }
    }

    /// Returns the group `node`, made where there is none.
    pub(super) fn group(&mut self, node: Node) -> usize {
        if let Some(index) = self.groups.get(&node) {
            return *index;
        }
        let index = self.nodes.len();
        self.groups.insert(node.clone(), index);
        self.nodes.push(node);
        self.roles.push(Role::Group);
        self.there.push(false);
        self.edges.push(Vec::new());
        index
    }

    pub(super) fn hard(&mut self, from: usize, on: usize, requirement: Requirement) {
        self.add(from, Edge { on, requirement, strength: Strength::Hard });
    }

    pub(super) fn soft(&mut self, from: usize, on: usize, requirement: Requirement) {
        self.add(from, Edge { on, requirement, strength: Strength::Soft });
    }

    fn add(&mut self, from: usize, edge: Edge) {
        if from != edge.on
            && let Some(edges) = self.edges.get_mut(from)
        {
            edges.push(edge);
        }
    }

    /// Sorts edges and keeps one of each kind, the hard one first.
    fn tidy(&mut self) {
        for edges in &mut self.edges {
            edges.sort_by_key(|edge| (edge.on, edge.requirement, edge.strength == Strength::Soft));
            edges.dedup_by_key(|edge| (edge.on, edge.requirement));
        }
    }
}

// === impl Site ===

impl<'a> Site<'a> {
    fn read(desired: &'a Desired, live: &'a Live, plan: &'a Plan) -> Self {
        let bodies: BTreeMap<&ObjectId, &Value> = desired
            .objects()
            .map(|(_, object)| (object.object.id(), object.object.expose()))
            .collect();
        let live_body = |id: &ObjectId| match live.objects.get(id) {
            Some(Observation::Present(live)) => Some(live.object.expose()),
            Some(Observation::Absent(_) | Observation::Settled | Observation::Unseen(_)) | None => {
                None
            }
        };
        let subjects: Vec<Subject<'a>> = plan
            .changes()
            .map(|(component, change)| Subject {
                id: &change.id,
                component: &component.name,
                role: Role::of(&change.action),
                there: !matches!(change.action, Action::Create | Action::Forget | Action::Unknown),
                unproven: live.inventory.entries.get(&change.id).is_some_and(|e| e.unproven),
                body: bodies.get(&change.id).copied().or_else(|| live_body(&change.id)),
            })
            .collect();
        let definitions = subjects
            .iter()
            .enumerate()
            .filter(|(_, subject)| is_wanted(subject.role) && kinds::is_crd(subject.id))
            .filter_map(|(index, subject)| Some((kinds::defined(subject.body?)?.kind, index)))
            .collect();
        let mut site = Self {
            desired,
            called: BTreeMap::new(),
            index: subjects.iter().enumerate().map(|(index, s)| (s.id, index)).collect(),
            depends_on: desired
                .components
                .iter()
                .map(|component| (&component.name, component.depends_on.as_slice()))
                .collect(),
            definitions,
            subjects,
        };
        site.called = site.find_called();
        site
    }

    fn find_called(&self) -> BTreeMap<usize, Vec<usize>> {
        let wanted = self.subjects.iter().filter(|subject| is_wanted(subject.role));
        wanted
            .filter_map(|subject| Some((subject, subject.body?)))
            .flat_map(|(subject, body)| webhooks::endpoints(subject.id, body))
            .filter_map(|service| self.wanted(&service))
            .collect::<BTreeSet<usize>>()
            .into_iter()
            .map(|service| (service, self.behind(service)))
            .collect()
    }

    pub(super) fn subject(&self, index: usize) -> Option<&Subject<'a>> {
        self.subjects.get(index)
    }

    /// Returns the node of a wanted object.
    pub(super) fn wanted(&self, id: &ObjectId) -> Option<usize> {
        let index = *self.index.get(id)?;
        self.subject(index).filter(|subject| is_wanted(subject.role)).map(|_| index)
    }

    /// Returns the node of a wanted object of the same component.
    fn neighbour(&self, subject: &Subject<'_>, id: &ObjectId) -> Option<usize> {
        let index = self.wanted(id)?;
        self.subject(index).filter(|other| other.component == subject.component).map(|_| index)
    }

    /// Its namespace, and the definition of its kind.
    fn surroundings(&self, index: usize, subject: &Subject<'_>, draft: &mut Draft) {
        if let Some(namespace) = &subject.id.namespace
            && let Some(on) = self.wanted(&kinds::id("", "Namespace", None, namespace))
        {
            draft.hard(index, on, Requirement::Applied);
        }
        if let Some(on) = self.definitions.get(&subject.id.kind) {
            draft.hard(index, *on, Requirement::Established);
            let crd = self.subject(*on).and_then(|crd| Some((crd.id, crd.body?)));
            for converter in crd.into_iter().flat_map(|(id, body)| webhooks::endpoints(id, body)) {
                self.endpoint(index, &converter, Strength::Soft, draft);
            }
        }
    }

    /// What it names, within its component.
    fn references(&self, index: usize, subject: &Subject<'_>, body: &Value, draft: &mut Draft) {
        for id in references::of(subject.id, body) {
            if let Some(on) = self.neighbour(subject, &id) {
                draft.hard(index, on, Requirement::Applied);
            }
        }
    }

    /// A webhook's configuration, or an aggregated API, waits for the endpoint that it sends requests to.
    fn webhooks(&self, index: usize, subject: &Subject<'_>, body: &Value, draft: &mut Draft) {
        if kinds::is_crd(subject.id) {
            return; // Its instances wait for the endpoint that converts them.
        }
        for service in webhooks::endpoints(subject.id, body) {
            self.endpoint(index, &service, Strength::Hard, draft);
        }
    }

    /// Adds that `index` waits for a Service's endpoint, and so for the workloads behind it. One group
    /// stands for both: an edge to it that closes a circle through a workload is left out whole.
    fn endpoint(&self, index: usize, service: &ObjectId, strength: Strength, draft: &mut Draft) {
        let Some(on) = self.wanted(service) else { return };
        let group = draft.group(Node::Endpoint(service.clone()));
        draft.add(index, Edge { on: group, requirement: Requirement::Applied, strength });
        if draft.edges.get(group).is_some_and(|edges| !edges.is_empty()) {
            return;
        }
        draft.hard(group, on, Requirement::EndpointReady);
        for on in self.called.get(&on).into_iter().flatten() {
            draft.hard(group, *on, Requirement::Applied);
        }
    }

    /// Returns the workloads whose pods the Service selects.
    fn behind(&self, service: usize) -> Vec<usize> {
        let Some(service) = self.subject(service) else { return Vec::new() };
        let Some(body) = service.body else { return Vec::new() };
        let in_namespace = |subject: &Subject<'_>| {
            is_wanted(subject.role) && subject.id.namespace == service.id.namespace
        };
        let is_behind = |subject: &Subject<'_>| {
            let template = subject.body.and_then(|body| kinds::pod_template(subject.id, body));
            template.is_some_and(|template| kinds::selects(body, template))
        };
        self.subjects
            .iter()
            .enumerate()
            .filter(|(_, subject)| in_namespace(subject) && is_behind(subject))
            .map(|(index, _)| index)
            .collect()
    }

    /// A workload waits for the rights of its service account, and for the Services that select it.
    fn accounts(&self, draft: &mut Draft) {
        let mut rights: BTreeMap<ObjectId, Vec<usize>> = BTreeMap::new();
        let mut services: BTreeMap<Option<&str>, Vec<usize>> = BTreeMap::new();
        for (index, subject) in self.subjects.iter().enumerate() {
            let Some(body) = subject.body.filter(|_| is_wanted(subject.role)) else { continue };
            if subject.id.kind.group == "rbac.authorization.k8s.io" {
                for account in references::bound_accounts(body) {
                    rights.entry(account).or_default().push(index);
                }
            } else if subject.id.kind.group.is_empty() && subject.id.kind.kind == "Service" {
                services.entry(subject.id.namespace.as_deref()).or_default().push(index);
            }
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            let Some(body) = subject.body.filter(|_| is_wanted(subject.role)) else { continue };
            let Some(template) = kinds::pod_template(subject.id, body) else { continue };
            let account = template.pointer("/spec/serviceAccountName").and_then(Value::as_str);
            let account = account
                .map(|name| kinds::id("", "ServiceAccount", subject.id.namespace.as_deref(), name));
            let rights = account.and_then(|account| rights.get(&account)).into_iter().flatten();
            let selecting = services.get(&subject.id.namespace.as_deref()).into_iter().flatten();
            let selecting = selecting.filter(|service| {
                let body = self.subject(**service).and_then(|service| service.body);
                body.is_some_and(|body| kinds::selects(body, template))
            });
            for on in rights.chain(selecting) {
                let is_near = self.subject(*on).is_some_and(|on| on.component == subject.component);
                if is_near {
                    draft.hard(index, *on, Requirement::Applied);
                }
            }
        }
    }

    /// Custom objects wait for the webhooks that judge their kind: sent earlier, they would be refused,
    /// or taken without the defaults that the webhook sets. Where the webhook's own service needs the
    /// object, the edge closes a circle and is left out.
    fn judged(&self, draft: &mut Draft) {
        let by_kind: BTreeMap<&GroupKind, Vec<usize>> = self.custom_objects();
        for (hook, subject) in self.subjects.iter().enumerate() {
            let is_hook = is_wanted(subject.role) && kinds::is_webhook_configuration(subject.id);
            let Some(body) = subject.body.filter(|_| is_hook) else { continue };
            let services: BTreeSet<ObjectId> =
                webhooks::endpoints(subject.id, body).into_iter().collect();
            for kind in webhooks::judged_kinds(body, &self.defined()) {
                for index in by_kind.get(&kind).into_iter().flatten() {
                    draft.soft(*index, hook, Requirement::Applied);
                    for service in &services {
                        self.endpoint(*index, service, Strength::Soft, draft);
                    }
                }
            }
        }
    }

    fn custom_objects(&self) -> BTreeMap<&GroupKind, Vec<usize>> {
        let mut by_kind: BTreeMap<&GroupKind, Vec<usize>> = BTreeMap::new();
        for (index, subject) in self.subjects.iter().enumerate() {
            if is_wanted(subject.role) && self.definitions.contains_key(&subject.id.kind) {
                by_kind.entry(&subject.id.kind).or_default().push(index);
            }
        }
        by_kind
    }

    fn defined(&self) -> Vec<kinds::Defined> {
        let bodies = self.definitions.values().filter_map(|index| self.subject(*index)?.body);
        bodies.filter_map(kinds::defined).collect()
    }

    /// `dependsOn`: a whole component is healthy before the first object of one that depends on it.
    fn components(&self, draft: &mut Draft) {
        for (index, subject) in self.subjects.iter().enumerate() {
            let depends_on = self.depends_on.get(subject.component).copied().unwrap_or_default();
            if is_wanted(subject.role) && !depends_on.is_empty() {
                let foundation = draft.group(Node::Foundation(subject.component.clone()));
                draft.hard(index, foundation, Requirement::Applied);
            }
        }
        let needed: BTreeSet<&ComponentName> =
            self.depends_on.values().copied().flatten().collect();
        for (name, depends_on) in self.depends_on.iter().filter(|(_, list)| !list.is_empty()) {
            let foundation = draft.group(Node::Foundation((*name).clone()));
            for other in *depends_on {
                let component = draft.group(Node::Component(other.clone()));
                draft.hard(foundation, component, Requirement::Applied);
            }
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            if is_wanted(subject.role) && needed.contains(subject.component) {
                let component = draft.group(Node::Component(subject.component.clone()));
                draft.hard(component, index, Requirement::Healthy);
            }
        }
    }
}

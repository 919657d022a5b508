//! Asks the server what it would make of one desired object, and reads its verdict.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sitewright_model::{
    crd::{self, CrdVersion},
    desired::{Desired, DesiredComponent, DesiredObject},
    digest::canonical_json,
    inventory::Entry,
    live::{Deferred, Judgement, LiveObject, Refusal},
    managed::{LiveFields, Prepared, Resolution, Rules, field_manager, prepare, resolve},
    object::{GroupKind, Object, ObjectId},
};

use super::{
    body,
    refusal::{self, Meaning},
    replacement,
};
use crate::{
    Error,
    client::{
        http::{Answer, Failure, Http, Request, Verb},
        path::{Resource, query},
    },
    discovery::Kinds,
};

/// Whether a request only asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It asks what would be.
    DryRun,
    /// It is meant.
    Real,
}

/// Judges the desired objects of one site.
pub(crate) struct Judge<'a> {
    pub(crate) http: &'a Http,
    pub(crate) kinds: &'a Kinds,
    pub(super) desired: &'a Desired,
    manager: String,
    /// The desired CRDs by the kind that they bring.
    crds: BTreeMap<GroupKind, &'a DesiredObject>,
    /// Their schemas by kind and version, compiled once.
    schemas: BTreeMap<(GroupKind, String), CrdVersion>,
    /// The names of all webhooks that the site brings.
    webhooks: BTreeSet<&'a str>,
    namespaces: BTreeSet<&'a str>,
}

/// A desired object and what belongs to it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) component: &'a DesiredComponent,
    pub(crate) desired: &'a DesiredObject,
    pub(crate) entry: Option<&'a Entry>,
}

impl Subject<'_> {
    /// Returns the desired object. What was secret in it when it was last applied is marked too: an answer
    /// of the server may quote the live object.
    pub(crate) fn object(&self) -> Object {
        let said = self.entry.and_then(|entry| entry.said.as_ref());
        let secret = said.into_iter().flat_map(|said| &said.secret);
        self.desired.object.clone().with_sensitive(secret.cloned())
    }
}

/// What came of an attempt to judge the creation of an object.
pub(super) enum OfCreation {
    /// The verdict.
    Judged(Judgement),
    /// It is there after all.
    IsThere,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(http: &'a Http, kinds: &'a Kinds, desired: &'a Desired) -> Self {
        let objects = || desired.objects().map(|(_, object)| object);
        // by identity first: a body that nobody looks at stays text
        let of_group = |group: &'static str| {
            objects().filter(move |object| object.object.id().kind.group == group)
        };
        let crds: BTreeMap<_, _> = of_group("apiextensions.k8s.io")
            .filter_map(|object| Some((crd::brings(object.object.expose())?.0, object)))
            .collect();
        let mut schemas = BTreeMap::new();
        for object in objects().map(|object| &object.object) {
            let kind = &object.id().kind;
            let Some(crd) = crds.get(kind) else { continue };
            let key = (kind.clone(), object.version().to_owned());
            if !schemas.contains_key(&key)
                && let Some(read) = CrdVersion::read(crd.object.expose(), object.version())
            {
                schemas.insert(key, read);
            }
        }
        let webhooks = of_group("admissionregistration.k8s.io")
            .flat_map(|object| webhook_names(object.object.expose()))
            .collect();
        let is_namespace = |id: &ObjectId| id.kind == GroupKind::new("", "Namespace");
        let namespaces = objects()
            .map(|object| object.object.id())
            .filter(|id| is_namespace(id))
            .map(|id| id.name.as_str())
            .collect();
        let manager = field_manager(&desired.site);
        Self { http, kinds, desired, manager, crds, schemas, webhooks, namespaces }
    }

    /// Returns the desired CRD that brings `kind`.
    pub(crate) fn crd_of(&self, kind: &GroupKind) -> Option<&'a DesiredObject> {
        self.crds.get(kind).copied()
    }

    /// Returns where objects of `kind` are found in `version`: as the server says, or as the desired CRD will have it.
    pub(crate) fn resource(&self, kind: &GroupKind, version: &str) -> Option<Resource> {
        if let Some(served) = self.kinds.exactly(kind, version) {
            return Some(served.clone());
        }
        let crd = self.crd_of(kind)?.object.expose();
        let namespaced = self.schemas.get(&(kind.clone(), version.to_owned()))?.is_namespaced();
        let plural = crd.pointer("/spec/names/plural")?.as_str()?.to_owned();
        let (group, version) = (kind.group.clone(), version.to_owned());
        Some(Resource { group, version, kind: kind.kind.clone(), plural, namespaced })
    }

    /// Returns the field manager of the site.
    pub(crate) fn manager(&self) -> &str {
        &self.manager
    }

    pub(crate) fn rules(&self, component: &'a DesiredComponent) -> Rules<'a> {
        Rules { site: &self.desired.site, policy: &self.desired.policy, component }
    }

    /// Judges what can be judged without asking: no namespace, a kind that is not served.
    pub(super) fn offline(&self, subject: Subject<'a>) -> Option<Judgement> {
        let object = &subject.desired.object;
        let id = object.id();
        let Some(resource) = self.kinds.exactly(&id.kind, object.version()) else {
            return Some(self.by_schema(object));
        };
        (resource.namespaced && id.namespace.is_none()).then(|| {
            Judgement::Refused(Refusal::Invalid(vec![sitewright_model::live::Cause {
                field: "metadata.namespace".into(),
                reason: "FieldValueRequired".into(),
                message: "objects of this kind live in a namespace, and none is named".into(),
            }]))
        })
    }

    /// Judges by the schema of the CRD that the site brings.
    pub(super) fn by_schema(&self, object: &Object) -> Judgement {
        let key = (object.id().kind.clone(), object.version().to_owned());
        let Some(schema) = self.schemas.get(&key) else {
            return Judgement::Refused(Refusal::NoSuchKind);
        };
        let causes = schema.check(object);
        match causes.is_empty() {
            true => Judgement::Deferred(Deferred::KindIsComing),
            false => Judgement::Refused(Refusal::Invalid(causes)),
        }
    }

    /// Judges the creation of an object by a dry run.
    pub(super) async fn creation(
        &self,
        subject: Subject<'a>,
        resource: &Resource,
    ) -> Result<OfCreation, Error> {
        let object = &subject.desired.object;
        let prepared =
            prepare(subject.desired, &self.rules(subject.component), subject.entry, None);
        match self.send(Mode::DryRun, resource, object, &prepared).await {
            Ok(answer) => Ok(OfCreation::Judged(accepted(&answer, object)?)),
            Err(Failure::Refused(refused))
                if refused.is_field_conflict() || refused.is_about_another_object() =>
            {
                Ok(OfCreation::IsThere)
            }
            Err(failure) => {
                stop_if_broken(&failure)?;
                let judgement = match refusal::meaning(&failure, object, None) {
                    Meaning::LooksImmutable(causes) => Judgement::Refused(Refusal::Invalid(causes)),
                    other => self.common(other, object),
                };
                Ok(OfCreation::Judged(judgement))
            }
        }
    }

    /// Judges the update of an object that is there.
    ///
    /// A forced dry run is not bound to the version that was read: it takes nothing, and on an object whose
    /// status moves it would always come too late.
    pub(crate) async fn update(
        &self,
        subject: Subject<'a>,
        resource: &Resource,
        live: &LiveObject,
    ) -> Result<Judgement, Error> {
        let object = &subject.object();
        let rules = self.rules(subject.component);
        let fields = LiveFields { body: live.object.expose(), managers: &live.managers };
        let mut prepared = prepare(subject.desired, &rules, subject.entry, Some(fields));
        if !prepared.conflicts.is_empty() {
            return Ok(Judgement::Refused(Refusal::Conflict(prepared.conflicts)));
        }
        let failure = match self.try_update(resource, object, &prepared).await {
            Ok(answer) => return accepted(&answer, object),
            Err(failure) => failure,
        };
        stop_if_broken(&failure)?;
        match refusal::meaning(&failure, object, Some(live.object.expose())) {
            Meaning::Refused(Refusal::Conflict(conflicts)) if !prepared.force => {
                match resolve(&conflicts, subject.desired, &rules) {
                    Resolution::Held(held) => Ok(Judgement::Refused(Refusal::Conflict(held))),
                    Resolution::Force => {
                        prepared.force = true;
                        self.forced(resource, object, &prepared, live).await
                    }
                }
            }
            Meaning::LooksImmutable(causes) => {
                replacement::judge(self.http, resource, object, live, causes, &self.manager).await
            }
            other => Ok(self.common(other, object)),
        }
    }

    async fn forced(
        &self,
        resource: &Resource,
        object: &Object,
        prepared: &Prepared,
        live: &LiveObject,
    ) -> Result<Judgement, Error> {
        let failure = match self.try_update(resource, object, prepared).await {
            Ok(answer) => return accepted(&answer, object),
            Err(failure) => failure,
        };
        stop_if_broken(&failure)?;
        match refusal::meaning(&failure, object, Some(live.object.expose())) {
            Meaning::LooksImmutable(causes) => {
                replacement::judge(self.http, resource, object, live, causes, &self.manager).await
            }
            other => Ok(self.common(other, object)),
        }
    }

    async fn try_update(
        &self,
        resource: &Resource,
        object: &Object,
        prepared: &Prepared,
    ) -> Result<Answer, Failure> {
        let Some(stand_in) = &prepared.stand_in else {
            return self.send(Mode::DryRun, resource, object, prepared).await;
        };
        let id = object.id();
        let pairs = [
            ("dryRun", "All"),
            ("fieldManager", self.manager.as_str()),
            ("fieldValidation", "Strict"),
        ];
        let url = query(&resource.object(id.namespace.as_deref(), &id.name), pairs);
        let request = Request::put(url, id.to_string(), canonical_json(stand_in));
        self.http.send(request.dry_run()).await
    }

    /// Applies what was prepared, for real or as a dry run.
    pub(crate) async fn send(
        &self,
        mode: Mode,
        resource: &Resource,
        object: &Object,
        prepared: &Prepared,
    ) -> Result<Answer, Failure> {
        apply(self.http, &self.manager, mode, resource, object.id(), prepared).await
    }

    /// The verdicts that creation and update share.
    fn common(&self, meaning: Meaning, object: &Object) -> Judgement {
        match meaning {
            Meaning::Refused(refusal) => Judgement::Refused(refusal),
            Meaning::LooksImmutable(causes) => Judgement::Refused(Refusal::Invalid(causes)),
            Meaning::AnotherObject => Judgement::Refused(Refusal::Unavailable(
                "it changed while it was looked at; plan again".into(),
            )),
            Meaning::NoNamespace(causes) => {
                let namespace = object.id().namespace.as_deref().unwrap_or_default();
                if self.namespaces.contains(namespace) {
                    Judgement::Deferred(Deferred::NamespaceIsComing)
                } else {
                    Judgement::Refused(Refusal::Invalid(causes))
                }
            }
            Meaning::WebhookDown(name, message) => {
                let is_desired = self.webhooks.contains(name.as_str());
                match refusal::webhook(name, message, is_desired) {
                    Ok(deferred) => Judgement::Deferred(deferred),
                    Err(refusal) => Judgement::Refused(refusal),
                }
            }
        }
    }
}

/// Sends one server-side apply.
pub(crate) async fn apply(
    http: &Http,
    manager: &str,
    mode: Mode,
    resource: &Resource,
    id: &ObjectId,
    prepared: &Prepared,
) -> Result<Answer, Failure> {
    let force = if prepared.force { "true" } else { "false" };
    let mut pairs =
        vec![("fieldManager", manager), ("force", force), ("fieldValidation", "Strict")];
    let verb = match mode {
        Mode::DryRun => {
            pairs.push(("dryRun", "All"));
            Verb::DryRun
        }
        Mode::Real => Verb::Apply,
    };
    let url = query(&resource.object(id.namespace.as_deref(), &id.name), pairs);
    let mut request = Request::apply(verb, url, id.to_string(), canonical_json(&prepared.body));
    if prepared.body.pointer("/metadata/resourceVersion").is_some() {
        request = request.pinned();
    }
    http.send(request).await
}

/// A signal to stop, or a server that is gone, is no verdict on one object.
pub(crate) fn stop_if_broken(failure: &Failure) -> Result<(), Error> {
    match failure {
        Failure::Broken(error) => Err(error.clone()),
        Failure::Refused(_) => Ok(()),
    }
}

fn accepted(answer: &Answer, object: &Object) -> Result<Judgement, Error> {
    let mut body: Value = answer.json()?;
    body::take_managers(&mut body);
    let object = Object::new(body)
        .map(|accepted| accepted.with_sensitive(object.sensitive().iter().cloned()))
        .map_err(|error| Error::BadAnswer {
            verb: Verb::DryRun.text().into(),
            resource: object.id().to_string(),
            why: error.to_string(),
        })?;
    Ok(Judgement::Accepted(Box::new(object)))
}

fn webhook_names(body: &Value) -> Vec<&str> {
    let kind = body.get("kind").and_then(Value::as_str).unwrap_or_default();
    if !matches!(kind, "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration") {
        return Vec::new();
    }
    let webhooks = body.get("webhooks").and_then(Value::as_array);
    let names = webhooks.into_iter().flatten();
    names.filter_map(|webhook| webhook.get("name").and_then(Value::as_str)).collect()
}

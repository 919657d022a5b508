//! Health as it is now, and why it is not better.
//!
//! Comes in: [`Desired`] and [`Live`]. Goes out: one [`ObjectHealth`] per desired object. Never: writes anything.

mod pods;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use sitewright_model::{
    desired::{Desired, DesiredComponent, DesiredObject},
    health::{Health, Rules, assess, deletion},
    live::{Live, LiveObject, Observation},
    name::ComponentName,
    object::{GroupKind, ObjectId},
};

pub(crate) use self::{
    pods::reasons,
    rules::{RulesOf, compile, late_binding},
};
use crate::{
    Cluster, Error,
    client::{http::Http, path::Resource},
    discovery::Kinds,
    kinds,
    observe::{
        self,
        listing::{self, Key},
    },
};

/// At most so many unhealthy objects are asked for their reasons.
const REASONED: usize = 20;

/// The health of one desired object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHealth {
    /// The component.
    pub component: ComponentName,
    /// The object.
    pub id: ObjectId,
    /// Whether it is as asked for.
    pub health: Health,
    /// What its pods and events tell, one sentence each; only where it is not healthy.
    pub reasons: Vec<String>,
}

impl Cluster {
    /// Assesses every desired object, in the order of the site file.
    ///
    /// Costs at most one request for each page of 500 objects of each kind that has a health, two for
    /// discovery, and some for the pods of what is not healthy.
    #[tracing::instrument(target = "sitewright::trace", name = "health", skip_all)]
    pub async fn status(&self, desired: &Desired, live: &Live) -> Result<Vec<ObjectHealth>, Error> {
        let rules = compile(desired, &late_binding(&self.http, desired).await?)?;
        let kinds = self.discover().await?;
        let survey = Survey { http: &self.http, kinds: &kinds, desired, live, rules: &rules };
        let mut all = survey.all().await?;
        let sick =
            all.iter_mut().filter(|(health, body)| body.is_some() && !health.health.is_current());
        for (health, body) in sick.take(REASONED) {
            if let Some(body) = body {
                health.reasons = reasons(&self.http, &kinds, body).await?;
            }
        }
        Ok(all.into_iter().map(|(health, _)| health).collect())
    }
}

impl Cluster {
    /// Assesses the objects of `part`, each by one request; of what has no health nothing is asked.
    pub async fn health_of(&self, part: &Desired) -> Result<Vec<ObjectHealth>, Error> {
        let ids = part.objects().map(|(component, object)| (component, object.object.id()));
        let asked: Vec<(&DesiredComponent, &ObjectId)> =
            ids.filter(|(component, id)| !is_inert(component, &id.kind)).collect();
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let rules = compile(part, &late_binding(&self.http, part).await?)?;
        let kinds = self.kinds(asked.iter().map(|(_, id)| &id.kind)).await?;
        let mut all = Vec::with_capacity(asked.len());
        for (component, id) in asked {
            let Some(resource) = kinds.preferred(&id.kind) else { continue };
            let live = observe::get(&self.http, resource, id, &BTreeSet::new()).await?;
            let (health, reasons) = match live {
                None => (Health::Missing, Vec::new()),
                Some(live) => {
                    let none = Rules::default();
                    let rules = rules.get(&component.name).unwrap_or(&none);
                    let health = assess(live.object.expose(), rules);
                    let is_sick = !health.is_current();
                    let reasons = match is_sick {
                        true => reasons(&self.http, &kinds, live.object.expose()).await?,
                        false => Vec::new(),
                    };
                    (health, reasons)
                }
            };
            let (component, id) = (component.name.clone(), id.clone());
            all.push(ObjectHealth { component, id, health, reasons });
        }
        Ok(all)
    }
}

/// Returns whether objects of `kind` are healthy by being there.
fn is_inert(component: &DesiredComponent, kind: &GroupKind) -> bool {
    kinds::is_inert(kind) && !component.health.iter().any(|rule| kind.fits(&rule.kind))
}

struct Survey<'a> {
    http: &'a Http,
    kinds: &'a Kinds,
    desired: &'a Desired,
    live: &'a Live,
    rules: &'a RulesOf<'a>,
}

/// The health of an object, and its body where it is not healthy.
type Assessed = (ObjectHealth, Option<Value>);

impl Survey<'_> {
    async fn all(&self) -> Result<Vec<Assessed>, Error> {
        let mut listed = self.listed().await?;
        let all = self.desired.objects().map(|(component, object)| {
            let id = object.object.id();
            match listed.remove(id) {
                Some(assessed) => assessed,
                None => self.as_observed(component, object),
            }
        });
        Ok(all.collect())
    }

    /// What was observed tells enough of all but settled objects, whose bodies were dropped.
    fn as_observed(&self, component: &DesiredComponent, object: &DesiredObject) -> Assessed {
        let id = object.object.id();
        let none = |health| (self.health(component, id, health), None);
        match self.live.objects.get(id) {
            Some(Observation::Present(live)) => self.assess(component, id, live),
            Some(Observation::Absent(_)) => none(Health::Missing),
            Some(Observation::Settled) if is_inert(component, &id.kind) => none(Health::Current),
            Some(Observation::Settled) => {
                none(Health::Unknown { why: "it was not found again".into() })
            }
            Some(Observation::Unseen(why)) => none(Health::Unknown { why: why.clone() }),
            None => none(Health::Unknown { why: "it was not looked at".into() }),
        }
    }

    fn health(&self, component: &DesiredComponent, id: &ObjectId, health: Health) -> ObjectHealth {
        let (component, id) = (component.name.clone(), id.clone());
        ObjectHealth { component, id, health, reasons: Vec::new() }
    }

    fn assess(&self, component: &DesiredComponent, id: &ObjectId, live: &LiveObject) -> Assessed {
        let none = Rules::default();
        let rules = self.rules.get(&component.name).unwrap_or(&none);
        let body = live.object.expose();
        let health = deletion(body, &live.managers).unwrap_or_else(|| assess(body, rules));
        let body = (!health.is_current()).then(|| body.clone());
        (self.health(component, id, health), body)
    }

    /// Lists the kinds of settled objects, and assesses these.
    async fn listed(&self) -> Result<BTreeMap<ObjectId, Assessed>, Error> {
        let mut wanted: BTreeMap<&Resource, BTreeMap<Key, (&DesiredComponent, &ObjectId)>> =
            BTreeMap::new();
        for (component, object) in self.desired.objects() {
            let id = object.object.id();
            let is_settled = matches!(self.live.objects.get(id), Some(Observation::Settled));
            if !is_settled || is_inert(component, &id.kind) {
                continue;
            }
            if let Some(resource) = self.kinds.exactly(&id.kind, object.object.version()) {
                let key = listing::key(id, resource);
                wanted.entry(resource).or_default().insert(key, (component, id));
            }
        }
        let lists = stream::iter(wanted)
            .map(|(resource, wanted)| self.list(resource, wanted))
            .buffer_unordered(self.http.concurrency());
        lists.try_concat().await.map(|all: Vec<_>| all.into_iter().collect())
    }

    async fn list(
        &self,
        resource: &Resource,
        wanted: BTreeMap<Key, (&DesiredComponent, &ObjectId)>,
    ) -> Result<Vec<(ObjectId, Assessed)>, Error> {
        let keep = |key: &Key, live: LiveObject| {
            let (component, id) = wanted.get(key)?;
            Some(((*id).clone(), self.assess(component, id, &live)))
        };
        let site = &self.desired.site;
        let listed = listing::owned(self.http, resource, site, &BTreeMap::new(), keep).await?;
        Ok(listed.into_values().collect())
    }
}

/// Looks whether a Service has a ready endpoint; the error says why not.
pub(crate) async fn endpoint(
    http: &Http,
    kinds: &Kinds,
    service: &ObjectId,
) -> Result<Result<(), String>, Error> {
    let kind = GroupKind::new("discovery.k8s.io", "EndpointSlice");
    let Some(resource) = kinds.preferred(&kind) else { return Ok(Ok(())) };
    let namespace = service.namespace.as_deref().unwrap_or_default();
    let selector = format!("kubernetes.io/service-name={}", service.name);
    let slices = pods::list(http, resource, namespace, ("labelSelector", &selector)).await?;
    let endpoints = slices.iter().filter_map(|slice| slice.get("endpoints")?.as_array()).flatten();
    let mut count = 0;
    for endpoint in endpoints {
        count += 1;
        let ready = endpoint.pointer("/conditions/ready").and_then(Value::as_bool);
        if ready.unwrap_or(true) {
            return Ok(Ok(()));
        }
    }
    Ok(Err(match count {
        0 => "the service has no endpoint".into(),
        count => format!("none of the {count} endpoints of the service is ready"),
    }))
}

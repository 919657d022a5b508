//! What is on the cluster now, reduced to what the plan needs.
//!
//! Comes in: [`Desired`]. Goes out: [`Live`]. Never: writes anything.
//!
//! Each kind is listed once by the site's label; an object whose digests are those of the inventory
//! is settled, and its body is dropped on the spot. What is not in the lists is asked for by name. The
//! server's dry run judges what is not settled, and nothing else.

pub(crate) mod absence;
pub(crate) mod body;
pub(crate) mod evidence;
mod find;
pub(crate) mod judge;
pub(crate) mod listing;
pub(crate) mod refusal;
pub(crate) mod replacement;

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, future::try_join, stream};
use sitewright_model::{
    crd,
    desired::{Desired, DesiredComponent, DesiredObject},
    inventory::{Entry, EntryState, Inventory},
    live::{
        Deferred, Evidence, Judgement, KindFacts, Live, LiveObject, Observation, Reach, Refusal,
    },
    object::{GroupKind, ObjectId},
};

use self::{
    evidence::Asker,
    judge::{Judge, OfCreation, Subject},
};
use crate::{
    Cluster, Error,
    client::{
        http::{Failure, Http, Request},
        path::Resource,
    },
    discovery::Kinds,
    inventory::Store,
};

/// How much is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// The server's dry run judges every object that is not settled.
    #[default]
    Full,
    /// As [`Depth::Full`], without dry runs of objects that are not there: `apply` creates them at once,
    /// and the server judges them then.
    SkipCreates,
}

impl Cluster {
    /// Looks at every desired and every owned object, and at what the guards need to know.
    ///
    /// Costs, where nothing changed, one request for each page of 500 objects of each kind and a few more.
    ///
    /// # Errors
    /// The server does not answer or refuses to be looked at, the inventory is damaged, or the signal to
    /// stop came. What it says of single objects is in their [`Observation`]s.
    #[tracing::instrument(target = "sitewright::trace", name = "observe", skip_all)]
    pub async fn observe(&self, desired: &Desired, depth: Depth) -> Result<Live, Error> {
        let (kinds, store) =
            try_join(self.discover(), Store::load(&self.http, &desired.site, &self.inventories))
                .await?;
        self.look(&kinds, desired, store.inventory(), depth, Reach::Whole).await
    }

    /// Looks at the objects in `ids` alone; `part` is [`Desired::only`] of them. A plan of it is about them
    /// alone, and so is the apply of that plan.
    ///
    /// Costs one request for the head of the inventory, one for each of its shards that names one of the objects,
    /// one for each object, and one dry run for each that is not settled.
    ///
    /// # Errors
    /// As with [`Cluster::observe`].
    #[tracing::instrument(target = "sitewright::trace", name = "observe", skip_all)]
    pub async fn observe_only(
        &self,
        part: &Desired,
        ids: &BTreeSet<ObjectId>,
    ) -> Result<Live, Error> {
        let kinds = self.kinds(ids.iter().map(|id| &id.kind));
        let store = Store::load_part(&self.http, &part.site, &self.inventories, ids);
        let (kinds, store) = try_join(kinds, store).await?;
        let inventory = store.only(ids);
        self.look(&kinds, part, inventory, Depth::Full, Reach::Only(ids.clone())).await
    }

    async fn look(
        &self,
        kinds: &Kinds,
        desired: &Desired,
        inventory: Inventory,
        depth: Depth,
        reach: Reach,
    ) -> Result<Live, Error> {
        let observer = Observer::new(&self.http, kinds, desired, &inventory, depth, &reach);
        let objects = observer.objects().await?;
        let evidence = observer.evidence(&objects).await?;
        let kinds = observer.facts();
        Ok(Live { cluster: self.facts().clone(), inventory, kinds, objects, evidence, reach })
    }
}

/// What is desired of an object, and what the inventory says of it; at least one of them is there.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    desired: Option<(&'a DesiredComponent, &'a DesiredObject)>,
    entry: Option<&'a Entry>,
}

struct Observer<'a> {
    http: &'a Http,
    kinds: &'a Kinds,
    judge: Judge<'a>,
    desired: &'a Desired,
    inventory: &'a Inventory,
    depth: Depth,
    reach: &'a Reach,
    wanted: BTreeMap<&'a ObjectId, Wanted<'a>>,
}

/// What was found of one object before anything judges it.
enum Found {
    Settled,
    Present(Box<LiveObject>),
    Absent,
    /// It cannot be told whether it is there: why.
    Unseen(String),
}

impl Wanted<'_> {
    /// The version to read the object in.
    fn version(&self) -> &str {
        match (self.desired, self.entry) {
            (Some((_, desired)), _) => desired.object.version(),
            (None, Some(entry)) => {
                let version = entry.api_version.as_str();
                version.rsplit_once('/').map_or(version, |(_, version)| version)
            }
            (None, None) => "",
        }
    }

    /// Law 6: it is ours by UID, and both what was rendered and what is live are as last applied.
    fn is_settled(&self, live: &LiveObject) -> bool {
        let (Some((_, desired)), Some(entry)) = (self.desired, self.entry) else { return false };
        match &entry.state {
            EntryState::Planned => false,
            EntryState::Applied { uid, rendered, settled } => {
                *uid == live.uid && *rendered == desired.digest && *settled == live.settled
            }
        }
    }
}

impl<'a> Observer<'a> {
    fn new(
        http: &'a Http,
        kinds: &'a Kinds,
        desired: &'a Desired,
        inventory: &'a Inventory,
        depth: Depth,
        reach: &'a Reach,
    ) -> Self {
        let mut wanted: BTreeMap<&ObjectId, Wanted<'_>> = BTreeMap::new();
        for (component, object) in desired.objects() {
            let desired = Some((component, object));
            wanted.insert(object.object.id(), Wanted { desired, entry: None });
        }
        for (id, entry) in &inventory.entries {
            let slot = wanted.entry(id).or_insert(Wanted { desired: None, entry: None });
            slot.entry = Some(entry);
        }
        let judge = Judge::new(http, kinds, desired);
        Self { http, kinds, judge, desired, inventory, depth, reach, wanted }
    }

    async fn objects(&self) -> Result<BTreeMap<ObjectId, Observation>, Error> {
        let found = self.find().await?;
        let absent_namespaces = absent_namespaces(&found);
        let judged = stream::iter(found)
            .map(|(id, found)| self.observation(id, found, &absent_namespaces))
            .buffer_unordered(self.at_once());
        let mut objects: BTreeMap<ObjectId, Observation> = judged.try_collect().await?;
        self.defer_to_new_schemas(&mut objects);
        Ok(objects)
    }

    /// As many as may be in flight, and some that prepare the next.
    fn at_once(&self) -> usize {
        self.http.concurrency() * 2
    }

    // === judging ===

    async fn observation(
        &self,
        id: &'a ObjectId,
        found: Found,
        absent_namespaces: &BTreeSet<String>,
    ) -> Result<(ObjectId, Observation), Error> {
        let wanted = self.wanted.get(id);
        let subject = wanted.and_then(|wanted| {
            let (component, desired) = wanted.desired?;
            Some(Subject { component, desired, entry: wanted.entry })
        });
        let observation = match (found, subject) {
            (Found::Settled, _) => Ok(Observation::Settled),
            (Found::Absent, None) => Ok(Observation::Absent(Judgement::NotAsked)),
            (Found::Present(live), None) => Ok(Observation::Present(live)),
            (Found::Unseen(why), _) => Ok(Observation::Unseen(why)),
            (Found::Present(live), Some(subject)) => self.present(subject, live).await,
            (Found::Absent, Some(subject)) => self.absent(subject, absent_namespaces).await,
        };
        let observation = match observation {
            // one object that cannot be judged holds up none but those that need it (law 8)
            Err(error) if !error.loses_ground() => Observation::Unseen(error.to_string()),
            other => other?,
        };
        Ok((id.clone(), observation))
    }

    async fn present(
        &self,
        subject: Subject<'a>,
        mut live: Box<LiveObject>,
    ) -> Result<Observation, Error> {
        let object = &subject.desired.object;
        live.judgement = match self.judge.offline(subject) {
            Some(judgement) => judgement,
            None => {
                let resource = self.kinds.exactly(&object.id().kind, object.version());
                let resource = resource.expect("offline judges what is not served");
                self.judge.update(subject, resource, &live).await?
            }
        };
        Ok(Observation::Present(live))
    }

    async fn absent(
        &self,
        subject: Subject<'a>,
        absent_namespaces: &BTreeSet<String>,
    ) -> Result<Observation, Error> {
        if let Some(judgement) = self.judge.offline(subject) {
            return Ok(Observation::Absent(judgement));
        }
        let object = &subject.desired.object;
        let namespace = object.id().namespace.as_deref().unwrap_or_default();
        if absent_namespaces.contains(namespace) {
            let coming = Judgement::Deferred(Deferred::NamespaceIsComing);
            return Ok(Observation::Absent(coming));
        }
        if self.depth == Depth::SkipCreates {
            return Ok(Observation::Absent(Judgement::NotAsked));
        }
        let resource = self.kinds.exactly(&object.id().kind, object.version());
        let resource = resource.expect("offline judges what is not served");
        match self.judge.creation(subject, resource).await? {
            OfCreation::Judged(judgement) => Ok(Observation::Absent(judgement)),
            OfCreation::IsThere => match self.get(resource, object.id()).await? {
                Some(live) => self.present(subject, Box::new(live)).await,
                None => Ok(Observation::Absent(Judgement::NotAsked)),
            },
        }
    }

    /// What the live definition refuses, and the desired one, which this plan brings, does not.
    fn defer_to_new_schemas(&self, objects: &mut BTreeMap<ObjectId, Observation>) {
        let refused =
            objects.iter().filter(|(_, observation)| is_invalid(judgement_of(observation)));
        let ids: Vec<ObjectId> = refused.map(|(id, _)| id.clone()).collect();
        for id in ids {
            let Some((_, desired)) = self.wanted.get(&id).and_then(|wanted| wanted.desired) else {
                continue;
            };
            let crd = self.judge.crd_of(&id.kind).map(|crd| crd.object.id());
            let crd_changes = crd
                .and_then(|crd| objects.get(crd))
                .is_some_and(|crd| !matches!(crd, Observation::Settled));
            if !crd_changes {
                continue;
            }
            let by_schema = self.judge.by_schema(&desired.object);
            if let (Judgement::Deferred(_), Some(slot)) = (&by_schema, objects.get_mut(&id)) {
                match slot {
                    Observation::Absent(judgement) => *judgement = by_schema,
                    Observation::Present(live) => live.judgement = by_schema,
                    Observation::Settled | Observation::Unseen(_) => {}
                }
            }
        }
    }

    // === facts ===

    async fn evidence(&self, objects: &BTreeMap<ObjectId, Observation>) -> Result<Evidence, Error> {
        let mut evidence = Evidence::default();
        for (id, observation) in objects {
            let is_desired = self.wanted.get(id).is_some_and(|wanted| wanted.desired.is_some());
            if let Some(at_stake) = evidence::at_stake(id, is_desired, observation) {
                evidence::gather(self.asker(), at_stake, &mut evidence).await?;
            }
        }
        Ok(evidence)
    }

    fn asker(&self) -> Asker<'_> {
        let Self { http, kinds, inventory, desired, .. } = self;
        Asker { http, kinds, inventory, desired }
    }

    fn facts(&self) -> BTreeMap<GroupKind, KindFacts> {
        let kinds: BTreeSet<&GroupKind> = self.wanted.keys().map(|id| &id.kind).collect();
        let fact = |kind: &GroupKind| {
            let coming = self.judge.crd_of(kind).and_then(|crd| {
                let (_, namespaced) = crd::brings(crd.object.expose())?;
                Some((crd.object.id(), namespaced))
            });
            (kind.clone(), self.kinds.facts(kind, coming))
        };
        kinds.into_iter().map(fact).collect()
    }
}

/// Reads one object; none where it is not there.
pub(crate) async fn get(
    http: &Http,
    resource: &Resource,
    id: &ObjectId,
    sensitive: &BTreeSet<String>,
) -> Result<Option<LiveObject>, Error> {
    let url = resource.object(id.namespace.as_deref(), &id.name);
    let answer = match http.send(Request::get(url, id.to_string())).await {
        Ok(answer) => answer,
        Err(Failure::Refused(refused)) if refused.is_not_found() => return Ok(None),
        Err(failure) => {
            return Err(http.error(failure, crate::client::http::Verb::Get, &id.to_string()));
        }
    };
    let live = body::read(answer.json()?, sensitive);
    live.map(Some).ok_or_else(|| Error::BadAnswer {
        verb: "get".into(),
        resource: id.to_string(),
        why: "it is no object".into(),
    })
}

fn absent_namespaces(found: &[(&ObjectId, Found)]) -> BTreeSet<String> {
    let is_namespace = |id: &ObjectId| id.kind.group.is_empty() && id.kind.kind == "Namespace";
    found
        .iter()
        .filter(|(id, found)| is_namespace(id) && matches!(found, Found::Absent))
        .map(|(id, _)| id.name.clone())
        .collect()
}

fn judgement_of(observation: &Observation) -> &Judgement {
    match observation {
        Observation::Absent(judgement) => judgement,
        Observation::Present(live) => &live.judgement,
        Observation::Settled | Observation::Unseen(_) => &Judgement::NotAsked,
    }
}

fn is_invalid(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::Refused(Refusal::Invalid(_)))
}

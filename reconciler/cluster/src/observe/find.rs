//! Looks which objects are there: by one list of each kind, then by name.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use sitewright_model::{
    live::{LiveObject, Reach},
    object::{GroupKind, ObjectId},
};

use super::{
    Found, Observer, Wanted,
    absence::{self, Absence},
    get,
    listing::{self, Key},
};
use crate::{Error, client::path::Resource};

impl<'a> Observer<'a> {
    pub(super) async fn find(&self) -> Result<Vec<(&'a ObjectId, Found)>, Error> {
        let mut by_resource: BTreeMap<&Resource, Vec<&'a ObjectId>> = BTreeMap::new();
        let mut unserved: BTreeMap<&GroupKind, Vec<&'a ObjectId>> = BTreeMap::new();
        let mut found = Vec::with_capacity(self.wanted.len());
        for (&id, wanted) in &self.wanted {
            if let Err(error) = self.kinds.expect_fresh(&id.kind) {
                found.push((id, Found::Unseen(error.to_string())));
                continue;
            }
            match self.kinds.any(&id.kind, wanted.version()) {
                Some(resource) => by_resource.entry(resource).or_default().push(id),
                // what is wanted is judged by the definition that the site brings, or refused
                None if wanted.desired.is_some() => found.push((id, Found::Absent)),
                None => unserved.entry(&id.kind).or_default().push(id),
            }
        }
        for (kind, ids) in unserved {
            let absence = absence::look(self.http, self.kinds, kind).await?;
            found.extend(ids.into_iter().map(|id| (id, unserved_one(&absence))));
        }
        let lists = stream::iter(by_resource)
            .map(|(resource, ids)| self.find_or_hold(resource, ids))
            .buffer_unordered(self.at_once());
        found.extend(lists.try_concat().await?);
        Ok(found)
    }

    /// A kind that cannot be listed holds up its own objects alone (law 8): a conversion webhook that
    /// fails must not keep from the cluster the commit that mends its operator.
    async fn find_or_hold(
        &self,
        resource: &Resource,
        ids: Vec<&'a ObjectId>,
    ) -> Result<Vec<(&'a ObjectId, Found)>, Error> {
        match self.find_of(resource, ids.clone()).await {
            Err(error) if !error.loses_ground() => {
                let why = error.to_string();
                Ok(ids.into_iter().map(|id| (id, Found::Unseen(why.clone()))).collect())
            }
            other => other,
        }
    }

    async fn find_of(
        &self,
        resource: &Resource,
        ids: Vec<&'a ObjectId>,
    ) -> Result<Vec<(&'a ObjectId, Found)>, Error> {
        if matches!(self.reach, Reach::Only(_)) {
            let asked = stream::iter(ids)
                .map(|id| self.find_one(resource, id, false))
                .buffer_unordered(self.at_once());
            return asked.try_collect().await;
        }
        let mut listed = self.list(resource, &ids).await?;
        let (mut found, mut unlisted) = (Vec::with_capacity(ids.len()), BTreeMap::new());
        for id in ids {
            let key = listing::key(id, resource);
            match listed.remove(&key) {
                Some(seen) => found.push((id, seen)),
                None => {
                    unlisted.insert(key, id);
                }
            }
        }
        let keys: BTreeSet<Key> = unlisted.keys().cloned().collect();
        let names = match self.kinds.is_listable(&resource_kind(resource)) {
            true => allowed(listing::names(self.http, resource, &keys).await)?.flatten(),
            false => None,
        };
        let asked = stream::iter(unlisted)
            .map(|(key, id)| {
                let is_absent = names.as_ref().is_some_and(|names| !names.contains(&key));
                self.find_one(resource, id, is_absent)
            })
            .buffer_unordered(self.at_once());
        found.extend(asked.try_collect::<Vec<_>>().await?);
        Ok(found)
    }

    async fn list(
        &self,
        resource: &Resource,
        ids: &[&'a ObjectId],
    ) -> Result<BTreeMap<Key, Found>, Error> {
        if !self.kinds.is_listable(&resource_kind(resource)) {
            return Ok(BTreeMap::new());
        }
        let by_key: BTreeMap<Key, Wanted<'a>> = ids
            .iter()
            .filter_map(|id| Some((listing::key(id, resource), *self.wanted.get(id)?)))
            .collect();
        let sensitive = by_key
            .iter()
            .filter_map(|(key, wanted)| Some((key.clone(), wanted.desired?.1.object.sensitive())))
            .filter(|(_, sensitive)| !sensitive.is_empty())
            .collect();
        let keep = |key: &Key, live: LiveObject| {
            let wanted = by_key.get(key)?;
            Some(match wanted.is_settled(&live) {
                true => Found::Settled,
                false => Found::Present(Box::new(live)),
            })
        };
        let site = &self.desired.site;
        let listed = listing::owned(self.http, resource, site, &sensitive, keep).await;
        Ok(allowed(listed)?.unwrap_or_default())
    }

    async fn find_one(
        &self,
        resource: &Resource,
        id: &'a ObjectId,
        is_absent: bool,
    ) -> Result<(&'a ObjectId, Found), Error> {
        if is_absent || (resource.namespaced && id.namespace.is_none()) {
            return Ok((id, Found::Absent));
        }
        let live = match self.get(resource, id).await {
            Err(error) if !error.loses_ground() => {
                return Ok((id, Found::Unseen(error.to_string())));
            }
            other => other?,
        };
        let found = match live {
            None => Found::Absent,
            Some(live) if self.wanted.get(id).is_some_and(|wanted| wanted.is_settled(&live)) => {
                Found::Settled
            }
            Some(live) => Found::Present(Box::new(live)),
        };
        Ok((id, found))
    }

    pub(super) async fn get(
        &self,
        resource: &Resource,
        id: &ObjectId,
    ) -> Result<Option<LiveObject>, Error> {
        let none = BTreeSet::new();
        let desired = self.wanted.get(id).and_then(|wanted| wanted.desired);
        let sensitive = desired.map_or(&none, |(_, desired)| desired.object.sensitive());
        get(self.http, resource, id, sensitive).await
    }
}

/// What is only owned must not be taken for gone with its kind before that is proven.
fn unserved_one(absence: &Absence) -> Found {
    match absence {
        Absence::Proven => Found::Absent,
        Absence::Unproven(why) => Found::Unseen(format!(
            "the server does not serve its kind, and it may be there all the same: {why}"
        )),
    }
}

/// A list that these credentials may not read is no list: its objects are asked for one by one.
fn allowed<T>(listed: Result<T, Error>) -> Result<Option<T>, Error> {
    match listed {
        Ok(listed) => Ok(Some(listed)),
        Err(Error::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn resource_kind(resource: &Resource) -> GroupKind {
    GroupKind::new(resource.group.as_str(), resource.kind.as_str())
}

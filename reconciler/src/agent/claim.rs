//! One site on one cluster has one follower: two never own one object (law 4).
//!
//! Within an agent that is a map. Agents of other shards tell what they follow in the status of their SiteSyncs, which every
//! agent is told of in any case: of two that follow one site the one that was made first has it, whoever asks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sitewright_cluster::sync::{ClusterReference, SiteSync, SyncKey};
use sitewright_model::{code::agent, diagnostic::Diagnostic, name::SiteName, object::Uid};

/// Who follows what. Between agents that do not share SiteSyncs, the lock of the site decides.
#[derive(Clone, Default)]
pub(crate) struct Claims {
    /// In this agent.
    taken: Arc<Mutex<BTreeMap<(Uid, SiteName), String>>>,
    /// In the agents of other shards, by what their SiteSyncs say.
    elsewhere: Arc<Mutex<BTreeMap<SyncKey, (Seat, String)>>>,
}

/// The place of a SiteSync among all that may follow one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    key: SyncKey,
    /// When it was made; two of one second are told apart by their names.
    made: String,
    /// The cluster, as far as the SiteSync tells it: none for its own, else by which Secret it is reached.
    target: Option<(String, ClusterReference)>,
}

/// The right to follow a site. Dropped, it is free.
pub(super) struct Claim {
    claims: Claims,
    key: (Uid, SiteName),
}

impl Claims {
    /// Takes the right to follow `site` on a cluster.
    ///
    /// # Errors
    /// Somebody has it.
    pub(super) fn claim(
        &self,
        cluster: Uid,
        site: &SiteName,
        name: &str,
    ) -> Result<Claim, Box<Diagnostic>> {
        let key = (cluster, site.clone());
        let mut claims = lock(&self.taken);
        if let Some(other) = claims.get(&key) {
            return Err(taken(site, other));
        }
        claims.insert(key.clone(), name.to_owned());
        drop(claims);
        Ok(Claim { claims: self.clone(), key })
    }

    /// Checks that no agent of another shard has `site`, as far as their SiteSyncs tell.
    ///
    /// # Errors
    /// One that was made before `seat` follows it.
    pub(super) fn check(&self, seat: &Seat, site: &SiteName) -> Result<(), Box<Diagnostic>> {
        let elsewhere = lock(&self.elsewhere);
        let has_it = |(other, followed): &&(Seat, String)| {
            followed == site.as_str()
                && other.target == seat.target
                && (&other.made, &other.key) < (&seat.made, &seat.key)
        };
        let first = elsewhere.values().filter(has_it).map(|(other, _)| other);
        match first.min_by_key(|other| (&other.made, &other.key)) {
            Some(other) => Err(taken(site, &format!("SiteSync {}", other.key))),
            None => Ok(()),
        }
    }

    /// Takes what a SiteSync of another shard says.
    pub(super) fn is_elsewhere(&self, sync: &SiteSync) {
        let seat = Seat::of(sync);
        let status = sync.status.as_ref();
        let site = status.and_then(|status| status.site.clone()).filter(|_| !sync.spec.suspend);
        let mut elsewhere = lock(&self.elsewhere);
        match site {
            Some(site) => elsewhere.insert(seat.key.clone(), (seat, site)),
            None => elsewhere.remove(&seat.key),
        };
    }

    /// Takes that a SiteSync is gone.
    pub(super) fn is_gone(&self, key: &SyncKey) {
        lock(&self.elsewhere).remove(key);
    }

    /// Takes that no SiteSyncs but these are there.
    pub(super) fn keep_to(&self, keys: &[SyncKey]) {
        lock(&self.elsewhere).retain(|key, _| keys.contains(key));
    }
}

impl Seat {
    /// Returns the place of a SiteSync.
    pub(super) fn of(sync: &SiteSync) -> Self {
        let key = SyncKey::from(sync);
        let made = sync.metadata.creation_timestamp.as_ref();
        let cluster = sync.spec.cluster.clone();
        Self {
            made: made.map(|made| made.0.to_string()).unwrap_or_default(),
            target: cluster.map(|cluster| (key.namespace.clone(), cluster)),
            key,
        }
    }
}

fn taken(site: &SiteName, other: &str) -> Box<Diagnostic> {
    let message = format!("site `{site}` is followed by {other} already");
    Diagnostic::error(agent::SITE_TAKEN, message)
        .help("delete one of the two, or give one of the sites another name")
        .into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // one call changes one entry, so a panic elsewhere left nothing half done
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Claim {
    fn drop(&mut self) {
        lock(&self.claims.taken).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_site_on_a_cluster_has_one_follower_at_a_time() {
        let claims = Claims::default();
        let (one, other) = (Uid("one".into()), Uid("other".into()));
        let site: SiteName = "lab".parse().unwrap();
        let first = claims.claim(one.clone(), &site, "first").unwrap();
        let refused = claims.claim(one.clone(), &site, "second").err().unwrap();
        assert!(refused.message.contains("followed by first"), "{}", refused.message);
        assert!(claims.claim(other, &site, "second").is_ok());
        drop(first);
        assert!(claims.claim(one, &site, "second").is_ok());
    }

    fn sync(name: &str, made: &str, site: Option<&str>, cluster: Option<&str>) -> SiteSync {
        let cluster = cluster.map(|name| json!({ "kubeconfig": { "name": name } }));
        serde_json::from_value(json!({
            "apiVersion": "sitewright.dev/v1alpha1",
            "kind": "SiteSync",
            "metadata": { "name": name, "namespace": "lab", "creationTimestamp": made },
            "spec": { "source": { "url": "https://git.example.edu/lab.git" }, "cluster": cluster },
            "status": { "site": site },
        }))
        .unwrap()
    }

    #[test]
    fn of_two_shards_the_sitesync_that_was_made_first_has_the_site() {
        let claims = Claims::default();
        let site: SiteName = "gpu".parse().unwrap();
        let (early, late) = ("2026-11-25T08:00:00Z", "2026-11-25T09:00:00Z");
        let is_free = |sync: &SiteSync| claims.check(&Seat::of(sync), &site).is_ok();
        claims.is_elsewhere(&sync("first", early, None, None));
        assert!(is_free(&sync("second", late, None, None)), "it has not said what it follows");
        claims.is_elsewhere(&sync("first", early, Some("gpu"), None));
        assert!(!is_free(&sync("second", late, None, None)));
        assert!(is_free(&sync("before", "2026-11-25T07:00:00Z", None, None)));
        assert!(!is_free(&sync("second", early, None, None)), "of one second, by name");
        assert!(is_free(&sync("second", late, None, Some("edge"))), "it is another cluster");
        let other: SiteName = "other".parse().unwrap();
        assert!(claims.check(&Seat::of(&sync("second", late, None, None)), &other).is_ok());

        let mut rests = sync("first", early, Some("gpu"), None);
        rests.spec.suspend = true;
        claims.is_elsewhere(&rests);
        assert!(is_free(&sync("second", late, None, None)));
        claims.is_elsewhere(&sync("first", early, Some("gpu"), None));
        claims.keep_to(&[]);
        assert!(is_free(&sync("second", late, None, None)));
    }
}

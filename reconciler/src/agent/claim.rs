//! One site on one cluster has one follower: two never own one object (law 4).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sitewright_model::{code::agent, diagnostic::Diagnostic, name::SiteName, object::Uid};

/// Who follows what in this agent. Between agents, the lock of the site decides.
#[derive(Clone, Default)]
pub(crate) struct Claims(Arc<Mutex<BTreeMap<(Uid, SiteName), String>>>);

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
        let mut claims = self.lock();
        if let Some(other) = claims.get(&key) {
            let message = format!("site `{site}` is followed by {other} already");
            return Err(Diagnostic::error(agent::SITE_TAKEN, message)
                .help("delete one of the two, or give one of the sites another name")
                .into());
        }
        claims.insert(key.clone(), name.to_owned());
        drop(claims);
        Ok(Claim { claims: self.clone(), key })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Uid, SiteName), String>> {
        // one call changes one entry, so a panic elsewhere left nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.lock().remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
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
}

//! Which kinds live outside namespaces, before anything is looked at.

use std::collections::BTreeSet;

use sitewright_model::{live::KindFacts, object::GroupKind};

use crate::{Cluster, Error};

impl Cluster {
    /// Returns those of `kinds` that the server serves outside namespaces; asks nothing where there are none.
    ///
    /// # Errors
    /// The server does not answer, or does not tell what it serves.
    pub async fn outside_namespaces(
        &self,
        kinds: &BTreeSet<GroupKind>,
    ) -> Result<BTreeSet<GroupKind>, Error> {
        if kinds.is_empty() {
            return Ok(BTreeSet::new());
        }
        let served = self.discover().await?;
        let is_outside = |kind: &&GroupKind| {
            matches!(served.facts(kind, None), KindFacts::Served { namespaced: false, .. })
        };
        Ok(kinds.iter().filter(is_outside).cloned().collect())
    }
}

//! Where the verdicts of a site are kept, so that a bad revision is not tried again by an agent that was started anew.

use sitewright_model::{
    name::SiteName,
    verdict::{FORMAT, Verdicts},
};

use crate::{Cluster, Error, record::Record};

const RECORD: Record = Record { name: "verdicts", format: FORMAT };

impl Cluster {
    /// Returns the verdicts of a site, and what a write of them is bound to.
    ///
    /// # Errors
    /// The server does not answer, or the record is damaged.
    pub async fn verdicts(&self, site: &SiteName) -> Result<(Verdicts, String), Error> {
        Ok(RECORD.load(&self.http, site).await?.unwrap_or_default())
    }

    /// Writes the verdicts of a site; returns what the next write is bound to.
    ///
    /// # Errors
    /// The server does not answer, or another wrote them.
    pub async fn write_verdicts(
        &self,
        site: &SiteName,
        verdicts: &Verdicts,
        version: &str,
    ) -> Result<String, Error> {
        RECORD.write(&self.http, site, verdicts, version).await
    }
}

//! One agent at work, where several stand by.

use std::time::Duration;

use super::Lock;
use crate::{Cluster, Error};

/// How often an agent that stands by looks whether it is its turn.
const LOOK: Duration = Duration::from_secs(5);

/// The right of one agent to work, among those of one name. Dropped, it is silent from then on.
pub struct Leadership(Lock);

impl Cluster {
    /// Waits until no other agent of this `shard` works, and takes its place. `told` hears who works meanwhile,
    /// each once.
    ///
    /// The old one is proven silent: its Lease did not change for all of the time that it names, and it sends
    /// nothing once its own renewal is older than a part of that.
    ///
    /// # Errors
    /// The server does not answer, or the signal to stop came.
    pub async fn lead(
        &self,
        shard: Option<&str>,
        mut told: impl FnMut(&str),
    ) -> Result<Leadership, Error> {
        // a dot, since no site has one in its name
        let name = shard
            .map_or("sitewright.agent".to_owned(), |shard| format!("sitewright.agent.{shard}"));
        let mut known = String::new();
        loop {
            match Lock::take(&self.http, name.clone()).await {
                Ok(lock) => return Ok(Leadership(lock)),
                Err(Error::Locked { holder }) => {
                    if holder != known {
                        told(&holder);
                        known = holder;
                    }
                    self.http.pause(LOOK).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Leadership {
    /// Returns the same cluster, to which nothing is sent once the right is lost.
    #[must_use]
    pub fn over(&self, cluster: &Cluster) -> Cluster {
        cluster.within(self.0.fence())
    }

    /// Waits until the right is lost, and returns why.
    pub async fn lost(&self) -> Error {
        self.0.fence().closed().await
    }

    /// Gives the right to the next one at once.
    ///
    /// # Errors
    /// It was lost before.
    pub async fn release(self) -> Result<(), Error> {
        self.0.release().await
    }
}

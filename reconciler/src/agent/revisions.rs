//! What git has: found, read, rendered, and desired from then on.

use std::sync::Arc;

use sitewright_model::{desired::Desired, diagnostic::Diagnostics, render, revision::Revision};
use tokio::time::Instant;

use super::{
    polls::Looked,
    reconcile::{Current, Reconciler, blocking, diagnosed},
    state::Side,
    web::{Fetched, Reconciled, Stage},
    whole::Next,
};
use crate::pipeline;

impl Reconciler {
    /// Looks at git; returns what is there where it is not what is desired already.
    pub(super) async fn fetch(&mut self, not_before: Instant) -> Option<pipeline::Loaded> {
        self.due.poll = Instant::now() + self.following.pace.next_poll();
        let begun = Instant::now();
        let known = self.current.as_ref().and_then(|current| current.footprint.clone());
        let following = &self.following;
        let looked = following.poll.look(&following.settings, known, not_before).await;
        let measure = self.following.measure.clone();
        measure.took(Stage::Fetch, begun);
        match looked {
            Ok(Looked::Same { commit }) => {
                measure.fetched(Fetched::Same);
                self.same(commit);
                None
            }
            Ok(Looked::Loaded(loaded)) if self.is_current(&loaded) => {
                measure.fetched(Fetched::Same);
                self.seen(&loaded);
                None
            }
            Ok(Looked::Loaded(loaded)) => match self.continues(loaded.revision().commit).await {
                Ok(()) => {
                    measure.fetched(Fetched::New);
                    Some(*loaded)
                }
                Err(diagnostics) => {
                    measure.fetched(Fetched::Failed);
                    self.state.rejected = Some(loaded.origin());
                    self.broken(Side::Git, &diagnostics);
                    None
                }
            },
            Err(refused) => {
                measure.fetched(Fetched::Failed);
                self.state.rejected = refused.origin;
                self.broken(Side::Git, &refused.diagnostics);
                None
            }
        }
    }

    /// Checks that a commit continues what was followed: what was rewritten is held, and never taken for "delete all".
    async fn continues(&self, commit: Option<String>) -> Result<(), Diagnostics> {
        let history = self.following.history.clone();
        let (location, settings) =
            (self.following.poll.location().clone(), self.following.settings.clone());
        blocking(move || history.check(&location, &settings, commit.as_deref())).await
    }

    fn is_current(&self, loaded: &pipeline::Loaded) -> bool {
        self.current.as_ref().is_some_and(|current| current.inputs == loaded.revision().inputs)
    }

    /// Takes note of a revision whose inputs are those of the one before; an approval may have come with it.
    fn seen(&mut self, loaded: &pipeline::Loaded) {
        let approvals = &loaded.approvals().files;
        if let Some(current) = self.current.as_mut().filter(|c| c.approvals != *approvals) {
            current.approvals.clone_from(approvals);
            self.due.whole = Some(Instant::now());
        }
        self.found_again(loaded.revision());
    }

    /// Takes note of a commit that is not the site's business.
    fn same(&mut self, commit: Option<String>) {
        let Some(current) = &self.current else { return };
        if commit.is_some() || self.state.problems.contains_key(&Side::Git) {
            let known = &current.desired.revision;
            let commit = commit.or_else(|| known.commit.clone());
            let inputs = current.inputs;
            self.found_again(Revision { commit, inputs, ..known.clone() });
        }
    }

    fn found_again(&mut self, revision: Revision) {
        self.following.history.goes_on(revision.commit.as_deref());
        if self.state.applied.as_ref().is_some_and(|applied| applied.inputs == revision.inputs) {
            self.state.applied = Some(revision.clone());
            if let Some(current) = &self.current {
                self.reports.in_force(&current.desired, &revision);
            }
        }
        self.state.observed = Some(revision);
        self.state.rejected = None;
        let news = self.state.works(Side::Git);
        self.reports.tell(news);
    }

    /// Renders a revision and reconciles it, and any newer one that comes meanwhile.
    pub(super) async fn take(&mut self, loaded: pipeline::Loaded) {
        let mut next = Some(loaded);
        while let Some(loaded) = next.take() {
            let (site, revision) = (loaded.site().clone(), loaded.revision());
            let news = self.state.found(&site, &revision);
            self.reports.tell(news);
            match self.desire(loaded).await {
                Ok(before) => {
                    self.following.history.goes_on(revision.commit.as_deref());
                    self.refused = None;
                    let news = self.state.works(Side::Git);
                    self.reports.tell(news);
                    let done = match self.apply_touched(before).await {
                        Some(done) => done,
                        None => self.reconcile().await,
                    };
                    if let Next::Newer(newer) = done {
                        next = Some(*newer);
                    }
                }
                Err(diagnostics) => {
                    self.following.measure.reconciled(Reconciled::Failed);
                    self.broken(Side::Git, &diagnostics);
                    self.refused = Some(revision.inputs);
                    // an apply that it stopped goes on
                    if self.current.is_some() && self.due.whole.is_none() {
                        self.due.whole = Some(Instant::now());
                    }
                }
            }
        }
    }

    /// Renders `loaded`, and desires it from now on; returns what was desired of the site before.
    #[tracing::instrument(target = "sitewright::trace", name = "render", skip_all)]
    async fn desire(
        &mut self,
        loaded: pipeline::Loaded,
    ) -> Result<Option<Arc<Desired>>, Diagnostics> {
        if let Some(seat) = &self.following.seat
            && let Err(taken) = self.following.claims.check(seat, loaded.site())
        {
            // whatever it followed so far is another's
            self.current = None;
            return Err((*taken).into());
        }
        let inputs = loaded.revision().inputs;
        let approvals = loaded.approvals().files.clone();
        let settings = self.following.settings.clone();
        let begun = Instant::now();
        let rendered = blocking(move || {
            let footprint = loaded.footprint().map(Arc::new);
            Ok((pipeline::render(loaded, &settings)?, footprint))
        });
        let rendered = rendered.await;
        self.following.measure.took(Stage::Render, begun);
        let (rendered, footprint) = rendered?;
        let desired = Arc::new(self.served(rendered.desired).await?);
        let (before, watches, claim) = match self.current.take() {
            Some(current) if current.desired.site == desired.site => {
                (Some(current.desired), current.watches, current.claim)
            }
            _ => {
                let cluster = self.following.cluster.facts().uid.clone();
                let claim = self
                    .following
                    .claims
                    .claim(cluster, &desired.site, &self.following.name)
                    .map_err(|taken| *taken)?;
                let watches = self.following.cluster.watches(&desired.site);
                self.following.measure.watches(&watches);
                (None, watches, claim)
            }
        };
        let rendered = Arc::clone(&desired);
        let is_in_force = false;
        self.current = Some(Current {
            desired,
            rendered,
            is_in_force,
            inputs,
            footprint,
            approvals,
            watches,
            claim,
        });
        Ok(before)
    }

    /// Returns what was rendered as this cluster serves it, under the policy of who follows it.
    pub(super) async fn served(&self, rendered: Desired) -> Result<Desired, Diagnostics> {
        let open = render::open_kinds(&rendered);
        let outside = self.following.cluster.outside_namespaces(&open).await.map_err(diagnosed)?;
        let desired = render::in_served_scopes(rendered, &outside)?;
        let mut desired = match self.following.drift {
            Some(drift) => desired.with_drift(drift),
            None => desired,
        };
        desired.fold();
        Ok(desired)
    }
}

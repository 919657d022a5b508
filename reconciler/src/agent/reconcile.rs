//! The loop of one site: what is new in git or on the cluster, one thing at a time.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::Timestamp;
use sitewright_cluster::{
    CancellationToken, Cluster, Error,
    apply::{End, Event, Options, Report},
    observe::Depth,
    watch::Watches,
};
use sitewright_model::{
    code,
    desired::Desired,
    diagnostic::{Diagnostic, Diagnostics, Severity},
    digest::Digest,
    format::site::DriftPolicy,
    live::{Live, Reach},
    name::SiteName,
    object::{GroupKind, Uid},
    plan::{self, Action, ApprovalFile, Consent, Plan},
    render,
    revision::Revision,
};
use sitewright_source::Settings;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::Instrument;

use super::{
    claim::{Claim, Claims},
    drain::Drains,
    fight::Fights,
    history::History,
    memory,
    news::News,
    pace::Pace,
    polls::{Looked, Poll},
    rollback::Verdict,
    state::{Activity, Problem, Side, State},
    trace::{Trace, Traced},
    web::{Fetched, Measure, Reconciled, Stage},
};
use crate::{
    lineage::Chronicle,
    pipeline::{self, Footprint},
    weigh::{Weighed, weigh},
};

/// How long after an apply it is looked for nodes that a wave has to take.
const WAVES: Duration = Duration::from_secs(10 * 60);

/// News that may wait for their reader; further ones are dropped, and the state has what matters.
const NEWS: usize = 256;

/// Says that git may have something new. Pulled many times, it is one look.
#[derive(Clone, Default)]
pub(crate) struct Trigger(Arc<Notify>);

impl Trigger {
    /// Asks for a look.
    pub(crate) fn pull(&self) {
        self.0.notify_one();
    }

    /// Waits until a look is asked for.
    pub(crate) async fn pulled(&self) {
        self.0.notified().await;
    }
}

/// What is followed, and how.
pub(crate) struct Following {
    /// The way to where the site is.
    pub(crate) poll: Poll,
    /// How sources are read.
    pub(crate) settings: Settings,
    /// The cluster that it describes.
    pub(crate) cluster: Cluster,
    /// How often to look.
    pub(crate) pace: Pace,
    /// What to do about drift in components that have no policy of their own; default what the site says.
    pub(crate) drift: Option<DriftPolicy>,
    /// Who follows it, for messages.
    pub(crate) name: String,
    /// What others follow.
    pub(crate) claims: Claims,
    /// Where it is measured.
    pub(crate) measure: Measure,
    /// Where it is recorded.
    pub(crate) chronicle: Chronicle,
    /// What was followed before.
    pub(crate) history: History,
}

/// Follows one site on one cluster.
pub(crate) struct Reconciler {
    pub(super) following: Following,
    trigger: Trigger,
    pub(super) stop: CancellationToken,
    pub(super) reports: Reports,
    pub(super) state: State,
    pub(super) current: Option<Current>,
    pub(super) fights: Fights,
    drains: Drains,
    pub(super) verdict: Verdict,
    /// Until when nodes may become due for a wave.
    waves_until: Option<Instant>,
    /// Looks at the whole that failed in a row.
    failures: u32,
    /// Looks at the whole in a row that found something to do.
    busy: u32,
    /// Whether the last look at the whole found everything as it should be, with nothing held.
    pub(super) rested: bool,
    /// The inputs of the revision that could not be rendered last: it stops no apply.
    refused: Option<Digest>,
    /// When to look at git, and at the whole cluster.
    due: Due,
}

/// Where the agent tells what it knows.
pub(super) struct Reports {
    state: watch::Sender<State>,
    news: mpsc::Sender<Traced<News>>,
    measure: Measure,
    chronicle: Chronicle,
    cluster: Uid,
    site: Option<SiteName>,
    /// What is in force, as it was recorded last.
    in_force: Option<Digest>,
}

/// What is desired now, the watches over it, and the right to it.
pub(super) struct Current {
    /// What is in force: what git has, but for components that went back.
    pub(super) desired: Arc<Desired>,
    /// What git has.
    pub(super) rendered: Arc<Desired>,
    /// Whether it was looked which components are to be what they were.
    pub(super) is_in_force: bool,
    inputs: Digest,
    /// What the site was read from; none where each commit is to be read.
    footprint: Option<Arc<Footprint>>,
    /// The approvals beside the site; they are no part of its inputs.
    pub(super) approvals: Vec<ApprovalFile>,
    pub(super) watches: Watches,
    /// Held for as long as the site is followed.
    claim: Claim,
}

impl Current {
    /// Folds what was looked at: a site at rest is text.
    fn fold(&mut self) {
        let is_same = Arc::ptr_eq(&self.desired, &self.rendered);
        if !self.desired.is_folded() {
            Arc::make_mut(&mut self.desired).fold();
        }
        if is_same {
            self.rendered = Arc::clone(&self.desired);
        } else if !self.rendered.is_folded() {
            Arc::make_mut(&mut self.rendered).fold();
        }
    }
}

struct Due {
    poll: Instant,
    whole: Option<Instant>,
}

/// Why the loop woke.
enum Wake {
    Stop,
    /// Git may have something new; a look before this time does not count.
    Git(Instant),
    /// Something on the cluster changed.
    Noticed,
    /// It is time for a look at the whole cluster.
    Whole,
    /// The pause of a fight is over.
    Fight,
}

/// What comes after a look at the whole.
pub(super) enum Next {
    /// Rest.
    Rest,
    /// A newer revision was found meanwhile.
    Newer(Box<pipeline::Loaded>),
}

/// What a reconciler tells its owner.
pub(crate) struct Told {
    /// The state, whenever it changed.
    pub(crate) state: watch::Receiver<State>,
    /// What is worth a sentence.
    pub(crate) news: mpsc::Receiver<Traced<News>>,
}

impl Reconciler {
    /// Makes the loop; [`Reconciler::run`] runs it.
    pub(crate) fn new(
        following: Following,
        trigger: Trigger,
        stop: CancellationToken,
    ) -> (Self, Told) {
        let (state_sender, state) = watch::channel(State::default());
        let (news_sender, news) = mpsc::channel(NEWS);
        let reports = Reports {
            state: state_sender,
            news: news_sender,
            measure: following.measure.clone(),
            chronicle: following.chronicle.clone(),
            cluster: following.cluster.facts().uid.clone(),
            site: None,
            in_force: None,
        };
        let reconciler = Self {
            following,
            trigger,
            stop,
            reports,
            state: State::default(),
            current: None,
            fights: Fights::default(),
            drains: Drains::default(),
            verdict: Verdict::default(),
            waves_until: None,
            failures: 0,
            busy: 0,
            rested: false,
            refused: None,
            due: Due { poll: Instant::now(), whole: None },
        };
        (reconciler, Told { state, news })
    }

    /// Runs until it is stopped; what is under way then ends between two requests.
    pub(crate) async fn run(mut self) {
        loop {
            match self.wake().await {
                Wake::Stop => return,
                Wake::Git(not_before) => {
                    let begun = Instant::now();
                    if let Some(loaded) = self.fetch(not_before).await {
                        let trace = self.trace("git", begun);
                        trace.past("fetch", begun.elapsed());
                        trace.with(self.take(loaded)).await;
                        trace.end(&self.state);
                    }
                }
                Wake::Noticed => self.look().await,
                Wake::Whole => {
                    let trace = self.trace("resync", Instant::now());
                    trace.with(self.again()).await;
                    trace.end(&self.state);
                }
                Wake::Fight => {
                    let over = self.fights.over(Instant::now()).into_iter().collect();
                    let trace = self.trace("fight", Instant::now());
                    trace.with(self.look_at(over)).await;
                    trace.end(&self.state);
                }
            }
            self.report();
        }
    }

    /// Begins the trace of what `trigger` woke.
    pub(super) fn trace(&self, trigger: &'static str, begun: Instant) -> Trace {
        let Following { measure, name, .. } = &self.following;
        measure.trace.begin(name, trigger, begun.elapsed())
    }

    async fn wake(&self) -> Wake {
        let noticed = async {
            match &self.current {
                Some(current) => current.watches.noticed().await,
                None => std::future::pending().await,
            }
        };
        let at = async |time: Option<Instant>| match time {
            Some(time) => sleep_until(time).await,
            None => std::future::pending().await,
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Wake::Stop,
            not_before = self.git() => Wake::Git(not_before),
            () = noticed => Wake::Noticed,
            () = at(self.due.whole) => Wake::Whole,
            () = at(self.fights.next()) => Wake::Fight,
        }
    }

    /// Waits until git may have something new; returns since when an older look does not count.
    async fn git(&self) -> Instant {
        let (now, poll) = (Instant::now(), self.following.pace.poll);
        let lately = || Instant::now().checked_sub(poll.mul_f64(0.8)).unwrap_or(now);
        tokio::select! {
            () = self.trigger.pulled() => Instant::now(),
            () = sleep_until(self.due.poll) => lately(),
            () = self.following.poll.news() => lately(),
        }
    }

    // === git ===

    /// Looks at git; returns what is there where it is not what is desired already.
    async fn fetch(&mut self, not_before: Instant) -> Option<pipeline::Loaded> {
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
    async fn take(&mut self, loaded: pipeline::Loaded) {
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

    // === the whole ===

    pub(super) async fn again(&mut self) {
        if let Next::Newer(loaded) = self.reconcile().await {
            self.take(*loaded).await;
        }
    }

    /// Makes the cluster what is desired, as far as nothing holds it.
    async fn reconcile(&mut self) -> Next {
        self.due.whole = None;
        self.rested = false;
        self.state.activity = Activity::Reconciling;
        self.report();
        let next = match self.whole().await {
            Ok(next) => next,
            Err(error) => {
                self.following.measure.reconciled(Reconciled::of_error(&error));
                self.broken(Side::Cluster, &diagnosed(error));
                self.retry();
                Next::Rest
            }
        };
        self.state.activity = Activity::Resting;
        next
    }

    async fn whole(&mut self) -> Result<Next, Error> {
        self.put_in_force().await?;
        let Some(current) = &mut self.current else { return Ok(Next::Rest) };
        let desired = Arc::clone(&current.desired);
        self.reports.in_force(&desired, &desired.revision);
        let approvals = current.approvals.clone();
        current.watches.follow(&kinds(&desired)).await?;
        // what was noticed until here is seen by the look that follows
        current.watches.take();
        // An approval binds the plan as a person saw it, with what the server says of each create.
        let depth = if approvals.is_empty() { Depth::SkipCreates } else { Depth::Full };
        let begun = Instant::now();
        let live = self.following.cluster.observe(&desired, depth).await?;
        let now = Timestamp::now();
        let planning = tracing::info_span!(target: "sitewright::trace", "plan");
        let plan = planning.in_scope(|| plan::plan(&desired, &live, now));
        let cluster = self.following.cluster.clone();
        let weighing = weigh(&cluster, &desired, &live, plan, self.drains.may_hold());
        let mut weighed = weighing.instrument(planning).await?;
        weighed.plan = weighed.plan.with_approvals(&approvals);
        self.following.measure.took(Stage::Plan, begun);
        let plan = &weighed.plan;
        if !self.may_go_back(plan).await? {
            self.due.whole = Some(Instant::now());
            return Ok(Next::Rest);
        }
        let news = self.state.planned(plan, &live.reach, now);
        self.reports.tell(news);
        self.report();
        if !has_work(plan) {
            let health = cluster.status(&desired, &live).await?;
            let now = Timestamp::now();
            let news = self.state.assessed(&health, &Reach::Whole, now);
            self.reports.tell(news);
            self.state.applied = Some(plan.revision.clone());
            self.note_health(plan).await?;
            let news = self.drains.step(&cluster, &desired, &weighed, &self.state).await?;
            self.reports.tell(news);
            self.rest(&weighed);
            return Ok(Next::Rest);
        }
        let news = self.drains.step(&cluster, &desired, &weighed, &self.state).await?;
        self.reports.tell(news);
        let begun = Instant::now();
        let (report, next) = self.apply(&desired, plan, &live).await?;
        self.following.measure.took(Stage::Apply, begun);
        self.following.measure.reconciled(Reconciled::of(report.end));
        self.conclude(&report, &live.reach);
        self.judge(&report).await?;
        self.watch_waves(&desired);
        Ok(next)
    }

    /// Applies, and looks out for a newer revision, which comes first (law 8).
    #[tracing::instrument(target = "sitewright::trace", name = "apply", skip_all)]
    pub(super) async fn apply(
        &mut self,
        desired: &Arc<Desired>,
        plan: &Plan,
        live: &Live,
    ) -> Result<(Report, Next), Error> {
        let cancel = self.stop.child_token();
        let (events, receiver) = mpsc::channel::<Event>(1);
        drop(receiver);
        let (cluster, options) = (self.following.cluster.clone(), Options::default());
        let apply = cluster.apply(desired, plan, live, options, events, cancel.clone());
        let mut apply = std::pin::pin!(apply);
        let mut next = Next::Rest;
        loop {
            tokio::select! {
                report = &mut apply => return Ok((report?, next)),
                loaded = self.newer(), if matches!(next, Next::Rest) => {
                    next = Next::Newer(Box::new(loaded));
                    cancel.cancel();
                }
            }
        }
    }

    /// Waits until git has something newer.
    async fn newer(&mut self) -> pipeline::Loaded {
        loop {
            let not_before = self.git().await;
            let found = self.fetch(not_before).await;
            let is_refused =
                |loaded: &pipeline::Loaded| Some(loaded.revision().inputs) == self.refused;
            if let Some(loaded) = found.filter(|loaded| !is_refused(loaded)) {
                return loaded;
            }
        }
    }

    pub(super) fn conclude(&mut self, report: &Report, reach: &Reach) {
        self.reports.applied(report);
        let news = self.state.applied(report, reach, Timestamp::now());
        self.reports.tell(news);
        match report.end {
            End::Stopped => {}
            End::Converged | End::Held if report.troubles.is_empty() => {
                let news = self.state.works(Side::Cluster);
                self.reports.tell(news);
                self.failures = 0;
                self.busy = self.busy.saturating_add(1);
                // What the plan did not touch may be ill, so the whole is looked at once more, at once. Where that
                // finds work again and again (a webhook that rewrites our field, a change that waits for one that is
                // held), the pauses grow as after failures.
                let pause = match self.busy {
                    1 => Duration::ZERO,
                    busy => self.following.pace.next_retry(busy),
                };
                self.due.whole = Some(Instant::now() + pause);
            }
            _ => {
                if let Some(trouble) = report.troubles.first() {
                    let (code, message) = (trouble.code.clone(), trouble.message.clone());
                    let since = Timestamp::now();
                    let problem = Problem { code, message, passes: true, since };
                    let news = self.state.failed(Side::Cluster, problem);
                    self.reports.tell(news);
                }
                self.retry();
            }
        }
    }

    /// Nothing is to be done.
    fn rest(&mut self, weighed: &Weighed) {
        let plan = &weighed.plan;
        if let Some(current) = &mut self.current {
            current.fold();
        }
        memory::give_back_soon();
        let news = self.state.works(Side::Cluster);
        self.reports.tell(news);
        self.failures = 0;
        let is_held = plan.changes().any(|(_, change)| !change.gates.is_empty());
        let end = if is_held { Reconciled::Held } else { Reconciled::Converged };
        self.following.measure.reconciled(end);
        let is_watching = self.waves_until.is_some_and(|until| Instant::now() < until);
        // whatever could begin has begun, and is in the ledger
        let waits = self.drains.waits(Timestamp::now()).or(is_watching.then_some(Duration::ZERO));
        let is_held = is_held || !plan.waves.is_empty();
        let rest = if let Some(waited) = waits {
            self.following.pace.next_while_draining(waited)
        } else if is_held {
            self.following.pace.next_while_held()
        } else {
            self.following.pace.next_resync()
        };
        self.busy = 0;
        self.rested = !is_held;
        self.due.whole = Some(Instant::now() + rest);
    }

    /// What an apply makes outdated shows only once an operator has acted on it, and is no event of ours.
    pub(super) fn watch_waves(&mut self, desired: &Desired) {
        if desired.components.iter().any(|component| !component.waves.is_empty()) {
            self.waves_until = Some(Instant::now() + WAVES);
        }
    }

    /// Asks for a look at the whole, at once.
    pub(super) fn look_at_the_whole(&mut self) {
        self.due.whole = Some(Instant::now());
    }

    pub(super) fn retry(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.rested = false;
        self.due.whole = Some(Instant::now() + self.following.pace.next_retry(self.failures));
    }

    // === telling ===

    pub(super) fn broken(&mut self, side: Side, diagnostics: &Diagnostics) {
        let problem = Problem::of(diagnostics, passes(diagnostics), Timestamp::now());
        let news = self.state.failed(side, problem);
        self.reports.tell(news);
    }

    pub(super) fn report(&self) {
        self.reports.state.send_if_modified(|told| {
            let changed = *told != self.state;
            if changed {
                told.clone_from(&self.state);
            }
            changed
        });
    }
}

impl Reports {
    /// Records that `desired` is in force from now on, unless it was already.
    ///
    /// `revision` is what git has: a commit that does not touch the site is in force as well.
    pub(super) fn in_force(&mut self, desired: &Desired, revision: &Revision) {
        // an old commit that comes back is another epoch, even where it renders the same
        let inputs = revision.inputs.to_string();
        let commit = revision.commit.clone().unwrap_or_default();
        let sign = Digest::of_parts([inputs, commit, desired.digest.to_string()]);
        if self.in_force.replace(sign) != Some(sign) {
            self.site = Some(desired.site.clone());
            let Desired { site, digest, .. } = desired;
            self.chronicle.began(&self.cluster.0, site, revision, *digest);
        }
    }

    fn applied(&self, report: &Report) {
        self.chronicle.applied(&self.cluster.0, report);
    }

    pub(super) fn tell(&self, news: impl IntoIterator<Item = News>) {
        for news in news {
            self.measure.told(&news);
            if let Some(site) = &self.site {
                self.chronicle.told(&self.cluster.0, site, &news);
            }
            // who does not read them loses sentences, and no facts: those are in the state
            let _ = self.news.try_send(Traced::here(news));
        }
    }
}

/// Runs blocking work; a panic in it is a problem of this site, and of no other.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Diagnostics> + Send + 'static,
) -> Result<T, Diagnostics> {
    spawn_blocking(work).await.unwrap_or_else(|error| {
        let message = format!("this is a bug in Sitewright: {error}");
        Err(Diagnostic::error(code::machine::BUG, message).into())
    })
}

/// Returns whether waiting can help: a server that does not answer may answer later.
fn passes(diagnostics: &Diagnostics) -> bool {
    diagnostics.0.iter().filter(|one| one.severity == Severity::Error).all(|error| {
        error.code == code::source::REPOSITORY_UNREACHABLE
            || code::cluster::ALL.contains(&error.code)
            || code::apply::ALL.contains(&error.code)
    })
}

pub(super) fn diagnosed(error: Error) -> Diagnostics {
    error.diagnostic().into()
}

fn kinds(desired: &Desired) -> BTreeSet<GroupKind> {
    desired.objects().map(|(_, object)| object.object.id().kind.clone()).collect()
}

pub(super) fn has_work(plan: &Plan) -> bool {
    plan.changes().any(|(_, change)| {
        !matches!(change.action, Action::None | Action::Unknown)
            && change.held_by(Consent::None).next().is_none()
    })
}

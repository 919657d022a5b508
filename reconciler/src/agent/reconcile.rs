//! The loop of one site: what is new in git or on the cluster, one thing at a time.

use std::sync::Arc;

use jiff::Timestamp;
use sitewright_cluster::{CancellationToken, Cluster, Error, apply::Report, watch::Watches};
use sitewright_model::{
    code,
    desired::Desired,
    diagnostic::{Diagnostic, Diagnostics, Severity},
    digest::Digest,
    format::site::DriftPolicy,
    name::SiteName,
    object::Uid,
    plan::ApprovalFile,
    revision::Revision,
};
use sitewright_source::Settings;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::{
    claim::{Claim, Claims, Seat},
    drain::Drains,
    fight::Fights,
    history::History,
    news::News,
    pace::Pace,
    pauses::Pauses,
    polls::Poll,
    rollback::Verdict,
    state::{Problem, Side, State},
    trace::{Trace, Traced},
    web::Measure,
};
use crate::{lineage::Chronicle, pipeline::Footprint};

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
    /// The SiteSync that says so, if one does.
    pub(crate) seat: Option<Seat>,
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
    pub(super) drains: Drains,
    pub(super) verdict: Verdict,
    /// Until when nodes may become due for a wave.
    pub(super) waves_until: Option<Instant>,
    /// How long it pauses before it looks at the whole again.
    pub(super) pauses: Pauses,
    /// Whether the last look at the whole found everything as it should be, with nothing held.
    pub(super) rested: bool,
    /// The inputs of the revision that could not be rendered last: it stops no apply.
    pub(super) refused: Option<Digest>,
    /// When to look at git, and at the whole cluster.
    pub(super) due: Due,
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
    pub(super) inputs: Digest,
    /// What the site was read from; none where each commit is to be read.
    pub(super) footprint: Option<Arc<Footprint>>,
    /// The approvals beside the site; they are no part of its inputs.
    pub(super) approvals: Vec<ApprovalFile>,
    pub(super) watches: Watches,
    /// Held for as long as the site is followed.
    pub(super) claim: Claim,
}

impl Current {
    /// Folds what was looked at: a site at rest is text.
    pub(super) fn fold(&mut self) {
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

/// When to look.
pub(super) struct Due {
    /// At git.
    pub(super) poll: Instant,
    /// At the whole cluster.
    pub(super) whole: Option<Instant>,
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
            pauses: Pauses::default(),
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
    pub(super) async fn git(&self) -> Instant {
        let (now, poll) = (Instant::now(), self.following.pace.poll);
        let lately = || Instant::now().checked_sub(poll.mul_f64(0.8)).unwrap_or(now);
        tokio::select! {
            () = self.trigger.pulled() => Instant::now(),
            () = sleep_until(self.due.poll) => lately(),
            () = self.following.poll.news() => lately(),
        }
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

    /// Records what came of an apply.
    pub(super) fn applied(&self, report: &Report) {
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

//! One SiteSync: from what it says to a loop that follows the site, and from that to its status.

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use jiff::Timestamp;
use sitewright_cluster::{
    CancellationToken, Cluster, Connection, Error, GivenKubeconfig,
    sync::{DriftMode, SecretData, SecretReference, SiteSync, SiteSyncStatus, SyncKey, Teller},
};
use sitewright_model::{
    code::{agent, machine},
    diagnostic::{Diagnostic, Diagnostics},
    format::site::DriftPolicy,
    health::parse_duration,
};
use sitewright_source::{Location, Reference, Secret, Settings, Url, location::Repository};
use tokio::time::{Instant, sleep, timeout};

use super::{
    claim::{Claims, Seat},
    credentials::Credentials,
    fleet::{until, write},
    history::History,
    news::{News, Reason},
    notifications::{Notifier, Scope, Secrets},
    pace::Pace,
    polls::Polls,
    reconcile::{Following, Reconciler, Told, Trigger},
    state::{Problem, Side, State},
    status,
    web::{HookSecret, HookTarget, Hooks, Measure, Web},
};

/// The shortest time between two writes of one status.
const WRITES: Duration = Duration::from_secs(1);

/// How soon a status that could not be written is tried again.
const REWRITE: Duration = Duration::from_secs(10);

/// How long the last status may take when the loop ends.
const LAST: Duration = Duration::from_secs(5);

/// How often a SiteSync that cannot be followed is looked at again: a Secret may have come.
const AGAIN: Duration = Duration::from_secs(30);

/// A SiteSync, and what its loop needs.
pub(super) struct Tended {
    pub(super) key: SyncKey,
    pub(super) sync: SiteSync,
    /// The cluster that the SiteSync is on.
    pub(super) home: Cluster,
    pub(super) settings: Settings,
    pub(super) claims: Claims,
    pub(super) polls: Polls,
    pub(super) web: Web,
    pub(super) stop: CancellationToken,
}

/// Follows a SiteSync until it is stopped; also after a bug of ours ended its loop.
pub(super) async fn tend(tended: Tended) {
    while let Err(panic) = AssertUnwindSafe(tend_once(&tended)).catch_unwind().await {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or_default();
        let bug = Diagnostic::error(machine::BUG, format!("this is a bug in Sitewright: {said}"));
        let mut state = State::default();
        let news = state.failed(Side::Cluster, Problem::of(&bug.into(), true, Timestamp::now()));
        tell(&tended.home.teller(&tended.sync), news).await;
        let mut known = tended.sync.status.clone().unwrap_or_default();
        tended.show(&state, &mut known, None).await;
        tokio::select! {
            () = tended.stop.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

async fn tend_once(tended: &Tended) {
    let teller = tended.home.teller(&tended.sync);
    let mut known = tended.sync.status.clone().unwrap_or_default();
    let mut state = State::default();
    while !tended.stop.is_cancelled() {
        let round = tended.stop.child_token();
        match tended.following(&round, &known).await {
            Ok((following, credentials)) => {
                tended.follow(following, &credentials, &round, (&teller, &mut known)).await;
                // it was stopped, or there are other credentials to begin anew with
                state = State::default();
                continue;
            }
            Err(diagnostics) => {
                let news =
                    state.failed(Side::Git, Problem::of(&diagnostics, false, Timestamp::now()));
                tell(&teller, news).await;
                tended.show(&state, &mut known, None).await;
            }
        }
        tokio::select! {
            () = tended.stop.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

impl Tended {
    /// Runs the loop of the site, and shows what it tells, until `round` is over: it is stopped, or a Secret that it was
    /// begun with is another one by now.
    async fn follow(
        &self,
        following: Following,
        credentials: &Credentials,
        round: &CancellationToken,
        (teller, known): (&Teller, &mut SiteSyncStatus),
    ) {
        let trigger = Trigger::default();
        let (measure, pace) = (following.measure.clone(), following.pace);
        let (reconciler, told) = Reconciler::new(following, trigger.clone(), round.clone());
        let notifier = self.notifier(known);
        let state = told.state.clone();
        let others = async {
            let read = async |reference: &SecretReference| self.secret(reference).await;
            credentials.changed(state, pace, read).await;
            tracing::info!(target: "sitewright::news", sync = %self.key, "a Secret has changed: it is begun anew with it");
            round.cancel();
        };
        let (_, last, _, (), _) = tokio::join!(
            reconciler.run(),
            self.show_all(told, teller, known, (&notifier, &measure)),
            round.run_until_cancelled(self.wait_for_pushes(trigger, teller)),
            notifier.run(self, round),
            round.run_until_cancelled(others),
        );
        // what was told is not to be told again by the next agent
        let to_the_end = self.home.until(&CancellationToken::new());
        let _ = timeout(LAST, self.show_by(&to_the_end, &last, known, Some(&notifier))).await;
    }

    /// Returns what tells others of the site, and knows what they were told before.
    fn notifier(&self, known: &SiteSyncStatus) -> Notifier {
        let scope = Scope::of_sync(&self.key, known.site.as_deref());
        let (whom, told) = (&self.sync.spec.notifications, &known.notifications);
        Notifier::new(scope, whom, told, self.measure(), self.web.outbox.clone())
    }

    /// Shows what the loop tells, until it ends; returns what it told last.
    async fn show_all(
        &self,
        told: Told,
        teller: &Teller,
        known: &mut SiteSyncStatus,
        (notifier, measure): (&Notifier, &Measure),
    ) -> State {
        let Told { mut state, mut news } = told;
        let mut due: Option<Instant> = None;
        loop {
            tokio::select! {
                next = news.recv() => match next {
                    Some(next) => next.with(async |next| {
                        notifier.happened(&next, &state.borrow(), Timestamp::now());
                        tell(teller, Some(next)).await;
                    }).await,
                    None => break,
                },
                Ok(()) = state.changed(), if due.is_none() => {
                    notifier.state(&state.borrow_and_update(), Timestamp::now());
                    due = Some(Instant::now() + WRITES);
                }
                () = notifier.changed(), if due.is_none() => due = Some(Instant::now() + WRITES),
                () = until(due) => {
                    let current = state.borrow_and_update().clone();
                    notifier.state(&current, Timestamp::now());
                    let shown = self.show(&current, known, Some(notifier));
                    let is_shown = measure.trace.with(shown).await;
                    due = if is_shown { None } else { Some(Instant::now() + REWRITE) };
                }
            }
        }
        state.borrow().clone()
    }

    /// Writes the status where it changed; returns whether it is on the cluster.
    async fn show(
        &self,
        state: &State,
        known: &mut SiteSyncStatus,
        notifier: Option<&Notifier>,
    ) -> bool {
        self.show_by(&self.home, state, known, notifier).await
    }

    async fn show_by(
        &self,
        home: &Cluster,
        state: &State,
        known: &mut SiteSyncStatus,
        notifier: Option<&Notifier>,
    ) -> bool {
        let generation = self.sync.metadata.generation;
        let mut status = if status::is_told(state, generation, known) {
            known.clone()
        } else {
            self.measure().is_at(state);
            status::status(state, generation, known, Timestamp::now())
        };
        if let Some(notifier) = notifier {
            status.notifications = notifier.status();
        }
        let is_written = write(home, &self.key, &status, known).await;
        if is_written {
            *known = status;
        }
        is_written
    }

    // === pushes ===

    /// Waits for messages of the forge, for as long as the loop runs. Without them it polls: a Secret that cannot
    /// be used is told, and stops nothing.
    async fn wait_for_pushes(&self, trigger: Trigger, teller: &Teller) {
        let Some(webhook) = &self.sync.spec.webhook else { return };
        let _registered = Registered { hooks: &self.web.hooks, key: &self.key };
        let refused = Trigger::default();
        let mut told = String::new();
        loop {
            match self.hook_secrets(&webhook.secret_ref).await {
                Ok(secrets) => {
                    let (trigger, refused) = (trigger.clone(), refused.clone());
                    let target = HookTarget { secrets, trigger, refused };
                    self.web.hooks.set(self.key.clone(), target);
                    told.clear();
                }
                Err(diagnostics) => {
                    let problem = Problem::of(&diagnostics, false, Timestamp::now());
                    if told != problem.message {
                        let message = format!("{}: {}", problem.code, problem.message);
                        tell(teller, Some(News::new(Reason::Failed, message))).await;
                        told = problem.message;
                    }
                    refused.pull(); // look again
                }
            }
            // a message that is refused may be signed with what the Secret holds by now; not more often, since
            // anybody can send one
            sleep(AGAIN).await;
            refused.pulled().await;
        }
    }

    async fn hook_secrets(
        &self,
        reference: &SecretReference,
    ) -> Result<Vec<HookSecret>, Diagnostics> {
        let secret = self.secret(reference).await?;
        let key = reference.key.as_deref().unwrap_or("token");
        let text = secret.text(key).unwrap_or_default();
        HookSecret::lines(text).map_err(|why| {
            let (namespace, name) = (&self.key.namespace, &reference.name);
            unusable(format!("Secret {namespace}/{name} has no usable secret under `{key}`: {why}"))
                .into()
        })
    }

    // === from what it says ===

    /// Returns what is to be followed until `round` is over, and the Secrets that were read for it.
    ///
    /// # Errors
    /// A Secret that is not there, or a value that nothing can be made of.
    async fn following(
        &self,
        round: &CancellationToken,
        known: &SiteSyncStatus,
    ) -> Result<(Following, Credentials), Diagnostics> {
        let spec = &self.sync.spec;
        let poll = duration("source.interval", spec.source.interval.as_deref())?;
        let resync = duration("resync", spec.resync.as_deref())?;
        let usual = Pace::default();
        let mut credentials = Credentials::default();
        let following = Following {
            poll: self.polls.join(self.location(&mut credentials).await?),
            settings: self.settings.clone(),
            cluster: self.cluster(&mut credentials).await?.until(round),
            pace: Pace { poll: poll.unwrap_or(usual.poll), resync: resync.unwrap_or(usual.resync) },
            drift: spec.drift.map(|drift| match drift {
                DriftMode::Enforce => DriftPolicy::Enforce,
                DriftMode::Report => DriftPolicy::Report,
            }),
            name: format!("SiteSync {}", self.key),
            claims: self.claims.clone(),
            seat: Some(Seat::of(&self.sync)),
            measure: self.measure(),
            chronicle: self.web.chronicle.clone(),
            history: History {
                before: last_commit(known),
                accepted: spec.source.accept_rewritten.clone(),
            },
        };
        Ok((following, credentials))
    }

    fn measure(&self) -> Measure {
        Measure::of(&self.web.metrics, self.key.to_string())
    }

    async fn location(&self, credentials: &mut Credentials) -> Result<Location, Diagnostics> {
        let source = &self.sync.spec.source;
        let bad = |message: String| Diagnostics::from(bad_sync(message));
        let url = Url::parse(&source.url)
            .map_err(|problem| bad(format!("source.url is no address: {problem}")))?;
        let url = match &source.secret_ref {
            None => url,
            Some(reference) => {
                let secret = self.secret(reference).await?;
                let url = self.with_login(url, reference, &secret)?;
                credentials.were(reference, secret);
                url
            }
        };
        let reference = match source.reference.as_deref() {
            None => Reference::Default,
            Some(text) => {
                Reference::parse(text).map_err(|error| bad(format!("source.ref: {error}")))?
            }
        };
        let path = source.path.as_deref().unwrap_or_default().trim_matches('/').to_owned();
        Ok(Location::Git { repository: Repository::Remote(url), path, reference })
    }

    fn with_login(
        &self,
        url: Url,
        reference: &SecretReference,
        secret: &SecretData,
    ) -> Result<Url, Diagnostics> {
        let login = match (secret.text("username"), secret.text("password")) {
            (Some(user), Some(password)) => Some((user, password)),
            // forges take any user with a token
            _ => secret.text("bearerToken").map(|token| ("git", token)),
        };
        let named = format!("Secret {}/{}", self.key.namespace, reference.name);
        match login {
            _ if url.scheme() == "ssh" => Err(bad_sync(
                "source.secretRef is for https; ssh uses the keys of the agent's own image"
                    .to_owned(),
            )
            .into()),
            Some((user, password)) => Ok(url.with_login(user, password)),
            None => {
                let message =
                    format!("{named} has neither `username` and `password` nor `bearerToken`");
                Err(unusable(message).into())
            }
        }
    }

    async fn cluster(&self, credentials: &mut Credentials) -> Result<Cluster, Diagnostics> {
        let spec = &self.sync.spec;
        let account = spec.service_account_name.as_deref();
        let act_as =
            account.map(|name| format!("system:serviceaccount:{}:{name}", self.key.namespace));
        let connection = match &spec.cluster {
            None if act_as.is_none() => return Ok(self.home.clone()),
            None => Connection { act_as, ..self.home.connection().clone() },
            Some(target) => {
                let secret = self.secret(&target.kubeconfig).await?;
                let key = target.kubeconfig.key.as_deref().unwrap_or("kubeconfig");
                let text = secret.text(key).ok_or_else(|| {
                    let (namespace, name) = (&self.key.namespace, &target.kubeconfig.name);
                    unusable(format!("Secret {namespace}/{name} has no text under `{key}`"))
                })?;
                let given = Some(GivenKubeconfig(text.to_owned()));
                let listener = self.home.connection().listener.clone();
                credentials.were(&target.kubeconfig, secret);
                Connection { given, act_as, listener, ..Connection::default() }
            }
        };
        Cluster::connect(&connection).await.map_err(diagnosed)
    }

    async fn secret(&self, reference: &SecretReference) -> Result<SecretData, Diagnostics> {
        let SecretReference { name, .. } = reference;
        let named = format!("Secret {}/{name}", self.key.namespace);
        match self.home.secret(&self.key, name).await {
            Ok(Some(secret)) => Ok(secret),
            Ok(None) => Err(unusable(format!("{named} is not there")).into()),
            Err(error @ Error::Forbidden { .. }) => Err(unusable(error.to_string()).into()),
            Err(error) => Err(diagnosed(error)),
        }
    }
}

impl Secrets for Tended {
    async fn secret(&self, reference: &SecretReference, key: &str) -> Result<Secret, Diagnostics> {
        let secret = Self::secret(self, reference).await?;
        let key = reference.key.as_deref().unwrap_or(key);
        secret.text(key).map(Secret::new).ok_or_else(|| {
            let (namespace, name) = (&self.key.namespace, &reference.name);
            unusable(format!("Secret {namespace}/{name} has no text under `{key}`")).into()
        })
    }
}

/// A SiteSync that messages of forges are waited for, until this is dropped.
struct Registered<'r> {
    hooks: &'r Hooks,
    key: &'r SyncKey,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.hooks.remove(self.key);
    }
}

fn duration(field: &str, text: Option<&str>) -> Result<Option<Duration>, Diagnostics> {
    let Some(text) = text else { return Ok(None) };
    let read = parse_duration(text).filter(|duration| !duration.is_zero());
    read.map(Some).ok_or_else(|| bad_sync(format!("{field}: `{text}` is no duration")).into())
}

fn bad_sync(message: String) -> Diagnostic {
    Diagnostic::error(agent::BAD_SYNC, message).help("mend it with `kubectl edit sitesync`")
}

fn unusable(message: String) -> Diagnostic {
    Diagnostic::error(agent::SECRET_UNUSABLE, message)
        .help("make it in the namespace of the SiteSync; the agent looks again by itself")
}

fn diagnosed(error: Error) -> Diagnostics {
    error.diagnostic().into()
}

async fn tell(teller: &Teller, news: Option<News>) {
    let Some(News { reason, message, object, .. }) = news else { return };
    tracing::info!(target: "sitewright::news", reason = reason.text(), ?object, "{message}");
    // what goes well is in the status; an Event for each would drown the others
    if reason.is_warning() || matches!(reason, Reason::Applied | Reason::Mended | Reason::Draining)
    {
        teller.tell(reason.text(), reason.is_warning(), &message).await;
    }
}

/// Returns the commit that was followed last, by an agent before this one perhaps.
fn last_commit(status: &SiteSyncStatus) -> Option<String> {
    let known = status.observed.as_ref().or(status.applied.as_ref())?;
    known.commit.clone()
}

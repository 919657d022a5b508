use std::{
    io, net::SocketAddr, num::NonZeroUsize, path::PathBuf, thread::available_parallelism,
    time::Duration,
};

use clap::Args;
use futures::future::join_all;
use jiff::Timestamp;
use sitewright_cluster::{CancellationToken, Cluster, Error, Listener};
use sitewright_model::{
    code::{agent, machine},
    diagnostic::{Diagnostic, Diagnostics},
    lineage::ClusterId,
};
use sitewright_source::{Location, Settings, Snapshot, outbound::Reach};
use tokio::net::TcpListener;

use super::{apply::time, lineage, notifications, site::SiteArgument};
use crate::{
    agent::{
        Claims, FileEvents, Fleet, Following, History, Identity, Measure, News, Notifier, Outbox,
        Pace, Polls, Reason, Reconciler, RecordMeasure, Shard, Told, Trigger, Web, hook_routes,
        serve, status_routes,
    },
    cli::{Context, Exit, Failure, LogFormat, Stage},
    lineage::{
        Admission, Api, Destination, Lookups, Recorder, Setup, Stand, Witnesses, Witnessing,
    },
    output::words,
};

/// Follow sites: apply what is new in git, mend what is changed on the cluster, until stopped
///
/// Applies a site, then stays: it looks at git from time to time (at files of a folder whenever one
/// changes), and follows the cluster by watch. Drift is mended within a blink where the policy is to
/// enforce, and reported else, with who changed what and when; a field that somebody rewrites again and
/// again is left alone for a while. Held changes wait at their gates, as with `sitewright apply`; the rest
/// goes ahead. A newer revision stops an apply that is still under way.
///
/// With --site it follows that one site and tells of it here. Without, it follows what the SiteSyncs of the
/// cluster name, and tells of it in their status and Events: that is how it runs in a cluster
/// (`sitewright install`).
///
/// Nothing is asked of the API server while nothing changes. SIGINT or SIGTERM stops between two
/// requests.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Agent {
    /// The one site to follow: a folder with a site.yaml, or REPOSITORY//path@ref
    #[arg(long, value_name = "SITE")]
    site: Option<String>,
    /// How often to look at git, for example 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time, requires = "site")]
    poll: Duration,
    /// How often to look at the whole cluster where no event asks for it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time, requires = "site")]
    resync: Duration,
    /// Follow the SiteSyncs of this namespace alone
    #[arg(long, value_name = "NAME", conflicts_with = "site")]
    namespace: Option<String>,
    /// Stand by while another agent works: for several replicas
    #[arg(long, conflicts_with = "site")]
    elect: bool,
    /// Follow a share of the SiteSyncs alone, for example 2/3; one agent for each of 1/3, 2/3 and 3/3 follows all
    #[arg(long, value_name = "N/OF", conflicts_with = "site")]
    shard: Option<Shard>,
    /// Threads that share the work [default: as many as there are processors]
    #[arg(long, value_name = "N", conflicts_with = "site")]
    threads: Option<NonZeroUsize>,
    /// Where to answer /livez, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080", conflicts_with = "site")]
    listen: SocketAddr,
    /// Where forges tell of a push, at /hooks/NAMESPACE/NAME, for example 0.0.0.0:8081 [default: nowhere]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "site")]
    hooks: Option<SocketAddr>,
    /// A YAML file of whom else to tell: the `notifications` of a SiteSync, with secrets by environment variable
    #[arg(long, value_name = "FILE", requires = "site")]
    notifications: Option<PathBuf>,
    /// The only hosts that notifications of SiteSyncs may go to, set apart by commas [default: any but this
    /// machine and its link]
    #[arg(long, value_name = "HOSTS", conflicts_with = "site")]
    notify_hosts: Option<String>,
    /// Record lineage in this folder: what runs on the cluster, and under which commit
    #[arg(long, value_name = "DIR", requires = "lineage_key")]
    lineage: Option<PathBuf>,
    /// The file of the key that signs the record, as `sitewright lineage key` writes it
    #[arg(long, value_name = "FILE", requires = "lineage")]
    lineage_key: Option<PathBuf>,
    /// A file of LineageSettings: what may be looked up of what runs name, and which models are read
    #[arg(long, value_name = "FILE", requires = "lineage")]
    lineage_settings: Option<PathBuf>,
    /// Where the API server asks, over TLS, whether what is to serve meets the settings' policy, for example
    /// 0.0.0.0:8443 [default: nowhere]
    #[arg(long, value_name = "ADDRESS", requires = "lineage_settings", conflicts_with = "site")]
    lineage_admission: Option<SocketAddr>,
    /// The folder of tls.crt and tls.key for it
    #[arg(long, value_name = "DIR", default_value = "/etc/sitewright/tls")]
    lineage_admission_tls: PathBuf,
    /// Where to answer questions of lineage, for who may see what they ask about, for example 0.0.0.0:8082
    /// [default: nowhere]
    #[arg(long, value_name = "ADDRESS", requires = "lineage")]
    lineage_listen: Option<SocketAddr>,
    /// What tokens of who asks have to be meant for [default: the API server]
    #[arg(long, value_name = "NAME", requires = "lineage_listen")]
    lineage_audience: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  sitewright agent --site sites/lab-gpu                              a live loop while editing
  sitewright agent --site https://git.example.edu/lab.git//sites/lab-gpu@main --poll 30s
  sitewright agent --log-format json                                 in a cluster";

impl Agent {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self.site.clone() {
            Some(site) => self.follow(context, site),
            None => self.serve(context),
        }
    }

    /// Follows one site, and tells of it here.
    fn follow(&self, context: &Context, site: String) -> Result<Exit, Failure> {
        let location = SiteArgument { site: site.clone() }.location()?;
        let notifier = notifications::notifier(context, self.notifications.as_deref(), &site)?;
        let settings = context.settings()?;
        let lookups = self.lookups(&settings)?;
        let cluster = context.connect()?;
        context.screen.clear();
        let trigger = Trigger::default();
        let _events = file_events(context, &location, &settings, &trigger)?;
        let pace = Pace { poll: self.poll, resync: self.resync };
        context.interrupt.enter(Stage::Applying);
        let stop = context.interrupt.token();
        let recorder = self.recorder(&cluster, lookups, RecordMeasure::default());
        let _witnesses = self.witnesses();
        let chronicle = recorder.as_ref().map(Recorder::chronicle).unwrap_or_default();
        let record = record(recorder, &cluster, &stop);
        let following = Following {
            poll: Polls::default().join(location),
            settings,
            cluster: cluster.clone(),
            pace,
            drift: None,
            name: "this program".to_owned(),
            claims: Claims::default(),
            seat: None,
            measure: Measure::default(),
            chronicle: chronicle.clone(),
            history: History::default(),
        };
        let (reconciler, told) = Reconciler::new(following, trigger, stop.clone());
        let answers = context.wait(self.answers(&cluster))?;
        let answers = Served { listeners: answers.into_iter().collect() };
        context.wait(async {
            tokio::join!(
                reconciler.run(),
                tell(context, told, &notifier),
                notifier.run(&notifications::Environment, &stop),
                record,
                answers.run(&stop),
            )
        });
        Ok(context.interrupt.exit().unwrap_or(Exit::Success))
    }

    /// Follows the SiteSyncs of the cluster.
    fn serve(&self, context: &Context) -> Result<Exit, Failure> {
        let settings = context.settings()?;
        let cluster = context.connect()?;
        context.screen.clear();
        context.interrupt.enter(Stage::Applying);
        let stop = context.interrupt.token();
        if !context.wait(cluster.serves_syncs())? {
            return Err(no_definition().into());
        }
        let reach = self.notify_hosts.as_deref().map(Reach::only).unwrap_or_default();
        let cache = Some(settings.cache_dir.clone());
        let web = Web { cache, outbox: Outbox::to(reach), ..Web::default() };
        let metrics = web.metrics.clone();
        let cluster =
            cluster.telling(Listener::new(move |verb, code| metrics.requested(verb, code)));
        let admission = self.admission(&cluster, &settings);
        let served = context.wait(self.open(&web, &cluster, admission))?;
        let worked = context.wait(async {
            // the listeners outlive the work, so that Kubernetes sees it end in peace
            let over = CancellationToken::new();
            let work = async {
                let worked = self.work(&cluster, &settings, &web, &stop).await;
                over.cancel();
                worked
            };
            tokio::join!(work, served.run(&over)).0
        });
        match worked {
            Ok(()) | Err(Error::Stopped) => Ok(context.interrupt.exit().unwrap_or(Exit::Success)),
            Err(error) => Err(error.into()),
        }
    }

    async fn work(
        &self,
        cluster: &Cluster,
        settings: &Settings,
        web: &Web,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if !self.elect {
            web.metrics.leads(true);
            self.follow_all(cluster, settings, web, stop.child_token()).await;
            return Ok(());
        }
        while !stop.is_cancelled() {
            web.metrics.leads(false);
            web.vitals.stand_by();
            let share = self.share();
            let lead = cluster.lead(share.as_deref(), |holder| {
                tracing::info!(target: NEWS, "standing by: {holder} is at work");
            });
            let leadership = lead.await?;
            tracing::info!(target: NEWS, "at work");
            web.metrics.leads(true);
            let over = stop.child_token();
            let led = leadership.over(cluster);
            let work = self.follow_all(&led, settings, web, over.clone());
            let mut work = std::pin::pin!(work);
            tokio::select! {
                () = &mut work => {
                    let _ = leadership.release().await;
                }
                why = leadership.lost() => {
                    tracing::warn!(target: NEWS, "no longer at work: {why}");
                    over.cancel();
                    work.await;
                }
            }
        }
        Ok(())
    }

    /// Follows all SiteSyncs, and records what runs meanwhile.
    async fn follow_all(
        &self,
        cluster: &Cluster,
        settings: &Settings,
        web: &Web,
        stop: CancellationToken,
    ) {
        // a file that is broken does not keep the agent from its work: nothing is looked up until it is mended
        let lookups = self.lookups(settings).unwrap_or_else(|mistakes| {
            tracing::warn!("lineage: nothing is looked up: {mistakes}");
            None
        });
        let recorder = self.recorder(cluster, lookups, web.metrics.record());
        let _witnesses = self.witnesses();
        let chronicle = recorder.as_ref().map(Recorder::chronicle).unwrap_or_default();
        let web = Web { chronicle, ..web.clone() };
        let over = CancellationToken::new();
        let work = async {
            self.fleet(cluster, settings, &web, stop).run().await;
            over.cancel();
        };
        tokio::join!(work, record(recorder, cluster, &over));
    }

    /// Opens the record, where there is to be one.
    fn recorder(
        &self,
        cluster: &Cluster,
        lookups: Option<Lookups>,
        measure: RecordMeasure,
    ) -> Option<Recorder> {
        let (dir, key) = (self.lineage.clone()?, self.lineage_key.clone()?);
        let cluster = ClusterId::new(cluster.facts().uid.to_string());
        let destination = self.destination().unwrap_or_else(|mistakes| {
            tracing::warn!("lineage: nobody is told in OpenLineage: {mistakes}");
            None
        });
        Some(Recorder::new(Setup { dir, key, cluster, lookups, measure, destination }))
    }

    /// Reads what may be looked up.
    fn lookups(&self, settings: &Settings) -> Result<Option<Lookups>, Diagnostics> {
        let Some(file) = &self.lineage_settings else { return Ok(None) };
        Lookups::read(file, settings.clone())
    }

    /// Reads who is told in OpenLineage.
    fn destination(&self) -> Result<Option<Destination>, Diagnostics> {
        self.lineage_settings.as_deref().map_or(Ok(None), Destination::read)
    }

    fn fleet(
        &self,
        cluster: &Cluster,
        settings: &Settings,
        web: &Web,
        stop: CancellationToken,
    ) -> Fleet {
        let threads = self.threads.or_else(|| available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        let (cluster, settings) = (cluster.clone(), settings.clone());
        Fleet::new(cluster, settings, self.namespace.as_deref(), threads, web.clone(), stop)
            .sharded(self.shard)
    }

    /// Returns the name of what this agent follows, among those of which one works: a namespace, a shard, or both.
    fn share(&self) -> Option<String> {
        let shard = self.shard.map(Shard::name);
        let parts: Vec<String> = self.namespace.clone().into_iter().chain(shard).collect();
        (!parts.is_empty()).then(|| parts.join("."))
    }

    /// Opens the listeners.
    async fn open(
        &self,
        web: &Web,
        cluster: &Cluster,
        admission: Option<Admission>,
    ) -> Result<Served, Diagnostic> {
        let mut listeners = Vec::new();
        let status = listener(self.listen, "probes and metrics").await?;
        listeners.push((status, status_routes(web.clone()), None));
        if let Some(address) = self.hooks {
            let hooks = listener(address, "webhooks").await?;
            listeners.push((hooks, hook_routes(web.clone()), None));
        }
        if let Some((address, admission)) = self.lineage_admission.zip(admission) {
            let reviews = listener(address, "admission reviews").await?;
            let identity = Identity::new(self.lineage_admission_tls.clone());
            listeners.push((reviews, admission.routes(), Some(identity)));
        }
        listeners.extend(self.answers(cluster).await?);
        Ok(Served { listeners })
    }

    /// Returns what answers whether something may serve, where that is asked.
    fn admission(&self, cluster: &Cluster, settings: &Settings) -> Option<Admission> {
        self.lineage_admission?;
        let cluster = ClusterId::new(cluster.facts().uid.to_string());
        // a file that is broken refuses nothing; that it is, is said where it is read to look things up
        let policy = self.lookups(settings).ok().flatten().map(|lookups| lookups.policy);
        Some(Admission::new(self.lineage.clone()?, cluster, policy.unwrap_or_default()))
    }

    /// Opens the listener that answers questions of lineage, where there is to be one.
    async fn answers(&self, cluster: &Cluster) -> Result<Option<Listened>, Diagnostic> {
        let (Some(address), Some(dir)) = (self.lineage_listen, self.lineage.clone()) else {
            return Ok(None);
        };
        let access = lineage::access(cluster, self.lineage_audience.clone());
        let mut api = Api::new(dir.clone(), true, access);
        if let Some(key) = &self.lineage_key {
            api = api.witnessing(Stand::new(dir, key.clone(), self.witnessing()));
        }
        Ok(Some((listener(address, "questions of lineage").await?, api.routes(), None)))
    }

    /// Reads who witnesses the log, and for which logs it is a witness. A file that is broken keeps nobody from work.
    fn witnessing(&self) -> Witnessing {
        let read = self.lineage_settings.as_deref().map(Witnessing::read);
        read.transpose().map(Option::unwrap_or_default).unwrap_or_else(|mistakes| {
            tracing::warn!("lineage: nobody witnesses: {mistakes}");
            Witnessing::default()
        })
    }

    /// Asks the witnesses of the log from time to time, for as long as the value lives.
    fn witnesses(&self) -> Option<Witnesses> {
        Witnesses::ask(self.lineage.clone()?, self.witnessing())
    }
}

/// Records what runs on the cluster until it is stopped, where it is recorded.
async fn record(recorder: Option<Recorder>, cluster: &Cluster, stop: &CancellationToken) {
    if let Some(recorder) = recorder {
        recorder.run(cluster, stop).await;
    }
}

/// What is served, and where.
struct Served {
    listeners: Vec<Listened>,
}

/// Where it is served, what, and as whom over TLS.
type Listened = (TcpListener, axum::Router, Option<Identity>);

impl Served {
    /// Serves until it is over.
    async fn run(self, over: &CancellationToken) {
        let serve = |(listener, routes, identity)| serve(listener, routes, identity, over.clone());
        join_all(self.listeners.into_iter().map(serve)).await;
    }
}

/// Listens, and says for what.
pub(super) async fn listener(address: SocketAddr, what: &str) -> Result<TcpListener, Diagnostic> {
    let cannot = |error: io::Error| {
        let message = format!("the agent cannot listen at {address}: {error}");
        Diagnostic::error(machine::BAD_ARGUMENT, message).help("say another address")
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    // another one than was asked for where its port is 0
    let address = listener.local_addr().map_err(cannot)?;
    tracing::info!(target: NEWS, "listening at {address} for {what}");
    Ok(listener)
}

fn no_definition() -> Diagnostic {
    Diagnostic::error(agent::NO_DEFINITION, "the cluster does not know the kind SiteSync").help(
        "install it: `sitewright install | kubectl apply -f -`; or follow one site with --site",
    )
}

/// A folder on disk is watched; where that cannot be, it is polled as git is.
fn file_events(
    context: &Context,
    location: &Location,
    settings: &Settings,
    trigger: &Trigger,
) -> Result<Option<FileEvents>, Failure> {
    if !matches!(location, Location::WorkingTree(_)) {
        return Ok(None);
    }
    let snapshot = Snapshot::open(location, settings)?;
    let Some(top) = snapshot.working_tree() else { return Ok(None) };
    match FileEvents::watch(top, trigger.clone()) {
        Ok(events) => Ok(Some(events)),
        Err(warning) => {
            context.warn(&Diagnostics::from(*warning));
            Ok(None)
        }
    }
}

/// Tells news until there are no more.
async fn tell(context: &Context, told: Told, notifier: &Notifier) {
    let Told { mut state, mut news } = told;
    loop {
        let news = tokio::select! {
            Some(news) = news.recv() => news,
            Ok(()) = state.changed() => {
                notifier.state(&state.borrow_and_update(), Timestamp::now());
                continue;
            }
            else => return,
        };
        let log = async |news| {
            notifier.happened(&news, &state.borrow(), Timestamp::now());
            log(context, news);
        };
        news.with(log).await;
    }
}

fn log(context: &Context, news: News) {
    let News { reason, message, object, .. } = news;
    let (reason, is_warning) = (reason.text(), reason.is_warning());
    match (context.global.log_format, is_warning) {
        (LogFormat::Json, true) => tracing::warn!(target: NEWS, reason, ?object, "{message}"),
        (LogFormat::Json, false) => tracing::info!(target: NEWS, reason, ?object, "{message}"),
        // at a desk it is put right before anybody has read so
        (LogFormat::Text, _) if reason == Reason::Mending.text() => {}
        (LogFormat::Text, _) => {
            let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
            let line = format!("{now}  {reason:<11}  {}", words::clean(&message));
            context.screen.line(&line);
        }
    }
}

/// The target of news in the log.
const NEWS: &str = "sitewright::news";

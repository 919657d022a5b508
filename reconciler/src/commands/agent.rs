use std::{num::NonZeroUsize, thread::available_parallelism, time::Duration};

use clap::Args;
use sitewright_cluster::{CancellationToken, Cluster, Error};
use sitewright_model::{
    code::agent,
    diagnostic::{Diagnostic, Diagnostics},
};
use sitewright_source::{Location, Settings, Snapshot};
use tokio::sync::mpsc;

use super::{apply::time, site::SiteArgument};
use crate::{
    agent::{Claims, FileEvents, Fleet, Following, News, Pace, Reconciler, Told, Trigger},
    cli::{Context, Exit, Failure, LogFormat, Stage},
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
    /// Threads that share the work [default: as many as there are processors]
    #[arg(long, value_name = "N", conflicts_with = "site")]
    threads: Option<NonZeroUsize>,
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
        let location = SiteArgument { site }.location()?;
        let settings = context.settings()?;
        let cluster = context.connect()?;
        context.screen.clear();
        let trigger = Trigger::default();
        let _events = file_events(context, &location, &settings, &trigger)?;
        let pace = Pace { poll: self.poll, resync: self.resync };
        context.interrupt.enter(Stage::Applying);
        let stop = context.interrupt.token();
        let following = Following {
            location,
            settings,
            cluster,
            pace,
            drift: None,
            name: "this program".to_owned(),
            claims: Claims::default(),
        };
        let (reconciler, told) = Reconciler::new(following, trigger, stop);
        let Told { news, state: _state } = told;
        context.wait(async { tokio::join!(reconciler.run(), tell(context, news)) });
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
        match context.wait(self.work(&cluster, &settings, &stop)) {
            Ok(()) | Err(Error::Stopped) => Ok(context.interrupt.exit().unwrap_or(Exit::Success)),
            Err(error) => Err(error.into()),
        }
    }

    async fn work(
        &self,
        cluster: &Cluster,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        if !self.elect {
            self.fleet(cluster, settings, stop.child_token()).run().await;
            return Ok(());
        }
        while !stop.is_cancelled() {
            let lead = cluster.lead(self.namespace.as_deref(), |holder| {
                tracing::info!(target: NEWS, "standing by: {holder} is at work");
            });
            let leadership = lead.await?;
            tracing::info!(target: NEWS, "at work");
            let over = stop.child_token();
            let fleet = self.fleet(&leadership.over(cluster), settings, over.clone());
            let work = fleet.run();
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

    fn fleet(&self, cluster: &Cluster, settings: &Settings, stop: CancellationToken) -> Fleet {
        let threads = self.threads.or_else(|| available_parallelism().ok());
        let threads = threads.map_or(1, NonZeroUsize::get);
        Fleet::new(cluster.clone(), settings.clone(), self.namespace.as_deref(), threads, stop)
    }
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
async fn tell(context: &Context, mut news: mpsc::Receiver<News>) {
    while let Some(news) = news.recv().await {
        let News { reason, message, object } = news;
        let (reason, is_warning) = (reason.text(), reason.is_warning());
        match (context.global.log_format, is_warning) {
            (LogFormat::Json, true) => tracing::warn!(target: NEWS, reason, ?object, "{message}"),
            (LogFormat::Json, false) => tracing::info!(target: NEWS, reason, ?object, "{message}"),
            (LogFormat::Text, _) => {
                let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
                let line = format!("{now}  {reason:<11}  {}", words::clean(&message));
                context.screen.line(&line);
            }
        }
    }
}

/// The target of news in the log.
const NEWS: &str = "sitewright::news";

use std::time::Duration;

use clap::Args;
use sitewright_source::{Location, Snapshot};
use tokio::sync::mpsc;

use super::{apply::time, site::SiteArgument};
use crate::{
    agent::{FileEvents, News, Pace, Reconciler, Told, Trigger},
    cli::{Context, Exit, Failure, LogFormat, Stage},
    output::words,
};

/// Follow a site: apply what is new in git, mend what is changed on the cluster, until stopped
///
/// Applies the site, then stays: it looks at git from time to time (at files of a folder whenever one
/// changes), and follows the cluster by watch. Drift is mended within a blink where the policy is to
/// enforce, and reported else, with who changed what and when; a field that somebody rewrites again and
/// again is left alone for a while. Held changes wait at their gates, as with `sitewright apply`; the rest
/// goes ahead. A newer revision stops an apply that is still under way.
///
/// Nothing is asked of the API server while nothing changes. SIGINT or SIGTERM stops between two
/// requests.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Agent {
    /// The site to follow: a folder with a site.yaml, or REPOSITORY//path@ref
    #[arg(long, value_name = "SITE", default_value = ".")]
    site: String,
    /// How often to look at git, for example 30s or 5m
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    poll: Duration,
    /// How often to look at the whole cluster where no event asks for it
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = time)]
    resync: Duration,
}

const EXAMPLES: &str = "\
Examples:
  sitewright agent --site sites/lab-gpu                              a live loop while editing
  sitewright agent --site https://git.example.edu/lab.git//sites/lab-gpu@main --poll 30s";

impl Agent {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let location = SiteArgument { site: self.site.clone() }.location()?;
        let settings = context.settings()?;
        let cluster = context.connect()?;
        context.screen.clear();
        let trigger = Trigger::default();
        let _events = self.file_events(context, &location, &settings, &trigger)?;
        let pace = Pace { poll: self.poll, resync: self.resync };
        context.interrupt.enter(Stage::Applying);
        let stop = context.interrupt.token();
        let (reconciler, told) = Reconciler::new(location, settings, cluster, pace, trigger, stop);
        let Told { news, state: _state } = told;
        context.wait(async { tokio::join!(reconciler.run(), tell(context, news)) });
        Ok(context.interrupt.exit().unwrap_or(Exit::Success))
    }

    /// A folder on disk is watched; where that cannot be, it is polled as git is.
    fn file_events(
        &self,
        context: &Context,
        location: &Location,
        settings: &sitewright_source::Settings,
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
                context.warn(&(*warning).into());
                Ok(None)
            }
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

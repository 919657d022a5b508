use clap::Args;
use sitewright_cluster::{Cluster, observe::Depth};
use sitewright_model::name::SiteName;

use super::{Form, site::SiteArgument, stages};
use crate::{
    cli::{Context, Exit, Failure},
    output::status::{self as output, Remembered, State},
};

/// Show whether the site is healthy on the cluster, and what is waited for
///
/// Looks at every object of the site now: how many of a component are healthy, why the others are not
/// (the pod's reason, the finalizer and who serves it), and what differs from the site. Then what the cluster
/// remembers: which changes are held, for what and since when; nodes that are cordoned and queues that are
/// stopped for them; waves; revisions that made a component unhealthy; and the SiteSyncs that follow the site.
///
/// Exit codes: 0 healthy, 2 not healthy, 1 an error.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Status {
    #[command(flatten)]
    site: SiteArgument,
    /// The form of the result
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

const EXAMPLES: &str = "\
Examples:
  sitewright status sites/lab-gpu
  sitewright status -o json | jq -r .state";

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let planned = stages::planned(context, &self.site, Depth::Full)?;
        context.doing("asking for health");
        let health = context.wait(planned.cluster.status(&planned.desired, &planned.live))?;
        context.doing("asking what is held back");
        let remembered = context.wait(remembered(&planned.cluster, &planned.desired.site));
        let status = output::Status::of(&planned.plan, &health, &remembered);
        let text = match self.output {
            Form::Text => output::text(&status, &context.look()),
            Form::Json => crate::output::json(&status),
            Form::Markdown => output::markdown(&status),
        };
        context.print(&text)?;
        Ok(if status.state == State::Healthy { Exit::Success } else { Exit::Changes })
    }
}

/// Asks what the cluster remembers of a site. What cannot be read is told, and hides nothing else.
async fn remembered(cluster: &Cluster, site: &SiteName) -> Remembered {
    let (syncs, ledger, verdicts) =
        tokio::join!(cluster.all_syncs(), cluster.ledger(site), cluster.verdicts(site));
    Remembered::of(site, syncs, ledger, verdicts.map(|(verdicts, _)| verdicts))
}

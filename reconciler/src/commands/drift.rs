use clap::Args;
use sitewright_cluster::observe::Depth;
use sitewright_model::plan;

use super::{Form, site::SiteArgument, stages};
use crate::{
    cli::{Context, Exit, Failure},
    output::drift as output,
};

/// Show which live fields differ from the site, who wrote them and when, and whether they are mended
///
/// Drift is what somebody or something changed on the cluster, not what a new commit changes; that
/// is in the plan. Fields that the site does not set are never drift. `sitewright apply` mends it
/// where the policy is to enforce.
///
/// Exit codes: 0 no drift, 2 drift, 1 an error.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Drift {
    #[command(flatten)]
    site: SiteArgument,
    /// The form of the result
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

const EXAMPLES: &str = "\
Examples:
  sitewright drift sites/lab-gpu
  sitewright drift -o json | jq '.objects[].id'";

impl Drift {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let planned = stages::planned(context, &self.site, Depth::Full)?;
        let drift = plan::drift(&planned.plan);
        let compared = planned.plan.changes().count();
        let text = match self.output {
            Form::Text => output::text(&drift, compared, &context.look(), &self.site.invocation()),
            Form::Json => crate::output::json(&drift),
            Form::Markdown => output::markdown(&drift, compared),
        };
        context.print(&text)?;
        Ok(if drift.objects.is_empty() { Exit::Success } else { Exit::Changes })
    }
}

use clap::Args;
use sitewright_cluster::observe::Depth;

use super::{Form, comment::Comment, site::SiteArgument, stages};
use crate::{
    cli::{Context, Exit, Failure},
    output::plan::{self as output, Tally},
    plans,
};

/// Show what would change on the cluster, what that does to running work, and what waits
///
/// Renders the site and compares it with the cluster; the server's own dry run judges each change,
/// and nothing is written. Changes that are held come first, each with the way out, then those that
/// touch running work, then all changes by component. The digest names exactly this plan:
/// `sitewright apply --plan DIGEST` does it or refuses.
///
/// Exit codes: 0 nothing to change, 2 there are changes or something is held, 1 an error.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Plan {
    #[command(flatten)]
    site: SiteArgument,
    /// The form of the plan
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
    #[command(flatten)]
    comment: Comment,
}

const EXAMPLES: &str = "\
Examples:
  sitewright plan                            the site in this folder
  sitewright plan sites/lab-gpu -v           every field and object
  sitewright plan -o markdown > plan.md      a comment for a pull request
  sitewright plan --comment                  in a CI job: writes it there, and updates it in place
  sitewright plan -o json | jq .digest       for programs; schema/plan.schema.json describes it";

impl Plan {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let target = self.comment.target()?;
        let planned = stages::planned(context, &self.site, Depth::Full)?;
        plans::remember(&context.cache_dir()?, &planned.plan);
        let invocation = self.site.invocation();
        let text = match self.output {
            Form::Text => output::text(&planned.plan, &context.look(), &invocation),
            Form::Json => output::json(&planned.plan),
            Form::Markdown => output::markdown(&planned.plan, &invocation),
        };
        context.print(&text)?;
        if let Some(target) = target {
            context.doing("writing the comment");
            let done = target.write(&planned.plan, &invocation)?;
            context.screen.clear();
            if !context.global.quiet {
                context.screen.line(&done);
            }
        }
        let quiet = Tally::of_plan(&planned.plan).is_quiet();
        Ok(if quiet { Exit::Success } else { Exit::Changes })
    }
}

use std::{
    io::{self, BufRead, IsTerminal},
    time::{Duration, Instant},
};

use clap::Args;
use sitewright_cluster::{
    apply::{End, Event, ObjectOutcome, Options, Report},
    observe::Depth,
};
use sitewright_model::{
    code::machine,
    diagnostic::Diagnostic,
    format::blueprint::Hazard,
    plan::{Action, Consent, Gate, Plan, PlanDigest},
};
use tokio::sync::mpsc;

use super::{
    TextOrJson,
    named::NamedPlan,
    site::SiteArgument,
    stages::{self, Planned},
};
use crate::{
    cli::{Context, Exit, Failure, Stage},
    output::{Look, progress::Progress, report as output, words},
};

/// Events that may wait to be shown; further ones are dropped, and the report has them all.
const EVENTS: usize = 4096;
/// How often the block on a terminal is redrawn.
const REDRAW: Duration = Duration::from_millis(200);

/// Make the cluster what the site describes, as far as that is safe
///
/// Shows the plan, then does what is not held: in order of dependencies, several objects at a time,
/// waiting for health where something depends on it, and removing last. A failure stops what depends
/// on it and nothing else. Held changes stay as they are and are told with the way out.
///
/// On a terminal it asks first, unless --yes or --plan is given. Without a terminal and without either
/// it goes ahead only if no change touches running work, or an approval beside the site approves the plan.
/// --yes does not open gates; --plan opens those that wait for approval or for a maintenance window, for
/// exactly the plan with that digest. An approval in git (`sitewright approve`) opens the former only.
///
/// Where nothing is to be done nothing is asked of the cluster either, not even health: `sitewright
/// status` tells that. SIGINT or SIGTERM stops between two requests and says where it stands; the next apply goes on there.
///
/// Exit codes: 0 everything is applied, and what was applied is healthy; 2 something is held; 1 something
/// failed, was refused or did not become healthy in time; 130 or 143 stopped by a signal.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Apply {
    #[command(flatten)]
    site: SiteArgument,
    /// Apply exactly the plan with this digest, or refuse; opens its approval gates and maintenance windows. At least 12 digits
    #[arg(long, value_name = "DIGEST")]
    plan: Option<NamedPlan>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The longest wait for any one object, for example 90s, 10m, 1h [default: as the blueprints say, else 5m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    timeout: Option<Duration>,
    /// The form of the report
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

const EXAMPLES: &str = "\
Examples:
  sitewright apply sites/lab-gpu                       shows the plan, asks, applies
  sitewright apply sites/lab-gpu --yes                 in a script
  sitewright apply --plan sha256:1f3c9e2a01bc…         what was reviewed, and nothing else
  sitewright apply --yes -o json > report.json         schema/report.schema.json describes it";

/// Reads a time such as `90s`, `10m` or `1h30m`.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a time such as 90s, 10m or 1h".to_owned();
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).ok().filter(|time| !time.is_zero()).ok_or_else(wrong)
}

/// Whether an apply goes ahead.
enum Decision {
    GoAhead,
    Declined,
}

impl Apply {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let depth = if self.yes && self.plan.is_none() { Depth::SkipCreates } else { Depth::Full };
        let planned = stages::planned(context, &self.site, depth)?;
        let approval = self.approval(context, &planned.plan)?;
        stages::show(context, &planned.plan, &self.site);
        let consent = planned.plan.approved_by(approval.as_ref());
        let has_work = has_work(&planned.plan, consent);
        if has_work && matches!(self.decide(context, &planned.plan)?, Decision::Declined) {
            context.screen.line("nothing was changed");
            return Ok(Exit::Changes);
        }
        let report = self.apply(context, &planned, approval)?;
        self.end(context, &report)
    }

    /// Returns the digest that was named; an error where the plan is another one now.
    fn approval(&self, context: &Context, plan: &Plan) -> Result<Option<PlanDigest>, Failure> {
        let named = self.plan.as_ref().map(|named| named.of(context, plan, &self.site));
        named.transpose()
    }

    fn decide(&self, context: &Context, plan: &Plan) -> Result<Decision, Failure> {
        if self.yes || self.plan.is_some() {
            return Ok(Decision::GoAhead);
        }
        if io::stdin().is_terminal() && io::stderr().is_terminal() {
            return ask(context);
        }
        if plan.approval().is_some() {
            return Ok(Decision::GoAhead);
        }
        let worst = worst_hazard(plan);
        if worst == Hazard::Safe {
            return Ok(Decision::GoAhead);
        }
        Err(Diagnostic::error(
            machine::NEEDS_CONSENT,
            "this plan touches running work, and there is no terminal to ask on",
        )
        .note("nothing was changed")
        .help(format!(
            "give --yes, or apply exactly this plan: {}",
            self.site.invocation().command("apply", &format!("--plan {}", plan.digest.0))
        ))
        .into())
    }

    fn apply(
        &self,
        context: &Context,
        planned: &Planned,
        approval: Option<PlanDigest>,
    ) -> Result<Report, Failure> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        let options = Options { approval, longest_wait: self.timeout, ..Options::default() };
        context.interrupt.enter(Stage::Applying);
        let token = context.interrupt.token();
        let work = planned.cluster.apply(
            &planned.desired,
            &planned.plan,
            &planned.live,
            options,
            sender,
            token,
        );
        let report = context.wait(async {
            let (report, ()) = tokio::join!(work, show_progress(context, receiver));
            report
        });
        context.screen.clear();
        Ok(report?)
    }

    fn end(&self, context: &Context, report: &Report) -> Result<Exit, Failure> {
        let text = match self.output {
            TextOrJson::Text => output::text(report, &context.look(), &self.site.invocation()),
            TextOrJson::Json => crate::output::json(report),
        };
        context.print(&text)?;
        let stopped = context.interrupt.exit().filter(|_| report.end == End::Stopped);
        Ok(stopped.unwrap_or_else(|| exit(report)))
    }
}

/// Returns whether an apply would do anything: what is held stays as it is.
fn has_work(plan: &Plan, consent: Consent) -> bool {
    plan.changes().any(|(_, change)| {
        !matches!(change.action, Action::None | Action::Unknown)
            && change.held_by(consent).next().is_none()
    })
}

fn worst_hazard(plan: &Plan) -> Hazard {
    let ahead = plan.changes().filter(|(_, change)| change.gates.is_empty());
    ahead.map(|(_, change)| change.hazard).max().unwrap_or_default()
}

fn exit(report: &Report) -> Exit {
    match report.end {
        End::Converged => Exit::Success,
        End::Held if is_refused(report) => Exit::Failure,
        End::Held => Exit::Changes,
        End::Failed | End::Stopped => Exit::Failure,
    }
}

/// Returns whether the server or a schema refuses something: nobody's approval helps there.
fn is_refused(report: &Report) -> bool {
    let outcomes = report.components.iter().flat_map(|component| &component.objects);
    outcomes.map(|object| &object.outcome).any(|outcome| match outcome {
        ObjectOutcome::Held { gates } => gates
            .iter()
            .any(|gate| matches!(gate, Gate::Refused { .. } | Gate::UnprovenReplacement { .. })),
        _ => false,
    })
}

fn ask(context: &Context) -> Result<Decision, Failure> {
    context.interrupt.enter(Stage::Reading("waiting for an answer"));
    context.screen.write("Apply this? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| {
        Diagnostic::error(machine::UNREADABLE_FILE, format!("the answer cannot be read: {error}"))
    })?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    Ok(if yes { Decision::GoAhead } else { Decision::Declined })
}

/// Shows events until there are no more.
async fn show_progress(context: &Context, mut events: mpsc::Receiver<Event>) {
    let start = Instant::now();
    let look = context.error_look();
    let mut progress = Progress::default();
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => tell(context, &mut progress, event, start.elapsed(), &look),
                None => return,
            },
            _ = redraw.tick(), if context.screen.is_terminal() && !context.global.quiet => {
                context.screen.block(progress.block(start.elapsed(), &look));
            }
        }
    }
}

fn tell(context: &Context, progress: &mut Progress, event: Event, now: Duration, look: &Look) {
    let in_block = context.screen.is_terminal() && Progress::is_in_block(&event);
    let line = progress.take(event, now, look);
    if let Some(line) = line.filter(|_| !context.global.quiet && !in_block) {
        context.screen.line(&words::cut(&line, 2_000, look.glyphs.ellipsis()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_their_unit() {
        assert_eq!(time("90s").unwrap(), Duration::from_secs(90));
        assert_eq!(time("5m").unwrap(), Duration::from_secs(300));
        assert!(time("5").is_err());
        assert!(time("0s").is_err());
    }
}

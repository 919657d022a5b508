use std::{fs, path::Path};

use clap::Args;
use sitewright_cluster::observe::Depth;
use sitewright_model::{
    code::machine,
    diagnostic::Diagnostic,
    format::approval::{self, Approval, ApprovalSpec, Until},
    plan::{Change, Gate, Plan},
};
use sitewright_source::Location;

use super::{file, named::NamedPlan, site::SiteArgument, stages};
use crate::{
    cli::{Context, Exit, Failure, file_failure},
    output::{
        plan::{gates_phrase, hazard_name},
        words,
    },
};

/// The folder beside the site file.
const FOLDER: &str = "approvals";
/// Changes that the file lists for those who review it.
const LISTED: usize = 50;

/// Approve one plan by a file to commit, for whoever applies it
///
/// Plans again, refuses where that is another plan by now, shows the plan, and writes
/// `approvals/DIGITS.yaml` beside the site file. Committed, it lets exactly this plan go ahead on exactly
/// this cluster, until it ends or the plan is another one. It opens the gates approval and blast radius, and
/// no other: a maintenance window says itself when, and a tombstone is written into the site file.
///
/// Exit codes: 0 written, or approved already; 1 an error.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Approve {
    /// The plan, by its digest as `sitewright plan` shows it. At least 12 digits
    #[arg(value_name = "DIGEST")]
    plan: NamedPlan,
    #[command(flatten)]
    site: SiteArgument,
    /// Why, for whoever reads the history
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// When it ends: a date, whose day (UTC) is the last, or a time [default: when the plan changes]
    #[arg(long, value_name = "TIME")]
    until: Option<Until>,
}

const EXAMPLES: &str = "\
Examples:
  sitewright approve sha256:1f3c9e2a01bc sites/lab-gpu --reason 'announced on 3 May, ticket 4711'
  sitewright approve 1f3c9e2a01bc --reason 'driver update' --until 2026-12-01";

fn reason(text: &str) -> Result<String, String> {
    match text.trim() {
        "" => Err("expected a reason in words".to_owned()),
        reason => Ok(reason.to_owned()),
    }
}

impl Approve {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let Location::WorkingTree(folder) = self.site.location()? else {
            return Err(Diagnostic::error(
                machine::BAD_ARGUMENT,
                "an approval is written beside a site file on disk, not into a commit",
            )
            .help("check the repository out, and give the folder of the site")
            .into());
        };
        let planned = stages::planned(context, &self.site, Depth::Full)?;
        let plan = &planned.plan;
        self.plan.of(context, plan, &self.site)?;
        self.check_end(plan)?;
        if let Some(seen) = plan.approval() {
            context.print(&format!("{} approves this plan already\n", words::clean(&seen.file)))?;
            return Ok(Exit::Success);
        }
        if opened(plan).is_empty() {
            return Err(self.nothing_to_approve().into());
        }
        stages::show(context, plan, &self.site);
        let approval = self.approval(plan);
        let name = format!("{FOLDER}/{}.yaml", approval.metadata.name);
        let path = folder.join(&name);
        fs::create_dir_all(folder.join(FOLDER)).map_err(|error| file_failure(&path, &error))?;
        file::replace(&path, &approval::print(&approval, &schema(&plan.revision.path)))?;
        context.print(&told(&folder, &name, plan))?;
        Ok(Exit::Success)
    }

    fn check_end(&self, plan: &Plan) -> Result<(), Diagnostic> {
        match &self.until {
            Some(until) if until.end() <= plan.made => Err(Diagnostic::error(
                machine::BAD_ARGUMENT,
                format!("an approval until {until} has ended already"),
            )
            .help("give a later day or time, or leave --until out")),
            _ => Ok(()),
        }
    }

    fn nothing_to_approve(&self) -> Diagnostic {
        Diagnostic::error(machine::BAD_ARGUMENT, "nothing in this plan waits for an approval")
            .note("nothing was written")
            .help(format!(
                "`{}` does what is not held",
                self.site.invocation().command("apply", "")
            ))
    }

    fn approval(&self, plan: &Plan) -> Approval {
        Approval::new(ApprovalSpec {
            plan: plan.digest.0,
            cluster: plan.cluster.uid.clone(),
            reason: self.reason.clone(),
            until: self.until.clone(),
            opens: opened(plan),
        })
    }
}

/// Returns what an approval of the plan opens, one line for each change.
fn opened(plan: &Plan) -> Vec<String> {
    let opens = |change: &Change| change.gates.iter().any(Gate::opens_by_approval);
    let changes: Vec<&Change> =
        plan.changes().map(|(_, change)| change).filter(|change| opens(change)).collect();
    let mut lines: Vec<String> = changes.iter().take(LISTED).map(|change| line(change)).collect();
    if changes.len() > LISTED {
        lines.push(format!("and {}", words::count(changes.len() - LISTED, "more change")));
    }
    lines
}

fn line(change: &Change) -> String {
    let verb = crate::plans::deed(&change.action);
    let id = words::clean(&change.id.to_string());
    let mut line = format!("{verb} {id}: {}", hazard_name(change.hazard));
    if let Some(because) = change.because.first() {
        line.push_str(&format!(", {}", words::clean(because)));
    }
    let others: Vec<Gate> =
        change.gates.iter().filter(|gate| !gate.opens_by_approval()).cloned().collect();
    if !others.is_empty() {
        line.push_str(&format!(" (waits on for {})", gates_phrase(&others)));
    }
    line
}

/// Returns where an editor finds the schema from the folder of approvals of the site at `site`, in its repository.
fn schema(site: &str) -> String {
    let depth = site.split('/').filter(|part| !part.is_empty() && *part != ".").count() + 1;
    format!("{}schema/approval.schema.json", "../".repeat(depth))
}

/// Returns what was written, and how it comes to hold.
fn told(folder: &Path, name: &str, plan: &Plan) -> String {
    let git = match folder.to_string_lossy() {
        folder if folder == "." => "git".to_owned(),
        folder => format!("git -C {}", quoted(&folder)),
    };
    let digits = plan.digest.0.short();
    format!(
        "Wrote {}\nIt holds where the site is read from git once it is committed:\n\n  \
         {git} add {name}\n  {git} commit -m \"Approve plan {digits} of {}\" -- {name}\n  {git} push\n",
        folder.join(name).display(),
        plan.site,
    )
}

/// Returns `text` so that a shell takes it for one word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::plan::sample;

    fn approve() -> Approve {
        Approve {
            plan: "1f3c9e2a01bc".parse().unwrap(),
            site: SiteArgument { site: "sites/lab-gpu".to_owned() },
            reason: "announced".to_owned(),
            until: Some("2026-12-01".parse().unwrap()),
        }
    }

    #[test]
    fn the_file_says_what_it_opens_and_nothing_that_it_does_not() {
        let plan = sample::everything();
        let text = approval::print(&approve().approval(&plan), &schema(&plan.revision.path));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_way_to_git_is_told() {
        insta::assert_snapshot!(told(
            Path::new("sites/lab gpu"),
            "approvals/1f3c9e2a01bc.yaml",
            &sample::everything()
        ));
        assert!(
            told(Path::new("."), "approvals/x.yaml", &sample::quiet())
                .contains("  git add approvals/x.yaml\n")
        );
    }

    #[test]
    fn an_approval_that_has_ended_is_not_written() {
        let mut plan = sample::everything();
        assert!(approve().check_end(&plan).is_ok());
        plan.made = "2026-12-02T00:00:00Z".parse().unwrap();
        assert!(approve().check_end(&plan).is_err());
    }

    #[test]
    fn where_nothing_waits_there_is_nothing_to_approve() {
        assert!(opened(&sample::first()).is_empty());
        assert!(opened(&sample::approved()).is_empty(), "it is open already");
        assert!(!opened(&sample::not_approved()).is_empty());
    }

    #[test]
    fn the_schema_is_found_from_any_depth() {
        assert_eq!(schema(""), "../schema/approval.schema.json");
        assert_eq!(schema("sites/lab"), "../../../schema/approval.schema.json");
    }
}

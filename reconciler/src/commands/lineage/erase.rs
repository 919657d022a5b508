//! `lineage erase`: forgets what was recorded, after it has shown what that is.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use sitewright_ledger::{Ask, Erasure, Error, Forget, Log, Question, Reader};
use sitewright_model::lineage::EntityId;

use super::diagnosed;
use crate::{
    cli::{Context, Exit, Failure},
    output::words,
};

/// Forget what was recorded: bodies are erased for good, and all proofs hold
///
/// Shows what would be erased; erases it with --yes. The leaves of the log stay: what a record was about, by its id, and
/// when. That it was erased, and why, is recorded too. One process writes a log, so the agent has to be stopped meanwhile.
/// Exports and mirrors that were made before keep their copies.
///
/// Exit codes: 0 erased, or nothing to erase; 2 shown and not erased; 1 an error.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Erase {
    /// What records are about: a run, service, node or artifact; of a person (person:HEX), what names the person
    #[arg(value_name = "THING", required_unless_present_any = ["namespace", "before"])]
    thing: Option<String>,
    /// Only records of this namespace
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Only what was recorded before this time, for example 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    before: Option<Timestamp>,
    /// The folder of the record
    #[arg(long, value_name = "DIR", env = "SITEWRIGHT_LEDGER")]
    ledger: PathBuf,
    /// The file of the key that signs the record
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Why, for whoever finds the gap
    #[arg(long, value_name = "TEXT", default_value = "no reason was given")]
    reason: String,
    /// Erase it
    #[arg(long)]
    yes: bool,
}

const EXAMPLES: &str = "\
Examples:
  sitewright lineage erase vision/train-17 --ledger DIR --key lineage.key
  sitewright lineage erase --namespace vision --before 2026-01-01T00:00:00Z --ledger DIR --key lineage.key \\
    --reason 'the project ended' --yes";

impl Erase {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = crate::lineage::read_key(&self.key).map_err(diagnosed)?;
        let forget = self.forget()?;
        context.doing("looking through the log");
        let mut log = Log::open(&self.ledger, key).map_err(|error| {
            let diagnostic = error.diagnostic();
            match error {
                Error::Busy { .. } => diagnostic.help(
                    "stop the agent for as long as it takes; what it misses becomes a blind interval",
                ),
                _ => diagnostic,
            }
        })?;
        let plan = forget.plan(log.reading()).map_err(diagnosed)?;
        if plan.positions.is_empty() {
            context.print("nothing of that is there to erase\n")?;
            return Ok(Exit::Success);
        }
        if !self.yes {
            context.print(&format!("{}nothing was erased yet: say --yes\n", shown(&plan)))?;
            return Ok(Exit::Changes);
        }
        context.doing("erasing");
        log.forget(&plan, &self.reason, Timestamp::now(), &self.ledger).map_err(diagnosed)?;
        let leaves = log.reading().leaves().map_err(diagnosed)?;
        context.print(&format!(
            "{}erased for good; the record of that is leaf {}\n",
            shown(&plan),
            leaves.saturating_sub(1)
        ))?;
        Ok(Exit::Success)
    }

    fn forget(&self) -> Result<Forget, Failure> {
        let thing = match &self.thing {
            None => None,
            Some(text) => Some(self.thing_of(text)?),
        };
        Ok(Forget { thing, namespace: self.namespace.clone(), before: self.before })
    }

    /// Returns the one thing that is called so.
    fn thing_of(&self, text: &str) -> Result<EntityId, Failure> {
        let reader = Reader::open(&self.ledger).map_err(diagnosed)?;
        let question = Question::Explain(text.to_owned());
        let ask = Ask::new(question);
        let focus = reader.ask(&ask).map_err(diagnosed)?.focus;
        match focus.as_slice() {
            [one] => Ok(one.clone()),
            several => {
                let found = several.iter().map(ToString::to_string).collect();
                Err(diagnosed(Error::Several { asked: text.to_owned(), found }).into())
            }
        }
    }
}

/// Returns what is erased, and none of it.
fn shown(plan: &Erasure) -> String {
    let kinds: Vec<String> =
        plan.kinds.iter().map(|(kind, count)| format!("{count} of kind {kind}")).collect();
    let times = plan
        .times
        .map_or_else(String::new, |(first, last)| format!(", recorded from {first} to {last}"));
    let records = words::count(plan.positions.len(), "record");
    format!("{records} ({}){times}\n", kinds.join(", "))
}

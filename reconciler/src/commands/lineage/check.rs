//! Whether what serves meets what the site demands.

use std::path::PathBuf;

use clap::Args;
use sitewright_ledger::{Ask, Question, Reader};
use sitewright_model::{
    format::lineage::Policy,
    lineage::{
        EntityKind, Grade,
        policy::{self, Checked, Demand, Verdict},
    },
};

use super::diagnosed;
use crate::{
    cli::{Context, Exit, Failure},
    commands::TextOrJson,
    lineage::read_policy,
    output::{json, lineage as output},
};

/// Exit codes: 0 everything meets it, 2 something does not, 1 an error.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Models or services; all live services where none is named
    #[arg(value_name = "THING")]
    things: Vec<String>,
    /// The folder of the record
    #[arg(long, value_name = "DIR", env = "SITEWRIGHT_LEDGER")]
    ledger: PathBuf,
    /// A file of LineageSettings: each service is held to the rule of its namespace
    #[arg(long, value_name = "FILE", conflicts_with_all = ["commit", "tie"])]
    settings: Option<PathBuf>,
    /// How it has to be known that the commit of the code exists
    #[arg(long, value_name = "GRADE", default_value = "resolved")]
    commit: Grade,
    /// How it has to be known that the run ran it: claimed takes the researcher's word, attested a signature's
    #[arg(long, value_name = "GRADE", default_value = "claimed")]
    tie: Grade,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

impl Check {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let policy = self.settings.as_deref().map(read_policy).transpose()?;
        let reader = Reader::open(&self.ledger).map_err(diagnosed)?;
        let checked = Checked::new(self.verdicts(&reader, policy.as_ref())?);
        let text = match self.output {
            TextOrJson::Text => output::verdicts(&checked.verdicts, &context.look()),
            TextOrJson::Json => json(&checked),
        };
        context.print(&text)?;
        Ok(if checked.is_met { Exit::Success } else { Exit::Changes })
    }

    fn verdicts(&self, reader: &Reader, policy: Option<&Policy>) -> Result<Vec<Verdict>, Failure> {
        let mut asked = self.things.clone();
        if asked.is_empty() {
            let live = reader.index().open_things(EntityKind::Service).map_err(diagnosed)?;
            asked.extend(live.into_iter().map(|(id, _)| id.to_string()));
        }
        let given = Demand { commit: self.commit, tie: self.tie };
        let mut verdicts = Vec::new();
        for thing in asked {
            let graph = reader.ask(&Ask::new(Question::Of(thing))).map_err(diagnosed)?;
            let focus = graph.focus.first().and_then(|id| graph.node(id));
            let namespace = focus.and_then(|node| node.namespace.as_deref());
            let demand = match policy {
                None => Some(given),
                Some(policy) => {
                    namespace.and_then(|name| policy.of(name)).map(|rule| rule.demand())
                }
            };
            verdicts.extend(demand.map(|demand| policy::judge(&graph, &demand)));
        }
        Ok(verdicts)
    }
}

//! `lineage send`: the whole record, told once to a server that takes OpenLineage.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use sitewright_ledger::{Reader, Sent};
use sitewright_model::{
    code::{lineage, machine},
    diagnostic::Diagnostic,
    lineage::export::openlineage,
};
use sitewright_source::{Secret, Url};

use super::diagnosed;
use crate::{
    cli::{Context, Failure, file_failure},
    lineage::{Destination, Round, Rounds, Wire},
    output::words,
};

/// How often a server that takes nothing is tried.
const TRIES: u32 = 5;

/// Tell a server that takes OpenLineage of every run in the record, once
///
/// The agent does so by itself and goes on doing so, where `openlineage` of its LineageSettings names a server. A server
/// that has events already takes them for the same runs: their ids never change.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Send {
    /// The address that takes events
    #[arg(long, value_name = "URL")]
    to: String,
    /// The folder of the record
    #[arg(long, value_name = "DIR", env = "SITEWRIGHT_LEDGER")]
    ledger: PathBuf,
    /// The file of a bearer token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How datasets are named
    #[arg(long, value_name = "NAMES", default_value = "by-store")]
    names: Names,
    /// Tell of each attempt too, as a run below its run
    #[arg(long)]
    attempts: bool,
}

const EXAMPLES: &str = "\
Examples:
  sitewright lineage send --to https://marquez.example.edu/api/v1/lineage --names with-content";

/// How datasets are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Names {
    /// By their store, with the content in the facet `version`.
    ByStore,
    /// With the content in the name, for Marquez.
    WithContent,
}

impl Send {
    pub(super) fn run(self, context: &Context) -> Result<String, Failure> {
        let url = Url::parse(&self.to).map_err(|why| {
            Diagnostic::error(machine::BAD_ARGUMENT, format!("--to is no address: {why}"))
                .help("give one like https://marquez.example.edu/api/v1/lineage")
        })?;
        let token = match &self.token_file {
            None => None,
            Some(file) => {
                let text = std::fs::read_to_string(file);
                let text = text.map_err(|error| file_failure(file, &error))?;
                Some(Secret::new(text.trim()))
            }
        };
        let to = Destination {
            wire: Wire::new(url, token),
            names: match self.names {
                Names::ByStore => openlineage::Names::ByStore,
                Names::WithContent => openlineage::Names::ByContent,
            },
            attempts: self.attempts,
            // what is not known by now is not waited for
            hold: Duration::ZERO,
        };
        context.doing("telling");
        let reader = Reader::open(&self.ledger).map_err(diagnosed)?;
        let sent = Sent::in_memory().map_err(diagnosed)?;
        let mut rounds = Rounds::new(reader, sent, &to);
        let mut tries = 0;
        loop {
            match rounds.go(Timestamp::now()).map_err(diagnosed)? {
                Round::Idle => break,
                Round::Told => tries = 0,
                Round::Away(why) => {
                    tries += 1;
                    if tries >= TRIES {
                        return Err(not_sent(&why, rounds.counts().0).into());
                    }
                    std::thread::sleep(Duration::from_secs(1 << tries.min(4)));
                }
            }
        }
        let (told, refused) = rounds.counts();
        let told = words::count(usize::try_from(told).unwrap_or(usize::MAX), "event");
        match refused {
            0 => Ok(format!("{told} taken\n")),
            refused => Ok(format!("{told} taken, {refused} refused for good\n")),
        }
    }
}

fn not_sent(why: &str, told: u64) -> Diagnostic {
    Diagnostic::error(lineage::NOT_SENT, format!("the server takes no events: {why}"))
        .note(format!("{told} were taken before"))
        .help("look at the address, at the token and at the server, then run the command again: what is there stays one")
}

//! `lineage attest`: signed statements of how a model was made, printed, as files, or beside the model in its registry.

use std::{convert::Infallible, path::PathBuf};

use clap::Args;
use jiff::Timestamp;
use sitewright_ledger::{Error, SecretKey};
use sitewright_model::{
    code::lineage,
    diagnostic::Diagnostic,
    lineage::{EntityId, EntityKind, export::provenance},
};
use sitewright_source::{
    outbound::Reach,
    resolve::{Resolving, push_envelope},
};

use super::{From, diagnosed};
use crate::{
    cli::{Context, Failure, file_failure},
    commands::file,
};

/// Sign how a model was made: SLSA provenance in DSSE envelopes, one a line
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Attest {
    /// A digest, reference, URI, NAMESPACE/NAME
    #[arg(value_name = "MODEL")]
    thing: String,
    #[command(flatten)]
    from: From,
    /// The file of the key that signs
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write each envelope into a file of this folder
    #[arg(short, long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Push each envelope beside its model, as a referrer (OCI 1.1); to this repository, where the model has a copy
    /// there [default: where the run said that the model is]
    #[arg(long, value_name = "REPOSITORY", num_args = 0..=1, require_equals = true)]
    push: Option<Option<String>>,
}

const EXAMPLES: &str = "\
Examples:
  sitewright lineage attest s3://models/resnet --key lineage.key > resnet.intoto.jsonl
  sitewright lineage attest vision/train-17 --key lineage.key -o attestations
  sitewright lineage attest vision/train-17 --key lineage.key --push
  sitewright lineage attest sha256:1f3c… --key lineage.key --push=oci://registry.example.edu/models/resnet";

/// A signed statement.
struct Signed {
    /// The model.
    model: EntityId,
    /// Where the model is said to be.
    place: String,
    /// The run, as the end of a name.
    run: String,
    envelope: String,
}

impl Attest {
    pub(super) fn run(self, context: &Context) -> Result<String, Failure> {
        let key = crate::lineage::read_key(&self.key).map_err(diagnosed)?;
        let signed = self.sign(&key)?;
        let mut text = String::new();
        if let Some(folder) = &self.out {
            std::fs::create_dir_all(folder).map_err(|error| file_failure(folder, &error))?;
            for one in &signed {
                let path = folder.join(one.file_name());
                file::replace(&path, &format!("{}\n", one.envelope))?;
                text.push_str(&format!("{}\n", path.display()));
            }
        }
        if let Some(repository) = &self.push {
            context.doing("pushing");
            for one in &signed {
                text.push_str(&one.push(repository.as_deref(), context)?);
            }
        }
        if self.out.is_none() && self.push.is_none() {
            text = signed.into_iter().map(|one| one.envelope + "\n").collect();
        }
        Ok(text)
    }

    fn sign(&self, key: &SecretKey) -> Result<Vec<Signed>, Failure> {
        let graph = self.from.with_outputs(&self.thing)?;
        let keyid = key.public().to_string();
        let sign = |statement: provenance::Statement| {
            let envelope = provenance::Envelope::sign(&statement, &keyid, |bytes| {
                Ok::<_, Infallible>(key.sign_bytes(bytes))
            });
            let Ok(envelope) = envelope;
            let model = statement.subject.first()?;
            let id = model.annotations.get("id")?.as_str()?.parse().ok()?;
            let run = &statement.predicate.run_details.metadata.invocation_id;
            Some(Signed {
                model: id,
                place: model.name.clone().unwrap_or_default(),
                run: run.rsplit('/').next().unwrap_or_default().to_owned(),
                envelope: serde_json::to_string(&envelope).ok()?,
            })
        };
        let statements = provenance::statements(&graph, crate::VERSION).into_iter();
        let signed: Vec<Signed> = statements.filter_map(sign).collect();
        if signed.is_empty() {
            let asked = format!("a model with a digest of {}", self.thing);
            return Err(diagnosed(Error::Nothing { asked, near: Vec::new() }).into());
        }
        Ok(signed)
    }
}

impl Signed {
    /// Returns a name that tells the statement from all others about models and runs.
    fn file_name(&self) -> String {
        let plain = |text: &str| -> String {
            let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
            text.chars().map(plain).take(100).collect()
        };
        format!("{}.{}.dsse.json", plain(self.model.rest()), plain(&self.run))
    }

    /// Pushes the envelope, and returns what was done.
    fn push(&self, repository: Option<&str>, context: &Context) -> Result<String, Failure> {
        let model = &self.model;
        let place = repository.unwrap_or(&self.place);
        let not = |why: &str, help: &str| {
            Diagnostic::error(lineage::NOT_SENT, format!("{model}: {why}")).help(help.to_owned())
        };
        if model.kind() != EntityKind::Image {
            let help = "write the envelope into a file with -o; only artifacts of registries have referrers";
            return Err(not("it is no artifact of a registry", help).into());
        }
        if !place.starts_with("oci://") {
            let help = "say where it is, with --push=oci://REGISTRY/REPOSITORY";
            return Err(not("nobody said in which registry it is", help).into());
        }
        let place = place.split_once('@').map_or(place, |(place, _)| place);
        let artifact = format!("{place}@{}", model.rest());
        let settings = context.settings()?;
        // a run says freely where its model is: that may not be a server that only this machine reaches
        let reach = if repository.is_some() { Reach::Anybody } else { Reach::Others };
        let with = Resolving { reach, ..Resolving::new(&settings, Timestamp::now()) };
        let pushed =
            push_envelope(&artifact, self.envelope.as_bytes(), provenance::PREDICATE, &with);
        match pushed {
            Ok(digest) => Ok(format!("{digest} is beside {artifact}\n")),
            Err(why) => {
                let help = "look at the login (~/.netrc) and at the name of the repository, or name another with --push=";
                Err(not(&why.to_string(), help).into())
            }
        }
    }
}

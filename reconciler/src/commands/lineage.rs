mod attest;
mod erase;
mod send;
mod submit;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use sitewright_ledger::{
    Ask, Error, PublicKey, Question, Reader, Reading, SecretKey, Verified, export, verify,
};
use sitewright_model::{
    diagnostic::Diagnostics,
    lineage::{
        Grade, Graph, compare,
        export::{openlineage, prov, rocrate},
        picture,
    },
};

use super::TextOrJson;
use crate::{
    cli::{Context, Exit, Failure},
    output::{
        json,
        lineage::{self as output, Way},
    },
};

/// Who writes events of OpenLineage.
const PRODUCER: &str = "https://sitewright.dev/lineage";

/// Who publishes a crate says under which licence; until then nobody said anything (SPDX 2.3, "NOASSERTION").
const NO_LICENSE: &str = "http://spdx.org/rdf/terms#noassertion";

/// Ask how a model was made, and what a dataset, image, driver, node or commit reaches
///
/// The agent records what runs on the cluster (`agent --lineage DIR`): runs and their attempts, code, data,
/// images, the state of nodes, and the configuration of the cluster that was in force. Each fact and each tie
/// has a grade: observed, resolved, attested, claimed, inferred, unknown; where sources differ it is a conflict.
/// A claim is never shown as an observation.
///
/// A thing is asked for by a digest, an OCI reference, a URI, a commit (or its beginning), the NAMESPACE/NAME of
/// a run or of a live service, the name of a node, or NAME/VERSION of a driver.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Lineage {
    #[command(subcommand)]
    question: Asked,
}

const EXAMPLES: &str = "\
Examples:
  sitewright lineage of vision/resnet-live --ledger /var/lib/sitewright/lineage
  sitewright lineage impact nvidia-driver/580.95.05
  sitewright lineage of s3://models/resnet -o html > lineage.html
  sitewright lineage verify /var/lib/sitewright/lineage --key lab-gpu.pub";

#[derive(Debug, Subcommand)]
enum Asked {
    Submit(Box<submit::Submit>),
    /// What made it: code, data, image, nodes, configuration
    Of(Thing),
    /// What came of it: runs, models, live services
    Impact(Thing),
    /// What ran while a commit was in force
    During(Thing),
    /// Under which configuration a run was
    Config(Thing),
    /// One thing, and everything that is said of it, with its sources
    Explain(ExplainThing),
    /// What is needed to make it again, and what stands in the way
    Reproduce(Plain),
    /// In what two models differ
    Diff(Two),
    /// The intervals in which something may have been missed
    Gaps(Nothing),
    /// Prove that the record is what was signed, offline
    Verify(Verify),
    Attest(attest::Attest),
    Send(send::Send),
    Erase(erase::Erase),
    /// Write the record as files that can be proven anywhere
    Export(Export),
    /// Make a key that signs a record
    Key(Key),
}

#[derive(Args, Debug)]
struct From {
    /// The folder of the record
    #[arg(long, value_name = "DIR", env = "SITEWRIGHT_LEDGER")]
    ledger: PathBuf,
    /// Follow only what is known so well, or better: observed, resolved, attested, claimed, inferred
    #[arg(long, value_name = "GRADE", default_value = "unknown")]
    at_least: Grade,
}

/// The form of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Drawn {
    /// For people.
    #[default]
    Text,
    /// For programs; versioned, described in schema/.
    Json,
    /// A diagram for a page or an issue.
    Mermaid,
    /// A page with a graph, by itself.
    Html,
    /// Events of OpenLineage, as a list.
    Openlineage,
    /// The metadata of an RO-Crate 1.1 (Process Run Crate).
    Rocrate,
    /// W3C PROV, as PROV-JSON.
    Prov,
}

#[derive(Args, Debug)]
struct Thing {
    /// A digest, reference, URI, commit, NAMESPACE/NAME, node or driver
    #[arg(value_name = "THING")]
    thing: String,
    #[command(flatten)]
    from: From,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Drawn,
    /// The licence of a crate (-o rocrate), by its SPDX id or address [default: none is asserted]
    #[arg(long, value_name = "LICENSE", value_parser = license)]
    license: Option<String>,
}

/// Returns the address of a licence.
fn license(text: &str) -> Result<String, String> {
    let is_id = |c: char| c.is_ascii_alphanumeric() || "-.+".contains(c);
    match text {
        "" => Err("expected an SPDX id, for example CC-BY-4.0".to_owned()),
        id if id.chars().all(is_id) => Ok(format!("https://spdx.org/licenses/{id}")),
        url if url.starts_with("https://") || url.starts_with("http://") => Ok(url.to_owned()),
        _ => Err("expected an SPDX id, for example CC-BY-4.0, or an address".to_owned()),
    }
}

#[derive(Args, Debug)]
struct ExplainThing {
    /// A digest, reference, URI, commit, NAMESPACE/NAME, node or driver
    #[arg(value_name = "THING")]
    thing: String,
    /// Only this property, for example `outcome`
    #[arg(value_name = "FIELD")]
    field: Option<String>,
    #[command(flatten)]
    from: From,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

#[derive(Args, Debug)]
struct Plain {
    /// A digest, reference, URI, NAMESPACE/NAME
    #[arg(value_name = "MODEL")]
    thing: String,
    #[command(flatten)]
    from: From,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

#[derive(Args, Debug)]
struct Two {
    /// The one
    #[arg(value_name = "A")]
    one: String,
    /// The other
    #[arg(value_name = "B")]
    other: String,
    #[command(flatten)]
    from: From,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

#[derive(Args, Debug)]
struct Nothing {
    #[command(flatten)]
    from: From,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

/// Exit codes: 0 everything is what was recorded, 2 it is not, 1 an error.
#[derive(Args, Debug)]
struct Verify {
    /// The folder of the record, or of an export
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The file of the public key; not the one beside the record, if it is to prove anything
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The file of the public key of a witness that has to have signed as well; more than once for several
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// The form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

#[derive(Args, Debug)]
struct Export {
    /// The folder to write; one that holds an earlier export is brought up to date
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// The folder of the record
    #[arg(long, value_name = "DIR", env = "SITEWRIGHT_LEDGER")]
    ledger: PathBuf,
}

#[derive(Args, Debug)]
struct Key {
    /// The name of the log: one that no other log has, for example lab-gpu.example.edu
    #[arg(value_name = "NAME")]
    name: String,
    /// Where to write the secret key; the public one is written beside it, with `.pub`
    #[arg(long, value_name = "FILE", default_value = "lineage.key")]
    to: PathBuf,
}

impl Lineage {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let text = match self.question {
            Asked::Submit(asked) => return asked.run(context),
            Asked::Of(asked) => asked.draw(context, Question::Of, Way::Causes)?,
            Asked::Impact(asked) => asked.draw(context, Question::Impact, Way::Effects)?,
            Asked::During(asked) => asked.draw(context, Question::During, Way::Effects)?,
            Asked::Config(asked) => asked.draw(context, Question::Config, Way::Causes)?,
            Asked::Explain(asked) => asked.answer(context)?,
            Asked::Reproduce(asked) => {
                let graph = asked.from.ask(Question::Of(asked.thing))?;
                let again = compare::reproduction(&graph);
                match asked.output {
                    TextOrJson::Text => output::reproduction(&again, &context.look()),
                    TextOrJson::Json => json(&again),
                }
            }
            Asked::Diff(asked) => {
                let one = asked.from.ask(Question::Of(asked.one))?;
                let other = asked.from.ask(Question::Of(asked.other))?;
                let difference = compare::difference(&one, &other);
                match asked.output {
                    TextOrJson::Text => output::difference(&difference, &context.look()),
                    TextOrJson::Json => json(&difference),
                }
            }
            Asked::Gaps(asked) => {
                let graph = asked.from.ask(Question::Gaps)?;
                match asked.output {
                    TextOrJson::Text => output::gaps(&graph.gaps),
                    TextOrJson::Json => json(&graph.gaps),
                }
            }
            Asked::Verify(asked) => return asked.run(context),
            Asked::Attest(asked) => asked.run(context)?,
            Asked::Send(asked) => asked.run(context)?,
            Asked::Erase(asked) => return asked.run(context),
            Asked::Export(asked) => asked.run()?,
            Asked::Key(asked) => asked.run()?,
        };
        context.print(&text)?;
        Ok(Exit::Success)
    }
}

impl From {
    fn ask(&self, question: Question) -> Result<Graph, Failure> {
        let reader = Reader::open(&self.ledger).map_err(diagnosed)?;
        let ask = Ask { question, limit: self.at_least, namespaces: None };
        Ok(reader.ask(&ask).map_err(diagnosed)?)
    }
}

impl Thing {
    fn draw(
        self,
        context: &Context,
        question: fn(String) -> Question,
        way: Way,
    ) -> Result<String, Failure> {
        let thing = self.thing;
        let graph = self.from.ask(question(thing.clone()))?;
        Ok(match self.output {
            Drawn::Text => output::text(&graph, way, &context.look()),
            Drawn::Json => json(&graph),
            Drawn::Mermaid => picture::mermaid(&graph),
            Drawn::Html => picture::html(&graph),
            Drawn::Openlineage => {
                let options = openlineage::Options {
                    producer: format!("{PRODUCER}/v{}", crate::VERSION),
                    names: openlineage::Names::ByStore,
                    attempts: false,
                };
                json(&openlineage::events(&graph, &options, |_| openlineage::End::Known))
            }
            Drawn::Rocrate => json(&rocrate::metadata(
                &graph,
                &rocrate::Options {
                    name: format!("Lineage of {}", thing),
                    license: self.license.unwrap_or_else(|| NO_LICENSE.to_owned()),
                    publisher: None,
                    recorder: crate::VERSION.to_owned(),
                },
            )),
            Drawn::Prov => json(&prov::document(&graph)),
        })
    }
}

impl ExplainThing {
    fn answer(self, context: &Context) -> Result<String, Failure> {
        let mut graph = self.from.ask(Question::Explain(self.thing))?;
        let focus = graph.focus.clone();
        graph.nodes.retain(|node| focus.contains(&node.id));
        if let Some(field) = &self.field {
            for node in &mut graph.nodes {
                node.facts.retain(|fact| fact.field == *field);
            }
            graph.edges.retain(|edge| edge.relation.word() == field);
        }
        Ok(match self.output {
            TextOrJson::Text => output::explanation(&graph, &context.look()),
            TextOrJson::Json => json(&graph),
        })
    }
}

impl Verify {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        let key = public_key(&self.key)?;
        let witnesses: Result<Vec<_>, _> =
            self.witness.iter().map(|file| public_key(file)).collect();
        context.doing("proving");
        let verified = verify(&self.dir, &key, &witnesses?).map_err(diagnosed)?;
        let text = match self.output {
            TextOrJson::Text => verified_text(&verified),
            TextOrJson::Json => json(&verified_json(&verified)),
        };
        context.print(&text)?;
        Ok(if verified.is_whole() { Exit::Success } else { Exit::Changes })
    }
}

fn verified_text(verified: &Verified) -> String {
    let Verified { origin, size, root, erased, witnesses, has_index, faults, further } = verified;
    let mut lines = vec![format!("{origin}: {size} leaves, root {root}")];
    if *erased > 0 {
        lines.push(format!("{erased} bodies were erased; their leaves stand"));
    }
    for (name, at) in witnesses {
        let at = i64::try_from(*at).ok().and_then(|at| jiff::Timestamp::from_second(at).ok());
        let at = at.map_or_else(|| "an unknown time".to_owned(), |at| at.to_string());
        lines.push(format!("witnessed by {name} at {at}"));
    }
    if *has_index {
        lines.push("the index was compared with the log".to_owned());
    }
    lines.extend(faults.iter().map(|fault| format!("NOT AS RECORDED  {fault}")));
    if *further > 0 {
        lines.push(format!("and {further} more"));
    }
    if faults.is_empty() {
        lines.push("everything is what was recorded".to_owned());
    }
    lines.join("\n") + "\n"
}

fn verified_json(verified: &Verified) -> serde_json::Value {
    let Verified { origin, size, root, erased, witnesses, has_index, faults, further } = verified;
    serde_json::json!({
        "format": "sitewright.dev/lineage-verified/v1",
        "origin": origin,
        "size": size,
        "root": root,
        "erased": erased,
        "witnesses": witnesses.iter().map(|(name, at)| serde_json::json!({ "name": name, "at": at })).collect::<Vec<_>>(),
        "index": has_index,
        "isWhole": verified.is_whole(),
        "faults": faults.iter().map(|fault| serde_json::json!({ "place": fault.place, "why": fault.why })).collect::<Vec<_>>(),
        "further": further,
    })
}

impl Export {
    fn run(self) -> Result<String, Failure> {
        let reading = Reading::open(&self.ledger).map_err(diagnosed)?;
        let leaves = export(&reading, &self.to).map_err(diagnosed)?;
        Ok(format!("{leaves} leaves in {}\n", self.to.display()))
    }
}

impl Key {
    fn run(self) -> Result<String, Failure> {
        let key = SecretKey::generate(&self.name).map_err(diagnosed)?;
        let public = self.to.with_extension("pub");
        write_secret(&self.to, &key.to_text()).map_err(diagnosed)?;
        let text = format!("{}\n", key.public());
        let of =
            |error: std::io::Error| Error::File { path: public.clone(), why: error.to_string() };
        std::fs::write(&public, text).map_err(of).map_err(diagnosed)?;
        let (secret, public) = (self.to.display(), public.display());
        Ok(format!(
            "{secret} signs; keep it out of reach of who uses the cluster\n{public} proves; give it to whoever asks\n"
        ))
    }
}

/// Writes a file that only its owner reads, where there is none.
fn write_secret(path: &Path, text: &str) -> Result<(), Error> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let of = |error: std::io::Error| Error::File { path: path.to_owned(), why: error.to_string() };
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).map_err(of)?;
    writeln!(file, "{text}").map_err(of)
}

fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    let of = |error: std::io::Error| Error::File { path: path.to_owned(), why: error.to_string() };
    let text = std::fs::read_to_string(path).map_err(of).map_err(diagnosed)?;
    Ok(PublicKey::parse(&text).map_err(diagnosed)?)
}

fn diagnosed(error: Error) -> Diagnostics {
    error.diagnostic().into()
}

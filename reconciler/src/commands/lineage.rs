mod attest;
mod check;
mod erase;
mod send;
mod submit;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use sitewright_cluster::{Cluster, Deadlines};
use sitewright_ledger::{
    Ask, Error, PublicKey, Question, Reader, Reading, SecretKey, Verified, copy, export, verify,
};
use sitewright_model::{
    code::machine,
    diagnostic::{Diagnostic, Diagnostics},
    lineage::{Grade, Graph, compare},
};

use super::{TextOrJson, agent::listener};
use crate::{
    agent::serve,
    cli::{Context, Exit, Failure, Stage},
    lineage::{Access, Api, Form, Ledger, Server, explained},
    output::{
        json,
        lineage::{self as output, Way},
    },
};

/// Ask how a model was made, and what a dataset, image, driver, node or commit reaches
///
/// The agent records what runs on the cluster (`agent --lineage DIR`): runs and their attempts, code, data,
/// images, the state of nodes, and the configuration of the cluster that was in force. Each fact and each tie
/// has a grade: observed, resolved, attested, claimed, inferred, unknown; where sources differ it is a conflict.
/// A claim is never shown as an observation.
///
/// A thing is asked for by a digest, an OCI reference, a URI, a commit (or its beginning), the NAMESPACE/NAME of
/// a run or of a live service, the name of a node, or NAME/VERSION of a driver.
///
/// The record is a folder, or a server that has it (`agent --lineage-listen`, `lineage serve`), which answers who may
/// see the runs of a namespace.
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
  sitewright lineage of vision/train-17 --ledger https://lineage.example.edu --token-file token
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
    /// Whether the code of what serves is known as well as the site demands
    Check(check::Check),
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
    /// Answer questions over HTTP
    Serve(Serve),
}

#[derive(Args, Debug)]
struct From {
    #[command(flatten)]
    place: Place,
    /// Follow only what is known so well, or better: observed, resolved, attested, claimed, inferred
    #[arg(long, value_name = "GRADE", default_value = "unknown")]
    at_least: Grade,
}

/// Where the record is.
#[derive(Args, Debug)]
struct Place {
    /// The folder of the record, or the address of a server that has it, for example https://lineage.example.edu
    #[arg(long, visible_alias = "from", value_name = "DIR|URL", env = "SITEWRIGHT_LEDGER")]
    ledger: Ledger,
    /// The file of the token that says to the server who asks
    #[arg(long, value_name = "FILE", env = "SITEWRIGHT_TOKEN_FILE")]
    token_file: Option<PathBuf>,
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
    #[command(flatten)]
    place: Place,
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

/// Answers who may see it: the cluster says who asks (TokenReview) and which namespaces they may see
/// (SubjectAccessReview: verb get, resource runs, group lineage.sitewright.dev). Whoever may see the runs of all
/// namespaces may read the log itself as well. Speaks HTTP without TLS: an Ingress, or whatever is before it, has that.
#[derive(Args, Debug)]
struct Serve {
    /// The folder of the record, or of an export
    #[arg(long, value_name = "DIR", env = "SITEWRIGHT_LEDGER")]
    ledger: PathBuf,
    /// Where to answer
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    /// What tokens have to be meant for [default: the API server]
    #[arg(long, value_name = "NAME", conflicts_with = "open")]
    audience: Option<String>,
    /// Answer everything to everybody who gets here: only at an address of this machine, behind something that knows
    /// who asks
    #[arg(long)]
    open: bool,
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
            Asked::Check(asked) => return asked.run(context),
            Asked::Verify(asked) => return asked.run(context),
            Asked::Attest(asked) => asked.run(context)?,
            Asked::Send(asked) => asked.run(context)?,
            Asked::Erase(asked) => return asked.run(context),
            Asked::Export(asked) => asked.run()?,
            Asked::Key(asked) => asked.run()?,
            Asked::Serve(asked) => return asked.run(context),
        };
        context.print(&text)?;
        Ok(Exit::Success)
    }
}

impl Place {
    /// Returns the server that has the record, with who asks; else its folder.
    fn open(&self) -> Result<Result<Server, &Path>, Failure> {
        match &self.ledger {
            Ledger::Folder(dir) => Ok(Err(dir)),
            Ledger::Server(url) => Ok(Ok(Server::new(url.clone(), self.token_file.as_deref())?)),
        }
    }
}

impl From {
    fn ask(&self, question: Question) -> Result<Graph, Failure> {
        let dir = match self.place.open()? {
            Ok(server) => return Ok(server.ask(&question, self.at_least)?),
            Err(dir) => dir,
        };
        let reader = Reader::open(dir).map_err(diagnosed)?;
        let ask = Ask { limit: self.at_least, ..Ask::new(question) };
        Ok(reader.ask(&ask).map_err(diagnosed)?)
    }
}

impl From {
    /// As [`Self::ask`] of what made a thing, and what it made goes by the content that was read after it. A server is
    /// asked for the one alone.
    fn with_outputs(&self, thing: &str) -> Result<Graph, Failure> {
        match self.place.open()? {
            Ok(_) => self.ask(Question::Of(thing.to_owned())),
            Err(dir) => {
                let reader = Reader::open(dir).map_err(diagnosed)?;
                Ok(reader.with_outputs(thing, self.at_least).map_err(diagnosed)?)
            }
        }
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
        let question = question(thing.clone());
        let is_of_configuration = matches!(question, Question::Config(_));
        let graph = self.from.ask(question)?;
        let form = match self.output {
            Drawn::Text if is_of_configuration => {
                return Ok(output::text(&graph, way, &context.look()) + &output::touched(&graph));
            }
            Drawn::Text => return Ok(output::text(&graph, way, &context.look())),
            Drawn::Json => Form::Json,
            Drawn::Mermaid => Form::Mermaid,
            Drawn::Html => Form::Html,
            Drawn::Openlineage => Form::OpenLineage,
            Drawn::Rocrate => Form::RoCrate,
            Drawn::Prov => Form::Prov,
        };
        Ok(form.write(&graph, &thing, self.license))
    }
}

impl ExplainThing {
    fn answer(self, context: &Context) -> Result<String, Failure> {
        let graph = self.from.ask(Question::Explain(self.thing))?;
        let graph = explained(graph, self.field.as_deref());
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
        let leaves = match self.place.open()? {
            Ok(server) => {
                let key = server.state()?.key;
                copy(&server, key.as_deref(), &self.to).map_err(diagnosed)?
            }
            Err(dir) => {
                let reading = Reading::open(dir).map_err(diagnosed)?;
                export(&reading, &self.to).map_err(diagnosed)?
            }
        };
        Ok(format!("{leaves} leaves in {}\n", self.to.display()))
    }
}

impl Serve {
    fn run(self, context: &Context) -> Result<Exit, Failure> {
        if self.open && !self.listen.ip().is_loopback() {
            let message = format!("--open would answer everybody who reaches {}", self.listen);
            let help = "listen at 127.0.0.1, or leave --open out: then the cluster says who asks";
            return Err(Diagnostic::error(machine::BAD_ARGUMENT, message).help(help).into());
        }
        // what cannot be opened is told at once
        Reader::open(&self.ledger).map_err(diagnosed)?;
        let access =
            if self.open { Access::Everybody } else { access(&context.connect()?, self.audience) };
        context.screen.clear();
        context.interrupt.enter(Stage::Applying);
        let routes = Api::new(self.ledger, false, access).routes();
        let stop = context.interrupt.token();
        context.wait(async {
            let listener = listener(self.listen, "questions of lineage").await?;
            serve(listener, routes, None, stop).await;
            Ok::<_, Failure>(())
        })?;
        Ok(context.interrupt.exit().unwrap_or(Exit::Success))
    }
}

/// Requests in flight to the API server about who asks: apart from those of the agent's work.
const ACCESS_CONCURRENCY: usize = 8;

/// How long the API server may take for one of them.
const ACCESS_DEADLINES: Deadlines =
    Deadlines { attempt: Duration::from_secs(4), operation: Duration::from_secs(6) };

/// Lets the cluster say who asks.
pub(super) fn access(cluster: &Cluster, audience: Option<String>) -> Access {
    Access::of(cluster.apart(ACCESS_CONCURRENCY, ACCESS_DEADLINES), audience)
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

//! A record that a server has: questions and resources over HTTP, as [`api`](super::api) answers them.
//!
//! Comes in: an address and a token. Goes out: graphs and resources of the log. Never: the token, to anybody but that
//! server, and never unencrypted but to this machine; trust in what it says: who wants proof verifies an export.

use std::{path::Path, path::PathBuf, str::FromStr, time::Duration};

use serde::de::DeserializeOwned;
use sitewright_ledger::{Error, Question, Resources};
use sitewright_model::{
    code::{self, Code, lineage},
    diagnostic::{Diagnostic, Diagnostics},
    lineage::{Grade, Graph},
};
use sitewright_source::{
    Secret, Url,
    outbound::{Method, Outgoing, Reach, Reply, send},
};

use crate::{
    cli::file_failure,
    output::{
        lineage::api::{LOG, Problem, QUESTIONS, State},
        words::clean,
    },
};

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Bytes of an answer.
const ANSWER: u64 = 256 * 1024 * 1024;

/// Bytes of a tile or bundle: 256 bodies are some megabytes at the very most.
const RESOURCE: u64 = 64 * 1024 * 1024;

/// Bytes of a file that holds a token.
const TOKEN: u64 = 64 * 1024;

/// Where the record is.
#[derive(Clone)]
pub(crate) enum Ledger {
    /// In a folder.
    Folder(PathBuf),
    /// At a server.
    Server(Url),
}

/// A server that has the record.
pub(crate) struct Server {
    base: String,
    host: String,
    token: Option<Secret>,
}

impl FromStr for Ledger {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_address = ["http://", "https://"].iter().any(|start| text.starts_with(start));
        if !is_address {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        Url::parse(text).map(Self::Server).map_err(|error| error.to_string())
    }
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Folder(dir) => write!(f, "Folder({})", dir.display()),
            Self::Server(url) => write!(f, "Server({})", url.public()),
        }
    }
}

impl Server {
    /// Takes the server at `url`, and the file of the token that says who asks.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn new(url: Url, token: Option<&Path>) -> Result<Self, Diagnostics> {
        let token = token.map(read_token).transpose()?;
        let base = format!("{}://{}{}", url.scheme(), url.authority(), url.path());
        let base = base.trim_end_matches('/').to_owned();
        Ok(Self { base, host: url.authority().to_owned(), token })
    }

    /// Asks a question.
    ///
    /// # Errors
    /// There is no answer: the server says why, or does not answer.
    pub(crate) fn ask(&self, question: &Question, limit: Grade) -> Result<Graph, Diagnostics> {
        let (name, thing) = match question {
            Question::Of(thing) => ("of", thing),
            Question::Impact(thing) => ("impact", thing),
            Question::During(thing) => ("during", thing),
            Question::Config(thing) => ("config", thing),
            Question::Explain(thing) => ("explain", thing),
            Question::Gaps => {
                let gaps: crate::output::lineage::api::Gaps = self.json("gaps")?;
                let mut graph = Graph::new(Vec::new(), gaps.log_size);
                graph.gaps = gaps.gaps;
                return Ok(graph);
            }
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("thing", thing).append_pair("atLeast", &limit.to_string());
        self.json(&format!("{name}?{}", query.finish()))
    }

    /// Returns what the server says of the end of the log.
    ///
    /// # Errors
    /// There is no answer.
    pub(crate) fn state(&self) -> Result<State, Diagnostics> {
        self.json("verify")
    }

    fn json<T: DeserializeOwned>(&self, rest: &str) -> Result<T, Diagnostics> {
        let reply = self.get(&format!("{QUESTIONS}/{rest}"), ANSWER)?;
        if !reply.is_success() {
            return Err(self.refusal(&reply).into());
        }
        serde_json::from_slice(&reply.body).map_err(|_| self.senseless().into())
    }

    fn get(&self, path: &str, most: u64) -> Result<Reply, Diagnostics> {
        let url = Url::parse(&format!("{}{path}", self.base));
        let url = url.map_err(|error| self.none(&error.to_string()))?;
        let mut outgoing = Outgoing::new(Method::Get, url, DEADLINE).answer_of(most);
        if let Some(token) = &self.token {
            outgoing = outgoing.secret("Authorization", "Bearer ", token);
        }
        // who runs the program chose the address
        Ok(send(&outgoing, &Reach::Anybody).map_err(|error| self.none(&error.to_string()))?)
    }

    fn none(&self, why: &str) -> Diagnostic {
        let message = format!("{} gives no answer: {why}", self.host);
        Diagnostic::error(lineage::NO_ANSWER, message)
            .help("look at the address, and whether `--lineage-listen` is served there")
    }

    fn senseless(&self) -> Diagnostic {
        self.none("what it says is not of this form")
    }

    /// Returns why the server refuses, in its words and with its number.
    fn refusal(&self, reply: &Reply) -> Diagnostic {
        let Ok(problem) = serde_json::from_slice::<Problem>(&reply.body) else {
            return self.none(&format!("it says {}", reply.status));
        };
        let code = code_of(&problem.code).unwrap_or(lineage::NO_ANSWER);
        let told = Diagnostic::error(code, clean(&problem.detail));
        match &problem.help {
            Some(help) => told.help(clean(help)),
            None => told,
        }
    }
}

impl Resources for Server {
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let told = |why: String| Error::File { path: format!("{}/{path}", self.host).into(), why };
        let first = |diagnostics: Diagnostics| {
            diagnostics.0.first().map(|one| one.message.clone()).unwrap_or_default()
        };
        let reply = Self::get(self, &format!("{LOG}/{path}"), RESOURCE);
        let reply = reply.map_err(|error| told(first(error)))?;
        match reply.status {
            404 => Ok(None),
            _ if reply.is_success() => Ok(Some(reply.body)),
            _ => Err(told(self.refusal(&reply).message)),
        }
    }
}

fn code_of(text: &str) -> Option<Code> {
    code::all().into_iter().find(|code| code.to_string() == text)
}

fn read_token(file: &Path) -> Result<Secret, Diagnostics> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(TOKEN).read_to_string(&mut text))
        .map_err(|error| file_failure(file, &error))?;
    Ok(Secret::new(text.trim()))
}

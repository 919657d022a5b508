//! Git over HTTP (gitprotocol-http, the smart half of it).

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use super::{GitError, protocol::Wire};
use crate::{
    credentials,
    http::{self, Answer, HttpError, Request, Verb},
    outbound::Reach,
    url::{Secret, Url},
};

const SERVICE: &str = "/info/refs?service=git-upload-pack";
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// Logins that are asked for: of the server that the address names, and of one that it redirects to.
const MOST_LOGINS: usize = 2;

/// What git servers expect to be called by; some answer a browser instead.
const USER_AGENT: &str = concat!("git/2.0 (sitewright ", env!("CARGO_PKG_VERSION"), ")");

/// A repository behind HTTP.
pub(super) struct HttpWire {
    repository: Url,
    /// Where the repository is after redirects.
    base: Url,
    login: Option<Granted>,
    end: Instant,
    limit: u64,
    reach: Reach,
}

/// A login that a credential helper gave for one server.
struct Granted {
    server: Url,
    header: Secret,
}

impl HttpWire {
    pub(super) fn new(repository: &Url, seconds: u64, limit: u64) -> Self {
        let end = Instant::now() + Duration::from_secs(seconds);
        let path = repository.path().trim_end_matches('/').to_owned();
        let base = repository.with_rest(path);
        let reach = Reach::Anybody;
        Self { repository: repository.clone(), base, login: None, end, limit, reach }
    }

    /// Says who may be spoken to, where somebody else chose the repository.
    pub(super) fn within(mut self, reach: &Reach) -> Self {
        self.reach = reach.clone();
        self
    }

    fn deadline(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    fn request<'a>(&self, url: &'a Url) -> Request<'a> {
        let mut request = Request::get(url, self.deadline())
            .header("User-Agent", USER_AGENT)
            .header("Git-Protocol", "version=2");
        request.reach = self.reach.clone();
        let login = self.login.as_ref().filter(|login| login.server.same_origin(url));
        request.authorization = login.map(|login| login.header.clone());
        request
    }

    /// Asks for the advertisement. Where a login is missing, asks git's helpers for one: for the
    /// server that refused, which need not be the one that was asked first.
    fn advertisement(&mut self) -> Result<Answer, HttpError> {
        let mut url = self.base.with_rest(format!("{}{SERVICE}", self.base.rest()));
        for _ in 0..MOST_LOGINS {
            match http::send(&self.request(&url)) {
                Err(HttpError::Refused { url: refused, status: 401 }) if refused.is_private() => {
                    let known = self.login.as_ref();
                    let is_wrong = known.is_some_and(|login| login.server.same_origin(&refused));
                    let path = refused.rest().strip_suffix(SERVICE).unwrap_or(refused.path());
                    let repository = refused.with_rest(path);
                    let login = if is_wrong { None } else { credentials::ask_git(&repository) };
                    let Some(login) = login else {
                        return Err(HttpError::Refused { url: refused, status: 401 });
                    };
                    self.login = Some(Granted { server: repository, header: login.header() });
                    url = refused;
                }
                other => return other,
            }
        }
        http::send(&self.request(&url))
    }

    fn bounded(&self, answer: Answer) -> Box<dyn Read> {
        Box::new(Bounded { inner: answer.into_reader(), left: self.limit })
    }
}

impl Wire for HttpWire {
    fn greeting(&mut self) -> Result<Box<dyn Read + '_>, GitError> {
        let answer =
            self.advertisement().map_err(|error| GitError::of_http(&self.repository, &error))?;
        let kind = answer.header("content-type").unwrap_or("none").to_owned();
        if kind.split(';').next() != Some(ADVERTISEMENT) {
            let kind = kind.escape_debug();
            return Err(GitError::Protocol {
                repository: self.repository.clone(),
                problem: format!(
                    "its content type is `{kind}`, not git's; only smart HTTP is read"
                ),
            });
        }
        // What the first answer came from is where the repository is (git's `http.followRedirects=initial`).
        if let Some(path) = answer.url.rest().strip_suffix(SERVICE) {
            self.base = answer.url.with_rest(path);
        }
        Ok(self.bounded(answer))
    }

    fn ask(&mut self, message: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError> {
        let url = self.base.with_rest(format!("{}/git-upload-pack", self.base.rest()));
        let mut request = self
            .request(&url)
            .header("Content-Type", "application/x-git-upload-pack-request")
            .header("Accept", "application/x-git-upload-pack-result");
        (request.verb, request.body) = (Verb::Post, message);
        match http::send(&request) {
            Ok(answer) => Ok(self.bounded(answer)),
            Err(error) => Err(GitError::of_http(&self.repository, &error)),
        }
    }

    fn close(&mut self) {}

    fn broken(&mut self, error: &io::Error) -> GitError {
        let repository = self.repository.clone();
        match error.get_ref().and_then(|inner| inner.downcast_ref::<OverBound>()) {
            Some(_) => GitError::TooLarge { repository, limit: self.limit },
            None => GitError::Unreachable { repository, facts: vec![http::reason(error)] },
        }
    }
}

/// More came than the bound.
#[derive(Debug, thiserror::Error)]
#[error("more than the bound")]
pub(super) struct OverBound;

/// A stream that fails after a number of bytes.
pub(super) struct Bounded<R> {
    pub(super) inner: R,
    pub(super) left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left =
            self.left.checked_sub(count as u64).ok_or_else(|| io::Error::other(OverBound))?;
        Ok(count)
    }
}

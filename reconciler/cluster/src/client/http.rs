//! One request with all that every request obeys: a deadline, a bound on how many are in flight,
//! retries with back-off, a signal to stop, a counter.

use std::{sync::Arc, time::Duration};

use http::header;
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    retry::{ATTEMPT, back_off},
    status::Refused,
};
use crate::Error;

mod counts;
mod reach;
mod request;

pub use counts::Requests;
use reach::Reach;
pub(crate) use reach::broken;
use request::Races;
pub(crate) use request::{Answer, Request, Verb};

/// An answer of 500 without a known cause is asked again so often: it may be a bug that stays.
const ATTEMPTS_OF_500: u32 = 4;

/// A lost race inside the server is tried again so often.
const ATTEMPTS_OF_RACE: u32 = 6;

/// The largest answer that is read: a page of 500 objects at the server's own limit of 1.5 MB is
/// never that large in practice, and a broken proxy must not fill the memory.
const LARGEST_ANSWER: usize = 512 * 1024 * 1024;

/// Sends requests to one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    shared: Arc<Shared>,
    stop: CancellationToken,
}

struct Shared {
    client: kube::Client,
    server: String,
    in_flight: Semaphore,
    concurrency: usize,
    counts: counts::Counters,
}

/// Why there is no such answer.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// The server refused; retries would not help, or did not.
    Refused(Box<Refused>),
    /// There is no sensible answer at all.
    Broken(Error),
}

// === impl Failure ===

impl Failure {
    /// Makes an error of it, for requests that are not about one object of the site.
    pub(crate) fn into_error(self, verb: Verb, what: &str, server: &str) -> Error {
        let (verb, resource) = (verb.text().to_owned(), what.to_owned());
        match self {
            Self::Broken(error) => error,
            Self::Refused(refused) => match refused.code {
                401 => Error::Unauthorised { server: server.into(), why: refused.message },
                403 => Error::Forbidden { verb, resource, why: refused.message },
                429 | 500.. => Error::Unavailable { verb, resource, why: refused.message },
                _ => Error::Refused { verb, resource, why: refused.message },
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Broken(error)
    }
}

// === impl Http ===

/// What to do after one attempt.
enum Next {
    Done(Answer),
    Refused(Box<Refused>),
    Broken(Error),
    /// Again, at most so many attempts, after what the server asks for.
    Again {
        attempts: u32,
        asked: Option<Duration>,
        last: Failure,
    },
}

impl Next {
    fn after(reach: Reach, server: &str) -> Self {
        match reach {
            Reach::Never(error) => Self::Broken(error),
            Reach::Later(why) => {
                let error = Error::Unreachable { server: server.into(), why };
                Self::Again { attempts: u32::MAX, asked: None, last: Failure::Broken(error) }
            }
        }
    }
}

impl Http {
    /// Makes a sender with at most `concurrency` requests in flight.
    pub(crate) fn new(client: kube::Client, server: String, concurrency: usize) -> Self {
        let in_flight = Semaphore::new(concurrency);
        let counts = counts::Counters::default();
        let shared = Shared { client, server, in_flight, concurrency, counts };
        Self { shared: Arc::new(shared), stop: CancellationToken::new() }
    }

    /// Returns the same sender, stopped by `token`.
    pub(crate) fn until(&self, token: &CancellationToken) -> Self {
        Self { shared: self.shared.clone(), stop: token.clone() }
    }

    /// Makes an error of a failure, for requests that are not about one object of the site.
    pub(crate) fn error(&self, failure: Failure, verb: Verb, what: &str) -> Error {
        failure.into_error(verb, what, &self.shared.server)
    }

    /// Returns how many requests may be in flight.
    pub(crate) fn concurrency(&self) -> usize {
        self.shared.concurrency
    }

    /// Returns how many requests were sent.
    pub(crate) fn requests(&self) -> Requests {
        self.shared.counts.read()
    }

    /// Returns the signal to stop.
    pub(crate) fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Sends a request that is not about one object of the site: a refusal is an error.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, Error> {
        let (verb, what) = (request.verb, request.what.clone());
        self.send(request)
            .await
            .map_err(|failure| failure.into_error(verb, &what, &self.shared.server))
    }

    /// Sends a request until there is an answer, a refusal, or the deadline is over.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let deadline = Instant::now() + request.within;
        for attempt in 1.. {
            let next = self.attempt(&request, deadline).await?;
            let (attempts, asked, last) = match next {
                Next::Done(answer) => return Ok(Answer { attempts: attempt, ..answer }),
                Next::Refused(refused) => return Err(Failure::Refused(refused)),
                Next::Broken(error) => return Err(Failure::Broken(error)),
                Next::Again { attempts, asked, last } => (attempts, asked, last),
            };
            let wait = back_off(attempt, asked);
            if attempt >= attempts || Instant::now() + wait >= deadline {
                return Err(last);
            }
            self.shared.counts.retried();
            tokio::select! {
                () = self.stop.cancelled() => return Err(Error::Stopped.into()),
                () = sleep(wait) => {}
            }
        }
        unreachable!("the loop above ends only by returning")
    }

    async fn attempt(&self, request: &Request, deadline: Instant) -> Result<Next, Failure> {
        let permit = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Error::Stopped.into()),
            permit = self.shared.in_flight.acquire() => permit,
        };
        let _permit = permit.expect("this semaphore is never closed");
        let built = request.build()?;
        self.shared.counts.sent(request.verb);
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_secs(1));
        let server = &self.shared.server;
        let next = match timeout(ATTEMPT.min(left), self.exchange(built, request)).await {
            Ok(Ok(next)) => next,
            Ok(Err(error)) => Next::after(broken(server, &error), server),
            Err(_) => Next::after(Reach::Later("no answer in time".into()), server),
        };
        Ok(next)
    }

    async fn exchange(&self, built: http::Request<Body>, request: &Request) -> kube::Result<Next> {
        let response = self.shared.client.send(built).await?;
        let code = response.status().as_u16();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let warnings = response.headers().get_all(header::WARNING).iter();
        let warnings = warnings.filter_map(|value| warning(value.to_str().ok()?)).collect();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let body = Vec::from(body.map_err(kube::Error::Service)?.to_bytes());
        if (200..300).contains(&code) {
            let (what, verb) = (request.what.clone(), request.verb);
            return Ok(Next::Done(Answer { code, body, warnings, attempts: 1, what, verb }));
        }
        Ok(after_refusal(request.races, Refused::read(code, retry_after, &body)))
    }
}

/// Decides whether a refused request is worth sending again.
fn after_refusal(races: Races, refused: Refused) -> Next {
    let asked = refused.retry_after;
    let attempts = match refused.code {
        429 | 502..=504 => u32::MAX,
        // a webhook that is down is for the caller to judge, and to wait for
        500 if refused.unreachable_webhook().is_some() => 1,
        500 if refused.malformed().is_some() => 1,
        500.. => ATTEMPTS_OF_500,
        409 if races == Races::Again && is_race(&refused) => ATTEMPTS_OF_RACE,
        _ => 1,
    };
    let refused = Box::new(refused);
    match attempts {
        1 => Next::Refused(refused),
        _ => Next::Again { attempts, asked, last: Failure::Refused(refused) },
    }
}

/// Returns whether the server lost a race with itself, and the object is not another one than was meant.
fn is_race(refused: &Refused) -> bool {
    !refused.is_field_conflict()
        && matches!(refused.reason.as_str(), "Conflict" | "AlreadyExists")
        && !refused.message.contains("uid mismatch")
        && !refused.message.contains("Precondition failed")
}

/// Takes the text out of a `Warning` header: `299 - "text"` (RFC 7234, 5.5).
fn warning(header: &str) -> Option<String> {
    let text = header.split_once('"')?.1.rsplit_once('"')?.0;
    Some(text.replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
impl Http {
    /// A sender whose requests go nowhere.
    pub(crate) fn nowhere(concurrency: usize) -> Self {
        let config = kube::Config::new(http::Uri::from_static("http://127.0.0.1:9"));
        let client = kube::Client::try_from(config).expect("plain HTTP needs nothing");
        Self::new(client, "nowhere".into(), concurrency)
    }
}

#[cfg(test)]
mod tests;

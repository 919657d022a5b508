//! One request with all that every request obeys: a deadline, a bound on how many are in flight,
//! retries with back-off, a signal to stop, the fence of the lock, a counter.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use http::header;
use http_body_util::{BodyExt, Limited};
use kube::{client::Body, core::WatchEvent};
use serde::de::DeserializeOwned;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Listener,
    fence::Fence,
    places::Places,
    retry::{Deadlines, back_off},
    status::Refused,
};
use crate::Error;

mod counts;
mod reach;
mod request;

pub use counts::Requests;
use reach::Reach;
pub(crate) use reach::broken;
pub(crate) use request::{Answer, Request, Verb};
use request::{Races, Turn};

/// An answer of 500 without a known cause is asked again so often: it may be a bug that stays.
const ATTEMPTS_OF_500: u32 = 4;

/// A lost race inside the server is tried again so often.
const ATTEMPTS_OF_RACE: u32 = 6;

/// Credentials that are not accepted are tried again so often: a server whose authenticator is away for a
/// moment says the same.
const ATTEMPTS_OF_401: u32 = 2;

/// An attempt gets this long even where its deadline is nearly over: less would only be noise.
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// A request without an answer after this long waits for something behind the server, a webhook perhaps: it
/// gives its place in flight to another.
const SLOW: Duration = Duration::from_secs(1);

/// For each place in flight, so many slow requests may be open besides.
const SLOW_ONES: usize = 8;

/// What every server answers to everyone, to tell a request that hangs from a server that is gone.
const PROBE: &str = "/version";

/// How long a server may take to show that it is there.
const PROBED: Duration = Duration::from_secs(5);

/// The largest answer that is read: a page of 500 objects at the server's own limit of 1.5 MB is
/// never that large in practice, and a broken proxy must not fill the memory.
const LARGEST_ANSWER: usize = 512 * 1024 * 1024;

/// Sends requests to one server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    shared: Arc<Shared>,
    stop: CancellationToken,
    /// The lock under which it sends, if any.
    fence: Option<Fence>,
    /// Where pauses are counted, if anywhere.
    places: Option<Places>,
    /// The longest that one request may take.
    longest: Duration,
    /// Who is told of every answer.
    listener: Listener,
}

struct Shared {
    client: kube::Client,
    server: String,
    in_flight: Semaphore,
    /// Places for requests that take long.
    slow: Semaphore,
    concurrency: usize,
    deadlines: Deadlines,
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
    pub(crate) fn into_error(self, verb: Verb, what: &str) -> Error {
        let (verb, resource) = (verb.text().to_owned(), what.to_owned());
        match self {
            Self::Broken(error) => error,
            Self::Refused(refused) => match refused.code {
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
    pub(crate) fn new(
        client: kube::Client,
        server: String,
        concurrency: usize,
        deadlines: Deadlines,
    ) -> Self {
        let in_flight = Semaphore::new(concurrency);
        let slow = Semaphore::new(concurrency * SLOW_ONES);
        let counts = counts::Counters::default();
        let shared = Shared { client, server, in_flight, slow, concurrency, deadlines, counts };
        let (stop, longest) = (CancellationToken::new(), deadlines.operation);
        let (shared, listener) = (Arc::new(shared), Listener::default());
        Self { shared, stop, fence: None, places: None, longest, listener }
    }

    /// Returns the same sender, of whose answers `listener` is told.
    pub(crate) fn told_to(&self, listener: Listener) -> Self {
        Self { listener, ..self.clone() }
    }

    /// Returns the same sender, stopped by `token` instead. What keeps the fence keeps it.
    pub(crate) fn until(&self, token: &CancellationToken) -> Self {
        Self { stop: token.clone(), ..self.clone() }
    }

    /// Returns the same sender, which sends only while `fence` is open.
    pub(crate) fn within_fence(&self, fence: &Fence) -> Self {
        Self { fence: Some(fence.clone()), ..self.clone() }
    }

    /// Returns the same sender, whose pauses give back a place among `places`.
    pub(crate) fn counted(&self, places: Option<&Places>) -> Self {
        Self { places: places.cloned(), ..self.clone() }
    }

    /// Returns the same sender, which gives up on a request after `longest`.
    pub(crate) fn at_most(&self, longest: Duration) -> Self {
        Self { longest: self.longest.min(longest), ..self.clone() }
    }

    /// Makes an error of a failure, for requests that are not about one object of the site.
    pub(crate) fn error(&self, failure: Failure, verb: Verb, what: &str) -> Error {
        failure.into_error(verb, what)
    }

    /// Returns the client itself, for watches and Events, which need none of what requests obey.
    pub(crate) fn client(&self) -> kube::Client {
        self.shared.client.clone()
    }

    /// Returns the server's URL.
    pub(crate) fn server(&self) -> &str {
        &self.shared.server
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

    /// Returns why nothing may be sent any more: the lock is lost, or the signal to stop came.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.fence.as_ref().map_or(Ok(()), Fence::check)?;
        if self.stop.is_cancelled() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Waits until nothing may be sent any more, and returns why.
    pub(crate) async fn halted(&self) -> Error {
        tokio::select! {
            biased;
            error = self.fenced_off() => error,
            () = self.stop.cancelled() => Error::Stopped,
        }
    }

    /// Sleeps, unless nothing may be sent any more.
    pub(crate) async fn pause(&self, time: Duration) -> Result<(), Error> {
        let _asleep = self.places.as_ref().map(Places::lie_down);
        tokio::select! {
            error = self.halted() => Err(error),
            () = sleep(time) => Ok(()),
        }
    }

    async fn fenced_off(&self) -> Error {
        match &self.fence {
            Some(fence) => fence.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Sends a request that is not about one object of the site: a refusal is an error.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, Error> {
        let (verb, what) = (request.verb, request.what.clone());
        self.send(request).await.map_err(|failure| failure.into_error(verb, &what))
    }

    /// Sends a request until there is an answer, a refusal, or the deadline is over. The deadline is about
    /// the server: waiting for its turn does not count.
    pub(crate) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let mut left = request.within.unwrap_or(self.longest).min(self.longest);
        for attempt in 1.. {
            let (next, took) = self.attempt(&request, left).await?;
            let (attempts, asked, last) = match next {
                Next::Done(answer) => return Ok(answer),
                Next::Refused(refused) => return Err(Failure::Refused(refused)),
                Next::Broken(error) => return Err(Failure::Broken(error)),
                Next::Again { attempts, asked, last } => (attempts, asked, last),
            };
            let wait = back_off(attempt, asked);
            left = left.saturating_sub(took + wait);
            if attempt >= attempts || left.is_zero() {
                return Err(self.in_vain(&request, last).await);
            }
            self.shared.counts.retried();
            self.pause(wait).await?;
        }
        unreachable!("the loop above ends only by returning")
    }

    /// Makes one attempt; returns how long the server took.
    async fn attempt(
        &self,
        request: &Request,
        left: Duration,
    ) -> Result<(Next, Duration), Failure> {
        let permit = self.turn(request).await?;
        self.check()?;
        let built = request.build()?;
        self.shared.counts.sent(request.verb);
        let server = &self.shared.server;
        let unanswered = || self.listener.answered(request.verb.text(), None);
        let limit = self.shared.deadlines.attempt.min(left.max(SHORTEST_ATTEMPT));
        let begun = Instant::now();
        let next = tokio::select! {
            // a late write is taken back as far as that goes: the server drops what nobody waits for
            error = self.fenced_off() => return Err(error.into()),
            answer = timeout(limit, self.held(permit, self.exchange(built, request))) => match answer {
                Ok(Ok(next)) => next,
                Ok(Err(error)) => {
                    unanswered();
                    Next::after(broken(server, &error), server)
                }
                Err(_) => {
                    unanswered();
                    let why = format!("no answer in {} s", limit.as_secs());
                    Next::after(Reach::Later(why), server)
                }
            },
        };
        Ok((next, begun.elapsed()))
    }

    /// Waits for an answer with a place in flight, which it gives to another once it takes long.
    async fn held<T>(
        &self,
        permit: Option<SemaphorePermit<'_>>,
        exchange: impl Future<Output = T>,
    ) -> T {
        let mut exchange = std::pin::pin!(exchange);
        if let Ok(answer) = timeout(SLOW, &mut exchange).await {
            return answer;
        }
        let Ok(_slow) = self.shared.slow.try_acquire() else { return exchange.await };
        let _asleep = self.places.as_ref().map(Places::lie_down);
        drop(permit);
        exchange.await
    }

    /// Waits for a place among the requests in flight.
    async fn turn(&self, request: &Request) -> Result<Option<SemaphorePermit<'_>>, Error> {
        if request.turn == Turn::AtOnce {
            return Ok(None);
        }
        tokio::select! {
            biased;
            error = self.halted() => Err(error),
            permit = self.shared.in_flight.acquire() => {
                Ok(Some(permit.expect("this semaphore is never closed")))
            }
        }
    }

    /// Tells a request that the server leaves unanswered, which is the trouble of that request alone, from
    /// a server that is gone.
    async fn in_vain(&self, request: &Request, last: Failure) -> Failure {
        match &last {
            Failure::Broken(Error::Unreachable { why, .. })
                if !request.is_at(PROBE) && self.answers().await =>
            {
                Failure::Refused(Box::new(Refused::unanswered(why)))
            }
            _ => last,
        }
    }

    async fn answers(&self) -> bool {
        let probe = Request::get(PROBE, "the server's version");
        let Ok(built) = probe.build() else { return false };
        self.shared.counts.sent(Verb::Get);
        let answer = timeout(PROBED, self.exchange(built, &probe));
        tokio::select! {
            _ = self.halted() => false,
            answer = answer => matches!(answer, Ok(Ok(Next::Done(_) | Next::Refused(_)))),
        }
    }

    /// Opens a watch. It has no deadline and takes no place in flight: it is open for as long as it is read.
    pub(crate) async fn watch<T: Clone + DeserializeOwned>(
        &self,
        request: Request,
    ) -> kube::Result<impl Stream<Item = kube::Result<WatchEvent<T>>> + use<T>> {
        let built = request.build().map_err(|error| kube::Error::Service(error.into()))?;
        self.shared.counts.sent(request.verb);
        // a watch has no body
        let opened = self.shared.client.request_events(built.map(|_| Vec::new()));
        let opened = timeout(self.shared.deadlines.attempt, opened).await;
        let opened = opened.unwrap_or_else(|error| Err(kube::Error::Service(error.into())));
        let code = match &opened {
            Ok(_) => Some(200),
            Err(kube::Error::Api(status)) => Some(status.code),
            Err(_) => None,
        };
        self.listener.answered("watch", code);
        opened
    }

    async fn exchange(&self, built: http::Request<Body>, request: &Request) -> kube::Result<Next> {
        let response = self.shared.client.send(built).await?;
        let code = response.status().as_u16();
        self.listener.answered(request.verb.text(), Some(code));
        let date = response.headers().get(header::DATE).cloned();
        let retry_after = response.headers().get(header::RETRY_AFTER);
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = retry_after.map(Duration::from_secs);
        let warnings = response.headers().get_all(header::WARNING).iter();
        let warnings = warnings.filter_map(|value| warning(value.to_str().ok()?)).collect();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect().await;
        let body = Vec::from(body.map_err(kube::Error::Service)?.to_bytes());
        if (200..300).contains(&code) {
            let (what, verb) = (request.what.clone(), request.verb);
            return Ok(Next::Done(Answer { body, date, warnings, what, verb }));
        }
        let refused = Refused::read(code, retry_after, &body);
        Ok(if code == 401 {
            let server = self.shared.server.clone();
            let error = Error::Unauthorised { server, why: refused.message };
            Next::Again { attempts: ATTEMPTS_OF_401, asked: None, last: Failure::Broken(error) }
        } else {
            after_refusal(request.races, refused)
        })
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
        Self::new(client, "nowhere".into(), concurrency, Deadlines::default())
    }
}

#[cfg(test)]
mod tests;

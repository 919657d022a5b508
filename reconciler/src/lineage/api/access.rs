//! Who asks, and which namespaces they may see.
//!
//! Comes in: headers. Goes out: a caller, and what they see. Never: an own list of users; a token that is kept, printed or
//! compared but by its digest.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, header};
use futures::{StreamExt, stream};
use sitewright_cluster::{
    Cluster, Error,
    access::{Person, Right},
};
use sitewright_model::{digest::Digest, lineage::DOMAIN};
use tokio::time::{Instant, timeout};

use super::Problem;

/// How long an answer of the API server is believed. A right that is taken away is gone after this.
const BELIEVED: Duration = Duration::from_secs(60);

/// How long it is believed that nobody has a token: a service account may be a moment old.
const DISBELIEVED: Duration = Duration::from_secs(10);

/// Tokens, and as many again that are nobody's, that are remembered.
const TOKENS: usize = 1_024;

/// Answers about rights that are remembered.
const RIGHTS: usize = 16_384;

/// The longest token that is looked at. Those of OpenID Connect have a few kilobytes.
const LONGEST: usize = 16 * 1024;

/// Tokens that the API server is asked about in a second, and at once: whoever sends made-up tokens must not load it.
const REVIEWS: Rate = Rate { a_second: 20.0, at_once: 40.0 };

/// Namespaces of one person that the API server is asked about at a time.
const AT_A_TIME: usize = 8;

/// How long all that is asked of the API server for one question may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// Who may ask, and who says so.
pub(crate) enum Access {
    /// The cluster says who asks and what they may see.
    Cluster(Box<Judge>),
    /// Everybody who gets here may see everything: something before us knows who they are.
    Everybody,
}

/// Asks the cluster, and remembers for a while what it said.
pub(crate) struct Judge {
    cluster: Cluster,
    audience: Option<String>,
    known: Mutex<Remembered<[u8; 32], Arc<Person>>>,
    unknown: Mutex<Remembered<[u8; 32], ()>>,
    rights: Mutex<Remembered<Somewhere, bool>>,
    reviews: Mutex<Bucket>,
}

/// Somebody in a namespace, or everywhere.
type Somewhere = (Arc<Person>, Option<String>);

/// Somebody who asks.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// Somebody whom the cluster knows.
    Known(Arc<Person>),
    /// Somebody whom nobody asked.
    Anybody,
}

/// What a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sees {
    Everything,
    Namespaces(BTreeSet<String>),
}

/// How often something may be done.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) a_second: f64,
    pub(super) at_once: f64,
}

// === impl Caller ===

impl Caller {
    /// Returns what they are counted by.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Known(person) => &person.username,
            Self::Anybody => "",
        }
    }
}

// === impl Access ===

impl Access {
    /// Takes a cluster that says who asks. Tokens have to be meant for `audience`, or for the API server where there is none.
    pub(crate) fn of(cluster: Cluster, audience: Option<String>) -> Self {
        Self::Cluster(Box::new(Judge {
            cluster,
            audience,
            known: Mutex::new(Remembered::new(TOKENS)),
            unknown: Mutex::new(Remembered::new(TOKENS)),
            rights: Mutex::new(Remembered::new(RIGHTS)),
            reviews: Mutex::new(Bucket::new(REVIEWS, Instant::now())),
        }))
    }

    /// Returns who sends a request.
    pub(super) async fn caller(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        match self {
            Self::Everybody => Ok(Caller::Anybody),
            Self::Cluster(judge) => {
                judge.who(token(headers)?, Instant::now()).await.map(Caller::Known)
            }
        }
    }

    /// Returns whether a caller may see everything.
    pub(super) async fn sees_everything(&self, caller: &Caller) -> Result<bool, Problem> {
        match (self, caller) {
            (Self::Cluster(judge), Caller::Known(person)) => {
                let asked = timeout(PATIENCE, judge.may(person, None, Instant::now()));
                asked.await.map_err(|_| Problem::unjudged())?
            }
            (Self::Cluster(_), Caller::Anybody) => Ok(false),
            (Self::Everybody, _) => Ok(true),
        }
    }

    /// Returns those of `namespaces` that a caller may see.
    ///
    /// # Errors
    /// It is none of them, or the cluster does not say.
    pub(super) async fn sees(
        &self,
        caller: &Caller,
        namespaces: Vec<String>,
    ) -> Result<BTreeSet<String>, Problem> {
        let (Self::Cluster(judge), Caller::Known(person)) = (self, caller) else {
            return Err(Problem::unjudged());
        };
        let now = Instant::now();
        let asked = stream::iter(namespaces)
            .map(|namespace| async move {
                let may = judge.may(person, Some(&namespace), now).await?;
                Ok::<_, Problem>(may.then_some(namespace))
            })
            .buffer_unordered(AT_A_TIME)
            .collect::<Vec<_>>();
        let asked = timeout(PATIENCE, asked).await.map_err(|_| Problem::unjudged())?;
        let mut seen = BTreeSet::new();
        for one in asked {
            seen.extend(one?);
        }
        if seen.is_empty() {
            let why = "you may see the runs of no namespace that something is recorded of";
            return Err(Problem::refused(why));
        }
        Ok(seen)
    }
}

/// Reads the bearer token (RFC 6750, 2.1).
fn token(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(Problem::unknown_asker("no token was sent")),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => None,
    };
    let token = value.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let fits = |token: &&str| (1..=LONGEST).contains(&token.len());
    token.filter(fits).ok_or_else(|| Problem::unknown_asker("this is no bearer token"))
}

// === impl Judge ===

impl Judge {
    async fn who(&self, token: &str, now: Instant) -> Result<Arc<Person>, Problem> {
        let nobody = || Problem::unknown_asker("the cluster does not know this token");
        let digest = *Digest::of(token).bytes();
        if let Some(person) = lock(&self.known).get(&digest, now) {
            return Ok(person);
        }
        if lock(&self.unknown).get(&digest, now).is_some() {
            return Err(nobody());
        }
        if !lock(&self.reviews).take(now) {
            return Err(Problem::crowded());
        }
        let asked = timeout(PATIENCE, self.cluster.who(token, self.audience.as_deref()));
        let asked = asked.await.map_err(|_| Problem::unjudged())?;
        match asked {
            Ok(Some(person)) => {
                let person = Arc::new(person);
                lock(&self.known).put(digest, Arc::clone(&person), now + BELIEVED, now);
                Ok(person)
            }
            // what the server cannot even read is nobody's token
            Ok(None) | Err(Error::Refused { .. }) => {
                lock(&self.unknown).put(digest, (), now + DISBELIEVED, now);
                Err(nobody())
            }
            Err(error) => Err(unjudged(&error)),
        }
    }

    async fn may(
        &self,
        person: &Arc<Person>,
        namespace: Option<&str>,
        now: Instant,
    ) -> Result<bool, Problem> {
        let key = (Arc::clone(person), namespace.map(str::to_owned));
        if let Some(may) = lock(&self.rights).get(&key, now) {
            return Ok(may);
        }
        let right = Right { verb: "get", group: DOMAIN, resource: "runs", namespace };
        let may = self.cluster.may(person, &right).await.map_err(|error| unjudged(&error))?;
        lock(&self.rights).put(key, may, now + BELIEVED, now);
        Ok(may)
    }
}

fn unjudged(error: &Error) -> Problem {
    tracing::warn!("lineage: nobody says who asks: {error}");
    Problem::unjudged()
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === Remembered ===

/// What is remembered for a while: some at most.
struct Remembered<K, V> {
    room: usize,
    kept: HashMap<K, (Instant, V)>,
}

impl<K: Eq + Hash + Clone, V: Clone> Remembered<K, V> {
    fn new(room: usize) -> Self {
        Self { room, kept: HashMap::new() }
    }

    fn get(&self, key: &K, now: Instant) -> Option<V> {
        self.kept.get(key).filter(|(until, _)| *until > now).map(|(_, value)| value.clone())
    }

    fn put(&mut self, key: K, value: V, until: Instant, now: Instant) {
        if self.kept.len() >= self.room {
            self.kept.retain(|_, (until, _)| *until > now);
        }
        if self.kept.len() >= self.room
            && let Some(any) = self.kept.keys().next().cloned()
        {
            self.kept.remove(&any);
        }
        self.kept.insert(key, (until, value));
    }
}

// === Bucket ===

/// Counts how often something is done.
pub(super) struct Bucket {
    rate: Rate,
    left: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, left: rate.at_once, at: now }
    }

    /// Returns whether it may be done now, and counts it.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate.a_second).min(self.rate.at_once);
        self.at = now;
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }

    /// Returns whether nothing of it was used for so long that it is as new.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left + passed * self.rate.a_second >= self.rate.at_once
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_one_header_of_the_scheme_bearer() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_static(value));
            }
            token(&headers).map(str::to_owned).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of(&["Bearer abc"]), Ok("abc".into()));
        assert_eq!(of(&["bearer abc"]), Ok("abc".into()));
        for wrong in [&[][..], &["Basic abc"], &["Bearer "], &["Bearer"], &["Bearer a", "Bearer b"]]
        {
            assert_eq!(of(wrong), Err(401), "{wrong:?}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_forgotten() {
        let now = Instant::now();
        let mut kept = Remembered::new(3);
        for key in 0..10 {
            kept.put(key, key, now + BELIEVED, now);
        }
        assert!(kept.kept.len() <= 3 && kept.get(&9, now) == Some(9));
        assert_eq!(kept.get(&9, now + BELIEVED), None);
    }

    #[test]
    fn a_bucket_lets_some_through_and_fills_again() {
        let now = Instant::now();
        let mut bucket = Bucket::new(Rate { a_second: 2.0, at_once: 3.0 }, now);
        assert_eq!((0..5).filter(|_| bucket.take(now)).count(), 3);
        assert!(bucket.take(now + Duration::from_millis(600)) && !bucket.is_full(now));
        assert!(bucket.is_full(now + Duration::from_secs(3)));
    }
}

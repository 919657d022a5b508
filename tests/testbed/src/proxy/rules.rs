//! What was seen, and what should happen to what comes.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// One request that reached the proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Its number, from 1, if it counts.
    pub number: Option<u64>,
    /// `GET`, `PATCH` and so on.
    pub method: String,
    /// The path, such as `/api/v1/namespaces`.
    pub path: String,
    /// The query without `?`, or empty.
    pub query: String,
    /// Who asked.
    pub user_agent: String,
    /// The status that the client got; none while it waits, or when the request was cut.
    pub status: Option<u16>,
}

impl Request {
    /// Whether the request can change anything on the cluster.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.method != "GET" && !self.query.contains("dryRun=")
    }
}

/// An answer in the API server's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 409, as when another writer was quicker.
    Conflict,
    /// 429 with this `Retry-After`, in whole seconds.
    TooManyRequests(Duration),
    /// 500.
    InternalError,
    /// 503 with `Retry-After: 1`.
    Unavailable,
    /// 410, as where a resource version or a continue token is too old.
    Gone,
    /// The server's own answer, after this long.
    Late(Duration),
    /// No answer at all, until the client gives up.
    Silence,
}

/// At which side of the API server a request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    After,
}

pub(super) type Call = Box<dyn FnOnce() + Send>;
pub(super) type Predicate = Box<dyn Fn(&Request) -> bool + Send + Sync>;

/// What should happen to a request that arrives.
pub(super) enum Fate {
    Pass,
    Cut(Moment, Call),
    Fail(Fault),
}

/// The rules of one proxy.
#[derive(Default)]
pub(super) struct Rules(Mutex<State>);

#[derive(Default)]
struct State {
    counts: Option<Predicate>,
    count: u64,
    requests: Vec<Request>,
    /// Which forgetting the requests belong to: an answer to one from before is not recorded.
    era: u64,
    cuts: BTreeMap<u64, (Moment, Call)>,
    faults: Vec<Injection>,
}

struct Injection {
    fault: Fault,
    left: u32,
    matches: Predicate,
}

/// Where a request is recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    era: u64,
    index: usize,
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("count", &self.count()).finish_non_exhaustive()
    }
}

impl Rules {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_only(&self, counts: Predicate) {
        self.state().counts = Some(counts);
    }

    pub(super) fn count(&self) -> u64 {
        self.state().count
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    pub(super) fn restart(&self) {
        let mut state = self.state();
        let (counts, era) = (state.counts.take(), state.era + 1);
        *state = State { counts, era, ..State::default() };
    }

    pub(super) fn at(&self, number: u64, moment: Moment, call: Call) {
        self.state().cuts.insert(number, (moment, call));
    }

    pub(super) fn inject(&self, fault: Fault, times: u32, matches: Predicate) {
        self.state().faults.push(Injection { fault, left: times, matches });
    }

    pub(super) fn heal(&self) {
        self.state().faults.clear();
    }

    /// Numbers and records a request, and decides on it.
    pub(super) fn arrive(&self, mut request: Request) -> (Ticket, Fate) {
        let mut guard = self.state();
        let state = &mut *guard;
        if state.counts.as_ref().is_none_or(|counts| counts(&request)) {
            state.count += 1;
            request.number = Some(state.count);
        }
        let fate = state.decide(&request);
        let ticket = Ticket { era: state.era, index: state.requests.len() };
        state.requests.push(request);
        (ticket, fate)
    }

    /// Records what the client is told.
    pub(super) fn answered(&self, ticket: Ticket, status: u16) {
        let mut state = self.state();
        if state.era == ticket.era
            && let Some(request) = state.requests.get_mut(ticket.index)
        {
            request.status = Some(status);
        }
    }
}

impl State {
    fn decide(&mut self, request: &Request) -> Fate {
        if let Some((moment, call)) = request.number.and_then(|number| self.cuts.remove(&number)) {
            return Fate::Cut(moment, call);
        }
        let mut live = self.faults.iter_mut().filter(|injection| injection.left > 0);
        match live.find(|injection| (injection.matches)(request)) {
            Some(injection) => {
                injection.left -= 1;
                Fate::Fail(injection.fault)
            }
            None => Fate::Pass,
        }
    }
}

//! What can be told of a state, and what of it was told.
//!
//! Comes in: a [`State`], and what was told. Goes out: the events in between. So a state that came and went before
//! anybody could be told is not told at all, however many there were, and one that was told is not told again.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sitewright_cluster::sync::EventKind;
use sitewright_model::{digest::Digest, health::Health, name::ComponentName, object::ObjectId};

use super::{
    event::Event,
    told::{Told, Topic},
};
use crate::{
    agent::{
        state::{Activity, Drifted, FailedObject, Held, Problem, Sick, State, Taken},
        status,
    },
    output::{event::EventObject, words},
};

/// Objects that one sentence names.
const NAMED: usize = 3;

/// Facts of a topic that are told one by one; of more, that there are many is one fact.
const FACTS: usize = 24;

/// What is so now. A topic that is missing is not known yet: nothing is told of it, and nothing forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    topics: BTreeMap<Topic, BTreeMap<String, Fact>>,
    at: Timestamp,
}

/// One fact, known by a digest of what makes it another one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fact {
    /// In a few words.
    words: String,
    code: Option<String>,
    object: Option<EventObject>,
    /// Whether what was healthy is in force again.
    is_back: bool,
    since: Timestamp,
}

// === impl Facts ===

impl Facts {
    /// Reads a state.
    pub(super) fn of(state: &State, now: Timestamp) -> Self {
        let mut topics = BTreeMap::new();
        let mut add = |topic, facts: Vec<(String, Fact)>| {
            topics.insert(topic, bounded(facts));
        };
        if let (Some(site), Some(revision)) = (&state.site, &state.observed)
            && state.rejected.is_none()
        {
            let words = format!("{site} is at {}", revision.short());
            add(
                Topic::Revision,
                vec![(key([&revision.inputs.to_string()]), Fact::new(words, now))],
            );
        }
        if !state.problems.is_empty() || !state.failed.is_empty() || is_at_rest(state) {
            let failed = state.failed.iter().map(|(id, failed)| self::failed(id, failed));
            add(Topic::Problem, state.problems.values().map(problem).chain(failed).collect());
        }
        // before the first plan nothing is held, and nothing differs, as far as anybody knows
        if state.plan.is_some() {
            add(Topic::Held, state.held.iter().map(|(id, held)| self::held(id, held)).collect());
            add(
                Topic::Drift,
                status::lasting(state).map(|(id, drift)| drifted(id, drift)).collect(),
            );
            let fights = state.fights.iter().map(|(id, rivals)| fight(id, rivals, now)).collect();
            add(Topic::Fight, fights);
        }
        if is_at_rest(state) && state.health_is_known {
            let sick = state.components.iter().filter_map(|name| {
                let (id, sick) = state.worst_of(name)?;
                Some(self::sick(name, id, sick))
            });
            add(Topic::Health, sick.collect());
            add(Topic::Bad, state.bad.iter().map(|(name, taken)| bad(name, taken, now)).collect());
        }
        Self { topics, at: now }
    }

    /// Returns the same facts at the time when they became so, where these are no others.
    pub(super) fn since(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before.filter(|before| before.keys() == self.keys()) {
            self.at = before.at;
        }
        self
    }

    fn keys(&self) -> Vec<(Topic, Vec<&String>)> {
        self.topics.iter().map(|(topic, facts)| (*topic, facts.keys().collect())).collect()
    }

    /// Returns what is to be told where `told` was, in the order in which it is told; each with the topic that is
    /// told then.
    pub(super) fn untold(&self, told: &Told) -> Vec<(Topic, Option<Event>)> {
        let mut untold = Vec::new();
        for (&topic, facts) in &self.topics {
            let known = told.keys(topic);
            let is: BTreeSet<&str> = facts.keys().map(String::as_str).collect();
            let new: Vec<&Fact> = facts
                .iter()
                .filter(|(key, _)| !known.contains(*key))
                .map(|(_, fact)| fact)
                .collect();
            let gone = known.iter().filter(|key| !is.contains(key.as_str())).count();
            if !new.is_empty() {
                untold.push((topic, Some(self.begun(topic, &new))));
            } else if gone > 0 {
                let over = if facts.is_empty() { self.over(topic) } else { None };
                untold.push((topic, over));
            }
        }
        untold
    }

    /// Takes that a topic was told as it is now.
    pub(super) fn mark(&self, topic: Topic, told: &mut Told) {
        if let Some(facts) = self.topics.get(&topic) {
            told.set(topic, facts.keys().cloned());
        }
    }

    fn begun(&self, topic: Topic, new: &[&Fact]) -> Event {
        let mut new = new.to_vec();
        new.sort_by(|one, other| one.words.cmp(&other.words));
        let named = named(&new);
        let (kind, message) = match topic {
            Topic::Revision => (EventKind::NewRevision, named),
            Topic::Problem => (EventKind::Failed, named),
            Topic::Held => (EventKind::Held, format!("{}: {named}", words::held(new.len()))),
            Topic::Drift => (EventKind::Drifted, format!("{named}; it stays so")),
            Topic::Fight => (EventKind::Fight, named),
            Topic::Health => (EventKind::Unhealthy, named),
            Topic::Bad if new.iter().any(|fact| fact.is_back) => (EventKind::RolledBack, named),
            Topic::Bad => (EventKind::BadRevision, named),
        };
        let since = new.iter().map(|fact| fact.since).min().unwrap_or(self.at);
        let event = Event::new(kind, since, &message)
            .about(new.iter().filter_map(|fact| fact.object.clone()));
        match new.iter().find_map(|fact| fact.code.as_deref()) {
            Some(code) => event.numbered(code),
            None => event,
        }
    }

    fn over(&self, topic: Topic) -> Option<Event> {
        let (kind, message) = match topic {
            Topic::Problem => (EventKind::Recovered, "what did not work works again"),
            Topic::Held => (EventKind::Released, "no change is held any more"),
            Topic::Health => (EventKind::Healthy, "every component is healthy"),
            // what is mended is told as it is mended
            Topic::Revision | Topic::Drift | Topic::Fight | Topic::Bad => return None,
        };
        Some(Event::new(kind, self.at, message))
    }
}

impl Fact {
    fn new(words: String, since: Timestamp) -> Self {
        Self { words, code: None, object: None, is_back: false, since }
    }

    fn about(self, object: EventObject) -> Self {
        Self { object: Some(object), ..self }
    }
}

/// Returns whether the agent has looked at everything since its start, and does nothing now.
fn is_at_rest(state: &State) -> bool {
    state.activity == Activity::Resting && state.plan.is_some()
}

/// More facts than can be remembered one by one are one fact, told again when any of them changes.
fn bounded(facts: Vec<(String, Fact)>) -> BTreeMap<String, Fact> {
    let count = facts.len();
    let facts: BTreeMap<String, Fact> = facts.into_iter().collect();
    if count <= FACTS {
        return facts;
    }
    let all = key(facts.keys());
    let Some(first) = facts.into_values().next() else { return BTreeMap::new() };
    let words = format!("{} and {} more", first.words, count - 1);
    BTreeMap::from([(all, Fact { words, ..first })])
}

fn key<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> String {
    Digest::of_parts(parts).hex().chars().take(10).collect()
}

fn problem(problem: &Problem) -> (String, Fact) {
    let words = format!("{}: {}", problem.code, problem.message);
    let fact = Fact { code: Some(problem.code.clone()), ..Fact::new(words, problem.since) };
    (key([&problem.code, &problem.message]), fact)
}

fn failed(id: &ObjectId, failed: &FailedObject) -> (String, Fact) {
    let id = words::clean(&id.to_string());
    let words = format!("{id}: {}: {}", failed.code, words::clean(&failed.message));
    let object = EventObject {
        object: id.clone(),
        component: Some(failed.component.to_string()),
        why: Some(words::clean(&failed.message)),
        since: Some(status::seconds(failed.since)),
        ..EventObject::default()
    };
    let fact = Fact::new(words, failed.since).about(object);
    (key([&id, &failed.code]), Fact { code: Some(failed.code.clone()), ..fact })
}

fn bad(name: &ComponentName, taken: &Taken, now: Timestamp) -> (String, Fact) {
    let words = format!("{name}: {}", words::clean(&taken.message));
    let parts = [words.as_str(), if taken.is_back { "back" } else { "" }];
    (key(parts), Fact { is_back: taken.is_back, ..Fact::new(words.clone(), now) })
}

fn held(id: &ObjectId, held: &Held) -> (String, Fact) {
    let told = status::held(id, held);
    let object = EventObject {
        object: words::clean(&told.object),
        component: Some(told.component),
        hazard: Some(told.hazard),
        gates: told.gates,
        waits: told.message,
        work: told.work,
        since: Some(told.since),
        ..EventObject::default()
    };
    let mut why = vec![held.hazard.name().to_owned()];
    why.extend(object.gates.iter().cloned());
    let words = format!("{} ({})", object.object, why.join(", "));
    // what it waits for is another sentence with each job that ends
    let parts = [&object.object].into_iter().chain(&object.gates);
    let code = object.gates.first().cloned();
    (key(parts), Fact { code, ..Fact::new(words, held.since).about(object) })
}

fn drifted(id: &ObjectId, drifted: &Drifted) -> (String, Fact) {
    let fields = status::fields(drifted);
    let id = words::clean(&id.to_string());
    let object = EventObject {
        object: id.clone(),
        component: Some(drifted.object.component.to_string()),
        fields: fields.iter().take(status::FIELDS).cloned().collect(),
        since: Some(status::seconds(drifted.since)),
        ..EventObject::default()
    };
    let words = match fields.first() {
        Some(first) => format!("{id}: {first}"),
        None => format!("{id} was changed"),
    };
    let mut parts = vec![id];
    parts.extend(fields);
    (key(parts), Fact::new(words, drifted.since).about(object))
}

fn fight(id: &ObjectId, rivals: &str, now: Timestamp) -> (String, Fact) {
    let id = words::clean(&id.to_string());
    let by = if rivals.is_empty() { String::new() } else { format!(" by {rivals}") };
    let object = EventObject { object: id.clone(), ..EventObject::default() };
    let words = format!("{id} is rewritten again and again{by}; it is left alone for a while");
    (key([&id]), Fact::new(words, now).about(object))
}

fn sick(name: &ComponentName, id: &ObjectId, sick: &Sick) -> (String, Fact) {
    let why = match &sick.health {
        Health::Missing => "it is not there",
        other => other.why().unwrap_or("it is not healthy"),
    };
    let (id, why) = (words::clean(&id.to_string()), words::clean(why));
    let object = EventObject {
        object: id.clone(),
        component: Some(name.to_string()),
        why: Some(why.clone()),
        since: Some(status::seconds(sick.since)),
        ..EventObject::default()
    };
    let words = format!("{name} is not healthy: {id}: {why}");
    // the reason of one that starts changes from second to second
    let parts = [name.to_string(), matches!(sick.health, Health::Failed { .. }).to_string()];
    (key(parts), Fact::new(words, sick.since).about(object))
}

fn named(facts: &[&Fact]) -> String {
    let mut names: Vec<String> = facts.iter().take(NAMED).map(|fact| fact.words.clone()).collect();
    if facts.len() > NAMED {
        names.push(format!("{} more", facts.len() - NAMED));
    }
    names.join("; ")
}

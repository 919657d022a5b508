//! The walk: what may be done next, given what is done.
//!
//! Comes in: a [`Graph`], the plan's gates, and what the cluster stage reports. Goes out: [`Step`]s,
//! each once, as soon as all that it waits for is reached. A failure stops what depends on it and
//! nothing else (law 8). Cost: amortised constant per edge.

use std::collections::{BTreeMap, VecDeque};

use super::{Graph, Node, Requirement, Role};
use crate::{
    object::ObjectId,
    plan::{Consent, Plan},
};

/// One thing to do now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Do the plan's change of this object; of a delete, ask for it.
    Change(ObjectId),
    /// Wait until this object is as required.
    Await(ObjectId, Requirement),
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should.
    Done,
    /// It failed, or its deadline passed.
    Failed,
}

/// Why an object's change is not done, or what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Its change is not started: it waits.
    Waiting,
    /// Its change was handed out and has not ended.
    Running,
    /// Its change is done, though it may not be healthy yet.
    Done,
    /// There is nothing to do with it.
    Unchanged,
    /// Gates of the plan hold it.
    Held,
    /// Its change, or the wait for its health, failed.
    Failed,
    /// It depends on an object that failed or is held.
    Skipped {
        /// That object.
        because_of: ObjectId,
    },
}

/// What one object waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocked {
    /// The object.
    pub id: ObjectId,
    /// What it waits for; a group stands for its members.
    pub on: Vec<Need>,
}

/// Something that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// The object or group.
    pub node: Node,
    /// What of it.
    pub requirement: Requirement,
}

/// The state of one walk.
#[derive(Clone, Debug)]
pub struct Walk<'g> {
    graph: &'g Graph,
    /// By node, who waits for it.
    dependents: Vec<Vec<(usize, Requirement)>>,
    states: Vec<State>,
    ready: VecDeque<(usize, Todo)>,
    running: usize,
}

#[derive(Clone, Debug)]
struct State {
    consequence: Consequence,
    /// How much of what it waits for is missing.
    missing: usize,
    /// What of it is reached, as bits.
    reached: u8,
    /// What of it will never be reached, as bits.
    lost: u8,
    /// What of it is waited for, as bits.
    wanted: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Todo {
    Change,
    Await(Requirement),
}

const REQUIREMENTS: [Requirement; 6] = [
    Requirement::Applied,
    Requirement::Established,
    Requirement::EndpointReady,
    Requirement::Healthy,
    Requirement::Converged,
    Requirement::Gone,
];

fn bit(requirement: Requirement) -> u8 {
    match requirement {
        Requirement::Applied => 1,
        Requirement::Established => 2,
        Requirement::EndpointReady => 4,
        Requirement::Healthy => 8,
        Requirement::Converged => 16,
        Requirement::Gone => 32,
    }
}

const ALL: u8 = 63;

impl<'g> Walk<'g> {
    /// Starts a walk over the graph of `plan`, with the gates that `consent` does not open closed.
    pub fn new(graph: &'g Graph, plan: &Plan, consent: Consent) -> Self {
        Self::start(graph, &held_by_node(graph, plan, consent))
    }

    /// Starts a walk with the changes of the nodes `held` held.
    pub(super) fn start(graph: &'g Graph, held: &[bool]) -> Self {
        let mut walk = Self {
            graph,
            dependents: vec![Vec::new(); graph.len()],
            states: Vec::with_capacity(graph.len()),
            ready: VecDeque::new(),
            running: 0,
        };
        for index in 0..graph.len() {
            walk.states.push(State {
                consequence: Consequence::Waiting,
                missing: 0,
                reached: 0,
                lost: 0,
                wanted: 0,
            });
            for edge in graph.edges_of(index) {
                if let Some(dependents) = walk.dependents.get_mut(edge.on) {
                    dependents.push((index, edge.requirement));
                }
            }
        }
        walk.set_out(held);
        walk
    }

    /// Returns the next step to take; none: nothing may be started before one that runs has ended.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: it goes on after none")]
    pub fn next(&mut self) -> Option<Step> {
        while let Some((index, todo)) = self.ready.pop_front() {
            let Some(Node::Object(id)) = self.graph.node(index) else { continue };
            self.running += 1;
            return Some(match todo {
                Todo::Change => {
                    self.set(index, Consequence::Running);
                    Step::Change(id.clone())
                }
                Todo::Await(requirement) => Step::Await(id.clone(), requirement),
            });
        }
        None
    }

    /// Reports how a step ended, exactly once for each step that [`Walk::next`] gave.
    pub fn done(&mut self, step: &Step, outcome: Outcome) {
        self.running = self.running.saturating_sub(1);
        let (id, requirement) = match step {
            Step::Change(id) => (id, None),
            Step::Await(id, requirement) => (id, Some(*requirement)),
        };
        let Some(&index) = self.graph.index.get(id) else { return };
        match (requirement, outcome) {
            (None, Outcome::Done) => self.changed(index),
            (None, Outcome::Failed) => {
                self.set(index, Consequence::Failed);
                self.lose(index, ALL, id);
            }
            (Some(requirement), Outcome::Done) => self.reached(index, requirement),
            (Some(requirement), Outcome::Failed) => {
                self.set(index, Consequence::Failed);
                let also = match requirement {
                    Requirement::Healthy => bit(Requirement::Converged),
                    _ => 0,
                };
                self.lose(index, bit(requirement) | also, id);
            }
        }
    }

    /// Returns whether nothing runs and nothing may be started any more.
    pub fn is_finished(&self) -> bool {
        self.running == 0 && self.ready.is_empty()
    }

    /// Returns what has come of the object so far.
    pub fn consequence(&self, id: &ObjectId) -> Option<&Consequence> {
        let index = self.graph.index.get(id)?;
        self.states.get(*index).map(|state| &state.consequence)
    }

    /// Returns what has come of every object so far, in the order of the plan.
    pub fn consequences(&self) -> impl Iterator<Item = (&ObjectId, &Consequence)> {
        self.graph.nodes.iter().zip(&self.states).filter_map(|(node, state)| match node {
            Node::Object(id) => Some((id, &state.consequence)),
            _ => None,
        })
    }

    /// Returns the objects whose change has not started, and what each still waits for.
    pub fn blocked(&self) -> Vec<Blocked> {
        let waiting = |(index, node): (usize, &Node)| match node {
            Node::Object(id) if self.is_waiting(index) => {
                Some(Blocked { id: id.clone(), on: self.needs(index) })
            }
            _ => None,
        };
        let blocked = self.graph.nodes.iter().enumerate().filter_map(waiting);
        blocked.filter(|blocked| !blocked.on.is_empty()).collect()
    }

    // === setting out ===

    fn set_out(&mut self, held: &[bool]) {
        let is_held = |index: usize| held.get(index).copied().unwrap_or(false);
        let is_active = |index: usize, role: Role| match role {
            Role::Apply | Role::Renew | Role::Remove | Role::Book => !is_held(index),
            Role::Idle | Role::Lost | Role::Group => false,
        };
        let active: Vec<usize> = (0..self.graph.len())
            .filter(|index| is_active(*index, self.graph.role(*index)))
            .collect();
        self.want(&active);
        // Those with something to wait for are handed out when the last of it is reached.
        let free = active.into_iter().filter(|index| self.missing(*index) == 0);
        self.ready = free.map(|index| (index, Todo::Change)).collect();
        for index in 0..self.graph.len() {
            self.begin(index, is_held(index));
        }
    }

    /// Marks what the active nodes wait for, through groups, and counts it.
    fn want(&mut self, active: &[usize]) {
        let mut open: Vec<usize> = active.to_vec();
        let mut seen = vec![false; self.graph.len()];
        while let Some(index) = open.pop() {
            let Some(first) = seen.get_mut(index).filter(|seen| !**seen) else { continue };
            *first = true;
            let graph = self.graph;
            for edge in graph.edges_of(index) {
                if let Some(on) = self.states.get_mut(edge.on) {
                    on.wanted |= bit(edge.requirement);
                }
                if graph.role(edge.on) == Role::Group {
                    open.push(edge.on);
                }
            }
            if let Some(state) = self.states.get_mut(index) {
                state.missing = graph.edges_of(index).count();
            }
        }
    }

    /// Puts a node into its first state, and tells those that wait for it.
    fn begin(&mut self, index: usize, is_held: bool) {
        let role = self.graph.role(index);
        let Some(Node::Object(id)) = self.graph.node(index) else {
            if self.missing(index) == 0 {
                self.reached(index, Requirement::Applied);
            }
            return;
        };
        match (role, is_held) {
            (Role::Idle, _) => {
                self.set(index, Consequence::Unchanged);
                self.is_there(index);
            }
            (Role::Lost, _) => {
                self.set(index, Consequence::Held);
                self.lose(index, ALL, id);
            }
            (Role::Apply | Role::Renew | Role::Remove | Role::Book, true) => {
                self.set(index, Consequence::Held);
                if self.graph.is_there(index) {
                    self.lose(index, bit(Requirement::Converged) | bit(Requirement::Gone), id);
                    self.is_there(index);
                } else {
                    self.lose(index, ALL, id);
                }
            }
            (Role::Apply | Role::Renew | Role::Remove | Role::Book, false) | (Role::Group, _) => {}
        }
    }

    /// It is on the cluster, and nothing will be done with it: what is wanted of it is waited for.
    fn is_there(&mut self, index: usize) {
        self.reached(index, Requirement::Applied);
        self.await_wanted(index, 0);
    }

    // === going on ===

    fn changed(&mut self, index: usize) {
        self.set(index, Consequence::Done);
        match self.graph.role(index) {
            Role::Remove => {
                self.await_wanted(index, bit(Requirement::Gone));
            }
            Role::Apply => {
                self.reached(index, Requirement::Applied);
                self.await_wanted(index, bit(Requirement::Healthy));
            }
            Role::Renew => {
                self.reached(index, Requirement::Applied);
                self.await_wanted(index, 0);
            }
            Role::Book | Role::Idle | Role::Lost | Role::Group => {}
        }
    }

    /// Hands out the waits for all that is wanted of the node, and for `also`.
    fn await_wanted(&mut self, index: usize, also: u8) {
        let Some(state) = self.states.get(index) else { return };
        let wanted = (state.wanted | also) & !state.reached & !state.lost;
        // What is converged is found by waiting for health.
        let wanted = wanted & !bit(Requirement::Converged);
        for requirement in REQUIREMENTS {
            if wanted & bit(requirement) != 0 {
                self.ready.push_back((index, Todo::Await(requirement)));
            }
        }
    }

    fn reached(&mut self, index: usize, requirement: Requirement) {
        let mut open = vec![(index, requirement)];
        while let Some((index, requirement)) = open.pop() {
            let Some(state) = self.states.get_mut(index) else { continue };
            if (state.reached | state.lost) & bit(requirement) != 0 {
                continue;
            }
            state.reached |= bit(requirement);
            if requirement == Requirement::Healthy && self.graph.role(index) == Role::Apply {
                open.push((index, Requirement::Converged));
            }
            for position in 0..self.dependents.get(index).map_or(0, Vec::len) {
                let dependent = self.dependents.get(index).and_then(|list| list.get(position));
                let Some(&(dependent, needs)) = dependent else { continue };
                if needs == requirement && self.one_less(dependent) {
                    if self.graph.role(dependent) == Role::Group {
                        open.push((dependent, Requirement::Applied));
                    } else {
                        self.ready.push_back((dependent, Todo::Change));
                    }
                }
            }
        }
    }

    /// Counts one thing less to wait for, and returns whether that was the last one.
    fn one_less(&mut self, index: usize) -> bool {
        let Some(state) = self.states.get_mut(index) else { return false };
        if state.consequence != Consequence::Waiting || state.missing == 0 {
            return false;
        }
        state.missing -= 1;
        state.missing == 0
    }

    /// Marks what of a node will never be reached, and skips all that waits for it.
    fn lose(&mut self, index: usize, bits: u8, because_of: &ObjectId) {
        let mut open = vec![(index, bits)];
        while let Some((index, bits)) = open.pop() {
            let Some(state) = self.states.get_mut(index) else { continue };
            let newly = bits & !state.lost & !state.reached;
            state.lost |= newly;
            for (dependent, needs) in self.dependents.get(index).into_iter().flatten() {
                let Some(state) = self.states.get_mut(*dependent) else { continue };
                let depends = newly & bit(*needs) != 0 && state.missing > 0;
                if depends && state.consequence == Consequence::Waiting {
                    state.consequence = Consequence::Skipped { because_of: because_of.clone() };
                    open.push((*dependent, ALL));
                }
            }
        }
    }

    // === looking ===

    fn set(&mut self, index: usize, consequence: Consequence) {
        if let Some(state) = self.states.get_mut(index) {
            state.consequence = consequence;
        }
    }

    fn missing(&self, index: usize) -> usize {
        self.states.get(index).map_or(0, |state| state.missing)
    }

    fn is_waiting(&self, index: usize) -> bool {
        self.states.get(index).is_some_and(|state| state.consequence == Consequence::Waiting)
    }

    fn needs(&self, index: usize) -> Vec<Need> {
        let is_open = |on: usize, requirement: Requirement| {
            self.states.get(on).is_some_and(|state| state.reached & bit(requirement) == 0)
        };
        let mut needs = Vec::new();
        for edge in self.graph.edges_of(index).filter(|edge| is_open(edge.on, edge.requirement)) {
            match self.graph.node(edge.on) {
                Some(Node::Object(_)) | None => needs.extend(self.need(edge.on, edge.requirement)),
                Some(_) => needs.extend(self.members(edge.on)),
            }
        }
        needs
    }

    /// Returns what a group still waits for: at most [`MEMBERS`] of its members.
    fn members(&self, group: usize) -> Vec<Need> {
        /// Enough to tell what is slow.
        const MEMBERS: usize = 5;
        let mut open = vec![group];
        let mut needs = Vec::new();
        while let Some(index) = open.pop() {
            for edge in self.graph.edges_of(index) {
                let reached = self.states.get(edge.on).map_or(0, |state| state.reached);
                if reached & bit(edge.requirement) != 0 || needs.len() >= MEMBERS {
                    continue;
                }
                if self.graph.role(edge.on) == Role::Group {
                    open.push(edge.on);
                } else {
                    needs.extend(self.need(edge.on, edge.requirement));
                }
            }
        }
        needs
    }

    fn need(&self, on: usize, requirement: Requirement) -> Option<Need> {
        Some(Need { node: self.graph.node(on)?.clone(), requirement })
    }
}

/// Returns, by node, whether gates hold its change.
fn held_by_node(graph: &Graph, plan: &Plan, consent: Consent) -> Vec<bool> {
    let mut held = vec![false; graph.len()];
    let gated: BTreeMap<&ObjectId, bool> = plan
        .changes()
        .map(|(_, change)| (&change.id, change.held_by(consent).next().is_some()))
        .collect();
    for (id, index) in &graph.index {
        if let Some(slot) = held.get_mut(*index) {
            *slot = gated.get(id).copied().unwrap_or(true);
        }
    }
    held
}

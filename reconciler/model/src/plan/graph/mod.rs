//! What waits for what: a graph over the objects of a plan, and the walk over it.
//!
//! Comes in: the desired objects, what is live, the plan. Goes out: a [`Graph`] without cycles, which
//! can be printed, and a [`Walk`] that says step by step what may be done next. Never: does it; waiting
//! is state here, never a held worker (law 8).

use std::{collections::BTreeMap, fmt};

use crate::{
    desired::Desired,
    live::Live,
    name::ComponentName,
    object::ObjectId,
    plan::{Action, Plan},
};

mod build;
mod cycle;
mod kinds;
mod references;
mod removal;
mod walk;
mod webhooks;

pub use cycle::Cycle;
pub use walk::{Blocked, Consequence, Need, Outcome, Step, Walk};

/// What an object waits for of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Requirement {
    /// It is on the cluster.
    Applied,
    /// It is a definition whose kind the server serves.
    Established,
    /// It is a Service with a ready endpoint.
    EndpointReady,
    /// It has become what was asked for.
    Healthy,
    /// Its change is done and it is healthy: what a prune waits for. A change that a gate holds never gets there.
    Converged,
    /// It is no longer on the cluster.
    Gone,
}

/// One point of the graph: an object, or a group of them that is waited for as one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// An object.
    Object(ObjectId),
    /// The endpoint of a Service is ready, and so the workloads behind it are there.
    Endpoint(ObjectId),
    /// Everything that a component depends on is healthy.
    Foundation(ComponentName),
    /// Every object of a component is healthy.
    Component(ComponentName),
    /// Every change of a component is done and healthy.
    Changes(ComponentName),
    /// What must be done and healthy before a component loses anything.
    Prune(ComponentName),
    /// The custom objects that a component's controllers still have to take leave of are gone.
    Farewell(ComponentName),
    /// All that a component no longer has is gone, but for definitions and namespaces.
    Removals(ComponentName),
}

/// What the walk has to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing; it is there.
    Idle,
    /// It is created or changed.
    Apply,
    /// Our labels and field ownership alone are renewed; it is there.
    Renew,
    /// It is deleted.
    Remove,
    /// Only the inventory and our labels change: it is released or forgotten.
    Book,
    /// Nothing can be done with it, and whether it is there is not known.
    Lost,
    /// A group: it is reached when all that it waits for is.
    Group,
}

/// Whether an edge may be left out where it would close a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    /// Without it the change fails.
    Hard,
    /// Without it the change may be refused at first, and is tried again.
    Soft,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// The node that is waited for.
    pub(crate) on: usize,
    pub(crate) requirement: Requirement,
    pub(crate) strength: Strength,
}

/// What waits for what; no circle is in it.
#[derive(Clone, Debug)]
pub struct Graph {
    nodes: Vec<Node>,
    roles: Vec<Role>,
    /// By node, whether the object is on the cluster now.
    there: Vec<bool>,
    /// By node, what it waits for.
    edges: Vec<Vec<Edge>>,
    index: BTreeMap<ObjectId, usize>,
}

impl Graph {
    /// Builds the graph of `plan`, which was made from `desired` and `live`.
    ///
    /// Edges: a definition before its instances, a namespace before its contents, what an object refers
    /// to before it, a webhook's endpoint before its configuration and that before the custom objects
    /// that it judges, `dependsOn` as whole components. Deletes come in the reverse order, after the
    /// changes of their component, of the components that depend on it, and of an object of the same
    /// kind and name elsewhere are done and healthy (law 3); those of a component that left the site
    /// after all changes. Cost: linear in objects and edges, beside sorting.
    pub fn of(desired: &Desired, live: &Live, plan: &Plan) -> Result<Self, Box<Cycle>> {
        cycle::cut(build::build(desired, live, plan))
    }

    /// Returns how many nodes there are, groups included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Returns what `id` waits for.
    pub fn waits_for(&self, id: &ObjectId) -> Vec<(&Node, Requirement)> {
        self.index
            .get(id)
            .map(|index| {
                self.edges_of(*index)
                    .filter_map(|edge| Some((self.nodes.get(edge.on)?, edge.requirement)))
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Returns the graph as a mermaid flowchart; an arrow leads from what comes first.
    pub fn to_mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        for (index, node) in self.nodes.iter().enumerate() {
            let label = node.to_string().replace('"', "'");
            text.push_str(&format!("  n{index}[\"{label}\"]\n"));
        }
        for (index, _) in self.nodes.iter().enumerate() {
            for edge in self.edges_of(index) {
                text.push_str(&format!("  n{} -->|{}| n{index}\n", edge.on, edge.requirement));
            }
        }
        text
    }

    fn edges_of(&self, index: usize) -> impl Iterator<Item = &Edge> {
        self.edges.get(index).into_iter().flatten()
    }

    fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)
    }

    fn is_there(&self, index: usize) -> bool {
        self.there.get(index).copied().unwrap_or(false)
    }

    fn role(&self, index: usize) -> Role {
        self.roles.get(index).copied().unwrap_or(Role::Lost)
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let mut edges = self.edges_of(index).peekable();
            if edges.peek().is_none() {
                continue;
            }
            writeln!(f, "{node} waits for")?;
            for edge in edges {
                if let Some(on) = self.node(edge.on) {
                    writeln!(f, "  {on}: {}", edge.requirement)?;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(id) => write!(f, "{id}"),
            Self::Endpoint(id) => write!(f, "the endpoint of {id}"),
            Self::Foundation(name) => write!(f, "what component {name} depends on"),
            Self::Component(name) => write!(f, "component {name}"),
            Self::Changes(name) => write!(f, "all changes of component {name}"),
            Self::Prune(name) => write!(f, "what comes before the deletes of component {name}"),
            Self::Farewell(name) => write!(f, "the custom objects of component {name} that go"),
            Self::Removals(name) => write!(f, "all deletes of component {name}"),
        }
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Applied => "applied",
            Self::Established => "established",
            Self::EndpointReady => "endpoint ready",
            Self::Healthy => "healthy",
            Self::Converged => "changed and healthy",
            Self::Gone => "gone",
        })
    }
}

impl Role {
    fn of(action: &Action) -> Self {
        match action {
            Action::None => Self::Idle,
            Action::Record => Self::Renew,
            Action::Create
            | Action::Update { .. }
            | Action::Adopt { .. }
            | Action::Replace { .. } => Self::Apply,
            Action::Delete { .. } => Self::Remove,
            Action::Release { .. } | Action::Forget => Self::Book,
            Action::Unknown => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests;

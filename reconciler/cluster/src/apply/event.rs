//! What an apply tells while it works.

use sitewright_model::{name::ComponentName, object::ObjectId};

use super::ObjectOutcome;

/// Something happened. Never holds a secret.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Work begins; how many objects of each component have something to do.
    Begun {
        /// By component, in the order of the plan.
        components: Vec<(ComponentName, u64)>,
    },
    /// An object came to its end.
    Done {
        /// The component.
        component: ComponentName,
        /// The object.
        id: ObjectId,
        /// What came of it.
        outcome: ObjectOutcome,
    },
    /// The server warns about an object.
    Warning {
        /// The component.
        component: ComponentName,
        /// The object.
        id: ObjectId,
        /// What it says.
        text: String,
    },
    /// Something waits for an object; told again when the reason changes.
    Waiting {
        /// The component.
        component: ComponentName,
        /// The object that is waited for.
        id: ObjectId,
        /// Why it is not there yet.
        why: String,
    },
    /// All objects of a component are healthy.
    Healthy {
        /// The component.
        component: ComponentName,
    },
    /// Removal of what is no longer wanted begins.
    Pruning {
        /// How many objects.
        objects: u64,
    },
}

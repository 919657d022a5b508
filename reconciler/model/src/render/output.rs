//! What rendering gives back.

use crate::{
    desired::{Desired, DesiredObject},
    diagnostic::Diagnostics,
    object::GroupKind,
};

/// One component's objects, before the site is put together.
#[derive(Clone, Debug, Default)]
pub struct RenderedComponent {
    /// The objects, in order of identity.
    pub objects: Vec<DesiredObject>,
    /// The kinds that its custom resource definitions define, with their scope.
    pub scopes: Vec<(GroupKind, Scope)>,
    /// Objects of kinds that another component may define.
    pub open: Vec<Open>,
    /// Things to look at; none of them an error.
    pub warnings: Diagnostics,
}

/// An object of which it is not known yet whether it lives in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Its place in [`RenderedComponent::objects`].
    pub index: usize,
    /// The namespace of its source.
    pub namespace: Option<String>,
}

/// Whether the objects of a kind live in namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They do not.
    Cluster,
}

/// A rendered site.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// What the cluster should hold.
    pub desired: Desired,
    /// Things to look at; none of them an error.
    pub warnings: Diagnostics,
}

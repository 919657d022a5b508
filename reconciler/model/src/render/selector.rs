//! Choosing objects by `Kind` or `Kind.group`, and by name.

use crate::{format::blueprint::Selector, object::ObjectId};

/// Returns whether `selector` chooses `id`. `Kind` alone chooses the kind of every group.
pub(super) fn chooses(selector: &Selector, id: &ObjectId) -> bool {
    let (kind, group) = match selector.kind.split_once('.') {
        Some((kind, group)) => (kind, Some(group)),
        None => (selector.kind.as_str(), None),
    };
    kind == id.kind.kind
        && group.is_none_or(|group| group == id.kind.group)
        && selector.name.as_ref().is_none_or(|name| *name == id.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::GroupKind;

    #[test]
    fn kind_group_and_name_must_fit() {
        let id = ObjectId {
            kind: GroupKind::new("apps", "Deployment"),
            namespace: Some("n".into()),
            name: "a".into(),
        };
        let selector = |kind: &str, name: Option<&str>| Selector {
            kind: kind.into(),
            name: name.map(str::to_owned),
        };
        assert!(chooses(&selector("Deployment", None), &id));
        assert!(chooses(&selector("Deployment.apps", Some("a")), &id));
        assert!(!chooses(&selector("Deployment.extensions", None), &id));
        assert!(!chooses(&selector("Deployment", Some("b")), &id));
    }
}

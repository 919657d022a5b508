//! Storage classes in use: claims of a class that is gone can neither grow nor be made anew.
//!
//! Incident class: a chart that renames or drops its StorageClass prunes the old one; bound volumes keep
//! working, StatefulSets can no longer scale, and restores fail, which is found out weeks later.

use super::{Doomed, Finding, is};

pub(super) fn look(doomed: &Doomed<'_>) -> Option<Finding> {
    if !is(&doomed.id.kind, "storage.k8s.io", "StorageClass") {
        return None;
    }
    match doomed.evidence.class_users.get(doomed.id) {
        None => Some(Finding::Blind("who uses the storage class is not known".into())),
        Some(users) => {
            let first = users.first()?;
            let more = match users.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            Some(Finding::Stake(format!("{first}{more} are of this class")))
        }
    }
}

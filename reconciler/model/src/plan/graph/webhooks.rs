//! Webhooks: whom they call, and what they judge.

use std::collections::BTreeSet;

use serde_json::Value;

use super::kinds::{self, Defined};
use crate::object::{GroupKind, ObjectId};

/// Returns the Services that the server calls because of this object: to admit, to serve an aggregated
/// API, to convert the instances of a definition.
pub(super) fn endpoints(id: &ObjectId, body: &Value) -> Vec<ObjectId> {
    let one = |pointer: &str| kinds::service(body.pointer(pointer)).into_iter().collect();
    if kinds::is_webhook_configuration(id) {
        hooks(body)
            .filter_map(|hook| kinds::service(hook.pointer("/clientConfig/service")))
            .collect()
    } else if kinds::is_crd(id) {
        one("/spec/conversion/webhook/clientConfig/service")
    } else if id.kind.group == "apiregistration.k8s.io" && id.kind.kind == "APIService" {
        one("/spec/service")
    } else {
        Vec::new()
    }
}

/// Returns those of the `defined` kinds that a webhook configuration judges.
pub(super) fn judged_kinds(body: &Value, defined: &[Defined]) -> BTreeSet<GroupKind> {
    let rules = || hooks(body).flat_map(|hook| list(hook, "/rules"));
    let is_judged = |defined: &&Defined| {
        rules().any(|rule| {
            fits(rule, "/apiGroups", &defined.kind.group)
                && fits(rule, "/resources", &defined.plural)
        })
    };
    defined.iter().filter(is_judged).map(|defined| defined.kind.clone()).collect()
}

fn fits(rule: &Value, pointer: &str, wanted: &str) -> bool {
    list(rule, pointer)
        .filter_map(Value::as_str)
        .any(|text| text == "*" || text == "*/*" || text == wanted)
}

fn hooks(body: &Value) -> impl Iterator<Item = &Value> {
    list(body, "/webhooks")
}

fn list<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

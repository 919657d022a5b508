//! What is told of a run that was created.

use serde_json::Value;

use super::{Submission, code::Code};
use crate::output::words;

/// Returns what was created, with the commands that come next.
pub(super) fn created(submissions: &[Submission], created: &[Value], code: &Code) -> String {
    let mut text = String::new();
    for (submission, object) in submissions.iter().zip(created) {
        let of = |pointer: &str| {
            words::clean(object.pointer(pointer).and_then(Value::as_str).unwrap_or_default())
        };
        let (kind, name, namespace) =
            (of("/kind"), of("/metadata/name"), of("/metadata/namespace"));
        let queue = of("/metadata/labels/kueue.x-k8s.io~1queue-name");
        if !submission.is_run {
            text.push_str(&format!("{kind} {namespace}/{name} is created\n"));
            continue;
        }
        let (short, address) = (code.short(), words::clean(&code.address()));
        text.push_str(&format!(
            "{kind} {namespace}/{name} is created, with commit {short} of {address}\n"
        ));
        let resource = kind.to_ascii_lowercase();
        let mut next = Vec::new();
        if !queue.is_empty() {
            next.push(("see it wait", format!("kubectl get workloads -n {namespace}")));
        }
        next.push(match resource.as_str() {
            "job" | "pod" => {
                ("follow it", format!("kubectl logs -n {namespace} -f {resource}/{name}"))
            }
            _ => ("follow it", format!("kubectl get {resource} {name} -n {namespace} -w")),
        });
        next.push(("how it was made", format!("sitewright lineage of {namespace}/{name}")));
        for (what, command) in next {
            text.push_str(&format!("  {:<17}{command}\n", format!("{what}:")));
        }
    }
    text
}

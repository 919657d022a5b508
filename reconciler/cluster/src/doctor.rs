//! What may stand in the way on the cluster, before anything is tried.
//!
//! Comes in: the kinds of a site. Goes out: one [`Check`] for each thing that was looked at. Never:
//! writes anything; a review of one's own rights leaves no object.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sitewright_model::{
    code,
    diagnostic::Diagnostic,
    digest::canonical_json,
    object::{GroupKind, ObjectId},
};

use crate::{
    Cluster, Error,
    client::{
        http::{Failure, Http, Request, Verb},
        path::Resource,
    },
    discovery::Kinds,
    health::endpoint,
    home::NAMESPACE,
    observe::listing::{self, Key, Query, Visit},
};

/// What an apply does with every kind of the site.
const VERBS: [&str; 5] = ["get", "list", "create", "patch", "delete"];

/// How far the clocks of this machine and of the server may be apart. With a time service it is
/// less than a second; the `Date` header counts whole ones, and an answer takes its time.
const CLOCKS_APART: SignedDuration = SignedDuration::from_secs(10);

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at, for example `rights on deployments.apps`.
    pub what: String,
    /// What was found: a fact where it is well, else what is wrong and the way out.
    pub found: Result<String, Diagnostic>,
}

impl Cluster {
    /// Looks at the server's version and clock, the rights that are needed on `kinds`, API Priority and Fairness,
    /// parts of the API that are down, and webhooks that block writes and have no endpoint.
    ///
    /// Costs a request for each right where these credentials may not do everything, and a few more.
    pub async fn doctor(&self, kinds: &BTreeSet<GroupKind>) -> Result<Vec<Check>, Error> {
        let served = self.discover().await?;
        let mut checks = vec![self.version(), clock(&self.http).await?, parts(&served)];
        checks.extend(rights(&self.http, &served, kinds).await?);
        checks.push(fairness(&served));
        checks.extend(webhooks(&self.http, &served).await?);
        Ok(checks)
    }

    fn version(&self) -> Check {
        Check { what: "version of the server".into(), found: Ok(self.facts().version.clone()) }
    }
}

fn parts(served: &Kinds) -> Check {
    let down = served.stale().join(", ");
    let found = match down.is_empty() {
        true => Ok("every part answers".to_owned()),
        false => {
            let error = Error::PartialDiscovery { group_version: down };
            Err(error.diagnostic())
        }
    };
    Check { what: "parts of the API".into(), found }
}

fn fairness(served: &Kinds) -> Check {
    let kind = GroupKind::new("flowcontrol.apiserver.k8s.io", "FlowSchema");
    let found = match served.preferred(&kind) {
        Some(_) => "on: the server bounds what Sitewright may ask of it",
        None => "off: Sitewright's own bound on requests in flight is the only one",
    };
    Check { what: "API Priority and Fairness".into(), found: Ok(found.into()) }
}

// === clock ===

async fn clock(http: &Http) -> Result<Check, Error> {
    let asked = Timestamp::now();
    let answer = http.ask(Request::get("/version", "the server's time")).await?;
    let took = Timestamp::now().duration_since(asked);
    let date = answer.date.as_ref().and_then(|date| date.to_str().ok());
    Ok(compared(date, asked, took))
}

/// Compares the `Date` header of an answer with the clock of this machine: when it asked, and how long
/// the answer `took`.
fn compared(date: Option<&str>, asked: Timestamp, took: SignedDuration) -> Check {
    let check = |found| Check { what: "clock".into(), found };
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(server) = date.map(|date| date.timestamp()) else {
        return check(Ok("the server does not tell the time".into()));
    };
    // The server answered at some moment of the second of the header, and of the time that it took.
    let behind = server.duration_since(asked + took);
    let ahead = asked.duration_since(server + SignedDuration::from_secs(1));
    let (apart, way) = if behind > ahead { (behind, "behind") } else { (ahead, "ahead of") };
    if apart < CLOCKS_APART {
        return check(Ok("agrees with the server's".into()));
    }
    let message = format!("this machine is {} {way} the server", said(apart));
    let diagnostic = Diagnostic::warning(code::machine::CLOCK_SKEW, message)
        .help("start a time service on the machine that is wrong: `timedatectl set-ntp true`");
    check(Err(diagnostic))
}

/// Says a duration in its two largest units, for example `4 min 10 s`.
fn said(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

// === rights ===

/// A right that is asked about.
struct Right<'a> {
    verb: &'a str,
    group: &'a str,
    plural: &'a str,
    namespace: Option<&'a str>,
}

async fn rights(
    http: &Http,
    served: &Kinds,
    kinds: &BTreeSet<GroupKind>,
) -> Result<Vec<Check>, Error> {
    let all = Right { verb: "*", group: "*", plural: "*", namespace: None };
    if is_allowed(http, &all).await? {
        let found = Ok("these credentials may do everything".to_owned());
        return Ok(vec![Check { what: "rights".into(), found }]);
    }
    let mut checks = Vec::new();
    for kind in kinds {
        if let Some(resource) = served.preferred(kind) {
            let of = |verb| Right {
                verb,
                group: &resource.group,
                plural: &resource.plural,
                namespace: None,
            };
            let what = resource.display();
            checks.push(rights_on(http, &what, VERBS.map(of).as_slice()).await?);
        }
    }
    checks.push(own_rights(http).await?);
    Ok(checks)
}

/// The inventory, the lock, and the namespace that tells which cluster it is.
async fn own_rights(http: &Http) -> Result<Check, Error> {
    let own = |verb, group, plural| Right { verb, group, plural, namespace: Some(NAMESPACE) };
    let rights = [
        own("list", "", "configmaps"),
        own("create", "", "configmaps"),
        own("update", "", "configmaps"),
        own("delete", "", "configmaps"),
        own("get", "coordination.k8s.io", "leases"),
        own("create", "coordination.k8s.io", "leases"),
        own("update", "coordination.k8s.io", "leases"),
        Right { verb: "get", group: "", plural: "namespaces", namespace: None },
    ];
    rights_on(http, &format!("its own objects in {NAMESPACE}"), &rights).await
}

async fn rights_on(http: &Http, what: &str, rights: &[Right<'_>]) -> Result<Check, Error> {
    let mut missing = Vec::new();
    for right in rights {
        if !is_allowed(http, right).await? {
            missing.push(format!("{} {}", right.verb, right.plural));
        }
    }
    let found = match missing.is_empty() {
        true => Ok("all that is needed".to_owned()),
        false => Err(Diagnostic::error(
            code::cluster::FORBIDDEN,
            format!("these credentials may not {}", missing.join(", ")),
        )
        .help("give them a ClusterRole with these verbs, in all namespaces")),
    };
    Ok(Check { what: format!("rights on {what}"), found })
}

async fn is_allowed(http: &Http, right: &Right<'_>) -> Result<bool, Error> {
    let mut attributes =
        json!({ "verb": right.verb, "group": right.group, "resource": right.plural });
    if let (Some(namespace), Some(map)) = (right.namespace, attributes.as_object_mut()) {
        map.insert("namespace".into(), namespace.into());
    }
    let review = json!({ "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes } });
    let url = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned();
    let request = Request::post(Verb::Get, url, "its own rights", canonical_json(&review));
    let answer: Value = match http.send(request).await {
        Ok(answer) => answer.json()?,
        Err(failure @ Failure::Refused(_)) => {
            return Err(http.error(failure, Verb::Get, "its own rights"));
        }
        Err(Failure::Broken(error)) => return Err(error),
    };
    Ok(answer.pointer("/status/allowed").and_then(Value::as_bool).unwrap_or_default())
}

// === webhooks ===

/// Reads the webhooks that refuse writes when they cannot be called, by the Service that they call.
#[derive(Default)]
struct Closed(BTreeMap<ObjectId, BTreeSet<String>>);

impl Visit for Closed {
    fn item(&mut self, _: Key, value: Value) -> Result<(), Error> {
        let webhooks = value.get("webhooks").and_then(Value::as_array);
        for webhook in webhooks.into_iter().flatten() {
            let text = |pointer: &str| webhook.pointer(pointer).and_then(Value::as_str);
            let service =
                (text("/clientConfig/service/namespace"), text("/clientConfig/service/name"));
            if let (Some("Fail") | None, (Some(namespace), Some(name))) =
                (text("/failurePolicy"), service)
            {
                let id = ObjectId {
                    kind: GroupKind::new("", "Service"),
                    namespace: Some(namespace.to_owned()),
                    name: name.to_owned(),
                };
                self.0.entry(id).or_default().insert(text("/name").unwrap_or_default().to_owned());
            }
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.0.clear();
    }
}

async fn webhooks(http: &Http, served: &Kinds) -> Result<Vec<Check>, Error> {
    let mut closed = Closed::default();
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        let kind = GroupKind::new("admissionregistration.k8s.io", kind);
        let Some(resource) = served.preferred(&kind) else { continue };
        match read(http, resource, &mut closed).await {
            Err(error @ Error::Forbidden { .. }) => {
                let found = Err(error.diagnostic());
                return Ok(vec![Check { what: "webhooks that block writes".into(), found }]);
            }
            other => other?,
        }
    }
    let mut checks = Vec::new();
    for (service, names) in &closed.0 {
        if let Err(why) = endpoint(http, served, service).await? {
            checks.push(blocked(service, names, &why));
        }
    }
    if checks.is_empty() {
        let found = Ok(match closed.0.len() {
            0 => "none".to_owned(),
            count => format!("{count}, all with a ready endpoint"),
        });
        checks.push(Check { what: "webhooks that block writes".into(), found });
    }
    Ok(checks)
}

async fn read(http: &Http, resource: &Resource, closed: &mut Closed) -> Result<(), Error> {
    listing::read(http, resource, Query::ALL, closed).await
}

fn blocked(service: &ObjectId, names: &BTreeSet<String>, why: &str) -> Check {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let names = names.join(", ");
    let diagnostic = Diagnostic::warning(
        code::cluster::WEBHOOK_DOWN,
        format!("{names} is called for every write that it judges, and {why}"),
    )
    .object(service)
    .help("see why its pods are not ready; or, where nobody uses it any more, delete its webhook configuration");
    Check { what: format!("webhook {names}"), found: Err(diagnostic) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked at 12:00:00, answered after two seconds.
    fn clock(date: &str) -> Result<String, String> {
        let asked = "2026-11-22T12:00:00Z".parse().unwrap();
        let check = compared(Some(date), asked, SignedDuration::from_secs(2));
        check.found.map_err(|diagnostic| diagnostic.to_string())
    }

    #[test]
    fn clocks_that_are_close_agree() {
        for date in ["Sun, 22 Nov 2026 12:00:01 GMT", "Sun, 22 Nov 2026 11:59:50 GMT"] {
            assert_eq!(clock(date).unwrap(), "agrees with the server's");
        }
    }

    #[test]
    fn a_clock_that_is_apart_is_told_with_its_number_and_by_how_much() {
        assert_eq!(
            clock("Sun, 22 Nov 2026 12:04:12 GMT").unwrap_err(),
            "SW0909: this machine is 4 min 10 s behind the server"
        );
        assert_eq!(
            clock("Sun, 22 Nov 2026 11:59:29 GMT").unwrap_err(),
            "SW0909: this machine is 30 s ahead of the server"
        );
    }

    #[test]
    fn a_server_without_the_time_says_nothing_of_the_clock() {
        let check = compared(None, Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
        assert_eq!(check.found.unwrap(), "the server does not tell the time");
        assert!(clock("yesterday").is_ok());
    }
}

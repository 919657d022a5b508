//! From a workload, a pod or a service as the cluster holds it to what is said of it.
//!
//! Comes in: one object as the server gave it, and its owners. Goes out: statements. Never: a value of an environment
//! variable, a Secret, or an argument that looks like one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    ClusterId, DOMAIN, EntityId, Grade, Relation, Source, Statement,
    claim::{self, bounded, named},
    submit,
};
use crate::{
    digest::Digest,
    object::{GroupKind, ObjectId},
};

/// Kinds whose objects are runs, with the versions that are read.
///
/// What makes many of them (CronJob, Experiment) is none itself. The outermost of these that owns a pod is its run.
const RUNS: [(&str, &str); 17] = [
    ("batch", "Job"),
    ("jobset.x-k8s.io", "JobSet"),
    ("trainer.kubeflow.org", "TrainJob"),
    ("kubeflow.org", "PyTorchJob"),
    ("kubeflow.org", "TFJob"),
    ("kubeflow.org", "MPIJob"),
    ("kubeflow.org", "XGBoostJob"),
    ("kubeflow.org", "PaddleJob"),
    ("kubeflow.org", "JAXJob"),
    ("kubeflow.org", "Notebook"),
    ("ray.io", "RayJob"),
    ("ray.io", "RayCluster"),
    ("sparkoperator.k8s.io", "SparkApplication"),
    ("argoproj.io", "Workflow"),
    ("batch.volcano.sh", "Job"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
    ("workload.codeflare.dev", "AppWrapper"),
];

/// Kinds that serve models.
const SERVICES: [(&str, &str); 4] = [
    ("serving.kserve.io", "InferenceService"),
    ("serving.kserve.io", "LLMInferenceService"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
];

/// The kind that stands for a run in Kueue.
const WORKLOAD: (&str, &str) = ("kueue.x-k8s.io", "Workload");

/// The longest list of arguments that is recorded, in bytes of JSON.
const ARGUMENTS: usize = 4_096;

/// Parts of names of flags whose values are not recorded.
const SECRET: [&str; 7] =
    ["token", "password", "passwd", "secret", "credential", "api-key", "apikey"];

/// An object with what is known around it.
#[derive(Clone, Debug)]
pub struct Seen<'o> {
    /// The cluster.
    pub cluster: &'o ClusterId,
    /// The object as the server gave it.
    pub body: &'o Value,
    /// Its kind.
    pub kind: &'o GroupKind,
    /// Its controllers, from the nearest outwards, as far as they are known.
    pub owners: &'o [Work],
    /// Makes pseudonyms of people.
    pub salt: &'o [u8],
}

/// An object that owns others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Work {
    /// It.
    pub id: ObjectId,
    /// Its UID.
    pub uid: String,
}

/// Returns the kinds that are watched beside pods and nodes.
pub fn kinds() -> impl Iterator<Item = GroupKind> {
    let all = RUNS.iter().chain(&SERVICES).chain([&WORKLOAD]);
    all.map(|(group, kind)| GroupKind::new(*group, *kind))
}

/// Returns whether objects of a kind are runs.
pub fn is_run(kind: &GroupKind) -> bool {
    RUNS.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

fn is_service(kind: &GroupKind) -> bool {
    SERVICES.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

impl Seen<'_> {
    fn text(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    fn id(&self) -> ObjectId {
        ObjectId {
            kind: self.kind.clone(),
            namespace: self.text("/metadata/namespace").map(str::to_owned),
            name: self.text("/metadata/name").unwrap_or_default().to_owned(),
        }
    }

    fn uid(&self) -> &str {
        self.text("/metadata/uid").unwrap_or_default()
    }

    fn source(&self) -> Source {
        Source {
            object: Some(self.id()),
            uid: Some(self.uid().to_owned()),
            version: self.text("/metadata/resourceVersion").map(str::to_owned),
            ..Source::default()
        }
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let map = self.body.pointer("/metadata/annotations").and_then(Value::as_object);
        let pairs = map.into_iter().flatten();
        pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }

    /// Returns the outermost of it and its owners that is a run.
    pub fn run(&self) -> Option<Work> {
        let owner = self.owners.iter().rev().find(|owner| is_run(&owner.id.kind)).cloned();
        owner
            .or_else(|| {
                is_run(self.kind).then(|| Work { id: self.id(), uid: self.uid().to_owned() })
            })
            .or_else(|| {
                self.is_run_itself().then(|| Work { id: self.id(), uid: self.uid().to_owned() })
            })
    }

    /// A pod that nobody owns and that has an end, a notebook of a hub, or one that says what it makes.
    fn is_run_itself(&self) -> bool {
        let is_pod = self.kind.group.is_empty() && self.kind.kind == "Pod";
        let ends = matches!(self.text("/spec/restartPolicy"), Some("Never" | "OnFailure"));
        let is_session = self.text("/metadata/labels/component") == Some("singleuser-server");
        let says = self.annotations().keys().any(|key| key.starts_with(DOMAIN));
        is_pod && self.owners.is_empty() && (ends || is_session || says)
    }

    fn facts<'p>(
        &self,
        of: &EntityId,
        source: &Source,
        fields: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Vec<Statement> {
        let fact = |(field, pointer): (&str, &str)| {
            let value = self.text(pointer)?;
            let place = pointer.trim_start_matches('/').replace('/', ".");
            Some(Statement::fact(of, field, bounded(value), Grade::Observed, &source.at(place)))
        };
        fields.into_iter().filter_map(fact).collect()
    }

    fn person(&self, run: &EntityId, source: &Source) -> Option<Statement> {
        let keys = [
            "hub.jupyter.org/username",
            "notebooks.kubeflow.org/creator",
            "workflows.argoproj.io/creator",
            "sitewright.dev/owner",
        ];
        let sign = |key: &str| {
            ["labels", "annotations"].into_iter().find_map(|place| {
                self.body.get("metadata")?.get(place)?.get(key)?.as_str().map(str::to_owned)
            })
        };
        let name = keys.into_iter().find_map(sign)?;
        let person = EntityId::person(self.salt, &name);
        Some(Statement::edge(run, Relation::OwnedBy, &person, Grade::Claimed, source))
    }
}

/// Returns what an object that stands for a run, or for it in Kueue, says; none where it is not one.
pub fn work(seen: &Seen<'_>) -> Option<(EntityId, Vec<Statement>)> {
    if (seen.kind.group.as_str(), seen.kind.kind.as_str()) == WORKLOAD {
        return admission(seen);
    }
    let run = seen.run().filter(|_| is_run(seen.kind))?;
    let (id, source) = (EntityId::run(seen.cluster, &run.uid), seen.source());
    let mut said = claim::annotations(&id, &seen.annotations(), &source);
    said.extend(seen.person(&id, &source));
    if run.uid != seen.uid() {
        return Some((id, said)); // a JobSet of a TrainJob: what it claims is the run's
    }
    said.push(Statement::fact(&id, "kind", seen.kind.to_string(), Grade::Observed, &source));
    let fields = [
        ("name", "/metadata/name"),
        ("createdAt", "/metadata/creationTimestamp"),
        ("startedAt", "/status/startTime"),
        ("queue", "/metadata/labels/kueue.x-k8s.io~1queue-name"),
        ("deletedAt", "/metadata/deletionTimestamp"),
    ];
    said.extend(seen.facts(&id, &source, fields));
    if let Some(spec) = seen.body.get("spec") {
        // of the spec only that it was this one: values of variables may be secrets
        let digest = Digest::of_json(spec).to_string();
        said.push(Statement::fact(&id, "spec", digest, Grade::Observed, &source.at("spec")));
    }
    said.extend(end(seen, &id, &source));
    Some((id, said))
}

/// Returns how a run ended, by the conditions and phases that the kinds have.
fn end(seen: &Seen<'_>, id: &EntityId, source: &Source) -> Vec<Statement> {
    let conditions = seen.body.pointer("/status/conditions").and_then(Value::as_array);
    let of = |condition: &Value, name: &str| {
        condition.get(name).and_then(Value::as_str).map(str::to_owned)
    };
    let ended = conditions.into_iter().flatten().find_map(|condition| {
        let kind = of(condition, "type")?;
        let outcome = match kind.as_str() {
            "Complete" | "Completed" | "Succeeded" => "succeeded",
            "Failed" => "failed",
            _ => return None,
        };
        (of(condition, "status")? == "True").then(|| {
            (outcome.to_owned(), of(condition, "lastTransitionTime"), of(condition, "reason"))
        })
    });
    let by_phase = || {
        [
            "/status/phase",
            "/status/jobStatus",
            "/status/applicationState/state",
            "/status/state/phase",
        ]
        .into_iter()
        .find_map(|pointer| {
            let outcome = match seen.text(pointer)? {
                "Succeeded" | "SUCCEEDED" | "COMPLETED" | "Completed" => "succeeded",
                "Failed" | "FAILED" | "Error" | "Aborted" | "Terminated" => "failed",
                _ => return None,
            };
            Some((outcome.to_owned(), None, None))
        })
    };
    let Some((outcome, at, reason)) = ended.or_else(by_phase) else { return Vec::new() };
    let at = [
        "/status/completionTime",
        "/status/finishedAt",
        "/status/endTime",
        "/status/terminationTime",
    ]
    .into_iter()
    .find_map(|pointer| seen.text(pointer).map(str::to_owned))
    .or(at);
    let source = source.at("status");
    let fact = |field: &str, value: &str| {
        Statement::fact(id, field, bounded(value), Grade::Observed, &source)
    };
    let mut said = vec![fact("outcome", &outcome)];
    said.extend(at.iter().map(|at| fact("finishedAt", at)));
    said.extend(reason.iter().map(|reason| fact("reason", reason)));
    said
}

/// Returns what Kueue says of a run: its queue, its flavors, when it was admitted, that it was preempted.
fn admission(seen: &Seen<'_>) -> Option<(EntityId, Vec<Statement>)> {
    let owner = seen.run()?;
    let (id, source) = (EntityId::run(seen.cluster, &owner.uid), seen.source());
    let mut said = seen.facts(
        &id,
        &source,
        [("queue", "/spec/queueName"), ("clusterQueue", "/status/admission/clusterQueue")],
    );
    let assignments =
        seen.body.pointer("/status/admission/podSetAssignments").and_then(Value::as_array);
    for flavors in
        assignments.into_iter().flatten().filter_map(|set| set.get("flavors")?.as_object())
    {
        for (resource, flavor) in
            flavors.iter().filter_map(|(key, value)| Some((key, value.as_str()?)))
        {
            let value = format!("{resource}={flavor}");
            let source = source.at("status.admission");
            said.push(Statement::fact(&id, "flavor", bounded(&value), Grade::Observed, &source));
        }
    }
    let conditions = seen.body.pointer("/status/conditions").and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let of = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
        let field = match (of("type"), of("status")) {
            ("Admitted", "True") => "admittedAt",
            ("Evicted" | "Preempted", "True") => "evicted",
            _ => continue,
        };
        let value = match field {
            "evicted" => format!("{} {} {}", of("lastTransitionTime"), of("type"), of("reason")),
            _ => of("lastTransitionTime").to_owned(),
        };
        let source = source.at(format!("status.conditions[{}]", of("type")));
        said.push(Statement::fact(&id, field, bounded(&value), Grade::Observed, &source));
    }
    Some((id, said))
}

/// Returns what a pod says of its run and of itself as an attempt; none where it belongs to no run.
pub fn attempt(seen: &Seen<'_>) -> Option<(EntityId, EntityId, Vec<Statement>)> {
    let run = seen.run()?;
    let (run_id, id) =
        (EntityId::run(seen.cluster, &run.uid), EntityId::attempt(seen.cluster, seen.uid()));
    let source = seen.source();
    let mut said = vec![Statement::edge(&run_id, Relation::Tried, &id, Grade::Observed, &source)];
    let owner =
        Source { object: Some(run.id.clone()), uid: Some(run.uid.clone()), ..Source::default() };
    said.push(Statement::fact(
        &run_id,
        "name",
        &run.id.name,
        Grade::Observed,
        &owner.at("metadata.name"),
    ));
    said.push(Statement::fact(&run_id, "kind", run.id.kind.to_string(), Grade::Observed, &owner));
    said.extend(claim::annotations(&run_id, &seen.annotations(), &source));
    said.extend(seen.person(&run_id, &source));
    let fields = [
        ("name", "/metadata/name"),
        ("node", "/spec/nodeName"),
        ("serviceAccount", "/spec/serviceAccountName"),
        ("createdAt", "/metadata/creationTimestamp"),
        ("startedAt", "/status/startTime"),
        ("phase", "/status/phase"),
        ("reason", "/status/reason"),
        ("deletedAt", "/metadata/deletionTimestamp"),
    ];
    said.extend(seen.facts(&id, &source, fields));
    containers(seen, &run_id, &id, &source, &mut said);
    volumes(seen, &run_id, &source, &mut said);
    said.extend(submit::cloned(&run_id, seen.body, &source));
    Some((run_id, id, said))
}

/// Returns that an attempt ran on a node, which was in `state` then.
pub fn ran_on(attempt: &EntityId, node: &EntityId, state: &EntityId) -> [Statement; 2] {
    let source =
        Source::rule("spec.nodeName of the pod, and the state in which the node was seen last");
    [node, state].map(|to| Statement::edge(attempt, Relation::RanOn, to, Grade::Observed, &source))
}

/// Says what the containers of a pod are, ran as, and left.
fn containers(
    seen: &Seen<'_>,
    run: &EntityId,
    id: &EntityId,
    source: &Source,
    said: &mut Vec<Statement>,
) {
    for (specs, statuses) in
        [("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")]
    {
        let list = |place: &str, name: &str| {
            let list = seen.body.get(place).and_then(|at| at.get(name)).and_then(Value::as_array);
            list.cloned().unwrap_or_default()
        };
        for container in list("spec", specs) {
            said.extend(container_spec(&container, specs, id, source));
        }
        for status in list("status", statuses) {
            said.extend(container_status(&status, statuses, run, id, source));
        }
    }
}

fn container_spec(
    container: &Value,
    place: &str,
    id: &EntityId,
    source: &Source,
) -> Vec<Statement> {
    let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
    let at = |field: &str| source.at(format!("spec.{place}[{name}].{field}"));
    let mut said = Vec::new();
    let fact = |field: &str, value: String, source: Source| {
        Statement::fact(id, &format!("{name}.{field}"), value, Grade::Observed, &source)
    };
    if let Some(image) = container.get("image").and_then(Value::as_str) {
        said.push(fact("image", bounded(image), at("image")));
    }
    for field in ["command", "args"] {
        let list = container.get(field).and_then(Value::as_array);
        let Some(list) = list.filter(|list| !list.is_empty()) else { continue };
        let words: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
        said.push(fact(field, arguments(&words), at(field)));
    }
    let environment = container.get("env").and_then(Value::as_array);
    let names: Vec<&str> =
        environment.into_iter().flatten().filter_map(|entry| entry.get("name")?.as_str()).collect();
    if !names.is_empty() {
        said.push(fact("environment", bounded(&names.join(" ")), at("env")));
    }
    let limits = container.pointer("/resources/limits").and_then(Value::as_object);
    for (resource, count) in limits.into_iter().flatten().filter(|(name, _)| name.contains('/')) {
        let count = count.as_str().map_or_else(|| count.to_string(), str::to_owned);
        said.push(fact("devices", bounded(&format!("{resource}={count}")), at("resources.limits")));
    }
    said
}

fn container_status(
    status: &Value,
    place: &str,
    run: &EntityId,
    id: &EntityId,
    source: &Source,
) -> Vec<Statement> {
    let name = status.get("name").and_then(Value::as_str).unwrap_or_default();
    let at = |field: &str| source.at(format!("status.{place}[{name}].{field}"));
    let mut said = Vec::new();
    let image_id = status.get("imageID").and_then(Value::as_str).filter(|id| !id.is_empty());
    if let Some(image_id) = image_id {
        // the text is kept as it is: what it is a digest of differs by runtime (kubernetes#115199)
        said.push(Statement::fact(
            id,
            &format!("{name}.imageId"),
            bounded(image_id),
            Grade::Observed,
            &at("imageID"),
        ));
        if let Some(image) = image_of(image_id) {
            said.push(Statement::edge(
                id,
                Relation::ExecutedIn,
                &image,
                Grade::Observed,
                &at("imageID"),
            ));
            // a runtime that tells a bare digest tells the name beside it
            let named = image_id.rsplit_once('@').map(|(name, _)| name);
            let named = named.or_else(|| status.get("image").and_then(Value::as_str));
            let name = named.map(|name| name.rsplit("://").next().unwrap_or(name));
            if let Some(name) = name.filter(|name| !name.contains("sha256:")) {
                let uri = claim::clean(&format!("oci://{}", bounded(name)));
                said.push(Statement::fact(&image, "uri", uri, Grade::Observed, &at("imageID")));
            }
        }
    }
    let ended = ["state", "lastState"]
        .into_iter()
        .filter_map(|state| Some((state, status.get(state)?.get("terminated")?)));
    for (state, terminated) in ended {
        let text = |name: &str| terminated.get(name).and_then(Value::as_str);
        let source = at(&format!("{state}.terminated"));
        let of = |field: &str| format!("{name}.{field}");
        let fact = |field: &str, value: &str| {
            Statement::fact(id, &of(field), bounded(value), Grade::Observed, &source)
        };
        said.extend(terminated.get("exitCode").map(|code| fact("exitCode", &code.to_string())));
        said.extend(text("startedAt").map(|at| fact("startedAt", at)));
        said.extend(text("finishedAt").map(|at| fact("finishedAt", at)));
        said.extend(text("reason").map(|reason| fact("reason", reason)));
        if let Some(message) = text("message") {
            said.extend(claim::termination(
                run,
                message,
                &source.at(format!("status.{place}[{name}].{state}.terminated.message")),
            ));
        }
    }
    let restarts = status.get("restartCount").and_then(Value::as_u64).filter(|count| *count > 0);
    said.extend(restarts.map(|count| {
        Statement::fact(
            id,
            &format!("{name}.restarts"),
            count.to_string(),
            Grade::Observed,
            &at("restartCount"),
        )
    }));
    said
}

/// Returns the image that the text of an `imageID` names, where it holds a digest.
pub fn image_of(text: &str) -> Option<EntityId> {
    let at = text.rfind("sha256:")?;
    text.get(at..)?.parse().ok().map(EntityId::image)
}

/// Says what was within reach of a pod.
fn volumes(seen: &Seen<'_>, run: &EntityId, source: &Source, said: &mut Vec<Statement>) {
    let list = seen.body.pointer("/spec/volumes").and_then(Value::as_array);
    for volume in list.into_iter().flatten() {
        let name = volume.get("name").and_then(Value::as_str).unwrap_or_default();
        let source = source.at(format!("spec.volumes[{name}]"));
        if let Some(claim) =
            volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str)
        {
            let mode = match volume.pointer("/persistentVolumeClaim/readOnly") {
                Some(Value::Bool(true)) => "read-only",
                _ => "read-write",
            };
            let value = format!("{claim} {mode}");
            said.push(Statement::fact(run, "mounts", bounded(&value), Grade::Observed, &source));
        }
        if let Some(reference) = volume.pointer("/image/reference").and_then(Value::as_str) {
            let uri = format!("oci://{reference}");
            let (id, grade) = match named(&uri) {
                Some(named) => (named.id, Grade::Observed),
                None => continue,
            };
            said.push(Statement::edge(run, Relation::MayHaveRead, &id, grade, &source));
        }
    }
}

/// Returns what a service serves; none where the object serves no model.
pub fn serving(seen: &Seen<'_>) -> Option<(EntityId, Vec<Statement>)> {
    if !is_service(seen.kind) || !seen.owners.is_empty() {
        return None;
    }
    let source = seen.source();
    let models = models(seen, &source);
    if models.is_empty() {
        return None;
    }
    let id = EntityId::service(seen.cluster, seen.uid());
    let mut said =
        vec![Statement::fact(&id, "kind", seen.kind.to_string(), Grade::Observed, &source)];
    let fields = [
        ("name", "/metadata/name"),
        ("createdAt", "/metadata/creationTimestamp"),
        ("url", "/status/url"),
        ("deletedAt", "/metadata/deletionTimestamp"),
    ];
    said.extend(seen.facts(&id, &source, fields));
    for (text, source, grade) in models {
        let Some(named) = named(&text) else { continue };
        said.push(Statement::edge(&id, Relation::Serves, &named.id, grade, &source));
        said.push(Statement::fact(&named.id, "uri", named.uri, Grade::Claimed, &source));
    }
    Some((id, said))
}

/// Returns the models that an object names, where, and what that is worth: what a controller pulls by digest is
/// observed, a name that may move is a claim.
fn models(seen: &Seen<'_>, source: &Source) -> Vec<(String, Source, Grade)> {
    let grade =
        |text: &str| if text.contains("@sha256:") { Grade::Observed } else { Grade::Claimed };
    let mut found = Vec::new();
    if seen.kind.group == "serving.kserve.io" {
        let pointers = [
            "/spec/predictor/model/storageUri",
            "/spec/predictor/storageUris/0/uri",
            "/spec/model/uri",
        ];
        for pointer in pointers {
            if let Some(text) = seen.text(pointer) {
                let place = pointer.trim_start_matches('/').replace('/', ".");
                found.push((text.to_owned(), source.at(place), grade(text)));
            }
        }
    }
    let annotations = seen.annotations();
    if let Some(text) = annotations.get(&format!("{DOMAIN}/model")) {
        let source = source.at(format!("metadata.annotations[{DOMAIN}/model]"));
        found.extend(
            text.split(',').map(|text| (text.trim().to_owned(), source.clone(), Grade::Claimed)),
        );
    }
    let volumes = seen.body.pointer("/spec/template/spec/volumes").and_then(Value::as_array);
    if seen.kind.group == "apps" {
        for volume in volumes.into_iter().flatten() {
            let Some(reference) = volume.pointer("/image/reference").and_then(Value::as_str) else {
                continue;
            };
            let text = format!("oci://{reference}");
            let grade = grade(&text);
            found.push((text, source.at("spec.template.spec.volumes"), grade));
        }
    }
    found
}

/// Returns arguments as JSON, without the values of flags that look like secrets, and not beyond a bound.
fn arguments(words: &[&str]) -> String {
    let is_secret = |flag: &str| {
        let flag = flag.to_ascii_lowercase().replace('_', "-");
        flag.starts_with('-') && SECRET.iter().any(|part| flag.contains(part))
    };
    let mut kept: Vec<String> = Vec::with_capacity(words.len());
    let mut hides = false;
    let mut bytes = 0;
    for word in words {
        let flag = word.split_once('=').map_or(*word, |(flag, _)| flag);
        let text = match () {
            () if hides => "***".to_owned(),
            () if is_secret(flag) && word.contains('=') => format!("{flag}=***"),
            // a script holds whatever somebody pasted into it: that it was this one is enough
            () if word.len() > 1_024 => {
                format!("sha256 of a longer text: {}", Digest::of(word).hex())
            }
            () => claim::clean(&bounded(word)),
        };
        hides = !hides && is_secret(flag) && !word.contains('=');
        bytes += text.len() + 3;
        if bytes > ARGUMENTS {
            kept.push("…".to_owned());
            break;
        }
        kept.push(text);
    }
    serde_json::to_string(&kept).expect("texts are JSON")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seen<'o>(
        cluster: &'o ClusterId,
        body: &'o Value,
        kind: &'o GroupKind,
        owners: &'o [Work],
    ) -> Seen<'o> {
        Seen { cluster, body, kind, owners, salt: b"salt" }
    }

    fn owner(group: &str, kind: &str, uid: &str) -> Work {
        let id = ObjectId {
            kind: GroupKind::new(group, kind),
            namespace: Some("vision".into()),
            name: uid.into(),
        };
        Work { id, uid: uid.into() }
    }

    #[test]
    fn a_pod_belongs_to_its_outermost_run_and_a_cron_job_is_none() {
        let (cluster, pod) = (ClusterId::new("c"), GroupKind::new("", "Pod"));
        let body = json!({ "metadata": { "name": "p", "uid": "pod" } });
        let owners = [
            owner("batch", "Job", "job"),
            owner("jobset.x-k8s.io", "JobSet", "set"),
            owner("trainer.kubeflow.org", "TrainJob", "train"),
        ];
        assert_eq!(seen(&cluster, &body, &pod, &owners).run().unwrap().uid, "train");
        let owners = [owner("batch", "Job", "job"), owner("batch", "CronJob", "cron")];
        assert_eq!(seen(&cluster, &body, &pod, &owners).run().unwrap().uid, "job");
        assert_eq!(seen(&cluster, &body, &pod, &[owner("apps", "ReplicaSet", "rs")]).run(), None);
    }

    #[test]
    fn no_secret_is_recorded() {
        let (cluster, pod) = (ClusterId::new("c"), GroupKind::new("", "Pod"));
        let body = json!({
            "metadata": { "name": "p", "uid": "pod", "namespace": "vision" },
            "spec": { "restartPolicy": "Never", "containers": [{
                "name": "main",
                "args": ["--api_token=hunter2", "--password", "hunter2", "--lr", "0.1", "https://me:hunter2@host/x"],
                "env": [{ "name": "AWS_SECRET", "value": "hunter2" }],
            }] },
        });
        let (_, _, said) = attempt(&seen(&cluster, &body, &pod, &[])).unwrap();
        let text = serde_json::to_string(&said).unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("AWS_SECRET") && text.contains(r#"\"0.1\""#), "{text}");
    }

    #[test]
    fn what_the_kubelet_wrote_is_observed_and_what_the_workload_said_is_claimed() {
        let (cluster, pod) = (ClusterId::new("c"), GroupKind::new("", "Pod"));
        let digest = format!("sha256:{}", "a".repeat(64));
        let body = json!({
            "metadata": { "name": "p", "uid": "pod", "namespace": "vision",
                "annotations": { "lineage.sitewright.dev/code": format!("git+https://host/r@{}", "1".repeat(40)) } },
            "spec": { "restartPolicy": "Never" },
            "status": { "containerStatuses": [{ "name": "main", "imageID": format!("host/image@{digest}"), "state": {
                "terminated": { "exitCode": 0, "message": r#"{"outputs": ["s3://models/r/1"]}"# } } }] },
        });
        let (run, id, said) = attempt(&seen(&cluster, &body, &pod, &[])).unwrap();
        let edges: Vec<(String, Relation, String, Grade)> = said
            .iter()
            .filter_map(|one| match one {
                Statement::Edge { from, relation, to, grade, .. } => {
                    Some((from.to_string(), *relation, to.to_string(), *grade))
                }
                Statement::Fact { .. } => None,
            })
            .collect();
        assert!(edges.contains(&(
            id.to_string(),
            Relation::ExecutedIn,
            format!("image:{digest}"),
            Grade::Observed
        )));
        assert!(edges.contains(&(
            run.to_string(),
            Relation::RanCode,
            format!("commit:{}", "1".repeat(40)),
            Grade::Claimed
        )));
        assert!(edges.contains(&(
            "ref:s3://models/r/1".into(),
            Relation::GeneratedBy,
            run.to_string(),
            Grade::Claimed
        )));
    }
}

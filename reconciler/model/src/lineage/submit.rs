//! From what a researcher wants to run to the object that is created.
//!
//! Comes in: where code and data are, by ids that cannot move, and what is to run: the parts of a Job, or an object from
//! a file. Goes out: the object, with the annotations that [`claim`] reads, and where it is asked for an
//! init container that brings the code. Never: I/O; another word in what runs than was given; an annotation of a file
//! that is overwritten.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    DOMAIN, EntityId, Grade, Relation, Source, Statement,
    claim::{self, MOST},
};

/// The label by which Kueue knows the queue of a workload.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// The init container that brings the code, and the volume that it brings it into.
const CODE: &str = "sitewright-code";

/// The volume with the login of the init container.
const LOGIN: &str = "sitewright-code-login";

/// What the init container runs: `URL COMMIT REFERENCE` are its arguments.
///
/// Git itself checks that what it fetches has the id that it goes by. A host key that the Secret does not name is taken
/// as it comes: whoever stands in for the server can neither forge the commit nor learn a key from it.
const CLONE: &str = r#"set -eu
export HOME=/tmp GIT_TERMINAL_PROMPT=0
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
if [ -f /secret/ssh-privatekey ]; then
  cp /secret/ssh-privatekey /tmp/key
  chmod 600 /tmp/key
  hosts='-o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/tmp/hosts'
  [ ! -f /secret/known_hosts ] || hosts='-o StrictHostKeyChecking=yes -o UserKnownHostsFile=/secret/known_hosts'
  export GIT_SSH_COMMAND="ssh -i /tmp/key -o IdentitiesOnly=yes -o BatchMode=yes $hosts"
fi
if [ -f /secret/password ]; then
  server=$(printf %s "$1" | sed 's#^\([^:]*://[^/]*\).*#\1#')
  git config --global "credential.$server.helper" \
    '!f() { printf "username=%s\npassword=%s\n" "$(cat /secret/username 2>/dev/null || echo git)" "$(cat /secret/password)"; }; f'
fi
cd /code
format=sha1
[ ${#2} -eq 40 ] || format=sha256
git init -q --object-format="$format" .
git config remote.origin.url "$1"
git fetch -q --depth 1 origin "$2" || git fetch -q origin "$3"
git -c advice.detachedHead=false checkout -q --force --detach "$2"
[ ! -f .gitmodules ] || git submodule update -q --init --recursive --depth 1
[ "$(git rev-parse HEAD)" = "$2" ]
[ -z "$(git status --porcelain)" ]
echo "$1 is at $2"
"#;

/// Everything that leads to a commit, where the server does not give it out by its id.
const BRANCHES: &str = "+refs/heads/*:refs/remotes/origin/*";

/// What is said of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The code: `git+https://host/repo@COMMIT`.
    pub code: String,
    /// What it reads: `URI@ID` each.
    pub data: Vec<String>,
    /// Names of what it reads, and what each led to when it was submitted.
    pub names: Vec<(String, String)>,
    /// What it makes.
    pub models: Vec<String>,
    /// What that is derived from.
    pub base_model: Option<String>,
    /// What it belongs to, as free text.
    pub experiment: Option<String>,
}

/// The parts of a Job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The image.
    pub image: String,
    /// What runs, word by word; what the image runs by itself where it is empty.
    pub command: Vec<String>,
    /// Resources, requested and limited.
    pub resources: BTreeMap<String, String>,
}

/// How the code comes into a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clone {
    /// An image with git and a shell.
    pub image: String,
    /// The repository, without a login.
    pub url: String,
    /// The commit.
    pub commit: String,
    /// The reference that leads to it, where no branch does.
    pub reference: Option<String>,
    /// The Secret with a login: `kubernetes.io/basic-auth` or `kubernetes.io/ssh-auth`.
    pub secret: Option<String>,
    /// Where containers find it.
    pub path: String,
}

/// A claim that is mounted read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOnly {
    /// The claim.
    pub claim: String,
    /// What of it; empty for all.
    pub path: String,
}

/// Why nothing is submitted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It says something else already.
    #[error("{object} says {key}: {has}; to be set is {wanted}")]
    Contradicts {
        /// The object.
        object: String,
        /// The annotation or label.
        key: String,
        /// What it says.
        has: String,
        /// What is to be said.
        wanted: String,
    },
    /// There is no place for what is asked for.
    #[error("{object} has no pod template to add {what} to")]
    NoPod {
        /// The object.
        object: String,
        /// What.
        what: &'static str,
    },
    /// A name of ours is taken.
    #[error("{object} has something called `{name}` already")]
    Taken {
        /// The object.
        object: String,
        /// The name.
        name: String,
    },
    /// What is to be said cannot be read back.
    #[error("`{text}` {why}")]
    Unsayable {
        /// What.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

// === what is said ===

impl Claims {
    /// Returns the annotations.
    ///
    /// # Errors
    /// One of them would be read in another way than it is meant: lists are set apart by commas, and have an end.
    pub fn annotations(&self) -> Result<BTreeMap<String, String>, Unfit> {
        let names: Vec<String> =
            self.names.iter().map(|(name, id)| format!("{name} -> {id}")).collect();
        let lists = [("data", &self.data), ("names", &names), ("model", &self.models)];
        let mut said = BTreeMap::new();
        for (key, list) in lists {
            if let Some(text) = list.iter().find(|text| text.contains([',', '\n'])) {
                return Err(Unfit::Unsayable {
                    text: text.clone(),
                    why: "holds a comma, by which a list is set apart",
                });
            }
            if list.len() > MOST {
                let text = list.get(MOST).cloned().unwrap_or_default();
                return Err(Unfit::Unsayable { text, why: "is one thing too many: 64 are read" });
            }
            said.insert(key, list.join(", "));
        }
        said.insert("code", self.code.clone());
        said.insert("base-model", self.base_model.clone().unwrap_or_default());
        said.insert("experiment", self.experiment.clone().unwrap_or_default());
        said.retain(|_, text| !text.is_empty());
        Ok(said.into_iter().map(|(key, text)| (format!("{DOMAIN}/{key}"), text)).collect())
    }
}

// === what is made ===

/// Returns a Job.
///
/// It is tried once: a program that fails does so again. What is evicted or preempted did not fail, and is tried again.
pub fn job(job: &Job) -> Value {
    let Job { name, namespace, image, command, resources } = job;
    let mut container =
        Map::from_iter([("name".to_owned(), json!("main")), ("image".to_owned(), json!(image))]);
    if !command.is_empty() {
        let words: Vec<String> = command.iter().map(|word| escaped(word)).collect();
        container.insert("command".to_owned(), json!(words));
    }
    if !resources.is_empty() {
        let both = json!({ "requests": resources, "limits": resources });
        container.insert("resources".to_owned(), both);
    }
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": name, "namespace": namespace },
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": { "rules": [
                { "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] },
            ] },
            "template": { "spec": { "restartPolicy": "Never", "containers": [container] } },
        },
    })
}

/// Returns `word` so that a container gets it as it is.
///
/// The kubelet puts values of variables in place of `$(NAME)`, and one dollar in place of two
/// (`third_party/forked/golang/expansion` of Kubernetes).
pub fn escaped(word: &str) -> String {
    if word.contains("$(") || word.contains("$$") { word.replace('$', "$$") } else { word.into() }
}

/// Writes annotations on an object, and on the pods that it will make.
///
/// # Errors
/// One of them is there with another value.
pub fn annotate(object: &mut Value, said: &BTreeMap<String, String>) -> Result<(), Unfit> {
    let name = called(object);
    set(object, "annotations", said, &name)?;
    // a template of a notebook has no metadata of its own
    if object.get("kind").and_then(Value::as_str) == Some("Notebook") {
        return Ok(());
    }
    let mut done = Ok(());
    each_template(object, &mut |template| {
        if done.is_ok() {
            done = set(template, "annotations", said, &name);
        }
    });
    done
}

/// Puts an object into a queue of Kueue.
///
/// # Errors
/// It is in another one.
pub fn enqueue(object: &mut Value, queue: &str) -> Result<(), Unfit> {
    let name = called(object);
    set(object, "labels", &BTreeMap::from([(QUEUE.to_owned(), queue.to_owned())]), &name)
}

fn set(
    object: &mut Value,
    place: &str,
    wanted: &BTreeMap<String, String>,
    name: &str,
) -> Result<(), Unfit> {
    let metadata = object.as_object_mut().and_then(|object| member(object, "metadata"));
    let Some(map) = metadata.and_then(|metadata| member(metadata, place)) else { return Ok(()) };
    for (key, text) in wanted {
        match map.get(key).map(|has| has.as_str().map_or_else(|| has.to_string(), str::to_owned)) {
            Some(has) if has != *text => {
                let (object, key, wanted) = (name.to_owned(), key.clone(), text.clone());
                return Err(Unfit::Contradicts { object, key, has, wanted });
            }
            Some(_) => {}
            None => drop(map.insert(key.clone(), json!(text))),
        }
    }
    Ok(())
}

/// Returns the object in `value` at `key`, made where there is none; none where something else is there.
fn member<'m>(map: &'m mut Map<String, Value>, key: &str) -> Option<&'m mut Map<String, Value>> {
    let member = map.entry(key).or_insert_with(|| json!({}));
    if member.is_null() {
        *member = json!({});
    }
    member.as_object_mut()
}

/// Returns what an object is called in messages.
fn called(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = Some(text("/metadata/name")).filter(|name| !name.is_empty());
    format!("{} {}", text("/kind"), name.unwrap_or(text("/metadata/generateName")))
}

/// Does something to each pod template in an object, however deep.
fn each_template(value: &mut Value, work: &mut impl FnMut(&mut Value)) {
    if value.pointer("/spec/containers").is_some_and(Value::is_array) {
        work(value);
        return;
    }
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| each_template(value, work)),
        Value::Array(list) => list.iter_mut().for_each(|value| each_template(value, work)),
        _ => {}
    }
}

/// Adds an init container that clones exactly one commit, into a volume that all others mount read-only.
///
/// # Errors
/// There is no pod template, or one has a volume or container of the name.
pub fn add_clone(object: &mut Value, clone: &Clone) -> Result<(), Unfit> {
    let mount = json!({ "name": CODE, "mountPath": clone.path, "readOnly": true });
    let mut own = vec![json!({ "name": CODE, "mountPath": "/code" })];
    let mut volumes = vec![json!({ "name": CODE, "emptyDir": {} })];
    if let Some(secret) = &clone.secret {
        own.push(json!({ "name": LOGIN, "mountPath": "/secret", "readOnly": true }));
        // who the container runs as is not known: its group may read it
        volumes.push(
            json!({ "name": LOGIN, "secret": { "secretName": secret, "defaultMode": 0o440 } }),
        );
    }
    let container = json!({
        "name": CODE,
        "image": clone.image,
        "command": command(clone),
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        "volumeMounts": own,
    });
    into_pods(object, "the code", &volumes, &[mount], Some(&container))
}

/// Mounts claims read-only, each at `/data/CLAIM`.
///
/// # Errors
/// There is no pod template, or one has a volume of the name.
pub fn add_claims(object: &mut Value, claims: &[ReadOnly]) -> Result<(), Unfit> {
    let name = |index: usize| format!("sitewright-data-{index}");
    let volume = |(index, one): (usize, &ReadOnly)| {
        json!({
            "name": name(index),
            "persistentVolumeClaim": { "claimName": one.claim, "readOnly": true },
        })
    };
    let mount = |(index, one): (usize, &ReadOnly)| {
        let (name, path) = (name(index), format!("/data/{}", one.claim));
        match one.path.as_str() {
            "" => json!({ "name": name, "mountPath": path, "readOnly": true }),
            within => json!({
                "name": name,
                "mountPath": format!("{path}/{within}"),
                "subPath": within,
                "readOnly": true,
            }),
        }
    };
    let volumes: Vec<Value> = claims.iter().enumerate().map(volume).collect();
    let mounts: Vec<Value> = claims.iter().enumerate().map(mount).collect();
    into_pods(object, "a claim", &volumes, &mounts, None)
}

/// Sets the folder in which the containers of an object begin, where none is set.
pub fn begin_in(object: &mut Value, path: &str) {
    each_template(object, &mut |template| {
        let containers = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
            container.entry("workingDir").or_insert_with(|| json!(path));
        }
    });
}

fn into_pods(
    object: &mut Value,
    what: &'static str,
    volumes: &[Value],
    mounts: &[Value],
    init: Option<&Value>,
) -> Result<(), Unfit> {
    let name = called(object);
    let (mut pods, mut done) = (0, Ok(()));
    each_template(object, &mut |template| {
        pods += 1;
        if done.is_ok() {
            done = into_pod(template, volumes, mounts, init);
        }
    });
    match (pods, done) {
        (0, _) => Err(Unfit::NoPod { object: name, what }),
        (_, Err(taken)) => Err(Unfit::Taken { object: name, name: taken }),
        (_, Ok(())) => Ok(()),
    }
}

fn into_pod(
    template: &mut Value,
    volumes: &[Value],
    mounts: &[Value],
    init: Option<&Value>,
) -> Result<(), String> {
    let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    let of = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    for container in [list(spec, "initContainers"), list(spec, "containers")].concat() {
        let has = container.get("volumeMounts").and_then(Value::as_array);
        let taken = mounts
            .iter()
            .map(|mount| of(mount, "mountPath"))
            .find(|path| has.into_iter().flatten().any(|mount| of(mount, "mountPath") == *path));
        taken.map_or(Ok(()), Err)?;
    }
    for (key, new) in
        [("volumes", volumes), ("initContainers", init.map_or(&[][..], std::slice::from_ref))]
    {
        let has = list(spec, key);
        let taken = new.iter().map(|one| of(one, "name"));
        let mut taken = taken.filter(|name| has.iter().any(|other| of(other, "name") == *name));
        taken.next().map_or(Ok(()), Err)?;
    }
    for key in ["initContainers", "containers"] {
        let mut containers = list(spec, key);
        for container in containers.iter_mut().filter_map(Value::as_object_mut) {
            let all = [list(container, "volumeMounts"), mounts.to_vec()].concat();
            container.insert("volumeMounts".into(), json!(all));
        }
        if key == "initContainers" {
            // before all others, so that these have it too
            containers.splice(0..0, init.cloned());
        }
        if !containers.is_empty() {
            spec.insert(key.into(), json!(containers));
        }
    }
    let all = [list(spec, "volumes"), volumes.to_vec()].concat();
    spec.insert("volumes".into(), json!(all));
    Ok(())
}

fn list(map: &Map<String, Value>, key: &str) -> Vec<Value> {
    map.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn command(clone: &Clone) -> Vec<String> {
    let reference = match &clone.reference {
        Some(reference) => format!("+{reference}:{reference}"),
        None => BRANCHES.to_owned(),
    };
    let words = ["/bin/sh", "-c", CLONE, CODE, &clone.url, &clone.commit, &reference];
    words.into_iter().map(escaped).collect()
}

// === what is seen of it ===

/// Returns that a pod had a commit before it, where the init container of [`add_clone`] brought it.
///
/// Who makes a pod also writes this container, and chooses its image: that its command is ours, that it ended well and
/// that all others mount the code read-only is seen; that its image did what the command says, and that the program ran
/// this code and no other, is not. So it is a rule, and never more than `inferred`.
pub(super) fn cloned(run: &EntityId, pod: &Value, source: &Source) -> Vec<Statement> {
    let named = |place: &str| {
        let all = pod.pointer(place).and_then(Value::as_array).into_iter().flatten();
        let name = |one: &&Value| one.get("name").and_then(Value::as_str) == Some(CODE);
        all.into_iter().find(name)
    };
    let ended = "/state/terminated/exitCode";
    let status = named("/status/initContainerStatuses").and_then(|status| status.pointer(ended));
    let (Some(container), Some(0), Some(_)) = (
        named("/spec/initContainers"),
        status.and_then(Value::as_i64),
        named("/spec/volumes").and_then(|volume| volume.get("emptyDir")),
    ) else {
        return Vec::new();
    };
    let words = container.get("command").and_then(Value::as_array);
    let words: Vec<&str> = words.into_iter().flatten().filter_map(Value::as_str).collect();
    let [shell, flag, script, name, url, commit, _] = words.as_slice() else { return Vec::new() };
    if (*shell, *flag, *script, *name) != ("/bin/sh", "-c", &*escaped(CLONE), CODE)
        || container.get("args").is_some()
        || !is_read_only(pod)
    {
        return Vec::new();
    }
    let Some(id) = EntityId::commit(commit) else { return Vec::new() };
    let rule =
        "the init container sitewright-code ended well, and all others mount the code read-only";
    let source = Source { rule: Some(rule.to_owned()), ..source.clone() }
        .at(format!("spec.initContainers[{CODE}]"));
    let uri = format!("git+{}", claim::clean(url));
    vec![
        Statement::edge(run, Relation::MayHaveRead, &id, Grade::Inferred, &source),
        Statement::fact(&id, "uri", claim::bounded(&uri), Grade::Claimed, &source),
    ]
}

/// Returns whether every container but the one that brings the code mounts it read-only.
fn is_read_only(pod: &Value) -> bool {
    let containers = ["/spec/initContainers", "/spec/containers"];
    let containers = containers.into_iter().filter_map(|place| pod.pointer(place)?.as_array());
    let others =
        containers.flatten().filter(|one| one.get("name").and_then(Value::as_str) != Some(CODE));
    let mounts = others.filter_map(|one| one.get("volumeMounts")?.as_array()).flatten();
    let mut ours = mounts.filter(|mount| mount.get("name").and_then(Value::as_str) == Some(CODE));
    ours.all(|mount| mount.get("readOnly") == Some(&Value::Bool(true)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::yaml;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn clone() -> Clone {
        Clone {
            image: "git@sha256:x".into(),
            url: "https://git.example.edu/vision/train".into(),
            commit: COMMIT.into(),
            reference: None,
            secret: Some("login".into()),
            path: "/code".into(),
        }
    }

    fn made() -> Value {
        job(&Job { name: "train".into(), image: "i".into(), ..Job::default() })
    }

    /// What the kubelet makes of a word: `Expand` of `third_party/forked/golang/expansion`, for a pod without variables
    /// but one.
    fn expanded(word: &str) -> String {
        let bytes = word.as_bytes();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            if bytes[at] == b'$' && at + 1 < bytes.len() {
                match bytes[at + 1] {
                    b'$' => out.push(b'$'),
                    b'(' => match bytes[at + 2..].iter().position(|byte| *byte == b')') {
                        Some(end) => {
                            out.extend_from_slice(b"VALUE");
                            at += end + 1;
                        }
                        None => out.extend_from_slice(b"$("),
                    },
                    other => out.extend_from_slice(&[b'$', other]),
                }
                at += 2;
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn what_arrives_in_the_container_is_what_was_written(
            words in prop::collection::vec("([$()A-Za-z '\"\\\\\n\t#:-]|\\PC){0,20}", 1..6)
        ) {
            let object = job(&Job { command: words.clone(), ..Job::default() });
            let printed = yaml::to_yaml(&object);
            let read = yaml::parse_values(&printed).unwrap().remove(0);
            let command = read.pointer("/spec/template/spec/containers/0/command").unwrap();
            let arrived: Vec<String> =
                command.as_array().unwrap().iter().map(|word| expanded(word.as_str().unwrap())).collect();
            prop_assert_eq!(arrived, words);
        }
    }

    #[test]
    fn what_is_said_is_read_back_by_the_recorder() {
        let claims = Claims {
            code: format!("git+https://git.example.edu/vision/train@{COMMIT}"),
            data: vec!["dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir".into()],
            names: vec![("s3://b/latest".into(), "s3://b/latest@3".into())],
            models: vec!["s3://models/r".into()],
            base_model: Some("s3://models/q@1".into()),
            experiment: Some("x".into()),
        };
        let mut object = made();
        annotate(&mut object, &claims.annotations().unwrap()).unwrap();
        let run = EntityId::run(&crate::lineage::ClusterId::new("c"), "u");
        for place in ["/metadata/annotations", "/spec/template/metadata/annotations"] {
            let annotations: BTreeMap<String, String> =
                serde_json::from_value(object.pointer(place).unwrap().clone()).unwrap();
            let said = claim::annotations(&run, &annotations, &Source::default());
            let text = serde_json::to_string(&said).unwrap();
            for id in [
                format!("commit:{COMMIT}"),
                "data:dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir".into(),
                "ref:s3://models/r".into(),
                "data:s3:models/q@1".into(),
                "ref:s3://b/latest".into(),
                "data:s3:b/latest@3".into(),
            ] {
                assert!(text.contains(&format!("\"{id}\"")), "{id} in {text}");
            }
            // a name that led to what was read was not read itself
            let reads = said.iter().any(|one| matches!(one,
                Statement::Edge { relation: Relation::Used, to, .. } if to.to_string() == "ref:s3://b/latest"));
            assert!(!reads, "{text}");
        }
    }

    #[test]
    fn what_would_be_read_in_another_way_is_not_said() {
        let comma = Claims { data: vec!["git+https://h/r@1#a,b".into()], ..Claims::default() };
        assert!(matches!(comma.annotations(), Err(Unfit::Unsayable { .. })));
        let many = Claims { data: vec!["s3://a/b".into(); 65], ..Claims::default() };
        assert!(matches!(many.annotations(), Err(Unfit::Unsayable { .. })));
    }

    #[test]
    fn templates_are_found_in_every_kind_and_no_word_of_a_file_is_overwritten() {
        let pod = json!({ "spec": { "containers": [{ "name": "a" }] } });
        for (mut object, place) in [
            (
                json!({ "kind": "JobSet", "spec": { "replicatedJobs": [{ "template": { "spec": { "template": pod } } }] } }),
                "/spec/replicatedJobs/0/template/spec/template",
            ),
            (
                json!({ "kind": "PyTorchJob", "spec": { "pytorchReplicaSpecs": { "Worker": { "template": pod } } } }),
                "/spec/pytorchReplicaSpecs/Worker/template",
            ),
            (
                json!({ "kind": "RayJob", "spec": { "rayClusterSpec": { "headGroupSpec": { "template": pod } } } }),
                "/spec/rayClusterSpec/headGroupSpec/template",
            ),
            (
                json!({ "kind": "LeaderWorkerSet", "spec": { "leaderWorkerTemplate": { "workerTemplate": pod } } }),
                "/spec/leaderWorkerTemplate/workerTemplate",
            ),
            (
                json!({ "kind": "AppWrapper", "spec": { "components": [{ "template": { "kind": "Job", "spec": { "template": pod } } }] } }),
                "/spec/components/0/template/spec/template",
            ),
        ] {
            let said = BTreeMap::from([("a/code".to_owned(), "x".to_owned())]);
            annotate(&mut object, &said).unwrap();
            annotate(&mut object, &said).unwrap();
            assert_eq!(
                object.pointer(&format!("{place}/metadata/annotations/a~1code")),
                Some(&json!("x")),
                "{object}"
            );
            add_clone(&mut object, &clone()).unwrap();
            assert!(object.pointer(&format!("{place}/spec/initContainers/0/image")).is_some());
            let other = BTreeMap::from([("a/code".to_owned(), "y".to_owned())]);
            assert!(matches!(annotate(&mut object, &other), Err(Unfit::Contradicts { .. })));
            assert!(matches!(add_clone(&mut object, &clone()), Err(Unfit::Taken { .. })));
        }
        let mut train = json!({ "kind": "TrainJob", "metadata": { "name": "t" }, "spec": {} });
        assert!(matches!(add_clone(&mut train, &clone()), Err(Unfit::NoPod { .. })));
        let mut notebook = json!({ "kind": "Notebook", "spec": { "template": pod } });
        annotate(&mut notebook, &BTreeMap::from([("a".to_owned(), "b".to_owned())])).unwrap();
        assert!(notebook.pointer("/spec/template/metadata").is_none());
        assert!(notebook.pointer("/metadata/annotations/a").is_some());
    }

    /// A pod as the kubelet shows it after the init container has ended.
    fn pod() -> Value {
        let mut object = made();
        add_clone(&mut object, &clone()).unwrap();
        let spec = object.pointer("/spec/template/spec").unwrap().clone();
        let ended = json!({ "name": CODE, "state": { "terminated": { "exitCode": 0 } } });
        json!({ "spec": spec, "status": { "initContainerStatuses": [ended] } })
    }

    #[test]
    fn code_that_the_platform_brought_was_within_reach_and_nothing_more_is_said() {
        let run = EntityId::run(&crate::lineage::ClusterId::new("c"), "u");
        let said = |pod: &Value| cloned(&run, pod, &Source::default());
        let whole = said(&pod());
        assert!(
            matches!(&whole[0], Statement::Edge { relation: Relation::MayHaveRead, to, grade: Grade::Inferred, .. }
            if to.to_string() == format!("commit:{COMMIT}"))
        );
        for (place, value) in [
            ("/spec/initContainers/0/command/2", json!("echo")),
            ("/spec/initContainers/0/command/5", json!("main")),
            ("/status/initContainerStatuses/0/state/terminated/exitCode", json!(1)),
            ("/spec/containers/0/volumeMounts/0/readOnly", json!(false)),
            ("/spec/volumes/0/emptyDir", Value::Null),
        ] {
            let mut pod = pod();
            match (value, place.rsplit_once('/')) {
                (Value::Null, Some((parent, key))) => {
                    pod.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(key);
                }
                (value, _) => *pod.pointer_mut(place).unwrap() = value,
            }
            assert!(said(&pod).is_empty(), "{place}");
        }
    }

    #[test]
    fn claims_are_mounted_read_only_twice() {
        let mut object = made();
        let claims = [ReadOnly { claim: "imagenet".into(), path: "train".into() }];
        add_claims(&mut object, &claims).unwrap();
        let spec = object.pointer("/spec/template/spec").unwrap();
        assert_eq!(spec.pointer("/volumes/0/persistentVolumeClaim/readOnly"), Some(&json!(true)));
        let mount = json!({ "name": "sitewright-data-0", "mountPath": "/data/imagenet/train", "subPath": "train", "readOnly": true });
        assert_eq!(spec.pointer("/containers/0/volumeMounts/0"), Some(&mount));
    }
}

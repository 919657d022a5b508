//! `lineage submit`: from the tree that a researcher stands in to a run whose code and data are known.

mod code;
mod data;
mod told;

use std::{collections::BTreeMap, io::Read as _, path::PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sitewright_cluster::{Connection, Creator, Error};
use sitewright_model::{
    code::{lineage, machine},
    diagnostic::{Diagnostic, Diagnostics},
    lineage::{
        is_run,
        submit::{self, Claims, Job, Unfit},
    },
    object::GroupKind,
    yaml,
};

use self::{code::Code, data::Inputs};
use crate::cli::{Context, Exit, Failure, file_failure};

/// Bytes of a file of objects; the server itself takes no object beyond 3 MiB.
const FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Letters of the end of a name that is made here.
const SUFFIX: usize = 5;

/// Run something on the cluster, tied to the commit and the data that it is made from
///
/// Looks at the working tree around this folder: at which commit it is, whether that commit is on its remote, and
/// whether files differ from it. A tree that is not what others can get is refused, since nobody could run it again.
/// Then it creates a Job from --image and CMD, or the objects of a file, with annotations that say code and data: the
/// record shows them as claimed, beside what the cluster sees. It creates with your own rights, and changes nothing
/// that is there.
///
/// CMD arrives in the container word by word as it is written.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Submit {
    /// What runs in the container; default what its image runs
    #[arg(last = true, value_name = "CMD", conflicts_with = "file")]
    command: Vec<String>,
    /// The image of the container
    #[arg(long, value_name = "IMAGE", required_unless_present = "file", conflicts_with = "file")]
    image: Option<String>,
    /// Create the objects of this file in place of a Job; - for standard input
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The name of the run; default that of the repository, and some letters
    #[arg(long, value_name = "NAME", conflicts_with = "file")]
    name: Option<String>,
    /// The namespace; default that of the kubeconfig's context
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The queue of Kueue
    #[arg(long, value_name = "QUEUE")]
    queue: Option<String>,
    /// GPUs: their number, or RESOURCE=NUMBER as in nvidia.com/mig-1g.10gb=1
    #[arg(long, value_name = "GPUS", conflicts_with = "file", value_parser = gpus)]
    gpus: Option<(String, String)>,
    /// CPUs, as Kubernetes writes them
    #[arg(long, value_name = "CPUS", conflicts_with = "file")]
    cpus: Option<String>,
    /// Memory, as Kubernetes writes it, for example 16Gi
    #[arg(long, value_name = "MEMORY", conflicts_with = "file")]
    memory: Option<String>,
    /// What it reads: URI@ID; a name (a branch, a tag), which is looked up now; a path of this tree, by its id in DVC,
    /// git-annex or git; or pvc://CLAIM/PATH, mounted read-only at /data/CLAIM/PATH. More than once for several
    #[arg(long, value_name = "DATA")]
    data: Vec<String>,
    /// What it makes: the URI of a model. More than once for several
    #[arg(long, value_name = "URI")]
    model: Vec<String>,
    /// What the model is derived from: URI@ID, or a name, which is looked up now
    #[arg(long, value_name = "DATA")]
    base_model: Option<String>,
    /// What it belongs to, as free text
    #[arg(long, value_name = "TEXT")]
    experiment: Option<String>,
    #[command(flatten)]
    code: code::Flags,
    #[command(flatten)]
    clone: CloneFlags,
    /// Print what would be created, and create nothing
    #[arg(long)]
    dry_run: bool,
    /// Print what is created, in this form [default with --dry-run: yaml]
    #[arg(short, long, value_name = "FORM")]
    output: Option<Form>,
}

#[derive(Args, Debug)]
struct CloneFlags {
    /// Bring the code into the container: exactly the commit, read-only, by an init container
    #[arg(long)]
    clone: bool,
    /// The image of that init container: any one with git and a shell
    #[arg(long, value_name = "IMAGE", env = "SITEWRIGHT_CLONE_IMAGE")]
    clone_image: Option<String>,
    /// The Secret with a login for a private repository: of type kubernetes.io/basic-auth or kubernetes.io/ssh-auth
    #[arg(long, value_name = "NAME", requires = "clone")]
    clone_secret: Option<String>,
    /// Where the container finds the code; what runs begins there
    #[arg(long, value_name = "PATH", default_value = "/code")]
    clone_path: String,
}

/// The form of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// As people write them.
    Yaml,
    /// For programs.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  sitewright lineage submit --image registry.example.edu/train:2 --gpus 1 --queue vision \\
    --data data/imagenet --model s3://models/vision/resnet-18 -- python train.py --lr 0.1
  sitewright lineage submit -f job.yaml --data git+https://git.example.edu/vision/data@main
  sitewright lineage submit --clone --image registry.example.edu/torch:2 --dry-run -- python train.py
  sitewright lineage submit --capture-dirty --push --image registry.example.edu/train:2";

fn gpus(text: &str) -> Result<(String, String), String> {
    let (resource, count) = text.split_once('=').unwrap_or(("nvidia.com/gpu", text));
    match count.parse::<u32>() {
        Ok(1..) if resource.contains('/') => Ok((resource.to_owned(), count.to_owned())),
        _ => Err("expected a number, or RESOURCE=NUMBER as in nvidia.com/gpu=2".to_owned()),
    }
}

/// What is created.
struct Submission {
    object: Value,
    is_run: bool,
    /// Whether its name was made here, so that nobody else has it.
    is_unique: bool,
}

impl Submit {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut submissions = self.submissions(context)?;
        let code = Code::of(&self.code, context)?;
        let namespace = self.namespace(context)?;
        let inputs = Inputs::of(&self.data, self.base_model.as_deref(), &code, context)?;
        let said = self.claims(&code, &inputs, namespace.as_deref())?;
        let said = said.annotations().map_err(unfit)?;
        for submission in &mut submissions {
            self.prepare(submission, namespace.as_deref(), &code, &inputs, &said)?;
        }
        for note in code.notes.iter().chain(&inputs.notes) {
            context.screen.line(&format!("note: {note}"));
        }
        if self.dry_run {
            let objects: Vec<Value> = submissions.into_iter().map(|one| one.object).collect();
            context.print(&printed(&objects, self.output.unwrap_or(Form::Yaml)))?;
            return Ok(Exit::Success);
        }
        let created = create(context, &connection(context), &submissions)?;
        match self.output {
            Some(form) => context.print(&printed(&created, form))?,
            None => context.print(&told::created(&submissions, &created, &code))?,
        }
        Ok(Exit::Success)
    }

    /// Returns what is to be created, as it was given: before git is asked anything.
    fn submissions(&self, context: &Context) -> Result<Vec<Submission>, Failure> {
        if self.clone.clone && self.clone.clone_image.is_none() {
            return Err(bad("--clone needs an image with git and a shell")
                .help("give --clone-image IMAGE, or set SITEWRIGHT_CLONE_IMAGE; who runs the cluster knows one")
                .into());
        }
        match &self.file {
            Some(file) => from_file(file, context),
            // its name needs the repository's, and is set with all else
            None => Ok(vec![Submission {
                object: Value::Null,
                is_run: true,
                is_unique: self.name.is_none(),
            }]),
        }
    }

    fn namespace(&self, context: &Context) -> Result<Option<String>, Failure> {
        if let Some(namespace) = &self.namespace {
            return Ok(Some(namespace.clone()));
        }
        match context.wait(sitewright_cluster::namespace(&connection(context))) {
            Ok(namespace) => Ok(Some(namespace)),
            // nothing is created, so that no cluster is needed
            Err(_) if self.dry_run => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn claims(
        &self,
        code: &Code,
        inputs: &Inputs,
        namespace: Option<&str>,
    ) -> Result<Claims, Failure> {
        let mut data = inputs.data.clone();
        for one in &inputs.mounted {
            let Some(namespace) = namespace else {
                return Err(bad("a claim is one of a namespace").help("give --namespace").into());
            };
            let path = match one.path.as_str() {
                "" => String::new(),
                path => format!("/{path}"),
            };
            data.push(format!("pvc://{namespace}/{}{path}", one.claim));
        }
        for model in &self.model {
            data::check_uri("--model", model)?;
        }
        Ok(Claims {
            code: code.uri(),
            data,
            names: inputs.names.clone(),
            models: self.model.clone(),
            base_model: inputs.base_model.clone(),
            experiment: self.experiment.clone(),
        })
    }

    /// Makes of what was given what is created.
    fn prepare(
        &self,
        submission: &mut Submission,
        namespace: Option<&str>,
        code: &Code,
        inputs: &Inputs,
        said: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        if self.file.is_none() {
            submission.object = self.job(namespace, code);
        }
        let object = &mut submission.object;
        self.settle(object, namespace)?;
        submission.is_unique |= name_it(object);
        if !submission.is_run {
            return Ok(());
        }
        submit::annotate(object, said).map_err(unfit)?;
        if let Some(queue) = &self.queue {
            submit::enqueue(object, queue).map_err(unfit)?;
        }
        if !inputs.mounted.is_empty() {
            submit::add_claims(object, &inputs.mounted).map_err(unfit)?;
        }
        if let (true, Some(image)) = (self.clone.clone, &self.clone.clone_image) {
            let CloneFlags { clone_secret, clone_path, .. } = &self.clone;
            let clone = code.clone_with(image, clone_secret.clone(), clone_path)?;
            submit::add_clone(object, &clone).map_err(unfit)?;
            if self.file.is_none() {
                submit::begin_in(object, clone_path);
            }
        }
        Ok(())
    }

    fn job(&self, namespace: Option<&str>, code: &Code) -> Value {
        let mut resources: BTreeMap<String, String> = self.gpus.iter().cloned().collect();
        for (name, quantity) in [("cpu", &self.cpus), ("memory", &self.memory)] {
            resources.extend(quantity.iter().map(|text| (name.to_owned(), text.clone())));
        }
        submit::job(&Job {
            name: self.name.clone().unwrap_or_else(|| unique(&code.short_name())),
            namespace: namespace.unwrap_or_default().to_owned(),
            image: self.image.clone().unwrap_or_default(),
            command: self.command.clone(),
            resources,
        })
    }

    /// Sets the namespace of an object that says none.
    fn settle(&self, object: &mut Value, namespace: Option<&str>) -> Result<(), Failure> {
        let has = object.pointer("/metadata/namespace").and_then(Value::as_str);
        let has = has.filter(|has| !has.is_empty()).map(str::to_owned);
        if let (Some(has), Some(wanted)) = (&has, &self.namespace)
            && has != wanted
        {
            let why = format!("the file says namespace {has}, and --namespace {wanted}");
            return Err(bad(why).help("leave one of them out").into());
        }
        let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) else {
            return Ok(());
        };
        match (has, namespace) {
            (Some(_), _) => {}
            (None, Some(namespace)) => {
                metadata.insert("namespace".into(), json!(namespace));
            }
            (None, None) => drop(metadata.remove("namespace")),
        }
        Ok(())
    }
}

/// Reads the objects of a file.
fn from_file(file: &std::path::Path, context: &Context) -> Result<Vec<Submission>, Failure> {
    context.doing("reading the file");
    let of = |error: std::io::Error| Failure::from(file_failure(file, &error));
    let mut bytes = Vec::new();
    match file.to_str() {
        Some("-") => std::io::stdin().take(FILE_BYTES).read_to_end(&mut bytes).map_err(of)?,
        _ => {
            let opened = std::fs::File::open(file).map_err(of)?;
            opened.take(FILE_BYTES).read_to_end(&mut bytes).map_err(of)?
        }
    };
    let name = file.display().to_string();
    let text = yaml::text_of(&name, &bytes)?;
    let documents = yaml::parse_values(text).map_err(|mistake| mistake.at(&name, text.into()))?;
    let mut submissions = Vec::new();
    for object in documents.into_iter().flat_map(items) {
        submissions.push(submission(object, &name)?);
    }
    if !submissions.iter().any(|one| one.is_run) {
        return Err(bad(format!("{name} holds nothing that runs"))
            .help(
                "give a Job, JobSet, TrainJob, PyTorchJob, RayJob, Workflow, Notebook or the like",
            )
            .into());
    }
    Ok(submissions)
}

/// Returns the objects in a list.
fn items(object: Value) -> Vec<Value> {
    let is_list = object.get("kind").and_then(Value::as_str) == Some("List");
    let items = object.get("items").and_then(Value::as_array).filter(|_| is_list).cloned();
    items.unwrap_or_else(|| vec![object])
}

fn submission(object: Value, file: &str) -> Result<Submission, Failure> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, _) = text("/apiVersion").split_once('/').unwrap_or_default();
    let kind = GroupKind::new(group, text("/kind"));
    let has_name =
        ["/metadata/name", "/metadata/generateName"].iter().any(|at| !text(at).is_empty());
    if kind.kind.is_empty() || !has_name {
        return Err(bad(format!("{file} holds something without kind or name"))
            .help("see whether `kubectl create --dry-run=client` takes the file")
            .into());
    }
    if group.is_empty() && kind.kind == "Secret" {
        return Err(bad(format!("{file} holds a Secret"))
            .help("create it by itself, with kubectl: what is submitted is printed and recorded")
            .into());
    }
    let is_pod = group.is_empty() && kind.kind == "Pod";
    Ok(Submission { is_run: is_pod || is_run(&kind), object, is_unique: false })
}

/// Gives an object that says only how its name begins a whole one; returns whether it did.
///
/// The server would do so too, but then a request whose answer is lost would create two runs.
fn name_it(object: &mut Value) -> bool {
    let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) else {
        return false;
    };
    if metadata.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty()) {
        return false;
    }
    let begin = metadata.remove("generateName");
    let begin = begin.as_ref().and_then(Value::as_str).unwrap_or_default().trim_end_matches('-');
    metadata.insert("name".into(), json!(unique(begin)));
    true
}

/// Returns a name that nobody else has.
fn unique(begin: &str) -> String {
    // as the server does: no vowels, so no words
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let letter =
        || LETTERS.get(rand::random_range(0..LETTERS.len())).copied().map_or('x', char::from);
    let end: String = (0..SUFFIX).map(|_| letter()).collect();
    format!("{begin}-{end}")
}

fn connection(context: &Context) -> Connection {
    Connection {
        kubeconfig: context.global.kubeconfig.clone(),
        context: context.global.context.clone(),
        ..Connection::default()
    }
}

fn create(
    context: &Context,
    connection: &Connection,
    submissions: &[Submission],
) -> Result<Vec<Value>, Failure> {
    context.doing("creating");
    context.wait(async {
        let creator = Creator::connect(connection).await?;
        // of several all or none, as far as the server can tell beforehand
        if submissions.len() > 1 {
            for one in submissions {
                creator.check(&one.object).await.map_err(refused)?;
            }
        }
        let mut created = Vec::new();
        for one in submissions {
            created.push(creator.create(&one.object, one.is_unique).await.map_err(refused)?);
        }
        Ok(created)
    })
}

/// Returns the error with the way out of somebody who has no rights on the cluster as a whole.
fn refused(error: Error) -> Failure {
    let diagnostic = error.diagnostic();
    let diagnostic = match error {
        Error::Forbidden { .. } => diagnostic
            .help("submit into a namespace of yours, with -n; or ask who runs the cluster"),
        _ => diagnostic,
    };
    Diagnostics::from(diagnostic).into()
}

fn printed(objects: &[Value], form: Form) -> String {
    let yaml = || objects.iter().map(yaml::to_yaml).collect::<Vec<_>>().join("---\n");
    match (form, objects) {
        (Form::Yaml, _) => yaml(),
        (Form::Json, [one]) => crate::output::json(one),
        (Form::Json, all) => crate::output::json(&json!({
            "apiVersion": "v1", "kind": "List", "items": all,
        })),
    }
}

fn unfit(unfit: Unfit) -> Failure {
    let help = match &unfit {
        Unfit::Contradicts { .. } => {
            "take it out of the file, or go to the tree that the file means"
        }
        Unfit::NoPod { .. } => "leave it out for this kind, whose pods are made from elsewhere",
        Unfit::Taken { .. } => "give it another name, or another path, in the file",
        Unfit::Unsayable { .. } => {
            "name it in another way, for example by the folder that it is in"
        }
    };
    bad(unfit.to_string()).help(help).into()
}

fn bad(what: impl Into<String>) -> Diagnostic {
    Diagnostic::error(machine::BAD_ARGUMENT, what)
}

fn uncommitted(what: impl Into<String>) -> Diagnostic {
    Diagnostic::error(lineage::UNCOMMITTED, what)
}

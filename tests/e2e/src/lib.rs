//! A laboratory for end-to-end tests: one site repository, one real control plane, the real program.
//!
//! Tests of one binary share a control plane; each [`Lab`] has a site name, a namespace and a
//! repository of its own, so tests run side by side.

#![expect(clippy::indexing_slicing, reason = "a JSON value answers null where there is nothing")]

mod audit;
mod program;
mod soak;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;
use sitewright_testbed::{ControlPlane, FaultProxy, Options, mirror::Mirrors, tools::Tool};
use tempfile::TempDir;

pub use audit::Requests;
pub use program::{Handle, Run, Running, program};
pub use soak::Soak;

/// Runs git in `folder`, with nobody's configuration; panics where it fails.
pub fn git(folder: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"];
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(identity).args(arguments);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the control plane that all tests of this binary share.
///
/// It is never dropped; its processes end with this one.
pub fn control_plane() -> &'static ControlPlane {
    static SHARED: OnceLock<ControlPlane> = OnceLock::new();
    SHARED.get_or_init(|| ControlPlane::start(Options::new()).expect("the control plane starts"))
}

/// One site with its repository, on a control plane.
pub struct Lab {
    control_plane: Plane,
    kubeconfig: PathBuf,
    folder: TempDir,
    site: String,
    components: BTreeMap<String, Component>,
    /// Further lines of `spec`, for example a policy.
    spec: String,
    /// Further environment of the program.
    environment: Vec<(&'static str, PathBuf)>,
}

/// The control plane of a lab.
enum Plane {
    Shared(&'static ControlPlane),
    /// It may be killed: nobody else is on it.
    Own(Box<ControlPlane>),
}

impl std::ops::Deref for Plane {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        match self {
            Self::Shared(shared) => shared,
            Self::Own(own) => own,
        }
    }
}

#[derive(Default)]
struct Component {
    objects: String,
    /// Further lines of the component in the site file.
    site: String,
    /// Further lines of the blueprint's `spec`.
    blueprint: String,
}

impl Lab {
    /// Makes an empty site on the shared control plane; `name` is also its namespace, which exists.
    pub fn new(name: &str) -> Self {
        let control_plane = control_plane();
        let kubeconfig = as_lab(control_plane, name);
        let lab = Self::on(control_plane, &kubeconfig, name);
        lab.kubectl(&["create", "namespace", name]);
        lab
    }

    /// Makes an empty site on another control plane, as a user of its own; `name` is also its namespace, which exists.
    pub fn at(control_plane: &'static ControlPlane, name: &str) -> Self {
        let lab = Self::on(control_plane, &as_lab(control_plane, name), name);
        lab.kubectl(&["create", "namespace", name]);
        lab
    }

    /// Makes an empty site, with its namespace, on the shared control plane behind a proxy.
    pub fn behind_proxy(name: &str) -> (Self, FaultProxy) {
        let proxy = FaultProxy::start_as(control_plane(), &audit::user(name), &["system:masters"]);
        let proxy = proxy.expect("the proxy starts");
        let lab = Self::on(control_plane(), proxy.kubeconfig(), name);
        lab.kubectl(&["create", "namespace", name]);
        (lab, proxy)
    }

    /// Makes an empty site, with its namespace, on a control plane of its own, without controllers.
    pub fn alone(name: &str) -> Self {
        let options = Options::new().without_controllers();
        let control_plane = ControlPlane::start(options).expect("the control plane starts");
        let kubeconfig = as_lab(&control_plane, name);
        let lab = Self::of(Plane::Own(Box::new(control_plane)), &kubeconfig, name);
        lab.kubectl(&["create", "namespace", name]);
        lab
    }

    /// Makes an empty site that reaches `control_plane` through `kubeconfig` (a proxy's, say).
    pub fn on(control_plane: &'static ControlPlane, kubeconfig: &Path, name: &str) -> Self {
        Self::of(Plane::Shared(control_plane), kubeconfig, name)
    }

    fn of(control_plane: Plane, kubeconfig: &Path, name: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sitewright-e2e-")
            .tempdir()
            .expect("a temporary folder");
        Self {
            control_plane,
            kubeconfig: kubeconfig.to_owned(),
            folder,
            site: name.to_owned(),
            components: BTreeMap::new(),
            spec: String::new(),
            environment: Vec::new(),
        }
    }

    /// Makes a site with the project's own blueprints; their charts come from mirrors.
    pub fn with_library(control_plane: &'static ControlPlane, name: &str) -> Self {
        let mut lab = Self::on(control_plane, control_plane.kubeconfig(), name);
        copy_tree(&project().join("blueprints"), &lab.folder().join("blueprints"));
        let mirrors = Mirrors::make(&lab.folder().join(".mirrors")).expect("the charts can be had");
        lab.environment.push(("SITEWRIGHT_MIRRORS", mirrors.file));
        lab.environment.push(("SITEWRIGHT_HELM", Tool::Helm.find().expect("helm can be had")));
        lab
    }

    /// Writes the site file as it is, for a site [`Self::with_library`].
    pub fn site(&self, text: &str) {
        write(&self.folder().join("site.yaml"), text);
    }

    /// Writes a file of the site repository, for sites that are not made of components here.
    pub fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        write(&self.folder().join(path), content);
    }

    /// Returns the kubeconfig of the lab's user.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the control plane.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Returns the lab's own control plane, to kill parts of it; panics where it is shared.
    pub fn own_control_plane(&mut self) -> &mut ControlPlane {
        match &mut self.control_plane {
            Plane::Own(own) => own,
            Plane::Shared(_) => panic!("the other tests need the shared control plane"),
        }
    }

    /// Returns the name of the site, which is also its namespace.
    pub fn name(&self) -> &str {
        &self.site
    }

    /// Returns the folder of the site repository.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Sets the objects of a component; `{ns}` in them stands for the lab's namespace.
    pub fn component(&mut self, name: &str, objects: &str) -> &mut Self {
        self.components.entry(name.to_owned()).or_default().objects =
            objects.replace("{ns}", &self.site);
        self.write_all()
    }

    /// Sets further lines of a component in the site file, for example `policy: { adopt: true }`.
    pub fn component_site(&mut self, name: &str, lines: &str) -> &mut Self {
        self.components.entry(name.to_owned()).or_default().site =
            lines.replace("{ns}", &self.site);
        self.write_all()
    }

    /// Sets further lines of a component's blueprint, for example `health: [...]`.
    pub fn component_blueprint(&mut self, name: &str, lines: &str) -> &mut Self {
        self.components.entry(name.to_owned()).or_default().blueprint = lines.to_owned();
        self.write_all()
    }

    /// Takes a component out of the site.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.components.remove(name);
        self.write_all()
    }

    /// Sets further lines of the site's `spec`, for example `policy: { limits: { deletes: 0 } }`.
    pub fn spec(&mut self, lines: &str) -> &mut Self {
        self.spec = lines.replace("{ns}", &self.site);
        self.write_all()
    }

    fn write_all(&mut self) -> &mut Self {
        let blueprints = self.folder().join("blueprints");
        let _ = fs::remove_dir_all(&blueprints);
        let mut site = format!(
            "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: {} }}\nspec:\n{}",
            self.site,
            indent(&self.spec, 2)
        );
        if self.components.is_empty() {
            site.push_str("  components: []\n");
        } else {
            site.push_str("  components:\n");
        }
        for (name, component) in &self.components {
            site.push_str(&format!("    - name: {name}\n      blueprint: {{ name: {name} }}\n"));
            site.push_str(&indent(&component.site, 6));
            let blueprint = format!(
                "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: {{ name: {name}, version: 1.0.0 }}\n\
                 spec:\n  summary: Objects of a test.\n  templates: [templates/]\n{}",
                indent(&component.blueprint, 2)
            );
            write(&blueprints.join(name).join("blueprint.yaml"), &blueprint);
            write(&blueprints.join(name).join("templates/objects.yaml"), &component.objects);
        }
        write(&self.folder().join("site.yaml"), &site);
        self
    }

    /// Runs the program on the site with the lab's kubeconfig and a cache of its own.
    pub fn run(&self, arguments: &[&str]) -> Run {
        program::run(&mut self.command(arguments))
    }

    /// Runs the program as [`Self::run`] does, with something changed in how it is called.
    pub fn run_with(&self, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Run {
        let mut command = self.command(arguments);
        change(&mut command);
        program::run(&mut command)
    }

    /// Returns the program on the site, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .current_dir(self.folder())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("SITEWRIGHT_CACHE_DIR", self.folder().join(".cache"))
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Plans, and returns the plan's JSON; panics on an error.
    pub fn plan(&self) -> Value {
        let run = self.run(&["plan", "-o", "json"]);
        assert!(run.code == 0 || run.code == 2, "plan failed:\n{run}");
        run.json()
    }

    /// Applies with `--yes`; panics unless everything was applied.
    pub fn apply(&self) -> Run {
        let run = self.run(&["apply", "--yes"]);
        assert_eq!(run.code, 0, "apply failed:\n{run}");
        run
    }

    /// Returns what the plan does with the object of this kind and name; panics where it does not list it.
    pub fn change(&self, kind: &str, name: &str) -> Value {
        change_in(&self.plan(), kind, name)
    }

    /// Runs kubectl as the cluster's administrator; panics on failure.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.control_plane.kubectl(arguments).expect("kubectl works")
    }

    /// Runs kubectl with `input`, `{ns}` in it replaced; panics on failure.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> String {
        let input = input.replace("{ns}", &self.site);
        self.control_plane.kubectl_with(arguments, input.as_bytes()).expect("kubectl works")
    }

    /// Returns the live object as JSON; none where it is not there.
    pub fn live(&self, kind: &str, name: &str) -> Option<Value> {
        let arguments = ["get", kind, name, "-n", &self.site, "--ignore-not-found", "-o", "json"];
        let text = self.kubectl(&arguments);
        (!text.trim().is_empty()).then(|| serde_json::from_str(&text).expect("kubectl prints JSON"))
    }

    /// Runs `work`, and returns the requests that the program sent meanwhile, from the audit log.
    ///
    /// Tests run side by side: a lab has a user of its own, and only that user's requests count.
    pub fn requests(&self, work: impl FnOnce()) -> Requests {
        audit::during(&self.control_plane, &self.site, work)
    }

    /// Returns the UID of the live object; panics where it is not there.
    pub fn uid(&self, kind: &str, name: &str) -> String {
        let live = self.live(kind, name).unwrap_or_else(|| panic!("no {kind} {name}"));
        live["metadata"]["uid"].as_str().expect("a live object has a UID").to_owned()
    }

    /// Returns who holds the lock of the site; empty where nobody does.
    pub fn lock_holder(&self) -> String {
        let name = format!("sitewright-{}", self.site);
        let arguments = ["get", "lease", &name, "-n", "sitewright-system"];
        self.kubectl(&[&arguments[..], &["-o", "jsonpath={.spec.holderIdentity}"]].concat())
    }
}

/// Writes a kubeconfig of an administrator whom the audit log tells from all others.
fn as_lab(control_plane: &ControlPlane, name: &str) -> PathBuf {
    let kubeconfig = control_plane.kubeconfig_for(&audit::user(name), &["system:masters"]);
    kubeconfig.expect("a certificate can be signed")
}

/// Returns what `plan` does with the object of this kind and name; panics where it does not list it.
pub fn change_in(plan: &Value, kind: &str, name: &str) -> Value {
    let components = plan["components"].as_array().expect("a plan has components");
    let mut changes =
        components.iter().flat_map(|component| component["changes"].as_array().expect("changes"));
    let found = changes.find(|change| change["id"]["kind"] == kind && change["id"]["name"] == name);
    found.unwrap_or_else(|| panic!("no {kind} {name} in the plan:\n{plan:#}")).clone()
}

/// Returns the top folder of the project.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder can be made");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}

fn indent(lines: &str, by: usize) -> String {
    lines.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a file has a folder"))
        .expect("the folder can be made");
    fs::write(path, content).expect("the file can be written");
}

//! Charts rendered by the helm program, alone in a folder of its own.
//!
//! Comes in: a chart's files and values. Goes out: what `helm template` prints, CRDs and hooks included.
//! Never: a cluster, the network, the user's helm settings, plugins or repositories. helm is given an
//! environment of its own, so the same input gives the same output on every machine, except where a
//! chart itself asks for random bytes or the time ([`Helm::check_deterministic`]).

mod determinism;
mod error;
mod message;

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;
use sitewright_model::{diagnostic::Diagnostics, files::Files, name::is_dns_label, yaml};

use self::determinism::Probe;
pub use self::error::HelmError;
use crate::{
    process::{self, Finished, Program, Stopped},
    settings::{Limits, Settings},
    snapshot::check_name,
};

/// The environment variable that names the helm program.
const VARIABLE: &str = "SITEWRIGHT_HELM";

/// How long helm may take to tell its version.
const VERSION_DEADLINE: Duration = Duration::from_secs(20);

/// Bytes of the answer to it.
const VERSION_BYTES: u64 = 64 * 1024;

/// What the names of folders for helm begin with.
const FOLDER_PREFIX: &str = "sitewright-helm-";

/// After this time a folder for helm belongs to no run: helm may take [`Limits::helm_seconds`].
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The oldest helm that renders charts from registries and newer `Chart.yaml` as helm 4 does.
const OLDEST: (u64, u64) = (3, 8);
/// The newest major version that this was tried with.
const NEWEST_MAJOR: u64 = 4;

/// The namespace of a release that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// Characters of the name of a release: helm's own bound, since it names Secrets after it.
const RELEASE_CHARACTERS: usize = 53;

/// The helm program.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    version: String,
}

/// What to render.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The chart's files, `Chart.yaml` at the top.
    pub chart: &'a Files,
    /// Dependencies that helm shall not look for: they are not in the chart, and its values switch them off.
    pub omit_dependencies: &'a [String],
    /// The name of the release.
    pub release: &'a str,
    /// The namespace of the release; none for `default`.
    pub namespace: Option<&'a str>,
    /// The values; may hold secrets.
    pub values: &'a Value,
    /// The version of Kubernetes that charts see, such as `1.34.0`; none for what helm was built with.
    pub kube_version: Option<&'a str>,
    /// Further API versions that charts see, such as `monitoring.coreos.com/v1`.
    pub api_versions: &'a [String],
    /// The secrets among the values: where there are any, what helm says of the chart is not shown.
    pub hide: &'a [String],
}

/// A run of helm that ended by itself.
struct Ran {
    finished: Finished,
    /// Where the chart was; the folder is gone.
    folder: PathBuf,
}

impl Helm {
    /// Finds the program: the settings name it, else `SITEWRIGHT_HELM`, else it is on the PATH.
    pub fn find(settings: &Settings) -> Result<Self, Diagnostics> {
        sweep(&env::temp_dir());
        let program = locate(settings).ok_or(HelmError::Missing { program: "helm".into() })?;
        let version = version(&program)?;
        Ok(Self { program, version })
    }

    /// Returns the version, such as `v3.19.0`: a part of what a cached rendering depends on.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns where the program is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Returns what helm prints for the chart; may hold secrets.
    pub fn template(&self, request: &Request<'_>, limits: &Limits) -> Result<String, Diagnostics> {
        let ran = self.run(request, limits)?;
        if !ran.finished.status.success() {
            return Err(message::failed(&ran.finished, &ran.folder, request).into());
        }
        String::from_utf8(ran.finished.stdout)
            .map_err(|_| HelmError::NotText { chart: request.chart.label.clone() }.into())
    }

    /// Returns an error if the chart renders differently each time, of which `first` was one.
    ///
    /// Cheap where it can be: a chart that names no function of time or chance is not rendered again.
    /// Any other is rendered with these functions failing, so that one that is not called does no harm.
    pub fn check_deterministic(
        &self,
        request: &Request<'_>,
        first: &str,
        limits: &Limits,
    ) -> Result<(), Diagnostics> {
        let Some(probe) = Probe::of(request.chart, request.values, limits) else { return Ok(()) };
        let probing = Request { chart: &probe.chart, values: &probe.values, ..*request };
        let ran = self.run(&probing, limits)?;
        let is_pure = ran.finished.status.success();
        if is_pure && ran.finished.stdout == first.as_bytes() {
            return Ok(());
        }
        // Equal, where the chart merely shows a text that was taken for a call.
        let objects = determinism::differing(first, &self.template(request, limits)?);
        if is_pure && objects.is_empty() {
            return Ok(());
        }
        let chart = request.chart.label.clone();
        if !objects.is_empty() {
            return Err(HelmError::NotDeterministic { chart, objects }.into());
        }
        let place = message::place(&ran.finished.stderr, &probing);
        let functions = probe.functions.into_iter().collect();
        Err(HelmError::Impure { chart, functions, place }.into())
    }

    fn run(&self, request: &Request<'_>, limits: &Limits) -> Result<Ran, Diagnostics> {
        check_names(request)?;
        let folder = folder()?;
        prepare(folder.path(), request).map_err(HelmError::Folder)?;
        let program = self.command(folder.path(), request);
        // JSON is YAML, and has no second meaning for any text.
        let values =
            serde_json::to_vec(request.values).map_err(|error| HelmError::Folder(error.into()))?;
        let deadline = Duration::from_secs(limits.helm_seconds);
        let finished = process::run(program, values, deadline, limits.helm_bytes)
            .map_err(|stopped| self.stopped(stopped, request))?;
        Ok(Ran { finished, folder: folder.path().to_owned() })
    }

    fn command(&self, folder: &Path, request: &Request<'_>) -> Program {
        let mut helm = Program::new(&self.program);
        let namespace = request.namespace.unwrap_or(DEFAULT_NAMESPACE);
        let mut arguments = vec![
            "template".to_owned(),
            "--include-crds".to_owned(),
            // On standard input: values hold secrets, and a file may outlive us.
            "--values=-".to_owned(),
            format!("--namespace={namespace}"),
        ];
        arguments.extend(request.kube_version.map(|version| format!("--kube-version={version}")));
        arguments.extend(request.api_versions.iter().map(|name| format!("--api-versions={name}")));
        // What stands behind `--` is no option, whatever it looks like.
        helm.command.args(arguments).arg("--").arg(request.release).arg(folder.join("chart"));
        scrub(&mut helm.command, folder);
        helm
    }

    fn stopped(&self, stopped: Stopped, request: &Request<'_>) -> HelmError {
        let chart = request.chart.label.clone();
        match stopped {
            Stopped::Missing => HelmError::Missing { program: self.program.clone() },
            Stopped::System(source) => HelmError::NotRun { program: self.program.clone(), source },
            Stopped::TooSlow(deadline) => HelmError::TooSlow { chart, seconds: deadline.as_secs() },
            Stopped::TooMuch(limit) => HelmError::TooMuch { chart, limit },
        }
    }
}

/// Returns where the program should be, without running it: see [`Helm::find`].
pub fn locate(settings: &Settings) -> Option<PathBuf> {
    let named = settings.helm.clone().or_else(|| env::var_os(VARIABLE).map(PathBuf::from));
    named.or_else(|| process::on_path("helm".as_ref()))
}

/// Makes a folder for one run of helm, which is removed after it.
fn folder() -> Result<tempfile::TempDir, HelmError> {
    tempfile::Builder::new().prefix(FOLDER_PREFIX).tempdir().map_err(HelmError::Folder)
}

/// Removes the folders of runs that were killed before they could do it themselves.
fn sweep(temporary: &Path) {
    let Ok(entries) = fs::read_dir(temporary) else { return };
    for entry in entries.flatten() {
        let is_one = entry.file_name().as_encoded_bytes().starts_with(FOLDER_PREFIX.as_bytes());
        let Some(metadata) = is_one.then(|| entry.metadata().ok()).flatten() else { continue };
        let is_mine = metadata.uid() == rustix::process::geteuid().as_raw();
        let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
        if metadata.is_dir() && is_mine && age.is_some_and(|age| age > ABANDONED_AFTER) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Gives the program an environment in `folder`, and nothing of ours.
fn scrub(command: &mut Command, folder: &Path) {
    command.env_clear().current_dir(folder);
    command.env("HOME", folder).env("TMPDIR", folder).env("KUBECONFIG", "/dev/null");
    for (variable, inner) in [
        ("HELM_CACHE_HOME", "cache"),
        ("HELM_CONFIG_HOME", "config"),
        ("HELM_DATA_HOME", "data"),
        ("HELM_PLUGINS", "plugins"),
        ("HELM_REGISTRY_CONFIG", "registry.json"),
        ("HELM_REPOSITORY_CONFIG", "repositories.yaml"),
        ("HELM_REPOSITORY_CACHE", "repositories"),
    ] {
        command.env(variable, folder.join(inner));
    }
    command.env("HELM_NO_PLUGINS", "1").env("TZ", "UTC").env("LC_ALL", "C");
}

/// Asks the program for its version, and whether we know how to talk to it.
fn version(program: &Path) -> Result<String, HelmError> {
    let folder = folder()?;
    let mut helm = Program::new(program);
    helm.command.args(["version", "--template", "{{.Version}}"]);
    scrub(&mut helm.command, folder.path());
    let not_run = |source| HelmError::NotRun { program: program.to_owned(), source };
    let finished = match process::run(helm, Vec::new(), VERSION_DEADLINE, VERSION_BYTES) {
        Ok(finished) => finished,
        Err(Stopped::Missing) => return Err(HelmError::Missing { program: program.to_owned() }),
        Err(Stopped::System(source)) => return Err(not_run(source)),
        Err(stopped) => return Err(not_run(io::Error::other(stopped.to_string()))),
    };
    let text = String::from_utf8_lossy(&finished.stdout).trim().to_owned();
    let supported =
        major_and_minor(&text).is_some_and(|found| found >= OLDEST && found.0 <= NEWEST_MAJOR);
    if finished.status.success() && supported {
        return Ok(text);
    }
    let said = if text.is_empty() { finished.stderr.trim().to_owned() } else { text };
    let version = said.chars().take(200).flat_map(char::escape_debug).collect();
    Err(HelmError::Version { program: program.to_owned(), version })
}

/// Reads `v3.19.0`, and `v4.1` as a helm built from source says.
fn major_and_minor(text: &str) -> Option<(u64, u64)> {
    let mut parts = text.strip_prefix('v')?.split(['.', '-', '+']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Refuses names that helm would refuse, or read as an option: a blueprint may come from anyone.
fn check_names(request: &Request<'_>) -> Result<(), HelmError> {
    let wrong = |what, name: &str| {
        let (chart, name) = (request.chart.label.clone(), name.to_owned());
        Err(HelmError::Name { chart, what, name })
    };
    let release = request.release;
    if release.len() > RELEASE_CHARACTERS || !release.split('.').all(is_dns_label) {
        return wrong("release", release);
    }
    match request.namespace {
        Some(namespace) if !is_dns_label(namespace) => wrong("namespace", namespace),
        _ => Ok(()),
    }
}

/// Writes the chart, readable by this user alone.
fn prepare(folder: &Path, request: &Request<'_>) -> io::Result<()> {
    for (path, content) in &request.chart.entries {
        if let Some(part) = path.split('/').find(|part| check_name("", part).is_err()) {
            let part = part.escape_debug();
            return Err(io::Error::other(format!("the chart holds the name `{part}`")));
        }
        let place = folder.join("chart").join(path);
        match without_dependencies(path, content, request.omit_dependencies) {
            Some(text) => write(&place, text.as_bytes())?,
            None => write(&place, content)?,
        }
    }
    Ok(())
}

/// Returns the file that names dependencies without those that are omitted; none for every other file.
fn without_dependencies(path: &str, content: &[u8], omitted: &[String]) -> Option<String> {
    if omitted.is_empty() || !["Chart.yaml", "requirements.yaml"].contains(&path) {
        return None;
    }
    let mut file = yaml::parse_values(std::str::from_utf8(content).ok()?).ok()?.pop()?;
    let dependencies = file.get_mut("dependencies")?.as_array_mut()?;
    dependencies.retain(|dependency| {
        let name = dependency.get("name").and_then(Value::as_str);
        !name.is_some_and(|name| omitted.iter().any(|omitted| omitted == name))
    });
    Some(yaml::to_yaml(&file))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    io::Write::write_all(&mut file, content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_released_and_as_built_from_source() {
        assert_eq!(major_and_minor("v3.19.0"), Some((3, 19)));
        assert_eq!(major_and_minor("v4.1"), Some((4, 1)));
        assert_eq!(major_and_minor("v4.1-unreleased"), Some((4, 1)));
        assert_eq!(major_and_minor("hello"), None);
    }

    #[test]
    fn folders_that_a_killed_run_left_are_swept() {
        let temporary = tempfile::tempdir().unwrap();
        let make = |name: &str, days: u64| {
            let folder = temporary.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("x"), "x").unwrap();
            let time = std::time::SystemTime::now() - Duration::from_secs(days * 24 * 3600 + 60);
            fs::File::open(&folder).unwrap().set_modified(time).unwrap();
            folder
        };
        let (old, new) = (make("sitewright-helm-old", 1), make("sitewright-helm-new", 0));
        let other = make("other", 9);
        sweep(temporary.path());
        assert!(!old.exists() && new.exists() && other.exists());
    }
}

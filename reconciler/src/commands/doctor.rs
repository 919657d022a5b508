use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::Args;
use sitewright_cluster::Cluster;
use sitewright_model::{
    code::{self, machine},
    desired::Desired,
    diagnostic::{Diagnostic, Severity},
    object::GroupKind,
};
use sitewright_source::helm::Helm;

use super::{TextOrJson, site::SiteArgument, stages};
use crate::{
    cli::{Context, Exit, Failure},
    output::{
        doctor::{self as output, Check, Doctor as Findings, Verdict},
        words,
    },
};

/// Bytes of free disk below which things go wrong soon.
const DISK_WARN: u64 = 1024 * 1024 * 1024;
/// Bytes of free disk below which nothing can be fetched.
const DISK_FAIL: u64 = 64 * 1024 * 1024;
/// The newest minor version of Kubernetes that the tests run against.
const NEWEST_TESTED: (u32, u32) = (1, 37);

/// Check this machine, the cluster and a site for what would stand in the way
///
/// Looks at git, helm, the cache folder and its disk, the way to the cluster, its version and clock, the
/// rights that an apply needs, and webhooks that would block it. With a SITE also whether it is valid, and
/// rights for exactly the kinds it uses. Each finding says what to do. Nothing is written.
///
/// Exit codes: 0 all well or only warnings, 1 something stands in the way.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Doctor {
    /// The site: a folder with a site.yaml, or REPOSITORY//path@ref
    site: Option<String>,
    /// The form of the findings
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

const EXAMPLES: &str = "\
Examples:
  sitewright doctor
  sitewright doctor sites/lab-gpu --context lab-admin
  sitewright doctor -o json | jq '.checks[] | select(.verdict != \"ok\")'";

impl Doctor {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        context.doing("looking at this machine");
        let mut checks = vec![git(), helm(context)];
        checks.extend(cache(context));
        let desired = self.site(context, &mut checks);
        checks.extend(cluster(context, desired.as_ref()));
        let findings = Findings::new(checks);
        let text = match self.output {
            TextOrJson::Text => output::text(&findings, &context.look()),
            TextOrJson::Json => crate::output::json(&findings),
        };
        context.print(&text)?;
        Ok(if findings.verdict() == Verdict::Fail { Exit::Failure } else { Exit::Success })
    }

    /// Renders the site, where one is given.
    fn site(&self, context: &Context, checks: &mut Vec<Check>) -> Option<Desired> {
        let site = SiteArgument { site: self.site.clone()? };
        match stages::rendered(context, &site) {
            Ok(desired) => {
                let objects = words::count(desired.objects().count(), "object");
                checks.push(Check::ok("site", format!("{} is valid, {objects}", desired.site)));
                Some(desired)
            }
            Err(Failure::Diagnosed(diagnostics)) => {
                let errors = diagnostics.0.iter().filter(|one| one.severity == Severity::Error);
                checks.extend(errors.map(|diagnostic| Check::wrong("site", diagnostic)));
                None
            }
            Err(Failure::Output(_)) => None,
        }
    }
}

fn git() -> Check {
    let wrong = |message: &str, why: String| {
        let diagnostic = Diagnostic::warning(machine::PROGRAM_MISSING, message);
        let diagnostic = diagnostic.note(why).help("install git; it is needed to keep sites in");
        Check::wrong("git", &diagnostic)
    };
    match Command::new("git").arg("--version").stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            let version = text.lines().next().unwrap_or_default();
            Check::ok("git", version.trim_start_matches("git version ").trim())
        }
        Ok(output) => wrong("git does not work", format!("it ended with {}", output.status)),
        Err(error) => wrong("git is not installed", error.to_string()),
    }
}

/// Looks at helm as a rendering does. Not every site has charts, so it stands in nobody's way here;
/// a site that needs it and is given fails by itself.
fn helm(context: &Context) -> Check {
    let diagnostics = match context.settings().and_then(|settings| Ok(Helm::find(&settings)?)) {
        Ok(helm) => {
            let found = format!("{} at {}", helm.version(), helm.program().display());
            return Check::ok("helm", found);
        }
        Err(Failure::Diagnosed(diagnostics)) => diagnostics.0,
        Err(Failure::Output(_)) => Vec::new(),
    };
    match diagnostics.into_iter().next() {
        Some(diagnostic) => {
            Check::wrong("helm", &Diagnostic { severity: Severity::Warning, ..diagnostic })
        }
        None => Check::ok("helm", "not looked at"),
    }
}

fn cache(context: &Context) -> Vec<Check> {
    let folder = match context.cache_dir() {
        Ok(folder) => folder,
        Err(Failure::Diagnosed(diagnostics)) => {
            return diagnostics.0.iter().map(|one| Check::wrong("cache", one)).collect();
        }
        Err(Failure::Output(_)) => return Vec::new(),
    };
    vec![writable(&folder), space(&folder)]
}

fn writable(folder: &Path) -> Check {
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&probe, b"probe"));
    let _ = fs::remove_file(&probe);
    match written {
        Ok(()) => Check::ok("cache", format!("{} can be written", folder.display())),
        Err(error) => Check::wrong(
            "cache",
            &Diagnostic::error(
                machine::UNREADABLE_FILE,
                format!("{} cannot be written: {error}", folder.display()),
            )
            .help("give another folder with --cache-dir, or mend its permissions"),
        ),
    }
}

fn space(folder: &Path) -> Check {
    let nearest = folder
        .ancestors()
        .find(|folder| folder.is_dir())
        .map_or(PathBuf::from("/"), Path::to_owned);
    let free = match rustix::fs::statvfs(&nearest) {
        Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
        Err(error) => return Check::ok("disk", format!("free space is not known: {error}")),
    };
    let found = format!("{} free at {}", words::bytes(free), nearest.display());
    let help = "free some space, or give another folder with --cache-dir";
    match free {
        0..DISK_FAIL => {
            Check::wrong("disk", &Diagnostic::error(machine::DISK_FULL, found).help(help))
        }
        DISK_FAIL..DISK_WARN => {
            Check::wrong("disk", &Diagnostic::warning(machine::DISK_FULL, found).help(help))
        }
        _ => Check::ok("disk", found),
    }
}

fn cluster(context: &Context, desired: Option<&Desired>) -> Vec<Check> {
    let cluster = match context.connect() {
        Ok(cluster) => cluster,
        Err(Failure::Diagnosed(diagnostics)) => {
            return diagnostics.0.iter().map(|one| Check::wrong("cluster", one)).collect();
        }
        Err(Failure::Output(_)) => return Vec::new(),
    };
    let mut checks = vec![reached(&cluster)];
    context.doing("asking the cluster for rights and webhooks");
    match context.wait(cluster.doctor(&kinds(desired))) {
        Ok(found) => checks.extend(found.iter().map(|check| match &check.found {
            Ok(fact) => Check::ok(&check.what, fact),
            Err(diagnostic) => Check::wrong(&check.what, diagnostic),
        })),
        Err(error) => checks.push(Check::wrong("cluster", &error.diagnostic())),
    }
    checks
}

fn reached(cluster: &Cluster) -> Check {
    let facts = cluster.facts();
    let found = format!("{} answers, {}", facts.name, facts.version);
    if minor(&facts.version).is_some_and(|version| version > NEWEST_TESTED) {
        let (major, minor) = NEWEST_TESTED;
        let newer =
            format!("{found}, newer than what this version is tested with (v{major}.{minor})");
        return Check::wrong(
            "cluster",
            &Diagnostic::warning(code::cluster::UNTESTED, newer)
                .help("it is likely to work; look for a newer Sitewright"),
        );
    }
    Check::ok("cluster", found)
}

fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn kinds(desired: Option<&Desired>) -> BTreeSet<GroupKind> {
    desired
        .into_iter()
        .flat_map(Desired::objects)
        .map(|(_, object)| object.object.id().kind.clone())
        .collect()
}

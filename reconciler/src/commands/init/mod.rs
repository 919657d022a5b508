mod files;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::{Args, ValueEnum};
use sitewright_model::{code::machine, diagnostic::Diagnostic, name::SiteName};

use crate::{
    cli::{Context, Exit, Failure, file_failure},
    output::{
        look::{self, paint},
        words,
    },
};

/// Make a repository with a first site, a small blueprint, a README and CI
///
/// The site is valid at once and needs nothing but a Kubernetes cluster: it makes a namespace for each
/// team, with quota and rights. Nothing is committed, and no file that is there is overwritten.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Init {
    /// The folder to make
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The name of the site [default: the name of the folder]
    #[arg(long, value_name = "NAME")]
    name: Option<SiteName>,
    /// Which CI validates and plans
    #[arg(long, value_name = "CI", default_value = "github")]
    ci: Ci,
}

const EXAMPLES: &str = "\
Examples:
  sitewright init my-lab
  sitewright validate my-lab/sites/my-lab
  sitewright init clusters --name lab-gpu --ci gitlab";

/// Which CI to write a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Ci {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
    /// None.
    None,
}

impl Init {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let name = self.site_name()?;
        let files = files::all(&name, self.ci);
        refuse_overwriting(&self.folder, &files)?;
        for (path, text) in &files {
            write(&self.folder.join(path), text)?;
        }
        let repository = init_repository(context, &self.folder);
        context.print(&self.said(&name, files.len(), repository))?;
        Ok(Exit::Success)
    }

    fn site_name(&self) -> Result<SiteName, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let absolute = std::path::absolute(&self.folder)
            .map_err(|error| file_failure(&self.folder, &error))?;
        let folder = absolute.file_name().map(|name| name.to_string_lossy().to_lowercase());
        folder.as_deref().unwrap_or_default().parse().map_err(|error| {
            Diagnostic::error(machine::BAD_ARGUMENT, format!("no name for the site: {error}"))
                .help("give one with --name")
                .into()
        })
    }

    fn said(&self, name: &SiteName, files: usize, repository: Repository) -> String {
        let folder = self.folder.display();
        let site = format!("{folder}/sites/{name}");
        let git = match repository {
            Repository::Made => "a new git repository, nothing committed",
            Repository::There => "in the git repository that is there, nothing committed",
            Repository::None => "no git repository: git is not installed",
        };
        let command = |text: String| paint(look::CODE, text);
        format!(
            "Made {folder}: {}, {git}.\n\nNext:\n  {}\n  {}\n  {}\n",
            words::count(files, "file"),
            command(format!("sitewright validate {site}")),
            command(format!("sitewright plan {site}")),
            command(format!("sitewright apply {site}")),
        )
    }
}

fn refuse_overwriting(folder: &Path, files: &[(String, String)]) -> Result<(), Diagnostic> {
    let there: Vec<String> = files
        .iter()
        .filter(|(path, _)| folder.join(path).symlink_metadata().is_ok())
        .map(|(path, _)| path.clone())
        .collect();
    if there.is_empty() {
        return Ok(());
    }
    Err(Diagnostic::error(
        machine::WOULD_OVERWRITE,
        format!("{} has {} already", folder.display(), words::list(&there)),
    )
    .note("nothing was written")
    .help("give a folder that does not exist yet"))
}

fn write(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let create = || {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::create_new(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    };
    create().map_err(|error| file_failure(path, &error))
}

/// What became of the git repository.
#[derive(Clone, Copy)]
enum Repository {
    Made,
    There,
    None,
}

fn init_repository(context: &Context, folder: &Path) -> Repository {
    let git = |arguments: &[&str]| {
        Command::new("git")
            .arg("-C")
            .arg(folder)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    match git(&["rev-parse", "--git-dir"]) {
        Err(error) => {
            tracing::debug!(%error, "git");
            Repository::None
        }
        Ok(status) if status.success() => Repository::There,
        Ok(_) => match git(&["init", "--quiet", "--initial-branch=main"]) {
            Ok(status) if status.success() => Repository::Made,
            _ => {
                context.screen.line("git could not make a repository; the files are there");
                Repository::None
            }
        },
    }
}

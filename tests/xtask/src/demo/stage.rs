//! What the demo plays on: a control plane, a site repository, the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::Value;
use sitewright_testbed::{ControlPlane, Nodes, Options, mirror::Mirrors, tools::Tool};
use tempfile::TempDir;

/// The site that is shown.
const SITE: &str = "tiny";

/// What the agent is waited for comes long before this.
const PATIENCE: Duration = Duration::from_secs(120);

/// One thing that the demo has shown.
#[derive(Serialize)]
struct Seen {
    step: &'static str,
    seen: String,
    seconds: f32,
}

/// The control plane, the repository and the program.
pub(super) struct Stage {
    pub(super) control_plane: ControlPlane,
    folder: TempDir,
    program: PathBuf,
    mirrors: PathBuf,
    helm: PathBuf,
    step: bool,
    seen: Vec<Seen>,
}

/// What a run of the program gave.
pub(super) struct Run {
    pub(super) code: i32,
    pub(super) stdout: String,
}

/// The agent while it runs.
pub(super) struct Agent {
    child: Child,
    log: PathBuf,
    /// How much of the log was shown.
    told: usize,
}

impl Agent {
    /// Waits until the agent says `text`, and shows what it said.
    pub(super) fn wait_to_say(&mut self, text: &str) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = fs::read_to_string(&self.log)?;
            let new = log.get(self.told..).unwrap_or_default();
            if let Some(line) = new.lines().find(|line| line.contains(text)) {
                let upto = new.find(line).unwrap_or_default() + line.len();
                say(new.get(..upto).unwrap_or_default().trim());
                self.told += upto;
                return Ok(());
            }
            ensure!(Instant::now() < end, "the agent does not say `{text}`:\n{log}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stage {
    /// Builds what is not built yet and starts the control plane, with nodes on which pods become ready.
    pub(super) fn set_up(step: bool) -> Result<Self> {
        say(
            "Setting up: the program, Kubernetes, helm, and the charts (only the first run is slow)",
        );
        let program = build_program()?;
        let helm = Tool::Helm.find()?;
        let folder = tempfile::Builder::new().prefix("sitewright-demo-").tempdir()?;
        let mirrors = Mirrors::make(&folder.path().join("mirrors"))?.file;
        let nodes = Nodes::named("node")
            .count(2)
            .capacity("nvidia.com/gpu", "8")
            .label("nvidia.com/gpu.present", "true");
        let control_plane = ControlPlane::start(Options::new().scheduler().nodes(nodes))?;
        let stage = Self { control_plane, folder, program, mirrors, helm, step, seen: Vec::new() };
        stage.make_repository()?;
        Ok(stage)
    }

    /// Tells what comes, waits for Enter where that was asked for, plays it, and notes what was seen.
    pub(super) fn play(
        &mut self,
        step: &'static str,
        work: impl FnOnce(&mut Self) -> Result<String>,
    ) -> Result<()> {
        say(&format!("\n\x1b[1m== {step}\x1b[0m"));
        if self.step {
            say("(Enter goes on)");
            std::io::stdin().read_line(&mut String::new())?;
        }
        let started = Instant::now();
        let seen =
            work(self).with_context(|| format!("the step `{step}` is not as it should be"))?;
        say(&format!("\x1b[32mseen:\x1b[0m {seen}"));
        self.seen.push(Seen { step, seen, seconds: started.elapsed().as_secs_f32() });
        Ok(())
    }

    /// Runs the program on the site's newest commit, shows what it prints, and checks its exit code.
    pub(super) fn sitewright(&self, verb: &str, options: &[&str], code: i32) -> Result<Run> {
        let site = self.site();
        say(&format!("\x1b[2m$ sitewright {verb} {site} {}\x1b[0m", options.join(" ")));
        let output = self
            .command()
            .arg(verb)
            .arg(&site)
            .args(options)
            .stderr(Stdio::inherit())
            .output()
            .context("the program does not start")?;
        let run = Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        };
        if !options.contains(&"json") {
            say(run.stdout.trim_end());
        }
        ensure!(
            run.code == code,
            "`sitewright {verb}` ended with {} where {code} was expected",
            run.code
        );
        Ok(run)
    }

    /// Starts the agent on the site's branch; it runs until it is dropped.
    pub(super) fn agent(&self) -> Result<Agent> {
        let site = self.site();
        let (ledger, key) = (self.ledger(), self.folder.path().join("lineage.key"));
        let made = self
            .command()
            .args(["lineage", "key", "demo.example.org", "--to"])
            .arg(&key)
            .output()?;
        ensure!(made.status.success(), "no key for the record");
        say(&format!(
            "\x1b[2m$ sitewright agent --site {site} --poll 2s --lineage ledger --lineage-key lineage.key &\x1b[0m"
        ));
        let log = self.folder.path().join("agent.log");
        let child = self
            .command()
            .args(["agent", "--site", &site, "--poll", "2s", "--lineage"])
            .arg(ledger)
            .arg("--lineage-key")
            .arg(key)
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("the program does not start")?;
        Ok(Agent { child, log, told: 0 })
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// Asks the record until the answer holds every one of `wanted`; shows the answer, and returns it.
    pub(super) fn lineage(&self, arguments: &[&str], wanted: &[&str]) -> Result<String> {
        say(&format!("\x1b[2m$ sitewright lineage {}\x1b[0m", arguments.join(" ")));
        let end = Instant::now() + PATIENCE;
        loop {
            let mut command = self.command();
            command.env("SITEWRIGHT_LEDGER", self.ledger()).arg("lineage").args(arguments);
            let output = command.output()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let missing = wanted.iter().find(|wanted| !text.contains(**wanted));
            match missing {
                None if output.status.success() => {
                    if !arguments.contains(&"html") {
                        say(text.trim_end());
                    }
                    return Ok(text);
                }
                _ if Instant::now() > end => {
                    let error = String::from_utf8_lossy(&output.stderr);
                    bail!("the answer lacks {missing:?}:\n{text}{error}");
                }
                _ => thread::sleep(Duration::from_millis(300)),
            }
        }
    }

    /// Proves the record.
    pub(super) fn prove(&self) -> Result<()> {
        let key = self.folder.path().join("lineage.pub").display().to_string();
        let ledger = self.ledger().display().to_string();
        self.lineage(&["verify", &ledger, "--key", &key], &["everything is what was recorded"])?;
        Ok(())
    }

    /// Writes a page beside the repository, and returns where.
    pub(super) fn page(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Makes a small repository of a researcher with one commit, and returns its id.
    pub(super) fn research(&self, name: &str, file: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join("research").join(name);
        fs::create_dir_all(&path)?;
        fs::write(path.join(file), text)?;
        self.git_in(&path, &["init", "--quiet", "--initial-branch", "main"])?;
        self.git_in(&path, &["add", "--all"])?;
        self.git_in(&path, &["commit", "--quiet", "--message", name])?;
        self.git_in(&path, &["rev-parse", "HEAD"])
    }

    /// Returns the commit of the site.
    pub(super) fn head(&self) -> Result<String> {
        self.git(&["rev-parse", "HEAD"])
    }

    fn site(&self) -> String {
        format!("file://{}//sites/{SITE}@main", self.repository().display())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", self.control_plane.kubeconfig())
            .env("SITEWRIGHT_MIRRORS", &self.mirrors)
            .env("SITEWRIGHT_HELM", &self.helm)
            .env("SITEWRIGHT_CACHE_DIR", self.folder.path().join("cache"))
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl as somebody at a keyboard.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        say(&format!("\x1b[2m$ kubectl {}\x1b[0m", arguments.join(" ")));
        self.control_plane.kubectl(arguments)
    }

    /// The same with something on standard input.
    pub(super) fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        say(&format!("\x1b[2m$ kubectl {} <<< '{input}'\x1b[0m", arguments.join(" ")));
        self.control_plane.kubectl_with(arguments, input.as_bytes())
    }

    /// Returns the plan as JSON, without showing it.
    pub(super) fn plan(&self, code: i32) -> Result<Value> {
        let run = self.sitewright("plan", &["-o", "json"], code)?;
        serde_json::from_str(&run.stdout).context("the plan is no JSON")
    }

    /// Changes `from` to `to` in the site file and commits that.
    pub(super) fn commit(&self, message: &str, from: &str, to: &str) -> Result<()> {
        self.rewrite(message, |text| {
            ensure!(text.contains(from), "the example site no longer says `{from}`");
            Ok(text.replacen(from, to, 1))
        })
    }

    /// Writes a file of the repository, for the next commit.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let path = self.repository().join(path);
        fs::create_dir_all(path.parent().context("a file lies in a folder")?)?;
        fs::write(&path, text)?;
        self.git(&["add", "--all"]).map(drop)
    }

    /// Cuts the site file off at `from` and commits that.
    pub(super) fn cut(&self, message: &str, from: &str) -> Result<()> {
        self.rewrite(message, |text| {
            let (kept, _) = text
                .split_once(from)
                .with_context(|| format!("the example site no longer says `{from}`"))?;
            Ok(kept.trim_end().to_owned() + "\n")
        })
    }

    /// Adds `lines` at the end of the site file and commits that.
    pub(super) fn append(&self, message: &str, lines: &str) -> Result<()> {
        self.rewrite(message, |text| Ok(text.to_owned() + lines))
    }

    fn rewrite(&self, message: &str, change: impl FnOnce(&str) -> Result<String>) -> Result<()> {
        let path = self.repository().join("sites").join(SITE).join("site.yaml");
        fs::write(&path, change(&fs::read_to_string(&path)?)?)?;
        self.git(&["commit", "--all", "--quiet", "--message", message])?;
        say(&self.git(&["show", "--format=commit %h: %s", "--unified=0"])?);
        Ok(())
    }

    /// Prints what was seen, step by step.
    #[expect(clippy::print_stdout, reason = "the summary is the result of the demo")]
    pub(super) fn summary(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(&self.seen)?);
            return Ok(());
        }
        println!("\nSeen:");
        for seen in &self.seen {
            println!("  {:<34} {:>5.1} s  {}", seen.step, seen.seconds, seen.seen);
        }
        Ok(())
    }

    /// Leaves everything up until Ctrl-C.
    pub(super) fn keep(&self) -> ! {
        say(&format!(
            "\nThe cluster stays up until Ctrl-C:\n  export KUBECONFIG={}\n  repository: {}\n  program: {}",
            self.control_plane.kubeconfig().display(),
            self.repository().display(),
            self.program.display()
        ));
        loop {
            thread::park();
        }
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("site-repository")
    }

    fn make_repository(&self) -> Result<()> {
        let root = crate::top();
        copy_tree(&root.join("examples/sites"), &self.repository().join("sites"))?;
        copy_tree(&root.join("blueprints"), &self.repository().join("blueprints"))?;
        self.git(&["init", "--quiet", "--initial-branch", "main"])?;
        self.git(&["add", "--all"])?;
        self.git(&["commit", "--quiet", "--message", "the example sites"])?;
        Ok(())
    }

    fn git(&self, arguments: &[&str]) -> Result<String> {
        self.git_in(&self.repository(), arguments)
    }

    fn git_in(&self, folder: &Path, arguments: &[&str]) -> Result<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=Demo", "-c", "user.email=demo@example.org"])
            .args(arguments)
            .current_dir(folder)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .context("git does not start: install git")?;
        if !output.status.success() {
            bail!(
                "git {} failed: {}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }
}

/// The story goes to standard error, so that `--json` leaves standard output to the machine.
pub(super) fn say(text: &str) {
    anstream::eprintln!("{text}");
}

fn build_program() -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "sitewright"])
        .current_dir(crate::top())
        .status()?;
    ensure!(status.success(), "sitewright does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| crate::top().join("target"), PathBuf::from);
    Ok(target.join("debug/sitewright"))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("no folder {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

//! The agent in a cluster: what SiteSyncs name is followed, and told in their status.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sitewright_e2e::{Lab, Running, git};
use sitewright_testbed::GitHttp;

/// What a test waits for comes long before this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue }
";

/// A site in a repository on a server, and an agent that follows the SiteSyncs of its namespace.
pub(crate) struct Followed {
    pub(crate) lab: Lab,
    folder: tempfile::TempDir,
    pub(crate) server: GitHttp,
    agent: Running,
}

fn agent(lab: &Lab, change: impl Fn(&mut Command)) -> Running {
    let arguments = ["agent", "--namespace", lab.name(), "--log-format", "json"];
    // several of them run at once here
    let listen = ["--listen", "127.0.0.1:0", "--hooks", "127.0.0.1:0"];
    let mut command = lab.command(&arguments);
    command.args(listen);
    change(&mut command);
    Running::start(&mut command)
}

impl Followed {
    pub(crate) fn start(name: &str) -> Self {
        Self::start_with(name, |_| {})
    }

    /// Starts it, with something changed in how the agent is called.
    pub(crate) fn start_with(name: &str, change: impl Fn(&mut Command)) -> Self {
        let mut lab = Lab::new(name);
        let crd = sitewright_e2e::project().join("schema/sitesync.crd.json");
        lab.kubectl(&["apply", "--server-side", "-f", crd.to_str().expect("a path")]);
        lab.kubectl(&["wait", "--for=condition=Established", "crd/sitesyncs.sitewright.dev"]);
        let folder = tempfile::tempdir().expect("a folder");
        git(folder.path(), &["init", "-q", "--bare", "-b", "main", "site.git"]);
        lab.component("app", SETTINGS);
        git(lab.folder(), &["init", "-q", "-b", "main"]);
        let server = GitHttp::serve(folder.path()).expect("the server starts");
        let agent = agent(&lab, change);
        let followed = Self { lab, folder, server, agent };
        followed.push("first");
        followed
    }

    /// Kills the agent, and starts another; returns what the first one said.
    fn restart(&mut self) -> String {
        let killed = std::mem::replace(&mut self.agent, agent(&self.lab, |_| {}));
        killed.handle().signal("KILL");
        killed.end().stderr
    }

    /// Stops the agent, starts another once it has ended, and returns what the first one said.
    pub(crate) fn start_again(mut self, change: impl Fn(&mut Command)) -> (Self, String) {
        self.agent.handle().signal("TERM");
        let said = self.agent.end().stderr;
        self.agent = agent(&self.lab, change);
        (self, said)
    }

    /// Returns the commit that was pushed last.
    pub(crate) fn commit(&self) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.lab.folder()).args(["rev-parse", "HEAD"]);
        let output = command.output().expect("git runs");
        String::from_utf8(output.stdout).expect("an id").trim().to_owned()
    }

    /// Commits the site as it is, and pushes it.
    pub(crate) fn push(&self, message: &str) {
        self.push_as("main", message);
    }

    /// The same from another local branch, by force.
    fn push_as(&self, branch: &str, message: &str) {
        let remote = self.folder.path().join("site.git");
        git(self.lab.folder(), &["add", "site.yaml", "blueprints"]);
        git(self.lab.folder(), &["commit", "-q", "-m", message]);
        let to = format!("{branch}:main");
        git(self.lab.folder(), &["push", "-q", "-f", remote.to_str().expect("a path"), &to]);
    }

    pub(crate) fn sync(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let url = format!("{}/site.git", self.server.url());
        let mut spec = json!({ "source": { "url": url, "ref": "main", "interval": "5s" } });
        change(&mut spec);
        let body = json!({ "apiVersion": "sitewright.dev/v1alpha1", "kind": "SiteSync",
            "metadata": { "name": name, "namespace": self.lab.name() }, "spec": spec });
        self.lab.kubectl_with(&["apply", "-f", "-"], &body.to_string());
    }

    fn status(&self, name: &str) -> Value {
        let sync = self.lab.live("sitesync", name).unwrap_or_default();
        sync["status"].clone()
    }

    /// Waits until the status of a SiteSync is as asked, and returns it.
    pub(crate) fn wait(&self, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status(name);
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "{name} is never {what}:\n{status:#}");
            thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn color(&self) -> Option<String> {
        let live = self.lab.live("cm", "settings")?;
        live["data"]["color"].as_str().map(str::to_owned)
    }

    /// Sends a request to what the agent listens for, and returns the answer.
    pub(crate) fn ask(&self, what: &str, request: &str, headers: &str) -> String {
        let ending = format!(" for {what}");
        let agent = self.agent.handle();
        agent.wait_to_say(&ending);
        let said = agent.said();
        let (before, _) = said.split_once(&ending).expect("it was said");
        let (_, address) = before.rsplit_once("listening at ").expect("an address");
        let mut socket = TcpStream::connect(address).expect("it listens");
        write!(socket, "{request} HTTP/1.1\r\nHost: agent\r\n{headers}\r\n").expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// Tells the agent of a push as GitLab does, and returns the code of its answer.
    fn tell_of_push(&self, token: &str) -> String {
        let request = format!("POST /hooks/{}/site", self.lab.name());
        let headers = format!(
            "X-Gitlab-Event: Push Hook\r\nX-Gitlab-Token: {token}\r\nContent-Length: 0\r\n"
        );
        let answer = self.ask("webhooks", &request, &headers);
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    }

    /// Returns whether the agent has said `text`.
    pub(crate) fn said(&self, text: &str) -> bool {
        self.agent.handle().said().contains(text)
    }

    pub(crate) fn stop(self) -> String {
        self.agent.handle().signal("TERM");
        let run = self.agent.end();
        assert_eq!(run.code, 143, "{run}");
        run.stderr
    }
}

fn condition(status: &Value, kind: &str) -> String {
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.map(|found| found["status"].as_str().unwrap_or_default().to_owned()).unwrap_or_default()
}

pub(crate) fn is_ready(status: &Value) -> bool {
    status["state"] == "Ready" && condition(status, "Ready") == "True"
}

#[test]
fn a_push_that_a_forge_tells_of_is_applied_at_once_and_measured() {
    let mut followed = Followed::start("hooked");
    let secret =
        ["create", "secret", "generic", "push", "--from-literal=token=s3cret-of-the-forge"];
    let namespace = ["--namespace", followed.lab.name()];
    followed.lab.kubectl(&[&secret[..], &namespace].concat());
    followed.sync("site", |spec| {
        spec["source"]["interval"] = "1h".into();
        spec["webhook"] = json!({ "secretRef": { "name": "push" } });
    });
    followed.wait("site", "ready", is_ready);
    assert!(followed.ask("probes and metrics", "GET /readyz", "").contains(" 200 "));

    followed.lab.component("app", &SETTINGS.replace("blue", "green"));
    followed.push("green");
    assert_eq!(followed.tell_of_push("guessed"), "401");
    assert_eq!(followed.tell_of_push("s3cret-of-the-forge"), "202");
    followed.wait("site", "green", |_| followed.color().as_deref() == Some("green"));
    followed.wait("site", "ready", is_ready);

    let metrics = followed.ask("probes and metrics", "GET /metrics", "");
    let site = format!("{}/site", followed.lab.name());
    for line in [
        "sitewright_leader 1".to_owned(),
        r#"sitewright_webhooks_total{forge="gitlab",result="pulled"} 1"#.to_owned(),
        r#"sitewright_webhooks_total{forge="gitlab",result="refused"} 1"#.to_owned(),
        r#"sitewright_api_requests_total{verb="watch",code="2xx"}"#.to_owned(),
        format!(r#"sitewright_fetches_total{{site="{site}",result="new"}} 2"#),
        format!(r#"sitewright_watch_age_seconds{{site="{site}",kind="ConfigMap"}}"#),
        format!(r#"sitewright_objects{{site="{site}"}} "#),
        format!(r#"sitewright_drifted_objects{{site="{site}",component="app"}} 0"#),
        format!(r#"sitewright_draining_changes{{site="{site}"}} 0"#),
        format!(r#"sitewright_wave_nodes{{site="{site}",stage="broken"}} 0"#),
        "sitewright_cache_bytes ".to_owned(),
        format!(r#"sitewright_reconcile_duration_seconds_count{{site="{site}",stage="apply"}}"#),
    ] {
        assert!(metrics.contains(&line), "{line}:\n{metrics}");
    }
    followed.stop();
}

#[test]
fn a_short_secret_of_a_webhook_is_told_and_lets_nobody_in() {
    let followed = Followed::start("short-secret");
    let namespace = followed.lab.name().to_owned();
    let secret = ["create", "secret", "generic", "push", "--from-literal=token=s3cret"];
    followed.lab.kubectl(&[&secret[..], &["--namespace", &namespace]].concat());
    followed.sync("site", |spec| spec["webhook"] = json!({ "secretRef": { "name": "push" } }));
    followed.wait("site", "ready", is_ready);
    let events = || followed.lab.kubectl(&["get", "events", "-n", &namespace]);
    followed.wait("site", "told", |_| {
        let events = events();
        events.contains("SW0802") && events.contains("shorter than 16 bytes")
    });
    assert_eq!(followed.tell_of_push("s3cret"), "401");
    followed.stop();
}

#[test]
fn a_sitesync_is_followed_through_commits_drift_and_mistakes() {
    let mut followed = Followed::start("synced");
    followed.sync("site", |_| {});
    let first = followed.wait("site", "ready", is_ready);
    assert_eq!(followed.color().as_deref(), Some("blue"));
    assert_eq!(first["site"], "synced");
    assert_eq!(first["components"][0]["health"], "Healthy", "{first:#}");
    assert_eq!(first["history"][0]["end"], "Converged", "{first:#}");

    followed.lab.component("app", &SETTINGS.replace("blue", "green"));
    followed.push("green");
    let commit = |status: &Value| status["applied"]["commit"].clone();
    followed.wait("site", "at the new commit", |status| {
        commit(status) != commit(&first) && is_ready(status)
    });
    assert_eq!(followed.color().as_deref(), Some("green"));

    let edit = r#"{"data":{"color":"red"}}"#;
    let name = followed.lab.name().to_owned();
    followed.lab.kubectl(&["patch", "cm", "settings", "-n", &name, "--type=merge", "-p", edit]);
    let deadline = Instant::now() + PATIENCE;
    while followed.color().as_deref() != Some("green") {
        assert!(Instant::now() < deadline, "it is not mended");
    }
    let events = || followed.lab.kubectl(&["get", "events", "-n", &name]);
    while !events().contains("data.color was changed by kubectl-patch") {
        assert!(Instant::now() < deadline, "{}", events());
    }

    followed.lab.file("site.yaml", "kind: Nonsense\n");
    followed.push("a mistake");
    let stalled = followed.wait("site", "stalled", |status| condition(status, "Stalled") == "True");
    assert_eq!(stalled["state"], "Failing", "{stalled:#}");
    assert!(stalled["conditions"].to_string().contains("SW01"), "{stalled:#}");
    assert_eq!(followed.color().as_deref(), Some("green"), "nothing was changed");

    followed.lab.component("app", &SETTINGS.replace("blue", "white"));
    followed.push("mended");
    followed.wait("site", "ready again", is_ready);
    assert_eq!(followed.color().as_deref(), Some("white"));
    let log = followed.stop();
    assert!(log.contains(r#""reason":"Mended""#), "{log}");
}

#[test]
fn sites_of_one_repository_ask_git_once_for_all_and_a_commit_touches_its_own() {
    let mut followed = Followed::start("together");
    let other = "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: { name: other }\nspec: { components: [] }\n";
    followed.lab.file("other/site.yaml", other);
    git(followed.lab.folder(), &["add", "other"]);
    followed.push("another site");
    followed.sync("site", |_| {});
    followed.sync("other", |spec| spec["source"]["path"] = "other".into());
    followed.wait("site", "ready", is_ready);
    let before = followed.wait("other", "ready", is_ready);

    followed.lab.component("app", &SETTINGS.replace("blue", "green"));
    followed.push("green");
    followed.wait("site", "green", |_| followed.color().as_deref() == Some("green"));
    followed.wait("site", "ready", is_ready);

    let looks = |followed: &Followed| {
        let metrics = followed.ask("probes and metrics", "GET /metrics", "");
        let is_look = |line: &&str| line.starts_with("sitewright_fetches_total");
        let counts = metrics.lines().filter(is_look).filter_map(|line| line.rsplit_once(' '));
        counts.map(|(_, count)| count.trim().parse::<usize>().unwrap()).sum::<usize>()
    };
    // of the other one nothing is written, and its looks cost the server nothing
    let asked = |followed: &Followed| {
        followed.server.requests().iter().filter(|line| line.starts_with("GET ")).count()
    };
    let (looked, was_asked) = (looks(&followed), asked(&followed));
    let deadline = Instant::now() + PATIENCE;
    while looks(&followed) < looked + 8 {
        assert!(Instant::now() < deadline, "it does not look");
        thread::sleep(Duration::from_millis(200));
    }
    let times = asked(&followed) - was_asked;
    assert!(times <= 6, "8 looks asked the server {times} times");
    assert_eq!(followed.status("other"), before);
    followed.stop();
}

#[test]
fn a_sync_that_is_suspended_rests_and_one_that_goes_leaves_everything() {
    let followed = Followed::start("suspended");
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    followed.sync("site", |spec| spec["suspend"] = true.into());
    followed.wait("site", "suspended", |status| status["state"] == "Suspended");
    let name = followed.lab.name().to_owned();
    let edit = r#"{"data":{"color":"red"}}"#;
    followed.lab.kubectl(&["patch", "cm", "settings", "-n", &name, "--type=merge", "-p", edit]);
    followed.sync("site", |spec| spec["drift"] = "report".into());
    let status = followed.wait("site", "drifted", |status| condition(status, "Drifted") == "True");
    assert_eq!(status["driftedObjects"], 1, "{status:#}");
    assert!(status["drift"][0]["fields"][0].as_str().unwrap().contains("kubectl-patch"));
    assert_eq!(followed.color().as_deref(), Some("red"), "it is reported only");
    followed.lab.kubectl(&["delete", "sitesync", "site", "-n", &name]);
    followed.stop();
    assert!(lab_has_settings(&name), "what was applied stays");
}

fn lab_has_settings(namespace: &str) -> bool {
    let arguments = ["get", "cm", "settings", "-n", namespace, "-o", "name"];
    sitewright_e2e::control_plane().kubectl(&arguments).is_ok()
}

#[test]
fn what_a_sync_needs_and_has_not_is_told_and_a_second_follower_is_refused() {
    let followed = Followed::start("unmet");
    followed.sync("login", |spec| spec["source"]["secretRef"] = json!({ "name": "missing" }));
    let status = followed.wait("login", "failing", |status| status["state"] == "Failing");
    assert!(status.to_string().contains("SW0802"), "{status:#}");
    followed.sync("account", |spec| spec["serviceAccountName"] = "nobody".into());
    let status = followed.wait("account", "failing", |status| status["state"] == "Failing");
    assert!(status.to_string().contains("no right"), "{status:#}");
    assert!(followed.color().is_none(), "it has no rights");
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    followed.sync("second", |_| {});
    let status = followed.wait("second", "refused", |status| status["state"] == "Failing");
    assert!(status.to_string().contains("SW0801"), "{status:#}");
    followed.stop();
}

#[test]
fn the_agent_says_what_to_install_where_the_kind_is_unknown() {
    let lab = Lab::alone("uninstalled");
    let run = lab.run(&["agent"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.says("SW0804") && run.says("sitewright install"), "{run}");
}

#[test]
fn a_rewritten_branch_and_a_vanished_one_are_held_and_told() {
    let mut followed = Followed::start("rewritten");
    followed.sync("site", |_| {});
    let first = followed.wait("site", "ready", is_ready);
    let folder = followed.lab.folder().to_owned();
    let stalled = |code: &'static str| {
        move |status: &Value| {
            condition(status, "Stalled") == "True" && status.to_string().contains(code)
        }
    };
    let commit = |status: &Value| status["applied"]["commit"].clone();

    // somebody starts the repository over, with nothing of what was there
    git(&folder, &["checkout", "-q", "--orphan", "anew"]);
    followed.lab.component("app", &SETTINGS.replace("blue", "red").replace("settings", "others"));
    followed.push_as("anew", "begin anew");
    let held = followed.wait("site", "held", stalled("SW0805"));
    assert_eq!(commit(&held), commit(&first));
    assert_eq!(followed.color().as_deref(), Some("blue"));
    followed.lab.kubectl(&["delete", "cm", "settings", "-n", followed.lab.name()]);
    followed.wait("site", "mended", |_| followed.color().is_some());

    // an agent that is started again knows what was followed
    followed.restart();
    followed.agent.handle().wait_to_say("SW0805");
    assert_eq!(followed.color().as_deref(), Some("blue"));

    let remote = followed.folder.path().join("site.git");
    git(&remote, &["branch", "-m", "main", "other"]);
    followed.wait("site", "told", stalled("SW0205"));
    assert_eq!(followed.color().as_deref(), Some("blue"));
    git(&remote, &["branch", "-m", "other", "main"]);

    let head = followed.wait("site", "held", stalled("SW0805"));
    let message = head["conditions"].to_string();
    let new = message.split(" does not continue").next().and_then(|text| text.rsplit(' ').next());
    let new = new.expect("the commit is named").to_owned();
    followed.sync("site", |spec| spec["source"]["acceptRewritten"] = new.as_str().into());
    followed
        .wait("site", "followed", |status| is_ready(status) && commit(status) != commit(&first));
    assert_eq!(followed.color(), None, "it is no longer in the site");
    followed.stop();
}

#[test]
fn status_tells_what_is_held_since_when_and_who_follows_the_site() {
    let mut followed = Followed::start("told-status");
    followed.lab.spec("policy: { approve: evicts-jobs }").component_blueprint(
        "app",
        "hazards: [{ kind: ConfigMap, on: update, is: evicts-jobs, because: its readers start anew }]",
    );
    followed.push("a hazard");
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    followed.lab.component("app", &SETTINGS.replace("blue", "green"));
    followed.push("green");
    let status = followed.wait("site", "held", |status| status["heldChanges"] == 1);
    let since = status["held"][0]["since"].as_str().unwrap().to_owned();

    let run = followed.lab.run(&["status", "-o", "json"]);
    assert_eq!(run.code, 0, "what waits is not ill: {run}");
    let told = run.json();
    let held = &told["held"][0];
    assert_eq!(held["id"]["name"], "settings", "{told:#}");
    assert_eq!(held["waitsFor"][0]["code"], "SW0402", "{told:#}");
    assert_eq!(held["waitsFor"][0]["why"][0], "its readers start anew", "{told:#}");
    assert_eq!(held["since"], since, "{told:#}");
    let sync = format!("{}/site", followed.lab.name());
    assert_eq!(told["followers"][0]["sync"], sync, "{told:#}");
    assert_eq!(told["followers"][0]["state"], "Ready", "{told:#}");
    assert!(told.get("unread").is_none(), "{told:#}");
    let run = followed.lab.run(&["status"]);
    assert!(run.says("HELD BACK") && run.says(&sync), "{run}");
    followed.stop();
}

#[test]
fn two_shards_follow_each_sync_once() {
    let followed = Followed::start_with("sharded", |command| {
        command.args(["--shard", "1/2"]);
    });
    let other = agent(&followed.lab, |command| {
        command.args(["--shard", "2/2"]);
    });
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    // what a wrong follower would say comes before this
    thread::sleep(Duration::from_secs(3));
    other.handle().signal("TERM");
    let (second, first) = (other.end().stderr, followed.stop());
    let followers = [first, second].iter().filter(|log| log.contains("NewRevision")).count();
    assert_eq!(followers, 1);
}

#[test]
fn a_second_follower_in_another_shard_is_refused_too() {
    let followed = Followed::start_with("sharded-twice", |command| {
        command.args(["--shard", "1/2"]);
    });
    let other = agent(&followed.lab, |command| {
        command.args(["--shard", "2/2"]);
    });
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    thread::sleep(Duration::from_secs(1)); // a time of creation has whole seconds
    let names = ["second", "third", "fourth", "fifth"];
    for name in names {
        followed.sync(name, |_| {});
    }
    for name in names {
        let status = followed.wait(name, "refused", |status| status["state"] == "Failing");
        let told = status["conditions"].to_string();
        // by the first, or by one of those that are refused beside it, in the order in which they came
        let is_taken = told.contains("SW0801") && told.contains("is followed by SiteSync");
        assert!(is_taken, "{name}: {status:#}");
    }
    other.handle().signal("TERM");
    let logs = [other.end().stderr, followed.stop()];
    assert!(logs.iter().all(|log| log.contains("SW0801")), "both shards had some of them");
}

#[test]
fn an_agent_that_comes_back_over_a_ready_sync_writes_nothing_and_forgets_nothing() {
    let mut followed = Followed::start("comes-back");
    followed.sync("site", |_| {});
    followed.wait("site", "ready", is_ready);
    followed.lab.component("app", &SETTINGS.replace("blue", "red"));
    followed.push("second");
    followed.wait("site", "ready again", |status| {
        is_ready(status) && status["history"].as_array().is_some_and(|all| all.len() > 1)
    });
    // what is left to tell of it comes before this
    thread::sleep(Duration::from_secs(3));
    let before = followed.status("site");
    let requests = followed.lab.requests(|| {
        for _ in 0..2 {
            let agent = agent(&followed.lab, |_| {});
            let killed = std::mem::replace(&mut followed.agent, agent);
            killed.handle().signal("KILL");
            killed.end();
            followed.agent.handle().wait_to_say("NewRevision");
            thread::sleep(Duration::from_secs(5));
        }
    });
    let writes = requests.writes();
    assert!(writes.is_empty(), "{writes:#?}");
    assert_eq!(followed.status("site"), before);
    followed.stop();
}

//! The pipeline over folders and repositories made for the test.

use std::{fs, path::Path};

use sitewright_model::diagnostic::{Diagnostic, Diagnostics};
use tempfile::TempDir;

use super::*;

const SITE: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Site
metadata: { name: lab }
spec:
  components:
    - name: spaces
      blueprint: { name: team-space, version: 1.x }
      values: { teams: [nlp, vision] }
";

const BLUEPRINT: &str = "\
apiVersion: sitewright.dev/v1alpha1
kind: Blueprint
metadata: { name: team-space, version: 1.2.0 }
spec:
  summary: Namespaces
  values: values.schema.json
  templates: [templates/]
";

const SCHEMA: &str = r#"{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "teams": { "type": "array", "items": { "type": "string" }, "default": [] },
    "prefix": { "type": "string", "default": "team-" }
  }
}"#;

const TEMPLATE: &str = "\
{% for team in values.teams %}
---
apiVersion: v1
kind: Namespace
metadata: { name: {{ (values.prefix ~ team) | to_json }} }
{% endfor %}
";

/// A folder with a site and a blueprint, and settings of its own.
struct Lab {
    folder: TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        lab.write("sites/lab/site.yaml", SITE);
        lab.write("blueprints/team-space/blueprint.yaml", BLUEPRINT);
        lab.write("blueprints/team-space/values.schema.json", SCHEMA);
        lab.write("blueprints/team-space/templates/all.yaml.j2", TEMPLATE);
        lab
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("repository")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.root().join(path)).unwrap();
        assert!(text.contains(from), "{text}");
        self.write(path, &text.replace(from, to));
    }

    fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.folder.path().join("cache"));
        settings.offline = true;
        settings
    }

    fn location(&self) -> Location {
        Location::WorkingTree(self.root().join("sites/lab"))
    }

    fn run_at(&self, location: &Location) -> Result<Rendered, Diagnostics> {
        render(load(location, &self.settings())?, &self.settings())
    }

    fn run(&self) -> Result<Rendered, Diagnostics> {
        self.run_at(&self.location())
    }

    fn error(&self) -> String {
        self.run().map(|_| ()).expect_err("something is wrong").0.iter().map(show).collect()
    }

    fn commit(&self) -> String {
        let repository = git2::Repository::init(self.root()).unwrap();
        commit_all(&repository)
    }
}

fn commit_all(repository: &git2::Repository) -> String {
    let mut index = repository.index().unwrap();
    index.add_all(["*"], git2::IndexAddOption::DEFAULT, None).unwrap();
    index.write().unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let who = git2::Signature::new("T", "t@example.edu", &git2::Time::new(0, 0)).unwrap();
    let parent = repository.head().ok().map(|head| head.peel_to_commit().unwrap());
    let parents: Vec<_> = parent.iter().collect();
    repository.commit(Some("HEAD"), &who, &who, "commit", &tree, &parents).unwrap().to_string()
}

fn show(diagnostic: &Diagnostic) -> String {
    let mut text = format!("{}: {}\n", diagnostic.code, diagnostic.message);
    if let Some(span) = &diagnostic.place.span {
        let blamed = span.text.get(span.range.clone()).unwrap_or_default();
        text += &format!(
            "  at {span}: {blamed} <- {}\n",
            diagnostic.label.as_deref().unwrap_or("here")
        );
    }
    if let Some(component) = &diagnostic.place.component {
        text += &format!("  component {component}\n");
    }
    for note in &diagnostic.notes {
        text += &format!("  note: {note}\n");
    }
    if let Some(help) = &diagnostic.help {
        text += &format!("  help: {help}\n");
    }
    text
}

fn ids(rendered: &Rendered) -> Vec<String> {
    rendered.desired.objects().map(|(_, object)| object.object.id().to_string()).collect()
}

#[test]
fn a_working_tree_renders() {
    let lab = Lab::new();
    let rendered = lab.run().unwrap();
    assert_eq!(ids(&rendered), ["Namespace team-nlp", "Namespace team-vision"]);
    assert!(rendered.warnings.0.is_empty());
    assert_eq!(rendered.desired.site.as_str(), "lab");
}

#[test]
fn a_commit_renders_as_the_working_tree_does() {
    let lab = Lab::new();
    let commit = lab.commit();
    let tree = lab.run().unwrap().desired;
    let location = format!("{}//sites/lab@{commit}", lab.root().display());
    let committed = lab.run_at(&Location::parse(&location).unwrap()).unwrap().desired;
    assert_eq!(tree.digest, committed.digest);
    assert_eq!(tree.revision.inputs, committed.revision.inputs);
    assert_eq!(committed.revision.commit, Some(commit));
    assert!(!tree.revision.dirty && !committed.revision.dirty);
    lab.replace("sites/lab/site.yaml", "vision]", "vision, speech]");
    let dirty = lab.run().unwrap().desired;
    assert!(dirty.revision.dirty);
    assert_ne!(dirty.digest, tree.digest);
}

#[test]
fn a_blueprint_that_is_not_there() {
    let lab = Lab::new();
    lab.replace("sites/lab/site.yaml", "name: team-space", "name: team-spaec");
    insta::assert_snapshot!(lab.error(), @r"
    SW0318: there is no blueprint `team-spaec` in `blueprints`
      at sites/lab/site.yaml:7:26: team-spaec <- here
      component spaces
      note: blueprints there: `team-space`
      help: did you mean `team-space`?
    ");
}

#[test]
fn a_version_that_is_not_there() {
    let lab = Lab::new();
    lab.replace("sites/lab/site.yaml", "version: 1.x", "version: 2.x");
    insta::assert_snapshot!(lab.error(), @r"
    SW0319: no blueprint `team-space` has a version in `2.x`
      at sites/lab/site.yaml:7:47: 2.x <- no such version
      component spaces
      note: blueprints holds 1.2.0
      help: ask for a version that is there
    ");
    lab.replace("sites/lab/site.yaml", "version: 2.x", "version: 1.1.0");
    assert!(lab.error().contains("no blueprint `team-space` has a version in `1.1.0`"));
}

#[test]
fn all_mistakes_of_a_site_at_once() {
    let lab = Lab::new();
    lab.write(
        "sites/lab/site.yaml",
        &format!(
            "{}{}",
            SITE.replace("teams: [nlp, vision]", "teems: [nlp]"),
            "    - { name: other, blueprint: { name: gone } }\n    - name: third\n      blueprint: { name: team-space }\n      values: { prefix: 5 }\n      upstream: { chart: { a: 1 } }\n",
        ),
    );
    insta::assert_snapshot!(lab.error(), @r#"
    SW0102: unknown key `teems`
      at sites/lab/site.yaml:8:17: teems <- no such key
      component spaces
      note: valid keys: `prefix` and `teams`
    SW0318: there is no blueprint `gone` in `blueprints`
      at sites/lab/site.yaml:9:41: gone <- here
      component other
      note: blueprints there: `team-space`
      help: mend the name, or add the library that holds it to `spec.blueprints`
    SW0103: `prefix` is a number, but must be text
      at sites/lab/site.yaml:12:25: 5 <- expected text
      component third
      help: quote it to make it text: "5"
    SW0315: `upstream.chart` names no source of blueprint `team-space`
      at sites/lab/site.yaml:13:19: chart <- here
      component third
      help: this blueprint has no sources
    "#);
}

#[test]
fn a_mistake_in_the_site_file_hides_none_elsewhere() {
    let lab = Lab::new();
    lab.write(
        "blueprints/broken/blueprint.yaml",
        &BLUEPRINT.replace("team-space", "broken").replace("  values: values.schema.json\n", ""),
    );
    lab.write("blueprints/broken/templates/all.yaml.j2", "a: {{ values.gone }}\n");
    lab.write(
        "sites/lab/site.yaml",
        &format!(
            "{}  polcy: {{}}\n",
            SITE.replace("      values: { teams", "      valuse: {}\n      values: { teems")
                .replace("  components:\n", "  components:\n    - name: third\n      blueprint: { name: team-space }\n      values: { prefix: 5 }\n    - name: fourth\n      blueprint: { name: broken }\n"),
        ),
    );
    insta::assert_snapshot!(lab.error());
}

#[test]
fn a_wave_whose_label_no_value_can_give_is_a_mistake_of_the_blueprint() {
    let lab = Lab::new();
    let wave = |from: &str| {
        let waves = format!(
            "  waves: [{{ name: mig, label: {{ key: example.edu/mig, from: {from} }} }}]\n"
        );
        lab.write("blueprints/team-space/blueprint.yaml", &format!("{BLUEPRINT}{waves}"));
    };
    wave("prefix");
    lab.run().unwrap();
    wave("prefx");
    let error = lab.error();
    for told in
        ["SW0111: the values have no `prefx`", "blueprint.yaml:8:61", "did you mean `prefix`?"]
    {
        assert!(error.contains(told), "no {told}: {error}");
    }
    let without = BLUEPRINT.replace("  values: values.schema.json\n", "");
    let waves = "  waves: [{ name: mig, label: { key: example.edu/mig, from: prefix } }]\n";
    lab.write("blueprints/team-space/blueprint.yaml", &format!("{without}{waves}"));
    assert!(lab.error().contains("the blueprint takes no values"), "{}", lab.error());
}

#[test]
fn a_folder_that_is_called_differently() {
    let lab = Lab::new();
    lab.replace("blueprints/team-space/blueprint.yaml", "name: team-space", "name: spaces");
    insta::assert_snapshot!(lab.error(), @r"
    SW0320: folder `team-space` holds a blueprint called `spaces`
      at blueprints/team-space/blueprint.yaml:3:19: spaces <- here
      component spaces
      help: rename the folder, or the blueprint
    ");
}

#[test]
fn libraries_are_searched_in_order() {
    let lab = Lab::new();
    let libraries = "spec:\n  blueprints: [{ path: ./own }, { path: shared/blueprints }, { path: blueprints }]\n";
    lab.replace("sites/lab/site.yaml", "spec:\n", libraries);
    lab.write("shared/blueprints/team-space/blueprint.yaml", &BLUEPRINT.replace("1.2.0", "2.0.0"));
    lab.write("shared/blueprints/team-space/values.schema.json", SCHEMA);
    lab.write("shared/blueprints/team-space/templates/a.yaml", "");
    let version = || lab.run().unwrap().desired.components[0].version.to_string();
    assert_eq!(version(), "1.2.0", "2.0.0 does not fit 1.x");
    for (file, text) in [
        ("blueprint.yaml", BLUEPRINT.replace("1.2.0", "1.0.0")),
        ("values.schema.json", SCHEMA.to_owned()),
        ("templates/a.yaml", String::new()),
    ] {
        lab.write(&format!("sites/lab/own/team-space/{file}"), &text);
    }
    assert_eq!(version(), "1.0.0", "the first library wins");
}

#[test]
fn a_library_in_git_is_read_at_the_commit_of_the_lock() {
    let library = Lab::new();
    library.write("team-space/blueprint.yaml", &BLUEPRINT.replace("1.2.0", "1.9.0"));
    library.write("team-space/values.schema.json", SCHEMA);
    library.write("team-space/templates/all.yaml.j2", TEMPLATE);
    let commit = library.commit();
    let lab = Lab::new();
    let url = format!("file://{}", library.root().display());
    let libraries = format!("spec:\n  blueprints: [{{ git: '{url}', ref: master }}]\n");
    lab.replace("sites/lab/site.yaml", "spec:\n", &libraries);
    let error = lab.error();
    assert!(error.contains("has no commit in site.lock"), "{error}");
    assert!(error.contains("sites/lab/site.yaml:5:"), "{error}");
    let lock = format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Lock\nlibraries:\n  '{url}@master': {{ commit: {commit} }}\n"
    );
    lab.write("sites/lab/site.lock", &lock);
    library.write("team-space/blueprint.yaml", "broken: [\n");
    library.commit();
    let desired = lab.run().unwrap().desired;
    assert_eq!(desired.components[0].version.to_string(), "1.9.0");
}

#[test]
fn a_lock_holds_every_version_of_a_blueprint() {
    let lab = Lab::new();
    let url = |name: &str| format!("file://{}", lab.root().join(name).display());
    let component = "    - name: others\n      blueprint: { name: team-space, version: 2.x }\n";
    lab.write("sites/lab/site.yaml", &format!("{SITE}{component}"));
    let libraries = "spec:\n  blueprints: [{ path: blueprints }, { path: newer }]\n";
    lab.replace("sites/lab/site.yaml", "spec:\n", libraries);
    for (library, version) in [("blueprints", "1.2.0"), ("newer", "2.0.0")] {
        let manifest = format!("{version}.yaml");
        let object =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{ name: v{} }}\n", &version[..1]);
        lab.write(&manifest, &object);
        let source =
            format!("  sources: [{{ name: all, manifests: {{ url: '{}' }} }}]\n", url(&manifest));
        let blueprint =
            BLUEPRINT.replace("1.2.0", version).replace("  values: values.schema.json\n", "");
        let blueprint = blueprint.replace("  templates: [templates/]\n", &source);
        lab.write(&format!("{library}/team-space/blueprint.yaml"), &blueprint);
    }
    lab.replace("sites/lab/site.yaml", "      values: { teams: [nlp, vision] }\n", "");
    let locked = || {
        let lock = lock(&lab.location(), &lab.settings()).unwrap();
        lab.write("sites/lab/site.lock", &sitewright_model::format::lock::print(&lock));
        lock.sources.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(locked(), ["team-space@1.2.0/all", "team-space@2.0.0/all"]);
    assert_eq!(ids(&lab.run().unwrap()), ["Namespace v1", "Namespace v2"]);

    lab.replace("sites/lab/site.yaml", component, "");
    assert_eq!(ids(&lab.run().unwrap()), ["Namespace v1"], "the lock still fits");
    assert_eq!(locked(), ["team-space/all"], "one version needs no number");
    assert_eq!(ids(&lab.run().unwrap()), ["Namespace v1"]);
}

#[test]
fn the_key_of_a_library_holds_no_password() {
    let key = |url: &str| library::lock_key(url, Some("v1"));
    assert_eq!(key("https://ann:canary@h/lib.git"), "https://h/lib.git@v1");
    for url in ["https://H.example/lib.git", "ssh://git@h/lib.git", "git@h:lib.git", "/srv/lib.git"]
    {
        assert_eq!(key(url), format!("{url}@v1"), "locks of before hold");
    }
}

#[test]
fn a_requirement_names_the_blueprints_that_would_meet_it() {
    let lab = Lab::new();
    lab.replace(
        "blueprints/team-space/blueprint.yaml",
        "  summary",
        "  requires: [storage]\n  summary",
    );
    lab.write(
        "blueprints/disks/blueprint.yaml",
        "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: { name: disks, version: 0.1.0 }\nspec: { summary: Disks, provides: [storage] }\n",
    );
    insta::assert_snapshot!(lab.error(), @r"
    SW0309: blueprint `team-space` requires `storage`, and no component of the site provides it
      component spaces
      help: add a component of a blueprint that provides `storage`: `disks`
    ");
    lab.write(
        "sites/lab/site.yaml",
        &format!("{SITE}    - {{ name: disks, blueprint: {{ name: disks }} }}\n"),
    );
    let desired = lab.run().unwrap().desired;
    assert_eq!(desired.components[0].depends_on, ["disks".parse().unwrap()]);
}

#[test]
fn a_renamed_template_changes_no_digest() {
    let lab = Lab::new();
    let before = lab.run().unwrap().desired.digest;
    let folder = lab.root().join("blueprints/team-space/templates");
    fs::rename(folder.join("all.yaml.j2"), folder.join("other.yaml.j2")).unwrap();
    assert_eq!(lab.run().unwrap().desired.digest, before);
}

#[test]
fn nothing_is_there() {
    let lab = Lab::new();
    fs::remove_file(lab.root().join("sites/lab/site.yaml")).unwrap();
    insta::assert_snapshot!(lab.error(), @r"
    SW0207: there is no `sites/lab/site.yaml`
      help: look into sites/lab
    ");
    assert!(Path::new(&lab.root()).exists());
}

fn bodies(rendered: &Rendered) -> Vec<serde_json::Value> {
    rendered.desired.objects().map(|(_, object)| object.object.expose().clone()).collect()
}

fn is_stored(lab: &Lab) -> bool {
    matches!(load(&lab.location(), &lab.settings()).unwrap().state, State::Stored(_))
}

#[test]
fn an_unchanged_site_is_neither_parsed_nor_rendered() {
    let lab = Lab::new();
    assert!(!is_stored(&lab));
    let first = lab.run().unwrap();
    assert!(is_stored(&lab));
    let second = lab.run().unwrap();
    assert_eq!(second.desired.digest, first.desired.digest);
    assert_eq!(second.desired.revision, first.desired.revision);
    assert_eq!(bodies(&second), bodies(&first));
    lab.write("sites/other/site.yaml", "not even a site");
    lab.write("blueprints/other/blueprint.yaml", "unused");
    assert!(is_stored(&lab), "what the site does not use is not its business");
}

#[test]
fn whatever_a_site_uses_is_noticed() {
    for (path, from, to) in [
        ("sites/lab/site.yaml", "vision", "speech"),
        ("blueprints/team-space/blueprint.yaml", "1.2.0", "1.3.0"),
        ("blueprints/team-space/values.schema.json", "team-", "group-"),
        ("blueprints/team-space/templates/all.yaml.j2", "metadata: { name", "metadata: {name"),
    ] {
        let lab = Lab::new();
        lab.run().unwrap();
        lab.replace(path, from, to);
        assert!(!is_stored(&lab), "{path}");
        lab.run().unwrap();
        assert!(is_stored(&lab), "{path}");
    }
    let lab = Lab::new();
    let libraries = "spec:\n  blueprints: [{ path: ./own }, { path: blueprints }]\n";
    lab.replace("sites/lab/site.yaml", "spec:\n", libraries);
    lab.run().unwrap();
    assert!(is_stored(&lab));
    let blueprint = BLUEPRINT.replace("  values: values.schema.json\n", "");
    lab.replace("sites/lab/site.yaml", "      values: { teams: [nlp, vision] }\n", "");
    lab.run().unwrap();
    assert!(is_stored(&lab));
    lab.write("sites/lab/own/team-space/templates/a.yaml", "");
    lab.write("sites/lab/own/team-space/blueprint.yaml", &blueprint);
    assert!(!is_stored(&lab), "a blueprint in an earlier library");
}

/// An approval file for no plan in particular.
fn approval(digits: &str) -> String {
    format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Approval\nmetadata: {{ name: x }}\nspec:\n  plan: sha256:{}\n  cluster: c\n  reason: r\n",
        digits.repeat(64 / digits.len())
    )
}

fn approvals_at(lab: &Lab, location: &Location) -> Vec<(String, bool)> {
    let loaded = load(location, &lab.settings()).unwrap();
    let files = &loaded.approvals().files;
    files.iter().map(|file| (file.file.clone(), file.is_committed)).collect()
}

#[test]
fn approvals_are_read_beside_a_stored_site_and_change_nothing_of_it() {
    let lab = Lab::new();
    lab.commit();
    let before = lab.run().unwrap().desired;
    assert!(is_stored(&lab));
    lab.write("sites/lab/approvals/a.yaml", &approval("ab"));
    assert!(is_stored(&lab), "an approval makes nothing stale");
    let after = lab.run().unwrap().desired;
    assert_eq!(after.digest, before.digest);
    assert_eq!(after.revision, before.revision, "and the site is not dirty by it");
    let file = || "sites/lab/approvals/a.yaml".to_owned();
    assert_eq!(approvals_at(&lab, &lab.location()), [(file(), false)]);
    let commit = lab.commit();
    assert_eq!(approvals_at(&lab, &lab.location()), [(file(), true)]);
    let location = format!("{}//sites/lab@{commit}", lab.root().display());
    let location = Location::parse(&location).unwrap();
    assert_eq!(approvals_at(&lab, &location), [(file(), true)]);
    lab.write("sites/lab/approvals/a.yaml", &approval("cd"));
    lab.write("sites/lab/approvals/b.yaml", &approval("ef"));
    assert_eq!(approvals_at(&lab, &location), [(file(), true)], "a commit is what it is");
    lab.replace("sites/lab/site.yaml", "vision]", "vision, speech]");
    let dirty = lab.run().unwrap().desired.revision.dirty;
    assert!(dirty, "an approval hides no change of the site");
}

#[test]
fn a_broken_approval_opens_nothing_and_holds_nothing_up() {
    let lab = Lab::new();
    lab.write("sites/lab/approvals/good.yaml", &approval("ab"));
    lab.write("sites/lab/approvals/bad.yaml", &approval("ab").replace("reason", "raison"));
    lab.write("sites/lab/approvals/README.md", "not an approval");
    let names: Vec<String> =
        approvals_at(&lab, &lab.location()).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["sites/lab/approvals/good.yaml"]);
    let warnings = lab.run().unwrap().warnings;
    assert!(!warnings.has_errors());
    let told: String = warnings.0.iter().map(show).collect();
    assert!(told.contains("sites/lab/approvals/bad.yaml:7:3"), "{told}");
}

#[test]
fn more_approvals_than_are_read_are_told() {
    let lab = Lab::new();
    for number in 0..300 {
        lab.write(&format!("sites/lab/approvals/{number:03}.yaml"), &approval("ab"));
    }
    assert_eq!(approvals_at(&lab, &lab.location()).len(), 256);
    insta::assert_snapshot!(lab.run().unwrap().warnings.0.iter().map(show).collect::<String>(), @r"
    SW0214: sites/lab/approvals holds 300 approvals; the first 256 are read
      help: remove those of plans that are done
    ");
}

#[test]
fn a_cache_that_lost_a_part_costs_time_only() {
    let lab = Lab::new();
    let first = lab.run().unwrap();
    let folder = lab.settings().cache_dir.join("render");
    let entries: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 2, "a site and a component");
    for entry in &entries {
        fs::remove_file(entry).unwrap();
        assert_eq!(lab.run().unwrap().desired.digest, first.desired.digest);
        fs::write(entry, "damaged").unwrap();
        assert_eq!(lab.run().unwrap().desired.digest, first.desired.digest);
    }
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "a file where the folder should be").unwrap();
    let rendered = lab.run().unwrap();
    assert_eq!(rendered.desired.digest, first.desired.digest);
    assert_eq!(rendered.warnings.0.len(), 1);
}

#[test]
fn a_commit_is_stored_too_and_another_folder_does_not_matter() {
    let lab = Lab::new();
    let first = lab.commit();
    let at = |commit: &str| {
        Location::parse(&format!("{}//sites/lab@{commit}", lab.root().display())).unwrap()
    };
    let digest = lab.run_at(&at(&first)).unwrap().desired.digest;
    lab.write("sites/other/site.yaml", "another site");
    let second = lab.commit();
    let loaded = load(&at(&second), &lab.settings()).unwrap();
    assert!(matches!(loaded.state, State::Stored(_)));
    let desired = render(loaded, &lab.settings()).unwrap().desired;
    assert_eq!((desired.digest, desired.revision.commit), (digest, Some(second)));
}

#[test]
fn warnings_are_stored() {
    let lab = Lab::new();
    lab.replace(
        "blueprints/team-space/blueprint.yaml",
        "  templates",
        "  sources: [{ name: up, manifests: { path: up.yaml }, exclude: [{ kind: Secret }] }]\n  templates",
    );
    lab.write(
        "blueprints/team-space/up.yaml",
        "apiVersion: v1\nkind: Namespace\nmetadata: { name: up }\n",
    );
    let first = lab.run().unwrap().warnings;
    assert_eq!(first.0.len(), 1, "{first:?}");
    assert!(is_stored(&lab));
    assert_eq!(lab.run().unwrap().warnings, first);
}

#[test]
fn a_chart_without_helm_is_an_error_that_says_so() {
    let lab = Lab::new();
    lab.replace(
        "blueprints/team-space/blueprint.yaml",
        "  templates",
        "  sources: [{ name: chart, helm: { path: chart } }]\n  templates",
    );
    lab.write(
        "blueprints/team-space/chart/Chart.yaml",
        "apiVersion: v2\nname: c\nversion: 1.0.0\n",
    );
    let mut settings = lab.settings();
    settings.helm = Some(lab.root().join("no-helm"));
    let error = load(&lab.location(), &settings).and_then(|loaded| render(loaded, &settings));
    let error = error.map(|_| ()).unwrap_err();
    assert_eq!(error.0[0].code.number, 230, "{error:?}");
    assert_eq!(error.0[0].place.component, Some("spaces".parse().unwrap()));
}

/// The example sites of this repository.
fn example(name: &str) -> (TempDir, Settings, Location) {
    let cache = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(cache.path());
    settings.offline = true;
    let sites = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sites");
    (cache, settings, Location::WorkingTree(sites.join(name)))
}

#[test]
fn the_tiny_site_renders_without_a_network_and_without_helm() {
    let (_cache, mut settings, location) = example("tiny");
    settings.helm = Some("no-helm".into());
    let rendered = render(load(&location, &settings).unwrap(), &settings).unwrap();
    assert!(rendered.warnings.0.is_empty());
    insta::assert_snapshot!(ids(&rendered).join("\n"), @r"
    LimitRange nlp/defaults
    LimitRange vision/defaults
    Namespace nlp
    Namespace vision
    ResourceQuota nlp/team
    ResourceQuota vision/team
    RoleBinding.rbac.authorization.k8s.io nlp/people
    RoleBinding.rbac.authorization.k8s.io vision/people
    ConfigMap site-notice/notice
    LimitRange guests/defaults
    Namespace guests
    Namespace site-notice
    ResourceQuota guests/team
    Service site-notice/notice
    Deployment.apps site-notice/notice
    ");
}

/// What the blueprints say themselves; upstream's charts are rendered end to end, with the real helm.
#[test]
fn the_lab_site_says_what_it_should_beside_upstream() {
    let (_cache, settings, location) = example("lab-gpu");
    let State::Parsed(parsed) = load(&location, &settings).unwrap().state else {
        panic!("nothing is stored yet")
    };
    let own = parsed.components.iter().flat_map(|component| {
        let rendered = render::component(&component.input, &[]).unwrap();
        let name = component.input.component.name.clone();
        rendered.objects.into_iter().map(move |object| format!("{name}: {}", object.object.id()))
    });
    insta::assert_snapshot!(own.collect::<Vec<_>>().join("\n"), @r"
    storage: Namespace rook-ceph
    storage: CephBlockPool.ceph.rook.io rook-ceph/home
    storage: CephBlockPool.ceph.rook.io rook-ceph/scratch
    storage: CephCluster.ceph.rook.io rook-ceph/rook-ceph
    storage: CephFilesystem.ceph.rook.io rook-ceph/shared
    storage: StorageClass.storage.k8s.io block-home
    storage: StorageClass.storage.k8s.io block-scratch
    storage: StorageClass.storage.k8s.io file-shared
    queues: Namespace guests
    queues: Namespace kueue-system
    queues: Namespace nlp
    queues: Namespace vision
    queues: ClusterQueue.kueue.x-k8s.io guests
    queues: ClusterQueue.kueue.x-k8s.io nlp
    queues: ClusterQueue.kueue.x-k8s.io vision
    queues: Cohort.kueue.x-k8s.io site
    queues: LocalQueue.kueue.x-k8s.io guests/default
    queues: LocalQueue.kueue.x-k8s.io nlp/default
    queues: LocalQueue.kueue.x-k8s.io vision/default
    queues: ResourceFlavor.kueue.x-k8s.io a100
    queues: WorkloadPriorityClass.kueue.x-k8s.io batch
    queues: WorkloadPriorityClass.kueue.x-k8s.io deadline
    ");
}

#[test]
fn a_team_must_say_on_which_of_several_flavors_its_quota_is() {
    let (_cache, settings, location) = example("lab-gpu");
    let State::Parsed(mut parsed) = load(&location, &settings).unwrap().state else {
        panic!("nothing is stored yet")
    };
    let queues = &mut parsed.components[1].input;
    queues.values["flavors"]["h100"] = serde_json::json!({});
    let error = render::component(queues, &[]).unwrap_err();
    assert_eq!(
        error.0[0].message,
        "team `guests` must name the `flavor` of its quota, one of: a100, h100"
    );
    let storage = &mut parsed.components[0].input;
    storage.values["pools"]["scratch"]["default"] = true.into();
    let error = render::component(storage, &[]).unwrap_err();
    assert!(error.0[0].message.starts_with("at most one pool can be the default"));
}

#[test]
fn a_footprint_tells_which_commits_are_the_sites_business() {
    let lab = Lab::new();
    let location = Location::Git {
        repository: sitewright_source::location::Repository::Local(lab.root()),
        path: "sites/lab".to_owned(),
        reference: sitewright_source::Reference::Default,
    };
    let fits = |footprint: &Footprint| {
        lab.commit();
        let snapshot = Snapshot::open(&location, &lab.settings()).unwrap();
        footprint.fits(&snapshot, &lab.settings()).unwrap()
    };
    lab.commit();
    let first = load(&location, &lab.settings()).unwrap().footprint().unwrap();
    lab.write("sites/other/site.yaml", SITE);
    lab.write("README.md", "one of many");
    assert!(fits(&first), "it is not its folder");
    lab.replace("blueprints/team-space/templates/all.yaml.j2", "Namespace", "ConfigMap");
    assert!(!fits(&first), "its blueprint changed");
    let second = load(&location, &lab.settings()).unwrap().footprint().unwrap();
    lab.replace("sites/lab/site.yaml", "nlp", "robots");
    assert!(!fits(&second), "its site file changed");
    lab.write("sites/lab/approvals/a.yaml", "");
    lab.commit();
    assert_eq!(load(&location, &lab.settings()).unwrap().footprint(), None);
}

#[test]
fn a_footprint_sees_through_links() {
    let lab = Lab::new();
    fs::remove_file(lab.root().join("sites/lab/site.yaml")).unwrap();
    lab.write("common/site.yaml", SITE);
    std::os::unix::fs::symlink("../../common/site.yaml", lab.root().join("sites/lab/site.yaml"))
        .unwrap();
    lab.commit();
    let location = Location::Git {
        repository: sitewright_source::location::Repository::Local(lab.root()),
        path: "sites/lab".to_owned(),
        reference: sitewright_source::Reference::Default,
    };
    let footprint = load(&location, &lab.settings()).unwrap().footprint().unwrap();
    lab.replace("common/site.yaml", "nlp", "robots");
    lab.commit();
    let snapshot = Snapshot::open(&location, &lab.settings()).unwrap();
    assert!(!footprint.fits(&snapshot, &lab.settings()).unwrap(), "what the link leads to changed");
}

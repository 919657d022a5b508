//! The pages of blueprints in the book are generated from their schemas, their rules and their notes.
//!
//! `SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test blueprint_pages` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the repository has failed")]
#![expect(clippy::indexing_slicing, reason = "a JSON value answers null where there is nothing")]
#![expect(
    clippy::disallowed_methods,
    reason = "the library is files; the ban is for the model itself"
)]

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use sitewright_model::format::{
    blueprint::{self, BlueprintSpec, HazardOn, HazardRule, Source},
    drain::{Wave, labels},
};

/// The longest default that stands in a table.
const SHOWN: usize = 48;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

struct Blueprint {
    name: String,
    spec: BlueprintSpec,
    schema: Value,
    notes: String,
}

fn library() -> Vec<Blueprint> {
    let folders = fs::read_dir(top().join("blueprints")).unwrap();
    let mut library: Vec<_> = folders.map(|folder| read(&folder.unwrap().path())).collect();
    library.sort_by(|one, other| one.name.cmp(&other.name));
    library
}

fn read(folder: &Path) -> Blueprint {
    let text = |file: &str| {
        let path = folder.join(file);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let blueprint = blueprint::parse("blueprint.yaml", &text("blueprint.yaml")).unwrap().value;
    Blueprint {
        name: blueprint.metadata.name.to_string(),
        spec: blueprint.spec,
        schema: serde_json::from_str(&text("values.schema.json")).unwrap(),
        // Links of the notes lead somewhere both from where they are and from the page.
        notes: text("notes.md").replace("](../../book/src/", "](../"),
    }
}

#[test]
fn the_pages_of_blueprints_are_made_from_what_they_are() {
    let summary = fs::read_to_string(top().join("book/src/SUMMARY.md")).unwrap();
    for blueprint in library() {
        let name = &blueprint.name;
        assert!(
            summary.contains(&format!("(blueprints/{name}.md)")),
            "{name} is not in SUMMARY.md"
        );
        let path = top().join(format!("book/src/blueprints/{name}.md"));
        let expected = page(&blueprint);
        if env::var_os("SITEWRIGHT_BLESS").is_some() {
            fs::write(&path, expected).unwrap();
            continue;
        }
        assert!(
            fs::read_to_string(&path).unwrap_or_default() == expected,
            "the page of {name} is not made from its blueprint; write it anew with\n    \
             SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test blueprint_pages"
        );
    }
}

#[test]
fn every_value_of_a_blueprint_is_described() {
    for blueprint in library() {
        for row in rows(&blueprint.schema, &blueprint.schema, "") {
            assert!(!row.what.is_empty(), "{}: `{}` has no description", blueprint.name, row.path);
        }
    }
}

#[test]
fn every_source_is_pinned_by_version_and_digest() {
    for blueprint in library() {
        for source in &blueprint.spec.sources {
            let (_, reference, digest) = pin(source);
            assert!(digest.is_some(), "{}: {} has no digest", blueprint.name, source.name);
            assert!(
                reference.starts_with(|c: char| c == 'v' || c.is_ascii_digit()),
                "{}: {} is at {reference}",
                blueprint.name,
                source.name
            );
        }
    }
}

fn page(blueprint: &Blueprint) -> String {
    let Blueprint { name, spec, schema, notes } = blueprint;
    let (intro, rest) = match notes.find("\n## ") {
        Some(at) => notes.split_at(at + 1),
        None => (notes.as_str(), ""),
    };
    let mut page = format!(
        "<!-- Made from blueprints/{name} by the test blueprint_pages; edit notes.md, the schema or the blueprint there. -->\n\n# {name}\n\n{}\n",
        intro.trim_end()
    );
    needs(&mut page, spec);
    page += "\n## Values\n\n| value | default | what |\n|---|---|---|\n";
    for row in rows(schema, schema, "") {
        writeln!(page, "| `{}` | {} | {} |", row.path, row.default, row.what.replace('|', "\\|"))
            .unwrap();
    }
    health(&mut page, spec);
    hazards(&mut page, &spec.hazards);
    waves(&mut page, &spec.waves);
    ignored(&mut page, spec);
    sources(&mut page, &spec.sources);
    if !rest.is_empty() {
        write!(page, "\n{}\n", rest.trim_end()).unwrap();
    }
    page
}

fn needs(page: &mut String, spec: &BlueprintSpec) {
    let words = |all: &[String]| {
        all.iter()
            .map(|one| format!("`{}`", one.trim_end_matches('?')))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let (wished, needed): (Vec<String>, Vec<String>) =
        spec.requires.iter().cloned().partition(|one| one.ends_with('?'));
    page.push('\n');
    if !spec.provides.is_empty() {
        writeln!(page, "**Provides** {}.", words(&spec.provides)).unwrap();
    }
    if !needed.is_empty() {
        writeln!(page, "**Needs** {}.", words(&needed)).unwrap();
    }
    if !wished.is_empty() {
        writeln!(page, "**Comes after**, where the site has it: {}.", words(&wished)).unwrap();
    }
}

/// One value of a table.
struct Row {
    path: String,
    default: String,
    what: String,
}

/// The properties of `schema` and below, in the order of the file.
fn rows(root: &Value, schema: &Value, path: &str) -> Vec<Row> {
    let schema = resolved(root, schema);
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut all = Vec::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        all.push(row(root, property, &path, required.contains(&name.as_str())));
        let inner = resolved(root, property);
        all.extend(rows(root, &inner, &path));
        if inner["additionalProperties"]["type"] == "object"
            || inner["additionalProperties"].get("$ref").is_some()
        {
            all.extend(rows(root, &inner["additionalProperties"], &format!("{path}.NAME")));
        }
        if inner["items"]["type"] == "object" {
            all.extend(rows(root, &inner["items"], &format!("{path}[]")));
        }
    }
    all
}

fn row(root: &Value, property: &Value, path: &str, is_required: bool) -> Row {
    let whole = resolved(root, property);
    let default = match &whole["default"] {
        _ if is_required => "must be given".to_owned(),
        Value::Null => String::new(),
        Value::Object(map) if map.is_empty() => String::new(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) if text.len() <= SHOWN => format!("`{text}`"),
        other if other.to_string().len() <= SHOWN => format!("`{other}`"),
        _ => "see the schema".to_owned(),
    };
    let mut what = whole["description"].as_str().unwrap_or_default().to_owned();
    if let Some(choices) = whole["enum"].as_array() {
        let choices: Vec<String> = choices
            .iter()
            .map(|one| format!("`{}`", one.as_str().map_or_else(|| one.to_string(), str::to_owned)))
            .collect();
        write!(what, " One of {}.", choices.join(", ")).unwrap();
    }
    Row { path: path.to_owned(), default: default.replace('|', "\\|"), what }
}

/// Follows `$ref`; what stands beside it goes first.
fn resolved(root: &Value, schema: &Value) -> Value {
    let Some(pointer) = schema["$ref"].as_str().and_then(|all| all.strip_prefix('#')) else {
        return schema.clone();
    };
    let mut whole = root.pointer(pointer).unwrap().clone();
    for (key, value) in schema.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole.as_object_mut().unwrap().remove("$ref");
    whole
}

fn health(page: &mut String, spec: &BlueprintSpec) {
    if spec.health.is_empty() {
        return;
    }
    page.push_str(
        "\n## When it is healthy\n\nBeside the [built-in rules](../health.md#built-in-rules):\n\n",
    );
    for rule in &spec.health {
        let of = rule.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let limit = rule.deadline.as_deref().unwrap_or("5m");
        writeln!(page, "- `{}`{of}, within {limit}: `{}`", rule.kind, rule.ready).unwrap();
    }
}

fn hazards(page: &mut String, hazards: &[HazardRule]) {
    if hazards.is_empty() {
        return;
    }
    page.push_str(
        "\n## What a change does\n\nBeside what is known of the kinds themselves ([gates](../gates.md)):\n\n| change | does | because |\n|---|---|---|\n",
    );
    for rule in hazards {
        let of = rule.name.as_ref().map(|name| format!(" `{name}`")).unwrap_or_default();
        let on = match &rule.on {
            HazardOn::Delete => "deletion".to_owned(),
            HazardOn::Create => "creation".to_owned(),
            HazardOn::Update => "any change".to_owned(),
            HazardOn::Field { field } => format!("`{field}`"),
        };
        let kind = rule.kind.split('.').next().unwrap();
        let because = rule.because.replace('|', "\\|");
        writeln!(page, "| {on} of `{kind}`{of} | {} | {because} |", rule.is.name()).unwrap();
    }
}

fn waves(page: &mut String, waves: &[Wave]) {
    if waves.is_empty() {
        return;
    }
    page.push_str("\n## Node by node\n\nBy the agent, as the work on each node is over ([gates](../gates.md#node-by-node)):\n\n");
    for wave in waves {
        let does = match (&wave.restart, &wave.label) {
            (Some(pods), _) => {
                format!("the outdated pod of `{}` is restarted", labels(&pods.daemon_sets))
            }
            (_, Some(label)) => {
                format!("the label `{}` is set to the value `{}`", label.key, label.from)
            }
            _ => unreachable!("the format asks for one"),
        };
        let back = wave
            .ready
            .as_ref()
            .map(|ready| format!("; it is back when `{ready}`"))
            .unwrap_or_default();
        writeln!(
            page,
            "- **{}**, on nodes with `{}`: {does}{back}",
            wave.name,
            labels(&wave.hits.nodes)
        )
        .unwrap();
    }
}

fn ignored(page: &mut String, spec: &BlueprintSpec) {
    if spec.ignore.is_empty() {
        return;
    }
    page.push_str("\n## Left to others\n\nNeither a change nor drift:\n\n");
    for rule in &spec.ignore {
        let rule = serde_json::to_value(rule).unwrap();
        let text = |key: &str| rule[key].as_str().unwrap_or_default().to_owned();
        let of = rule["name"].as_str().map(|name| format!(" `{name}`")).unwrap_or_default();
        writeln!(page, "- `{}` of `{}`{of}", text("field"), text("kind")).unwrap();
    }
}

fn sources(page: &mut String, sources: &[Source]) {
    if sources.is_empty() {
        return;
    }
    page.push_str("\n## Built from\n\nThe name is what `upstream` of a component refers to, where it is a chart.\n\n| source | from | at | digest |\n|---|---|---|---|\n");
    for source in sources {
        let (from, reference, digest) = pin(source);
        let kind = if source.helm.is_some() { "chart" } else { "manifests" };
        let digest = digest.unwrap_or_default();
        let digest: String = digest.chars().take("sha256:".len() + 12).collect();
        writeln!(page, "| `{}` | {kind} `{from}` | {reference} | `{digest}…` |", source.name)
            .unwrap();
    }
}

/// Where a source comes from, at which version, and the digest that it must have.
fn pin(source: &Source) -> (String, String, Option<String>) {
    let of_git = |git: &blueprint::GitFolder| {
        (format!("{}//{}", git.url.trim_start_matches("https://"), git.path), git.reference.clone())
    };
    if let Some(helm) = &source.helm {
        let (from, at) = helm.git.as_ref().map(of_git).unwrap_or_default();
        return (from, at, helm.digest.as_ref().map(ToString::to_string));
    }
    let manifests = source.manifests.as_ref().unwrap();
    let (from, at) = manifests.git.as_ref().map(of_git).unwrap_or_default();
    (from, at, manifests.digest.as_ref().map(ToString::to_string))
}

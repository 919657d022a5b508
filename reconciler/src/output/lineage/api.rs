//! What the record answers over HTTP, and the document that describes it (OpenAPI 3.1).

use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sitewright_model::lineage::{
    Gap, Grade, Graph,
    compare::{Difference, Reproduction},
};

/// Where questions are asked.
pub const QUESTIONS: &str = "/lineage/v1";

/// Where the log is read, as C2SP tlog-tiles has it.
pub const LOG: &str = "/lineage/log";

/// Where logs of others ask to be witnessed, as C2SP tlog-witness has it.
pub const WITNESS: &str = "/lineage/witness";

/// The name and version of the JSON form of [`Gaps`].
pub const GAPS: &str = "sitewright.dev/lineage-gaps/v1";

/// The name and version of the JSON form of [`State`].
pub const STATE: &str = "sitewright.dev/lineage-state/v1";

/// The media type of [`Problem`].
pub const PROBLEM: &str = "application/problem+json";

/// The intervals in which something may have been missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gaps {
    /// Always `sitewright.dev/lineage-gaps/v1`.
    pub format: String,
    /// The intervals, in order.
    pub gaps: Vec<Gap>,
    /// How many leaves the log had.
    pub log_size: u64,
}

/// What the end of the log is, and what that does not prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Always `sitewright.dev/lineage-state/v1`.
    pub format: String,
    /// The name of the log.
    pub origin: String,
    /// How many leaves the last checkpoint signs.
    pub size: u64,
    /// The root that it signs, in hexadecimal digits; none where nothing was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<String>,
    /// The key that the log says is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The last checkpoint, as the signed note that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Whether that key signed it.
    pub is_signed: bool,
    /// Whether the tiles give the root that it signs.
    pub fits: bool,
    /// The last checkpoint that witnesses have signed, and who they say they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Witnessed>,
    /// What this answer does not prove, in sentences.
    pub not_proven: Vec<String>,
}

/// A checkpoint that witnesses have signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Witnessed {
    /// How many leaves it signs.
    pub size: u64,
    /// The checkpoint, as the signed note that it is.
    pub note: String,
    /// The witnesses, by the names in it; their signatures are not checked here.
    pub witnesses: Vec<Witness>,
}

/// Who says that it saw a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Witness {
    /// Its name.
    pub name: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// Why there is no answer (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The page of the error in the book.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "uri"))]
    pub kind: String,
    /// What is wrong, in a few words: the same for each error of this number.
    pub title: String,
    /// The status of HTTP.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// The number of the error, for example `SW1007`.
    #[schemars(regex(pattern = "^SW[0-9]{4}$"))]
    pub code: String,
    /// A way out, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// A form of an answer: the word that asks for it, its media type, and what it is.
pub const FORMS: [(&str, &str, &str); 6] = [
    ("json", "application/json", "Things and ties."),
    ("mermaid", "text/vnd.mermaid", "A diagram for a page or an issue."),
    ("html", "text/html", "A page with a graph, by itself."),
    ("openlineage", "application/x-openlineage+json", "Events of OpenLineage, as a list."),
    ("rocrate", "application/ld+json", "The metadata of an RO-Crate 1.1 (Process Run Crate)."),
    ("prov", "application/prov+json", "W3C PROV, as PROV-JSON."),
];

/// Questions about one thing that are answered with a graph in any form, and what they ask.
pub const DRAWN: [(&str, &str); 4] = [
    ("of", "What made it: everything that a thing came from."),
    ("impact", "What came of it: runs, models, live services."),
    ("during", "What ran while a commit was in force."),
    ("config", "Under which configuration a run was."),
];

/// Returns the description of everything that is served.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let graph = schema::<Graph>(&mut generator);
    let mut paths = Map::new();
    for (name, what) in DRAWN {
        paths.insert(format!("{QUESTIONS}/{name}"), drawn(name, what, &graph, &mut generator));
    }
    let thing = |generator: &mut SchemaGenerator| {
        vec![text("thing", "What is asked about.", true), at_least(generator)]
    };
    let mut explain = thing(&mut generator);
    explain.push(text("field", "Only this property, or ties in this relation.", false));
    let what = "One thing, and everything that is said of it, with its sources.";
    paths.insert(format!("{QUESTIONS}/explain"), get("explain", what, &explain, json_of(&graph)));
    let again = schema::<Reproduction>(&mut generator);
    let what = "What is needed to make it again, and what stands in the way.";
    let asked = thing(&mut generator);
    paths.insert(format!("{QUESTIONS}/reproduce"), get("reproduce", what, &asked, json_of(&again)));
    let difference = schema::<Difference>(&mut generator);
    let two = [
        text("one", "The one.", true),
        text("other", "The other.", true),
        at_least(&mut generator),
    ];
    let what = "In what two models differ.";
    paths.insert(format!("{QUESTIONS}/diff"), get("diff", what, &two, json_of(&difference)));
    let gaps = schema::<Gaps>(&mut generator);
    let what = "The intervals in which something may have been missed.";
    paths.insert(format!("{QUESTIONS}/gaps"), get("gaps", what, &[], json_of(&gaps)));
    let state = schema::<State>(&mut generator);
    let what = "What the end of the log is. It proves little, and says what it does not.";
    paths.insert(format!("{QUESTIONS}/verify"), get("verify", what, &[], json_of(&state)));
    paths.insert(format!("{QUESTIONS}/openapi.json"), document());
    log_paths(&mut paths);
    schema::<Problem>(&mut generator);
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Sitewright lineage",
            "summary": "How models were made, and what datasets, drivers, nodes and commits reach.",
            "description": DESCRIPTION,
            "version": "1",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token that the cluster knows: of a service account or a person.",
            } },
            "responses": { "Problem": {
                "description": "There is no answer.",
                "content": { PROBLEM: { "schema": { "$ref": "#/components/schemas/Problem" } } },
            } },
        },
    })
}

const DESCRIPTION: &str = "Who asks sees the runs, attempts, volumes and services of the namespaces in which they may \
    `get` the resource `runs` of the group `lineage.sitewright.dev`, what these lead to, and nodes, epochs and gaps. What is \
    left out because it is of other namespaces is counted in `hidden`; what is asked about and of another namespace is not \
    there.";

fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

fn json_of(schema: &Value) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn get(name: &str, what: &str, parameters: &[Value], content: Value) -> Value {
    json!({ "get": {
        "operationId": name,
        "summary": what,
        "parameters": parameters,
        "responses": responses(content),
    } })
}

fn responses(content: Value) -> Value {
    let problem = json!({ "$ref": "#/components/responses/Problem" });
    json!({
        "200": { "description": "The answer.", "content": content },
        "4XX": problem,
        "5XX": problem,
    })
}

fn drawn(name: &str, what: &str, graph: &Value, generator: &mut SchemaGenerator) -> Value {
    let words: Vec<&str> = FORMS.iter().map(|(word, ..)| *word).collect();
    let form = json!({
        "name": "form",
        "in": "query",
        "description": "The form of the answer.",
        "schema": { "type": "string", "enum": words, "default": "json" },
    });
    let parameters = [text("thing", "What is asked about.", true), at_least(generator), form];
    let mut content = Map::new();
    for (word, media, what) in FORMS {
        let schema = match word {
            "json" => graph.clone(),
            "mermaid" | "html" => json!({ "type": "string", "description": what }),
            "openlineage" => {
                json!({ "type": "array", "items": { "type": "object" }, "description": what })
            }
            _ => json!({ "type": "object", "description": what }),
        };
        content.insert(media.to_owned(), json!({ "schema": schema }));
    }
    get(name, what, &parameters, Value::Object(content))
}

fn text(name: &str, what: &str, is_required: bool) -> Value {
    json!({
        "name": name,
        "in": "query",
        "description": what,
        "required": is_required,
        "schema": { "type": "string", "minLength": 1, "maxLength": 2048 },
    })
}

fn at_least(generator: &mut SchemaGenerator) -> Value {
    json!({
        "name": "atLeast",
        "in": "query",
        "description": "Follow only what is known so well, or better.",
        "schema": { "allOf": [schema::<Grade>(generator)], "default": "unknown" },
    })
}

fn document() -> Value {
    let content = json!({ "application/json": { "schema": { "type": "object" } } });
    let mut path = get("openapi", "This document.", &[], content);
    if let Some(Value::Object(get)) = path.get_mut("get") {
        get.insert("security".to_owned(), json!([]));
    }
    path
}

/// The log as C2SP tlog-tiles has it. Levels and numbers of tiles hold slashes, so that one path stands for each depth.
fn log_paths(paths: &mut Map<String, Value>) {
    let content = json!({ "text/plain": { "schema": { "type": "string" } } });
    let what = "The last checkpoint (C2SP tlog-checkpoint).";
    paths.insert(format!("{LOG}/checkpoint"), get("checkpoint", what, &[], content));
    let content = json!({ "text/plain": { "schema": { "type": "string" } } });
    let what = "The last checkpoint that witnesses have signed.";
    paths.insert(format!("{LOG}/cosigned"), get("cosigned", what, &[], content));
    witness_path(paths);
    let part = |name: &str, what: &str| {
        json!({
            "name": name,
            "in": "path",
            "description": what,
            "required": true,
            "schema": { "type": "string" },
        })
    };
    let parameters = [
        part(
            "level",
            "A level of hashes, `entries` for leaves, or `bodies` for what they name. The latter two are for who \
            may see all namespaces.",
        ),
        part(
            "number",
            "The number of the tile, as tlog-tiles writes it: `x001/x234/067`, with `.p/WIDTH` where it is not \
            full. Its slashes are not escaped.",
        ),
    ];
    let content = json!({ "application/octet-stream": {} });
    let what = "A tile of the log (C2SP tlog-tiles).";
    paths.insert(
        format!("{LOG}/tile/{{level}}/{{number}}"),
        get("tile", what, &parameters, content),
    );
}

/// What logs of others ask.
fn witness_path(paths: &mut Map<String, Value>) {
    let text = |what: &str| json!({ "description": what, "content": { "text/plain": { "schema": { "type": "string" } } } });
    let path = json!({ "post": {
        "operationId": "addCheckpoint",
        "summary": "Asks to witness a checkpoint (C2SP tlog-witness).",
        "security": [],
        "requestBody": {
            "required": true,
            "content": { "text/plain": { "schema": { "type": "string", "maxLength": 65536 } } },
        },
        "responses": {
            "200": text("The lines that sign it."),
            "409": {
                "description": "Another checkpoint was seen last: how many leaves it has.",
                "content": { "text/x.tlog.size": { "schema": { "type": "string" } } },
            },
            "4XX": text("It is not signed."),
            "5XX": text("It is not signed for now."),
        },
    } });
    paths.insert(format!("{WITNESS}/add-checkpoint"), path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = openapi();
        let mut open = vec![&document];
        let mut count = 0;
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                        count += 1;
                    }
                    open.extend(map.values());
                }
                Value::Array(list) => open.extend(list),
                _ => {}
            }
        }
        assert!(count > 20);
    }
}

//! The forms of a graph that programs read.

use sitewright_model::lineage::{
    Graph,
    export::{openlineage, prov, rocrate},
    picture,
};

use crate::output::{json, lineage::api};

/// Who writes events of OpenLineage.
const PRODUCER: &str = "https://sitewright.dev/lineage";

/// Who publishes a crate says under which licence; until then nobody said anything (SPDX 2.3, "NOASSERTION").
const NO_LICENSE: &str = "http://spdx.org/rdf/terms#noassertion";

/// A form of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Mermaid,
    Html,
    OpenLineage,
    RoCrate,
    Prov,
}

impl Form {
    const ALL: [Self; 6] =
        [Self::Json, Self::Mermaid, Self::Html, Self::OpenLineage, Self::RoCrate, Self::Prov];

    /// Returns the form that a word asks for.
    pub(crate) fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.told().0 == word)
    }

    /// Returns its media type.
    pub(crate) fn media(self) -> &'static str {
        self.told().1
    }

    fn told(self) -> (&'static str, &'static str, &'static str) {
        let [json, mermaid, html, openlineage, rocrate, prov] = api::FORMS;
        match self {
            Self::Json => json,
            Self::Mermaid => mermaid,
            Self::Html => html,
            Self::OpenLineage => openlineage,
            Self::RoCrate => rocrate,
            Self::Prov => prov,
        }
    }

    /// Writes the graph that answers a question about `thing`; a crate says under which licence it is.
    pub(crate) fn write(self, graph: &Graph, thing: &str, license: Option<String>) -> String {
        match self {
            Self::Json => json(graph),
            Self::Mermaid => picture::mermaid(graph),
            Self::Html => picture::html(graph),
            Self::OpenLineage => {
                let options = openlineage::Options {
                    producer: format!("{PRODUCER}/v{}", crate::VERSION),
                    names: openlineage::Names::ByStore,
                    attempts: false,
                };
                json(&openlineage::events(graph, &options, |_| openlineage::End::Known))
            }
            Self::RoCrate => json(&rocrate::metadata(
                graph,
                &rocrate::Options {
                    name: format!("Lineage of {thing}"),
                    license: license.unwrap_or_else(|| NO_LICENSE.to_owned()),
                    publisher: None,
                    recorder: crate::VERSION.to_owned(),
                },
            )),
            Self::Prov => json(&prov::document(graph)),
        }
    }
}

/// Keeps, of the graph that explains a thing, the thing itself and its ties; of one property alone where it is named.
pub(crate) fn explained(mut graph: Graph, field: Option<&str>) -> Graph {
    let focus = graph.focus.clone();
    graph.nodes.retain(|node| focus.contains(&node.id));
    if let Some(field) = field {
        for node in &mut graph.nodes {
            node.facts.retain(|fact| fact.field == field);
        }
        graph.edges.retain(|edge| edge.relation.word() == field);
    }
    graph
}

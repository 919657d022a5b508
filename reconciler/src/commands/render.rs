use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sitewright_model::{
    code::machine, desired::Desired, diagnostic::Diagnostic, name::ComponentName, yaml,
};

use super::{site::SiteArgument, stages};
use crate::{
    cli::{Context, Exit, Failure},
    output::words,
};

/// Show the objects that the site asks for, without asking a cluster
///
/// The same site, lock and blueprints give the same bytes on every machine. Secret values are shown
/// as `(secret)`: this is for looking at and comparing, `sitewright apply` is for applying.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Render {
    #[command(flatten)]
    site: SiteArgument,
    /// Only this component; may be given several times
    #[arg(short, long, value_name = "NAME")]
    component: Vec<ComponentName>,
    /// The form of the objects
    #[arg(short, long, value_name = "FORM", default_value = "yaml")]
    output: RenderForm,
}

const EXAMPLES: &str = "\
Examples:
  sitewright render sites/lab-gpu > objects.yaml
  sitewright render --component queues | less
  diff <(sitewright render .//sites/lab@main) <(sitewright render sites/lab)";

/// The form of rendered objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RenderForm {
    /// One document for each object, its component and origin in a comment.
    Yaml,
    /// One list of objects.
    Json,
}

impl Render {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let desired = stages::rendered(context, &self.site)?;
        let wanted = self.wanted(&desired)?;
        let text = match self.output {
            RenderForm::Yaml => documents(&desired, &wanted),
            RenderForm::Json => list(&desired, &wanted),
        };
        context.print(&text)?;
        Ok(Exit::Success)
    }

    fn wanted(&self, desired: &Desired) -> Result<BTreeSet<ComponentName>, Failure> {
        let all: BTreeSet<ComponentName> =
            desired.components.iter().map(|component| component.name.clone()).collect();
        if self.component.is_empty() {
            return Ok(all);
        }
        match self.component.iter().find(|name| !all.contains(*name)) {
            None => Ok(self.component.iter().cloned().collect()),
            Some(unknown) => {
                let known: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
                Err(Diagnostic::error(
                    machine::BAD_ARGUMENT,
                    format!("the site has no component `{unknown}`"),
                )
                .help(format!("its components are {}", words::list(&known)))
                .into())
            }
        }
    }
}

fn documents(desired: &Desired, wanted: &BTreeSet<ComponentName>) -> String {
    let mut text = String::new();
    for (component, object) in desired.objects() {
        if wanted.contains(&component.name) {
            text.push_str(&format!(
                "---\n# {}, from {}\n{}",
                component.name,
                words::clean(&object.origin),
                yaml::to_yaml(&object.object.redacted())
            ));
            if !text.ends_with('\n') {
                text.push('\n');
            }
        }
    }
    text
}

fn list(desired: &Desired, wanted: &BTreeSet<ComponentName>) -> String {
    let items: Vec<Value> = desired
        .objects()
        .filter(|(component, _)| wanted.contains(&component.name))
        .map(|(_, object)| object.object.redacted())
        .collect();
    crate::output::json(&json!({ "apiVersion": "v1", "kind": "List", "items": items }))
}

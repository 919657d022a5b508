use clap::Args;
use sitewright_model::{desired::Desired, diagnostic::Diagnostics};

use super::{TextOrJson, site::SiteArgument};
use crate::{
    cli::{Context, Exit, Failure},
    output::{diagnostics, look, words},
    pipeline,
};

/// Check a site without a cluster: formats, values, references, locks, templates
///
/// Reads the site, its approvals, blueprints and sources, and renders everything; shows every mistake at once,
/// each with its file, line and column, and a way out.
///
/// Exit codes: 0 valid (there may be warnings), 1 mistakes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Validate {
    #[command(flatten)]
    site: SiteArgument,
    /// The form of the findings
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: TextOrJson,
}

const EXAMPLES: &str = "\
Examples:
  sitewright validate sites/lab-gpu
  for site in sites/*/; do sitewright validate \"$site\" || exit 1; done
  sitewright validate -o json | jq '.findings[].message'";

impl Validate {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let found = self.findings(context);
        if self.output == TextOrJson::Text {
            let (desired, warnings) = found?;
            context.warn(&warnings);
            let objects = words::count(desired.objects().count(), "object");
            let components = words::count(desired.components.len(), "component");
            let valid = look::paint(look::GOOD, "valid:");
            context.print(&format!("{valid} site {}, {components}, {objects}\n", desired.site))?;
            return Ok(Exit::Success);
        }
        let findings = match found {
            Ok((_, warnings)) => warnings,
            Err(Failure::Diagnosed(diagnostics)) => diagnostics,
            Err(other) => return Err(other),
        };
        context.print(&diagnostics::json(&findings))?;
        Ok(if findings.has_errors() { Exit::Failure } else { Exit::Success })
    }

    fn findings(&self, context: &Context) -> Result<(Desired, Diagnostics), Failure> {
        let location = self.site.location()?;
        let settings = context.settings()?;
        context.doing("reading the site");
        let loaded = pipeline::load(&location, &settings)?;
        let mut mistakes = loaded.approvals().mistakes.clone();
        context.doing("rendering");
        let rendered = pipeline::render(loaded, &settings);
        if !mistakes.has_errors() {
            let rendered = rendered?;
            return Ok((rendered.desired, rendered.warnings));
        }
        // Elsewhere a broken approval is ignored with a warning; here is the place to mend it.
        mistakes.extend(rendered.err().unwrap_or_default());
        Err(mistakes.in_order().into())
    }
}

//! Whom `agent --site` tells: a file in the words of a SiteSync.

use std::{env, fs::File, io::Read, path::Path};

use serde::Deserialize;
use sitewright_cluster::sync::{Notification, SecretReference};
use sitewright_model::{
    code::machine,
    diagnostic::{Diagnostic, Diagnostics},
    yaml,
};
use sitewright_source::{Secret, outbound::Reach};

use crate::{
    agent::{Measure, Notifier, Outbox, Scope, Secrets},
    cli::{Context, Failure, file_failure},
};

/// Bytes of the file; real ones have a few lines.
const BYTES: u64 = 1024 * 1024;

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Notifications {
    notifications: Vec<Notification>,
}

/// Secrets in environment variables: a reference names the variable.
pub(super) struct Environment;

impl Secrets for Environment {
    async fn secret(&self, reference: &SecretReference, _: &str) -> Result<Secret, Diagnostics> {
        let SecretReference { name, .. } = reference;
        let value = env::var(name).ok().map(|value| value.trim().to_owned());
        value.filter(|value| !value.is_empty()).map(Secret::new).ok_or_else(|| {
            let message = format!("the environment variable {name} is not set");
            Diagnostic::error(machine::BAD_ARGUMENT, message)
                .help("with --notifications, a secretRef names an environment variable")
                .into()
        })
    }
}

/// Makes what tells others of a site at a desk; nobody where there is no file.
///
/// # Errors
/// The file cannot be read, or somebody in it cannot be told.
pub(super) fn notifier(
    context: &Context,
    file: Option<&Path>,
    site: &str,
) -> Result<Notifier, Failure> {
    let notifications = match file {
        Some(file) => read(file)?,
        None => Vec::new(),
    };
    let name = site.rsplit_once('@').map_or(site, |(site, _)| site).trim_end_matches('/');
    let name = name.rsplit('/').next().unwrap_or(name);
    // who wrote the file runs the program
    let outbox = Outbox::to(Reach::Anybody);
    let scope = Scope::of_site(name);
    let notifier = Notifier::new(scope, &notifications, &[], Measure::default(), outbox);
    context.wait(notifier.check(&Environment))?;
    Ok(notifier)
}

fn read(file: &Path) -> Result<Vec<Notification>, Failure> {
    let name = file.display().to_string();
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|file| file.take(BYTES).read_to_end(&mut bytes))
        .map_err(|error| file_failure(file, &error))?;
    let text = yaml::text_of(&name, &bytes)?;
    let documents = yaml::parse_values(text)
        .map_err(|mistake| Diagnostics::from(mistake.at(&name, text.into())))?;
    let document = documents.into_iter().next().unwrap_or_default();
    let read = Notifications::deserialize(&document).map_err(|why| {
        Diagnostic::error(machine::BAD_ARGUMENT, format!("{name}: {why}"))
            .help("write `notifications: [...]` as in the spec of a SiteSync")
    })?;
    Ok(read.notifications)
}

//! Kubeconfig files with the certificates inside, so that a copy works anywhere.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::pki::Certificate;

/// Writes a kubeconfig that reaches `url`, trusts `authority` and acts as `identity`.
///
/// Without one it holds a token that nobody reads: kubectl would else ask for a name.
pub(crate) fn write(
    path: &Path,
    url: &str,
    authority: &str,
    identity: Option<&Certificate>,
) -> Result<()> {
    let user = identity.map_or_else(
        || "{ token: unused }".to_owned(),
        |identity| {
            format!(
                "\n    client-certificate-data: {}\n    client-key-data: {}",
                STANDARD.encode(&identity.certificate),
                STANDARD.encode(&identity.key)
            )
        },
    );
    let authority = STANDARD.encode(authority);
    let text = format!(
        "apiVersion: v1
kind: Config
current-context: sitewright
contexts:
- name: sitewright
  context: {{ cluster: sitewright, user: sitewright }}
clusters:
- name: sitewright
  cluster:
    server: {url}
    certificate-authority-data: {authority}
users:
- name: sitewright
  user: {user}
"
    );
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

//! What the recorder may look up, from its file of settings.

use std::path::{Path, PathBuf};

use sitewright_ledger::PublicKey;
use sitewright_model::{
    code::machine,
    diagnostic::{Diagnostic, Diagnostics},
    format::lineage::{self as format, KeyLogin, Models, Policy},
    lineage::export::openlineage::Names,
    yaml,
};
use sitewright_source::{
    Secret, Settings, Url,
    outbound::Reach,
    resolve::{Catalog, LakeFs, S3, S3Login, Stores, dsse::TrustedKey},
};

use super::{courier::Destination, wire::Wire};
use crate::cli::file_failure;

/// Bytes of a file of settings, of a key or of a password.
const BYTES: u64 = 1024 * 1024;

/// What may be looked up, and how.
#[derive(Clone, Debug)]
pub(crate) struct Lookups {
    pub(super) settings: Settings,
    /// Whether anybody may be asked; else models are read from folders alone.
    pub(super) asks: bool,
    pub(super) reach: Reach,
    pub(super) keys: Vec<TrustedKey>,
    pub(super) stores: Stores,
    pub(super) models: Vec<Models>,
    /// What is demanded of what serves.
    pub(crate) policy: Policy,
}

impl Lookups {
    /// Reads a file of settings, and the files that it names; none where nothing is to be looked up.
    ///
    /// # Errors
    /// Every mistake in it, or a file that cannot be read.
    pub(crate) fn read(file: &Path, settings: Settings) -> Result<Option<Self>, Diagnostics> {
        let spec = read_spec(file)?;
        if spec.resolve.is_none() && spec.models.is_empty() && spec.policy.serving.is_empty() {
            return Ok(None);
        }
        let asks = spec.resolve.is_some();
        let resolve = spec.resolve.unwrap_or_default();
        let beside = file.parent().unwrap_or(Path::new("."));
        let keys = resolve.keys.iter().map(|key| trusted(key, beside)).collect::<Result<_, _>>()?;
        let only = |hosts: &Vec<String>| Reach::only(&hosts.join(","));
        let reach = resolve.hosts.as_ref().map_or(Reach::Others, only);
        Ok(Some(Self {
            settings,
            asks,
            reach,
            keys,
            stores: stores(&resolve, beside)?,
            models: spec.models,
            policy: spec.policy,
        }))
    }

    /// Returns the models that `uri` is among, and what follows the beginning of their URI: of the longest one.
    pub(super) fn models_of<'a>(&'a self, uri: &'a str) -> Option<(&'a Models, &'a str)> {
        let rest = |models: &Models| {
            let rest = uri.strip_prefix(models.uri.as_str())?;
            // `s3://models` is not the beginning of `s3://models-of-others`
            let is_whole = models.uri.ends_with('/') || rest.is_empty() || rest.starts_with('/');
            is_whole.then(|| rest.trim_start_matches('/').len())
        };
        let found = self.models.iter().filter_map(|models| Some((models, rest(models)?)));
        let (models, rest) = found.max_by_key(|(models, _)| models.uri.len())?;
        Some((models, uri.get(uri.len() - rest..)?))
    }
}

/// Reads what a file of settings demands.
///
/// # Errors
/// Every mistake in it, or it cannot be read.
pub(crate) fn read_policy(file: &Path) -> Result<Policy, Diagnostics> {
    read_spec(file).map(|spec| spec.policy)
}

fn read_spec(file: &Path) -> Result<format::LineageSpec, Diagnostics> {
    let (text, name) = (read(file)?, file.display().to_string());
    let text = yaml::text_of(&name, text.as_bytes())?;
    Ok(format::parse(&name, text)?.value.spec)
}

/// Who witnesses this log, and which logs this agent witnesses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Witnessing {
    /// Addresses and keys of witnesses.
    pub(super) witnesses: Vec<(Url, PublicKey)>,
    /// Keys of logs.
    pub(super) logs: Vec<PublicKey>,
}

impl Witnessing {
    /// Reads a file of settings, and the keys that it names.
    ///
    /// # Errors
    /// Every mistake in it, or a file that cannot be read.
    pub(crate) fn read(file: &Path) -> Result<Self, Diagnostics> {
        let spec = read_spec(file)?;
        let beside = file.parent().unwrap_or(Path::new("."));
        let key = |key: &Path| {
            let parsed = PublicKey::parse(&read(&beside.join(key))?);
            parsed.map_err(|error| Diagnostics::from(error.diagnostic()))
        };
        let mut found = Self::default();
        for witness in &spec.witnesses {
            found.witnesses.push((url(&witness.url)?, key(&witness.key)?));
        }
        for log in &spec.witness_for {
            found.logs.push(key(&log.key)?);
        }
        Ok(found)
    }
}

impl Destination {
    /// Reads who is told in OpenLineage from a file of settings; none where nobody is.
    ///
    /// # Errors
    /// Every mistake in it, or a file that cannot be read.
    pub(crate) fn read(file: &Path) -> Result<Option<Self>, Diagnostics> {
        let Some(to) = read_spec(file)?.openlineage else { return Ok(None) };
        let beside = file.parent().unwrap_or(Path::new("."));
        let token = to.token_file.as_ref().map(|file| secret(file, beside)).transpose()?;
        Ok(Some(Self {
            wire: Wire::new(url(&to.url)?, token),
            names: match to.names {
                format::DatasetNames::ByStore => Names::ByStore,
                format::DatasetNames::WithContent => Names::ByContent,
            },
            attempts: to.attempts,
            hold: to.hold(),
        }))
    }
}

fn trusted(key: &format::Key, beside: &Path) -> Result<TrustedKey, Diagnostics> {
    let file = beside.join(&key.file);
    TrustedKey::from_pem(&key.name, &read(&file)?).map_err(|error| {
        Diagnostic::error(machine::BAD_ARGUMENT, format!("{}: {error}", file.display()))
            .help("export it with `openssl pkey -pubout`, or `cosign public-key`")
            .into()
    })
}

fn stores(resolve: &format::Resolve, beside: &Path) -> Result<Stores, Diagnostics> {
    let mut stores = Stores::default();
    for server in &resolve.s3 {
        let login = server.login.as_ref().map(|login| {
            let secret_key = secret(&login.secret_key_file, beside)?;
            let access_key = login.access_key.clone();
            Ok::<_, Diagnostics>(S3Login { access_key, secret_key, session: None })
        });
        stores.s3.push(S3 {
            endpoint: url(&server.endpoint)?,
            region: server.region.clone(),
            buckets: server.buckets.clone(),
            login: login.transpose()?,
            list: server.list,
        });
    }
    for server in &resolve.lakefs {
        let KeyLogin { access_key, secret_key_file } = &server.login;
        stores.lakefs.push(LakeFs {
            endpoint: url(&server.endpoint)?,
            access_key: access_key.clone(),
            secret_key: secret(secret_key_file, beside)?,
        });
    }
    for catalog in &resolve.iceberg {
        let token = catalog.token_file.as_ref().map(|file| secret(file, beside)).transpose()?;
        stores.iceberg.push(Catalog {
            name: catalog.name.clone(),
            endpoint: url(&catalog.endpoint)?,
            prefix: catalog.prefix.clone(),
            token,
        });
    }
    Ok(stores)
}

fn url(text: &str) -> Result<Url, Diagnostics> {
    Url::parse(text).map_err(|problem| {
        let message = format!("`{}` is no address: {problem}", sitewright_source::public(text));
        Diagnostic::error(machine::BAD_ARGUMENT, message)
            .help("write it as in `https://rgw.example.edu`")
            .into()
    })
}

fn secret(file: &Path, beside: &Path) -> Result<Secret, Diagnostics> {
    Ok(Secret::new(read(&beside.join(file))?.trim()))
}

fn read(file: &Path) -> Result<String, Diagnostics> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(PathBuf::from(file))
        .and_then(|file| file.take(BYTES).read_to_string(&mut text))
        .map_err(|error| file_failure(file, &error))?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookups(text: &str) -> Result<Option<Lookups>, Diagnostics> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s3.key"), "canary\n").unwrap();
        let file = folder.path().join("settings.yaml");
        std::fs::write(
            &file,
            format!("apiVersion: sitewright.dev/v1alpha1\nkind: LineageSettings\n{text}"),
        )
        .unwrap();
        Lookups::read(&file, Settings::new("cache"))
    }

    #[test]
    fn nothing_is_looked_up_unless_it_is_asked_for() {
        assert!(lookups("").unwrap().is_none());
        assert!(lookups("spec: { resolve: {} }").unwrap().is_some());
    }

    #[test]
    fn secrets_come_from_files_beside_it_and_are_not_shown() {
        let text = "spec: { resolve: { s3: [{ endpoint: 'https://s3.example.org', login: { accessKey: a, secretKeyFile: s3.key } }] } }";
        let found = lookups(text).unwrap().unwrap();
        assert_eq!(found.stores.s3[0].login.as_ref().unwrap().secret_key.expose(), "canary");
        assert!(!format!("{found:?}").contains("canary"));
        let error = lookups(&text.replace("s3.key", "none.key")).unwrap_err().to_string();
        assert!(error.contains("none.key"), "{error}");
        let error = lookups("spec: { resolve: { s4: [] } }").unwrap_err().to_string();
        assert!(error.contains("s4"), "{error}");
    }

    #[test]
    fn models_are_found_by_the_longest_beginning() {
        let text =
            "spec: { models: [{ uri: 's3://models' }, { uri: 's3://models/big/', path: /big }] }";
        let found = lookups(text).unwrap().unwrap();
        let of = |uri| found.models_of(uri).map(|(models, rest)| (models.uri.as_str(), rest));
        assert_eq!(of("s3://models/a/1"), Some(("s3://models", "a/1")));
        assert_eq!(of("s3://models/big/1"), Some(("s3://models/big/", "1")));
        assert_eq!(of("s3://models-of-others/1"), None);
        assert_eq!(of("s3://models"), Some(("s3://models", "")));
    }
}

//! Charts in OCI registries: the pulling half of the distribution specification (1.1), with anonymous
//! tokens or a login of `~/.netrc`. Every manifest and layer is checked against its digest.

use std::time::Duration;

use serde::Deserialize;
use sitewright_model::{diagnostic::Diagnostics, digest::Digest};

use super::{ArtifactError, download};
use crate::{
    credentials,
    http::{self, Answer, HttpError, Request},
    settings::Settings,
    url::{Secret, Url},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CHART_LAYERS: [&str; 2] = [
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    // What helm 3 wrote while its support for registries was an experiment.
    "application/tar+gzip",
];

/// Bytes of a manifest; the specification asks registries to take at least 4 MiB.
const MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes of the answer of a token service.
const TOKEN_BYTES: u64 = 256 * 1024;

/// Returns the archive of the chart at `chart`, which starts with `oci://`.
pub(super) fn archive(
    chart: &str,
    version: &str,
    from: &str,
    settings: &Settings,
) -> Result<Vec<u8>, Diagnostics> {
    archive_at(&download::address(chart, settings)?, version, from, settings)
}

/// Returns the archive of the chart at `url`, a mirror of which may be a folder on disk.
pub(super) fn archive_at(
    url: &Url,
    version: &str,
    from: &str,
    settings: &Settings,
) -> Result<Vec<u8>, Diagnostics> {
    if url.scheme() == "file" {
        // A mirror on disk holds the archives as `helm pull` names them.
        let archive = format!("{}-{version}.tgz", url.path().trim_end_matches('/'));
        return Ok(download::bytes(&url.with_rest(archive), from, settings)?);
    }
    if settings.offline {
        return Err(ArtifactError::Offline { from: from.to_owned() }.into());
    }
    Ok(Registry::new(url, from, settings).pull(version)?)
}

/// One repository of a registry.
struct Registry<'a> {
    base: Url,
    repository: String,
    from: &'a str,
    token: Option<Secret>,
    settings: &'a Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
}

impl<'a> Registry<'a> {
    fn new(url: &Url, from: &'a str, settings: &'a Settings) -> Self {
        let repository = url.path().trim_matches('/').to_owned();
        // As docker has it: a registry on this machine speaks plain HTTP.
        let loopback = ["127.0.0.1", "localhost", "[::1]"].contains(&url.host());
        let scheme = match url.scheme() {
            "oci" if loopback => "http",
            "oci" => "https",
            other => other,
        };
        let host = match url.authority() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        let base =
            Url::parse(&format!("{scheme}://{host}/")).map(|base| base.with_credentials_of(url));
        Self { base: base.unwrap_or_else(|_| url.clone()), repository, from, token: None, settings }
    }

    fn pull(mut self, version: &str) -> Result<Vec<u8>, ArtifactError> {
        // A tag may hold no `+`; helm writes `_` for it.
        let tag = version.replace('+', "_");
        let bytes = self.manifest(&tag, version)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.problem(format!("its manifest cannot be read: {error}")))?;
        let mut layers = manifest.layers.iter();
        let layer = layers
            .find(|layer| CHART_LAYERS.contains(&layer.media_type.as_str()))
            .ok_or_else(|| self.problem("what it has there is not a Helm chart".to_owned()))?;
        self.layer(layer)
    }

    fn manifest(&mut self, tag: &str, version: &str) -> Result<Vec<u8>, ArtifactError> {
        let url = self.url(&format!("manifests/{tag}"));
        let answer = match self.get(&url, Some(MANIFEST)) {
            Err(HttpError::NotFound { .. }) => {
                return Err(ArtifactError::NoChart {
                    place: format!("oci://{}/{}", self.base.authority(), self.repository),
                    what: format!("version `{version}`"),
                    nearest: Vec::new(),
                });
            }
            other => other.map_err(|error| ArtifactError::http(self.from, &error))?,
        };
        let announced = answer.header("docker-content-digest").map(str::to_owned);
        let bytes =
            answer.bytes(MANIFEST_BYTES).map_err(|error| ArtifactError::http(self.from, &error))?;
        match announced {
            Some(announced) => self.check(&bytes, &announced)?,
            None => tracing::debug!(
                from = self.from,
                "the registry announces no digest of the manifest"
            ),
        }
        Ok(bytes)
    }

    fn layer(&mut self, layer: &Layer) -> Result<Vec<u8>, ArtifactError> {
        let limit = self.settings.limits.download_bytes;
        if layer.size > limit {
            return Err(ArtifactError::TooLarge { from: self.from.to_owned(), limit });
        }
        // The digest becomes a part of an address, so it must be one.
        let digest: Digest = layer.digest.parse().map_err(|_| {
            self.problem("the digest of its layer is not one of SHA-256".to_owned())
        })?;
        let url = self.url(&format!("blobs/{digest}"));
        let bytes = self
            .get(&url, None)
            .and_then(|answer| answer.bytes(limit))
            .map_err(|error| ArtifactError::http(self.from, &error))?;
        self.check(&bytes, &digest.to_string())?;
        Ok(bytes)
    }

    fn check(&self, bytes: &[u8], announced: &str) -> Result<(), ArtifactError> {
        let found = Digest::of(bytes).to_string();
        if found == announced {
            return Ok(());
        }
        let (from, announced) = (self.from.to_owned(), announced.escape_debug().to_string());
        Err(ArtifactError::Transfer { from, announced, found })
    }

    fn url(&self, rest: &str) -> Url {
        self.base.with_rest(format!("/v2/{}/{rest}", self.repository))
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(self.settings.limits.download_seconds)
    }

    /// Sends a request; where a token is missing, gets one and sends it again.
    fn get(&mut self, url: &Url, accept: Option<&str>) -> Result<Answer, HttpError> {
        let send = |token: Option<Secret>| {
            let mut request = Request::get(url, self.deadline());
            if let Some(accept) = accept {
                request = request.header("Accept", accept);
            }
            request.authorization = token;
            request.accepted = &[401];
            http::send(&request)
        };
        let answer = send(self.token.clone())?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let refused = HttpError::Refused { url: url.clone(), status: 401 };
        let challenge = answer.header("www-authenticate").unwrap_or_default().to_owned();
        // Another server than the registry may say what it wants, but not of us.
        let is_registry = answer.url.same_origin(&self.base);
        let Some(token) = self.token_for(&challenge, is_registry)? else { return Err(refused) };
        let answer = send(Some(token.clone()))?;
        self.token = Some(token);
        if answer.status == 401 { Err(refused) } else { Ok(answer) }
    }

    /// Asks the token service that a challenge names (distribution: "Token Authentication"); with our
    /// login only if the registry itself named it, over a way on which nobody else can have done so.
    fn token_for(&self, challenge: &str, is_registry: bool) -> Result<Option<Secret>, HttpError> {
        let Some(parameters) = strip_scheme(challenge, "Bearer") else { return Ok(None) };
        let value = |name: &str| parameter(parameters, name);
        let Some(realm) = value("realm").and_then(|realm| Url::parse(&realm).ok()) else {
            return Ok(None);
        };
        // The token is asked for where the registry says, which must not be less private than it.
        if !realm.is_private() && self.base.scheme() == "https" {
            return Err(HttpError::Redirect { url: realm, problem: "from https to http" });
        }
        let scope =
            value("scope").unwrap_or_else(|| format!("repository:{}:pull", self.repository));
        let mut query = format!("{}?scope={}", realm.path(), escaped(&scope));
        if let Some(service) = value("service") {
            query.push_str(&format!("&service={}", escaped(&service)));
        }
        let url = realm.with_rest(query);
        let mut request = Request::get(&url, self.deadline());
        // A login for the registry is one for the token service that the registry names.
        if is_registry && self.base.is_private() && realm.is_private() {
            request.authorization = credentials::known(&self.base).map(|login| login.header());
        }
        let bytes = http::send(&request)?.bytes(TOKEN_BYTES)?;
        let answer: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let token = answer.get("token").or_else(|| answer.get("access_token"));
        Ok(token
            .and_then(|token| token.as_str())
            .map(|token| Secret::new(format!("Bearer {token}"))))
    }

    fn problem(&self, problem: String) -> ArtifactError {
        let place = format!("oci://{}/{}", self.base.authority(), self.repository);
        ArtifactError::Registry { place, problem }
    }
}

fn strip_scheme<'a>(challenge: &'a str, scheme: &str) -> Option<&'a str> {
    let (found, rest) = challenge.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Returns a value of `a="x",b="y"`; values may hold commas.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        let (key, after) = rest.split_once('=')?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value.to_owned());
        }
        rest = after.trim_start_matches([',', ' ']);
    }
}

/// Escapes what may not stand in a query (RFC 3986).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_taken_apart() {
        let text = r#"Bearer realm="https://auth.example/token",service="r",scope="repository:a/b:pull,push""#;
        let parameters = strip_scheme(text, "bearer").unwrap();
        assert_eq!(parameter(parameters, "realm").unwrap(), "https://auth.example/token");
        assert_eq!(parameter(parameters, "scope").unwrap(), "repository:a/b:pull,push");
        assert_eq!(parameter(parameters, "service").unwrap(), "r");
        assert_eq!(parameter(parameters, "other"), None);
        assert_eq!(parameter("realm=x, a=b", "a").unwrap(), "b");
        assert_eq!(escaped("a b&c"), "a%20b%26c");
    }
}

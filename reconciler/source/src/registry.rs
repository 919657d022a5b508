//! Conversations with an OCI registry: the distribution specification (1.1), with anonymous tokens or a login of
//! `~/.netrc`.

use std::time::{Duration, Instant};

use crate::{
    credentials,
    http::{self, Answer, HttpError, Request, Verb},
    outbound::Reach,
    url::{Secret, Url},
};

/// Bytes of the answer of a token service.
const TOKEN_BYTES: u64 = 256 * 1024;

/// One repository of a registry.
pub(crate) struct Registry {
    base: Url,
    repository: String,
    token: Option<Secret>,
    reach: Reach,
    deadline: Duration,
    /// When the whole conversation is over.
    end: Option<Instant>,
    /// What a token is asked for, where the registry does not say.
    actions: &'static str,
}

impl Registry {
    /// Takes `oci://HOST/NAME`, or the same with another scheme.
    pub(crate) fn new(url: &Url, reach: Reach, deadline: Duration) -> Self {
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
        let base = base.unwrap_or_else(|_| url.clone());
        Self { base, repository, token: None, reach, deadline, end: None, actions: "pull" }
    }

    /// Ends the conversation then, however many requests it has.
    #[must_use]
    pub(crate) fn until(mut self, end: Instant) -> Self {
        self.end = Some(end);
        self
    }

    /// Asks for the right to push, too.
    #[must_use]
    pub(crate) fn pushing(mut self) -> Self {
        self.actions = "pull,push";
        self
    }

    /// Returns what people know it by.
    pub(crate) fn place(&self) -> String {
        format!("oci://{}/{}", self.base.authority(), self.repository)
    }

    /// Returns the address of something in the repository.
    pub(crate) fn url(&self, rest: &str) -> Url {
        self.base.with_rest(format!("/v2/{}/{rest}", self.repository))
    }

    /// Returns the address that the registry itself names.
    pub(crate) fn join(&self, location: &str) -> Option<Url> {
        let url = self.base.join(location).ok()?;
        url.same_origin(&self.base).then(|| url.with_credentials_of(&self.base))
    }

    /// Asks for something.
    pub(crate) fn get(&mut self, url: &Url, accept: Option<&str>) -> Result<Answer, HttpError> {
        let mut request = Request::get(url, self.deadline);
        if let Some(accept) = accept {
            request = request.header("Accept", accept);
        }
        self.ask(request)
    }

    /// Sends something.
    pub(crate) fn send(
        &mut self,
        verb: Verb,
        url: &Url,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Answer, HttpError> {
        let request = Request::send(verb, url, body, self.deadline).header("Content-Type", kind);
        self.ask(request)
    }

    /// Sends a request; where a token is missing, gets one and sends it again.
    fn ask(&mut self, mut request: Request<'_>) -> Result<Answer, HttpError> {
        if let Some(end) = self.end {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let reason = "the time for it is over".to_owned();
                return Err(HttpError::Unreachable { url: request.url.clone(), reason });
            }
            request.deadline = request.deadline.min(left);
        }
        let send = |token: Option<Secret>| {
            let mut request = request.clone();
            request.reach = self.reach.clone();
            request.authorization = token;
            request.accepted = &[401];
            http::send(&request)
        };
        let answer = send(self.token.clone())?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let refused = HttpError::Refused { url: request.url.clone(), status: 401 };
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
        let scope = value("scope")
            .unwrap_or_else(|| format!("repository:{}:{}", self.repository, self.actions));
        let mut query = format!("{}?scope={}", realm.path(), escaped(&scope));
        if let Some(service) = value("service") {
            query.push_str(&format!("&service={}", escaped(&service)));
        }
        let url = realm.with_rest(query);
        let mut request = Request::get(&url, self.deadline);
        request.reach = self.reach.clone();
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
pub(crate) fn escaped(text: &str) -> String {
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

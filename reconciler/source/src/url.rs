//! Addresses that may hold credentials and never show them.

use std::{fmt, sync::Arc};

/// A credential: it has no Display, Debug or Serialize, so it cannot be printed (law 10).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the credential, to be sent to whom it belongs and nowhere else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

/// An address with a scheme. Credentials in it are used, and never printed.
///
/// Shared, so that errors which name it stay small.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Url(Arc<Parts>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Parts {
    scheme: String,
    user: Option<String>,
    password: Option<Secret>,
    /// Host and port, lower case; empty for `file`.
    authority: String,
    /// Everything after the authority: path, and query if there is one.
    rest: String,
}

/// The text is not an address of a kind that is known here.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotAUrl {
    /// There is no `scheme://`.
    #[error("there is no `scheme://`")]
    NoScheme,
    /// There is no host, or it holds a character that no host has.
    #[error("the host is missing or has a character that no host has")]
    BadHost,
    /// There is a white space or control character.
    #[error("it holds a space or a control character")]
    BadCharacter,
}

impl Url {
    /// Reads `scheme://[user[:password]@]host[:port]/path[?query]`, or the short form of ssh, `user@host:path`.
    pub fn parse(text: &str) -> Result<Self, NotAUrl> {
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NotAUrl::BadCharacter);
        }
        let Some((scheme, after)) = text.split_once("://") else {
            return Self::parse_short_ssh(text).ok_or(NotAUrl::NoScheme);
        };
        let scheme = scheme.to_ascii_lowercase();
        if scheme == "file" {
            let rest = after.strip_prefix("localhost").unwrap_or(after).to_owned();
            if !rest.starts_with('/') {
                return Err(NotAUrl::BadHost);
            }
            let authority = String::new();
            return Ok(Self(Arc::new(Parts {
                scheme,
                user: None,
                password: None,
                authority,
                rest,
            })));
        }
        let (authority, rest) = match after.find(['/', '?']) {
            Some(at) => after.split_at(at),
            None => (after, ""),
        };
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None => (None, authority),
        };
        let (user, password) = match userinfo {
            None => (None, None),
            Some(userinfo) => match userinfo.split_once(':') {
                Some((user, password)) => {
                    (Some(unescape(user)), Some(Secret::new(unescape(password))))
                }
                None => (Some(unescape(userinfo)), None),
            },
        };
        Self::checked(scheme, user, password, host, rest.to_owned())
    }

    fn parse_short_ssh(text: &str) -> Option<Self> {
        let (userinfo, path) = text.split_once(':')?;
        let (user, host) = userinfo.split_once('@')?;
        if userinfo.contains('/') || path.is_empty() {
            return None;
        }
        // `host:path` is relative to the home folder; ssh://host/~/path says the same in long form.
        let rest = if path.starts_with('/') { path.to_owned() } else { format!("/~/{path}") };
        Self::checked("ssh".to_owned(), Some(user.to_owned()), None, host, rest).ok()
    }

    fn checked(
        scheme: String,
        user: Option<String>,
        password: Option<Secret>,
        host: &str,
        rest: String,
    ) -> Result<Self, NotAUrl> {
        let authority = host.to_ascii_lowercase();
        let known = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        // A host or user that starts with `-` would be read as an option by ssh (CVE-2017-1000117).
        let option = |text: &str| text.starts_with('-');
        if authority.is_empty()
            || !authority.chars().all(known)
            || option(&authority)
            || user.as_deref().is_some_and(option)
        {
            return Err(NotAUrl::BadHost);
        }
        // Escapes can hide a line feed, which would say something else to a credential helper
        // (CVE-2020-5260), and an `@`, which would show another host than the one that is meant.
        let odd = |c: char| c.is_control() || c.is_whitespace();
        let hides = |text: &str| text.chars().any(|c| odd(c) || "@/:?#".contains(c));
        if (scheme == "ssh" && user.as_deref().is_some_and(hides))
            || user.as_deref().is_some_and(|user| user.chars().any(odd))
            || password.as_ref().is_some_and(|password| password.expose().chars().any(odd))
        {
            return Err(NotAUrl::BadCharacter);
        }
        Ok(Self(Arc::new(Parts { scheme, user, password, authority, rest })))
    }

    /// Returns the scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.0.scheme
    }

    /// Returns host and port; empty for `file`.
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// Returns the host without the port.
    pub fn host(&self) -> &str {
        match self.0.authority.rsplit_once(':') {
            Some((host, port)) if port.chars().all(|c| c.is_ascii_digit()) => host,
            _ => &self.0.authority,
        }
    }

    /// Returns the port, if the address names one.
    pub fn port(&self) -> Option<u16> {
        self.0.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }

    /// Returns the path, without the query.
    pub fn path(&self) -> &str {
        self.0.rest.split_once('?').map_or(self.0.rest.as_str(), |(path, _)| path)
    }

    /// Returns the address without credentials: what may be printed, and what is sent to HTTP servers.
    pub fn public(&self) -> String {
        match (&*self.0.scheme, &self.0.user) {
            // The user of ssh is a part of the address (`git@`), not a credential.
            ("ssh", Some(user)) => match self.0.rest.strip_prefix("/~/") {
                Some(path) if self.port().is_none() => {
                    format!("{user}@{}:{path}", self.0.authority)
                }
                _ => format!("ssh://{user}@{}{}", self.0.authority, self.0.rest),
            },
            _ => format!("{}://{}{}", self.0.scheme, self.0.authority, self.0.rest),
        }
    }

    /// Returns whether the way there is encrypted or does not leave this machine.
    pub(crate) fn is_private(&self) -> bool {
        let loopback = || {
            let host = self.host().trim_matches(['[', ']']);
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        };
        self.0.scheme != "http" || loopback()
    }

    /// Returns the user in the address.
    pub(crate) fn user(&self) -> Option<&str> {
        self.0.user.as_deref()
    }

    /// Returns the password in the address.
    pub(crate) fn password(&self) -> Option<&Secret> {
        self.0.password.as_ref()
    }

    /// Returns the same server with another path and query.
    pub(crate) fn with_rest(&self, rest: impl Into<String>) -> Self {
        Self(Arc::new(Parts { rest: rest.into(), ..(*self.0).clone() }))
    }

    /// Returns path and query.
    pub(crate) fn rest(&self) -> &str {
        &self.0.rest
    }

    /// Returns the address that `reference` means where `self` is the page it stands on (RFC 3986, without dot segments).
    pub(crate) fn join(&self, reference: &str) -> Result<Self, NotAUrl> {
        if reference.contains("://") {
            return Self::parse(reference);
        }
        if reference.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(NotAUrl::BadCharacter);
        }
        if let Some(after) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{after}", self.0.scheme));
        }
        if reference.starts_with('/') {
            return Ok(self.with_rest(reference));
        }
        let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        Ok(self.with_rest(format!("{folder}/{reference}")))
    }

    /// Returns whether `other` is the same server, so that credentials for one fit the other.
    pub(crate) fn same_origin(&self, other: &Self) -> bool {
        self.0.scheme == other.0.scheme && self.0.authority == other.0.authority
    }

    /// Returns the same address with the credentials of `other`.
    pub(crate) fn with_credentials_of(&self, other: &Self) -> Self {
        let (user, password) = (other.0.user.clone(), other.0.password.clone());
        Self(Arc::new(Parts { user, password, ..(*self.0).clone() }))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns `text` without credentials, whether or not it is an address: for messages about text that does not parse.
pub(crate) fn without_credentials(text: &str) -> String {
    let Some((scheme, after)) = text.split_once("://") else { return text.to_owned() };
    let authority_end = after.find(['/', '?', '#']).unwrap_or(after.len());
    match after.get(..authority_end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{}", after.get(at + 1..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Resolves `%41`; what is not a valid escape stays as it is.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .filter(|hex| hex.iter().all(u8::is_ascii_hexdigit))
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escaped {
            Some(value) => {
                bytes.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_and_never_shown() {
        let url = Url::parse("https://ann:c%40nary@Git.Example.edu:8443/lab/site.git").unwrap();
        assert_eq!(url.user(), Some("ann"));
        assert_eq!(url.password().unwrap().expose(), "c@nary");
        assert_eq!(url.port(), Some(8443));
        assert_eq!(format!("{url} {url:?}"), {
            let shown = "https://git.example.edu:8443/lab/site.git";
            format!("{shown} {shown}")
        });
        assert_eq!(without_credentials("https://x:canary@h h/p@q"), "https://h h/p@q");
    }

    #[test]
    fn the_short_form_of_ssh_is_an_address() {
        let url = Url::parse("git@git.example.edu:lab/site.git").unwrap();
        assert_eq!(url.path(), "/~/lab/site.git");
        assert_eq!(url.to_string(), "git@git.example.edu:lab/site.git");
        let absolute = Url::parse("git@git.example.edu:/srv/site.git").unwrap();
        assert_eq!(absolute.path(), "/srv/site.git");
    }

    #[test]
    fn hosts_that_a_program_would_read_as_an_option_are_refused() {
        for text in ["ssh://-oProxyCommand=x/y", "-x@host:path", "ssh://-x@host/p", "https://"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
        for text in [
            "https://h/a b",
            "https://a%0ahost=evil@h/x",
            "https://a:b%0a@h/x",
            "ssh://a%40evil/@h/x",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn references_are_joined() {
        let page = Url::parse("https://h/charts/index.yaml?x=1").unwrap();
        let joined = |reference| page.join(reference).unwrap().to_string();
        assert_eq!(joined("a-1.tgz"), "https://h/charts/a-1.tgz");
        assert_eq!(joined("/b.tgz"), "https://h/b.tgz");
        assert_eq!(joined("//other/c"), "https://other/c");
        assert_eq!(joined("http://other/c?d"), "http://other/c?d");
    }
}

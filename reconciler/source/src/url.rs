//! Addresses that may hold credentials and never show them.

use std::{fmt, sync::Arc};

use sitewright_model::digest::Digest;

/// A credential: it has no Display, Debug or Serialize, so it cannot be printed (law 10).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Takes a credential; from here on nothing can print it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the credential, to be sent to whom it belongs and nowhere else.
    pub fn expose(&self) -> &str {
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
    /// The path of an address of ssh would be taken for an option there (CVE-2017-1000117).
    #[error("its path starts with `-`")]
    PathIsOption,
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
        // RFC 3986, section 3.1
        let known = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(known) {
            return Err(NotAUrl::NoScheme);
        }
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
        // What looks like a port and is none is the beginning of a password with a slash in it.
        if is_no_host(&authority) {
            return Err(NotAUrl::BadHost);
        }
        if authority.is_empty()
            || !authority.chars().all(known)
            || option(&authority)
            || user.as_deref().is_some_and(option)
        {
            return Err(NotAUrl::BadHost);
        }
        if scheme == "ssh" && rest.strip_prefix("/~/").is_some_and(option) {
            return Err(NotAUrl::PathIsOption);
        }
        // Escapes can hide a line feed, which would say something else to a credential helper
        // (CVE-2020-5260), and an `@`, which would show another host than the one that is meant. The user of ssh
        // is shown as it is, and read again, so it holds nothing that is read in another way then.
        let odd = |c: char| c.is_control() || c.is_whitespace();
        let hides = |text: &str| text.chars().any(|c| odd(c) || "@/:?#%".contains(c));
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

    /// Returns the address as it may be printed: without credentials, and without a query, which may hold
    /// one too (a signature, `?token=`).
    pub fn public(&self) -> String {
        self.with_rest(without_query(self.scheme(), &self.0.rest)).address()
    }

    /// Returns the address without the user and the password, but with the query: what a server is asked for.
    /// Never to be shown.
    pub(crate) fn address(&self) -> String {
        match (&*self.0.scheme, &self.0.user) {
            // The user of ssh is a part of the address (`git@`), not a credential.
            ("ssh", Some(user)) => match self.0.rest.strip_prefix("/~/") {
                Some(path) if self.port().is_none() && is_short_path(path) => {
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

    /// Returns the same address with a login, which is used and never shown.
    #[must_use]
    pub fn with_login(&self, user: &str, password: &str) -> Self {
        let (user, password) = (Some(user.to_owned()), Some(Secret::new(password)));
        Self(Arc::new(Parts { user, password, ..(*self.0).clone() }))
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

    /// Returns the address with `end` behind its path.
    #[must_use]
    pub fn below(&self, end: &str) -> Self {
        let path = self.path();
        let query = self.0.rest.get(path.len()..).unwrap_or_default();
        self.with_rest(format!("{}{end}{query}", path.trim_end_matches('/')))
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

/// Returns `text` as [`Url::public`] has it, whether or not it is an address: for messages, keys, and text that
/// does not parse. A folder and a reference behind the address of a repository (`//sites/lab@main`) stay.
pub fn public(text: &str) -> String {
    let Some((scheme, after)) = text.split_once("://") else { return text.to_owned() };
    let after = without_query(scheme, after);
    let (address, folder) = after.split_at(after.find("//").unwrap_or(after.len()));
    let (authority, rest) =
        address.split_at(address.find(['/', '?', '#']).unwrap_or(address.len()));
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (userinfo, format!("{host}{rest}")),
        // A password with a slash in it that is not escaped: the host is what comes behind it.
        None if is_no_host(authority) && address.contains('@') => {
            let (userinfo, host) = address.rsplit_once('@').unwrap_or_default();
            (userinfo, host.to_owned())
        }
        None => ("", address.to_owned()),
    };
    // The user of ssh is a part of the address (`git@`), not a credential.
    let user = userinfo.split(':').next().filter(|user| scheme == "ssh" && !user.is_empty());
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    format!("{scheme}://{user}{host}{folder}")
}

/// Returns what tells `text` from other addresses and may be shown: [`public`], with a digest of the query.
pub(crate) fn identity(text: &str) -> String {
    match text.split_once('?') {
        Some((_, query)) if text.contains("://") => {
            let digest: String = Digest::of(query).hex().chars().take(12).collect();
            format!("{}?{digest}", public(text))
        }
        _ => public(text),
    }
}

/// Returns whether `user@host:path` means `path` in the home folder, and not an absolute path, an address with a
/// scheme, or nothing.
fn is_short_path(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('/') && !path.contains("://")
}

fn is_no_host(authority: &str) -> bool {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    port.filter(|port| !port.is_empty())
        .is_some_and(|port| !port.ends_with(']') && port.parse::<u16>().is_err())
}

/// Takes away `?…`, and `#…` unless it is in the folder or reference behind `//`.
fn without_query<'a>(scheme: &str, address: &'a str) -> &'a str {
    // A path may hold these, and there is nobody to ask.
    if matches!(scheme, "ssh" | "file") {
        return address;
    }
    let address = address.split('?').next().unwrap_or(address);
    match (address.find('#'), address.find("//")) {
        (Some(at), folder) if folder.is_none_or(|folder| at < folder) => {
            address.get(..at).unwrap_or(address)
        }
        _ => address,
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
    }

    #[test]
    fn what_is_shown_of_a_text_holds_no_credential() {
        for (text, shown) in [
            ("https://x:canary@h h/p@q", "https://h h/p@q"),
            ("https://x:can/ary@h/p", "https://h/p"),
            ("https://h/p?token=canary", "https://h/p"),
            ("https://canary@h/p#canary", "https://h/p"),
            ("https://x:canary@h?token=canary", "https://h"),
            ("https://canary@h/s.git//sites/a@v1#2", "https://h/s.git//sites/a@v1#2"),
            ("https://h/p?next=https://x?token=canary", "https://h/p"),
            ("ssh://git:canary@h/s.git", "ssh://git@h/s.git"),
            ("ssh://git@h:22/s.git//a@v1", "ssh://git@h:22/s.git//a@v1"),
            ("git@h:s.git//a", "git@h:s.git//a"),
            ("https://[::1]:80/p", "https://[::1]:80/p"),
            ("https://[::1]/p@q", "https://[::1]/p@q"),
            ("file:///srv/a#b?c", "file:///srv/a#b?c"),
            ("sites/lab", "sites/lab"),
        ] {
            assert_eq!(public(text), shown);
            assert_eq!(public(shown), shown, "again");
        }
        let signed = Url::parse("https://h/x?X-Amz-Signature=canary#canary").unwrap();
        assert_eq!(format!("{signed} {signed:?}"), "https://h/x https://h/x");
        assert!(signed.address().contains("Signature=canary"));
        assert!(Url::parse("https://x:can/ary@h/p").is_err());
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
    fn an_address_is_read_again_as_it_is_shown() {
        for text in [
            "ssh://git@h/~/lab/site.git",
            "ssh://git@h/~//lab/site.git",
            "ssh://git@h/~/",
            "ssh://git@h/~/a://b",
            "ssh://git@h:22/~/a",
            "git@h:lab",
            "git@h:/srv/lab",
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(Url::parse(&url.public()), Ok(url), "{text}");
        }
        for text in ["git@h:a://b", "ssh://a%2541@h/x", "a%41@h:x", "://h/x"] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_that_a_program_would_read_as_an_option_are_refused() {
        for text in [
            "ssh://-oProxyCommand=x/y",
            "-x@host:path",
            "ssh://-x@host/p",
            "https://",
            "git@host:-x",
            "ssh://host/~/--exec=x",
        ] {
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
        let joined = |reference| page.join(reference).unwrap().address();
        assert_eq!(joined("a-1.tgz"), "https://h/charts/a-1.tgz");
        assert_eq!(joined("/b.tgz"), "https://h/b.tgz");
        assert_eq!(joined("//other/c"), "https://other/c");
        assert_eq!(joined("http://other/c?d"), "http://other/c?d");
    }
}

//! Who we are to a server: from the address, the environment, `~/.netrc`, or git's credential helpers.
//!
//! A credential is only ever sent to the host that it belongs to.

use std::{env, fs, path::PathBuf, time::Duration};

use crate::{
    process::{self, Program},
    url::{Secret, Url},
};

/// The token for one git host; the host is in [`HOST_VARIABLE`], so that no other server is ever sent it.
const TOKEN_VARIABLE: &str = "SITEWRIGHT_GIT_TOKEN";
const HOST_VARIABLE: &str = "SITEWRIGHT_GIT_HOST";

/// The user that goes with a token where the address names none; git hosts look at the token alone.
const TOKEN_USER: &str = "x-access-token";

/// How long a credential helper may take; those that ask a person do not belong here.
const HELPER_DEADLINE: Duration = Duration::from_secs(20);

/// Bytes that a credential helper may print.
const HELPER_BYTES: u64 = 64 * 1024;

/// Bytes of a `.netrc`; real ones have a few lines.
const NETRC_BYTES: u64 = 1024 * 1024;

/// A user and a password.
pub(crate) struct Login {
    user: String,
    password: Secret,
}

impl Login {
    pub(crate) fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: Secret::new(password) }
    }

    /// Returns the value of the header `Authorization`, to be sent and never shown.
    pub(crate) fn header(&self) -> Secret {
        let text = format!("{}:{}", self.user, self.password.expose());
        Secret::new(format!("Basic {}", base64(text.as_bytes())))
    }
}

/// Returns what is known for `url` without asking a program: address, then environment, then `~/.netrc`.
pub(crate) fn known(url: &Url) -> Option<Login> {
    from_address(url).or_else(|| from_environment(url)).or_else(|| from_netrc(url))
}

/// Returns whether there is a token, but for no host or another one; for the hint after a refusal.
pub(crate) fn token_is_for_another_host(url: &Url) -> bool {
    env::var_os(TOKEN_VARIABLE).is_some() && from_environment(url).is_none()
}

fn from_address(url: &Url) -> Option<Login> {
    let password = url.password()?;
    Some(Login { user: url.user().unwrap_or_default().to_owned(), password: password.clone() })
}

fn from_environment(url: &Url) -> Option<Login> {
    let host = env::var(HOST_VARIABLE).ok()?;
    let is_for = |host: &str| {
        let host = host.trim();
        host.eq_ignore_ascii_case(url.host()) || host.eq_ignore_ascii_case(url.authority())
    };
    if !is_for(&host) {
        return None;
    }
    let token = env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())?;
    Some(Login::new(url.user().unwrap_or(TOKEN_USER), token))
}

fn from_netrc(url: &Url) -> Option<Login> {
    let path = match env::var_os("NETRC") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env::var_os("HOME")?).join(".netrc"),
    };
    if fs::metadata(&path).ok()?.len() > NETRC_BYTES {
        return None;
    }
    netrc_login(&fs::read_to_string(path).ok()?, url)
}

/// Finds the login for `url` in the text of a `.netrc`; the first entry that fits wins.
fn netrc_login(text: &str, url: &Url) -> Option<Login> {
    let mut words = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(str::split_whitespace);
    let (mut fits, mut user, mut password) = (false, None, None);
    loop {
        let word = words.next();
        match word {
            Some("machine" | "default") | None => {
                if fits && let Some(password) = password.take() {
                    return Some(Login::new(user.unwrap_or_default(), password));
                }
                fits = match word? {
                    "machine" => words.next()?.eq_ignore_ascii_case(url.host()),
                    _ => true,
                };
                (user, password) = (None, None);
            }
            Some("login") => user = words.next().map(str::to_owned),
            Some("password") => password = words.next().map(str::to_owned),
            Some(_) => {}
        }
        if user.as_deref().is_some_and(|name| url.user().is_some_and(|wanted| wanted != name)) {
            fits = false;
        }
    }
}

/// Asks git's credential helpers, without anything that could prompt a person.
pub(crate) fn ask_git(url: &Url) -> Option<Login> {
    let mut input = format!("protocol={}\nhost={}\n", url.scheme(), url.authority());
    input.push_str(&format!("path={}\n", url.path().trim_start_matches('/')));
    if let Some(user) = url.user() {
        input.push_str(&format!("username={user}\n"));
    }
    input.push('\n');
    let mut git = Program::new("git");
    git.command
        .args(["credential", "fill"])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "")
        .env("SSH_ASKPASS", "")
        .env("GCM_INTERACTIVE", "never")
        .current_dir("/");
    let finished = process::run(git, input.into(), HELPER_DEADLINE, HELPER_BYTES).ok()?;
    if !finished.status.success() {
        return None;
    }
    let answer = String::from_utf8(finished.stdout).ok()?;
    let value = |key: &str| {
        answer.lines().filter_map(|line| line.split_once('=')).find(|(name, _)| *name == key)
    };
    let (_, password) = value("password")?;
    Some(Login::new(value("username").map_or("", |(_, user)| user), password))
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let index = (bits >> (18 - 6 * position)) as usize % LETTERS.len();
            let letter = LETTERS.get(index).copied().map_or('=', char::from);
            text.push(if position <= chunk.len() { letter } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn base64_is_as_in_the_rfc() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn netrc_gives_a_login_to_its_host_alone() {
        let text = "# comment\nmachine a.example login ann password one\n\
                    machine b.example\n  login bob\n  password two\n";
        let login = |address: &str| {
            netrc_login(text, &url(address)).map(|login| login.header().expose().to_owned())
        };
        assert_eq!(login("https://b.example/x").unwrap(), format!("Basic {}", base64(b"bob:two")));
        assert_eq!(
            login("https://A.example:8443/x").unwrap(),
            format!("Basic {}", base64(b"ann:one"))
        );
        assert!(login("https://c.example/x").is_none());
        assert!(login("https://eve@a.example/x").is_none(), "another user's password");
        let default = netrc_login("default login d password e", &url("https://any/x"));
        assert!(default.is_some());
    }
}

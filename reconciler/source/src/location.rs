//! Where a folder is: in a working tree, or in a git repository at a reference.

use std::{fmt, path::PathBuf};

use sitewright_model::code::{self, Code};

use crate::{
    error::Numbered,
    url::{NotAUrl, Url, public},
};

/// Where a folder is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A folder on disk, read as it is now.
    WorkingTree(PathBuf),
    /// A folder of a git repository at a reference, read from the object database.
    Git {
        /// The repository.
        repository: Repository,
        /// The folder within it, `/` between parts; empty for the top.
        path: String,
        /// The branch, tag, range or commit.
        reference: Reference,
    },
}

/// Where a git repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repository {
    /// A folder on disk: a bare repository, or one with a working tree (which is not looked at).
    Local(PathBuf),
    /// On a server: `https`, `http` or `ssh`.
    Remote(Url),
}

/// What is asked of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// What the repository calls its default branch.
    Default,
    /// A branch or tag, or else the beginning of a commit id.
    Named(String),
    /// A whole commit id.
    Commit(String),
    /// The tag with the highest version in a range.
    Range {
        /// As it was written.
        text: String,
        /// The range.
        range: semver::VersionReq,
    },
}

/// The text is not a location.
#[derive(Debug, thiserror::Error)]
pub enum LocationError {
    /// There is nothing.
    #[error("the location is empty")]
    Empty,
    /// The address of the repository cannot be read.
    #[error("`{text}` is not the address of a repository: {problem}")]
    Url {
        /// What was given, without credentials.
        text: String,
        /// What is wrong with it.
        problem: NotAUrl,
    },
    /// The scheme is not one that git is read over.
    #[error("`{scheme}` in `{text}` is not a way to read git")]
    Scheme {
        /// What was given, without credentials.
        text: String,
        /// Its scheme.
        scheme: String,
    },
    /// An `@` in the address, where `//` is missing.
    #[error("`{text}` has an `@` but does not say where the repository ends and the folder starts")]
    NoFolder {
        /// What was given, without credentials.
        text: String,
    },
    /// The reference is empty or no name that git allows.
    #[error("`{0}` is not a branch, tag, range or commit")]
    Reference(String),
    /// The range after `semver:` cannot be read.
    #[error("`{text}` is not a range of versions")]
    Range {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: semver::Error,
    },
}

impl Location {
    /// Reads `PATH` or `REPOSITORY//path@reference`.
    ///
    /// A repository is `https://`, `http://`, `ssh://`, `file://`, `user@host:path`, or a folder on
    /// disk (then `@reference` is what tells it from a plain path). The path may be empty. Without
    /// a reference the default branch is meant.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if text.is_empty() {
            return Err(LocationError::Empty);
        }
        let after_scheme = text.find("://").map_or(0, |at| at + 3);
        let is_remote =
            after_scheme > 0 || Url::parse(text.split("//").next().unwrap_or(text)).is_ok();
        let separator = text.get(after_scheme..).and_then(|rest| rest.find("//"));
        let Some(separator) = separator.map(|at| at + after_scheme) else {
            return if is_remote { Self::whole(text) } else { Ok(Self::WorkingTree(text.into())) };
        };
        let repository = text.get(..separator).unwrap_or_default();
        let folder = text.get(separator + 2..).unwrap_or_default();
        let (path, reference) = match folder.split_once('@') {
            Some((path, reference)) => (path, Reference::parse(reference)?),
            None if is_remote => (folder, Reference::Default),
            None => return Ok(Self::WorkingTree(text.into())),
        };
        Ok(Self::Git {
            repository: Repository::parse(repository)?,
            path: path.trim_matches('/').to_owned(),
            reference,
        })
    }

    fn whole(text: &str) -> Result<Self, LocationError> {
        let repository = Repository::parse(text)?;
        let last = text.rsplit('/').next().unwrap_or_default();
        if text.contains("://") && last.contains('@') {
            return Err(LocationError::NoFolder { text: public(text) });
        }
        Ok(Self::Git { repository, path: String::new(), reference: Reference::Default })
    }
}

impl Repository {
    /// Reads the address of a repository, or the path of a folder on disk.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let looks_remote = text.contains("://") || Url::parse(text).is_ok();
        if !looks_remote {
            return if text.is_empty() {
                Err(LocationError::Empty)
            } else {
                Ok(Self::Local(text.into()))
            };
        }
        let url = Url::parse(text)
            .map_err(|problem| LocationError::Url { text: public(text), problem })?;
        Self::of_url(url)
    }

    /// Returns the repository at an address.
    pub(crate) fn of_url(url: Url) -> Result<Self, LocationError> {
        match url.scheme() {
            "file" => Ok(Self::Local(url.path().into())),
            "https" | "http" | "ssh" => Ok(Self::Remote(url)),
            scheme => {
                Err(LocationError::Scheme { text: url.to_string(), scheme: scheme.to_owned() })
            }
        }
    }
}

impl Reference {
    /// Reads a branch, a tag, `semver:RANGE`, or a commit id.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        if let Some(range) = text.strip_prefix("semver:") {
            return Self::parse_range(text, range);
        }
        let allowed = |name: &str| {
            git2::Reference::is_valid_name(&format!("refs/heads/{name}")) && !name.starts_with('-')
        };
        let bare = text.strip_prefix("refs/").map_or(text, |_| "x");
        if text.is_empty()
            || !allowed(bare)
            || (bare != text && !git2::Reference::is_valid_name(text))
        {
            return Err(LocationError::Reference(text.to_owned()));
        }
        let is_commit = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Ok(if is_commit {
            Self::Commit(text.to_ascii_lowercase())
        } else {
            Self::Named(text.to_owned())
        })
    }

    fn parse_range(text: &str, range: &str) -> Result<Self, LocationError> {
        // `>=1.2 <2` is how most write it; the crate wants commas.
        let parts: Vec<&str> = range.split([' ', ',']).filter(|part| !part.is_empty()).collect();
        let range = semver::VersionReq::parse(&parts.join(","))
            .map_err(|source| LocationError::Range { text: text.to_owned(), source })?;
        Ok(Self::Range { text: text.to_owned(), range })
    }

    /// Returns the reference as it was written; none for the default branch.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::Named(text) | Self::Commit(text) | Self::Range { text, .. } => Some(text),
        }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(folder) => write!(f, "{}", folder.display()),
            Self::Remote(url) => write!(f, "{url}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkingTree(folder) => write!(f, "{}", folder.display()),
            Self::Git { repository, path, reference } => {
                write!(f, "{repository}//{path}")?;
                reference.text().map_or(Ok(()), |reference| write!(f, "@{reference}"))
            }
        }
    }
}

impl Numbered for LocationError {
    fn code(&self) -> Code {
        code::source::BAD_LOCATION
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Empty | Self::Url { .. } | Self::NoFolder { .. } => {
                "write a folder, such as `sites/lab-gpu`, or `REPOSITORY//folder@reference`, such as \
                 `https://git.example.edu/lab/site.git//sites/lab-gpu@main`"
                    .to_owned()
            }
            Self::Scheme { .. } => {
                "use https://, http://, ssh://, file:// or user@host:path".to_owned()
            }
            Self::Reference(_) => {
                "write a branch (`main`), a tag (`v1.2.0`), `semver:1.x`, or a commit id".to_owned()
            }
            Self::Range { .. } => {
                "write for example `semver:1.x`, `semver:^1.2` or `semver:>=1.2 <2`".to_owned()
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(text: &str) -> (String, String, Reference) {
        match Location::parse(text).unwrap() {
            Location::Git { repository, path, reference } => {
                (repository.to_string(), path, reference)
            }
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn a_plain_path_is_a_working_tree() {
        for text in ["sites/lab-gpu", ".", "/srv/site", "a//b", "team@2/site"] {
            assert_eq!(Location::parse(text).unwrap(), Location::WorkingTree(text.into()));
        }
    }

    #[test]
    fn a_repository_has_a_folder_and_a_reference() {
        let named = |text: &str| Reference::Named(text.to_owned());
        assert_eq!(
            git("https://git.example.edu/site.git//sites/lab@release/1"),
            ("https://git.example.edu/site.git".into(), "sites/lab".into(), named("release/1"))
        );
        assert_eq!(
            git("git@h:lab/site.git//sites/lab"),
            ("git@h:lab/site.git".into(), "sites/lab".into(), Reference::Default)
        );
        assert_eq!(
            git("./site//sites/lab@main"),
            ("./site".into(), "sites/lab".into(), named("main"))
        );
        assert_eq!(git("file:///srv/s.git//@v1"), ("/srv/s.git".into(), "".into(), named("v1")));
        assert_eq!(git("https://u:canary@h/s.git").0, "https://h/s.git");
        assert_eq!(git("git@h:s.git").1, "");
    }

    #[test]
    fn references_are_told_apart() {
        let commit = "0123456789ABCDEF0123456789abcdef01234567";
        assert_eq!(
            Reference::parse(commit).unwrap(),
            Reference::Commit(commit.to_ascii_lowercase())
        );
        let Reference::Range { range, .. } = Reference::parse("semver:>=1.2 <2").unwrap() else {
            panic!("not a range")
        };
        assert!(range.matches(&"1.9.0".parse().unwrap()));
        assert!(!range.matches(&"2.0.0".parse().unwrap()));
        assert!(Reference::parse("refs/heads/main").is_ok());
        for text in ["", "-x", "a..b", "a b", "semver:banana", "refs/../x"] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mistake_never_shows_a_credential() {
        for text in
            ["https://u:canary@h/site.git@main", "ftp://u:canary@h/x", "https://u:canary@h h/x"]
        {
            let error = Location::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }
}

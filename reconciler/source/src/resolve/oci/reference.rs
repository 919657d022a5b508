//! References to images, as people and runtimes write them.

use crate::{
    resolve::{Unresolved, shown},
    url::Url,
};

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// `oci://HOST/NAME`.
    pub(super) url: Url,
    /// The tag, if one was written.
    pub(super) tag: Option<String>,
    /// The digest, if one was written.
    pub(super) digest: Option<String>,
}

impl Reference {
    /// Reads `oci://host/name[:tag][@digest]`, or the same without a scheme, where a missing host is `docker.io`.
    pub(super) fn parse(text: &str) -> Result<Self, Unresolved> {
        let unknown = || Unresolved::Unknown(format!("`{}` names no image", shown(text)));
        let known = ["oci://", "docker://", "docker-pullable://"];
        let scheme = known.iter().find(|scheme| text.starts_with(**scheme));
        let bare = scheme.and_then(|scheme| text.strip_prefix(scheme)).unwrap_or(text);
        let (bare, digest) = match bare.split_once('@') {
            Some((bare, digest)) => (bare, Some(digest.to_owned())),
            None => (bare, None),
        };
        let (name, tag) = match bare.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (bare, None),
        };
        let full = match name.split_once('/') {
            Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
            Some(_) => format!("docker.io/{name}"),
            None => format!("docker.io/library/{name}"),
        };
        // the name becomes a part of addresses
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:[]".contains(c);
        let is_word =
            |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if name.is_empty()
            || !full.chars().all(allowed)
            || full.split('/').any(|part| matches!(part, "" | "." | ".."))
            || full.split('/').skip(1).any(|part| part.contains([':', '[', ']']))
            || tag.as_deref().is_some_and(|tag| !is_word(tag) || tag.is_empty())
        {
            return Err(unknown());
        }
        let url = Url::parse(&format!("oci://{full}")).map_err(|_| unknown())?;
        Ok(Self { url, tag, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_runtimes_write_them() {
        let read = |text: &str| {
            let Reference { url, tag, digest } = Reference::parse(text).unwrap();
            (url.to_string(), tag.unwrap_or_default(), digest.is_some())
        };
        let is = |url: &str, tag: &str, digest| (url.to_owned(), tag.to_owned(), digest);
        assert_eq!(read("busybox"), is("oci://docker.io/library/busybox", "", false));
        assert_eq!(read("team/x:1"), is("oci://docker.io/team/x", "1", false));
        assert_eq!(
            read("oci://h.example:5000/a/b:v1@sha256:ab"),
            is("oci://h.example:5000/a/b", "v1", true)
        );
        assert_eq!(
            read("docker-pullable://h.example/a@sha256:ab"),
            is("oci://h.example/a", "", true)
        );
        for text in ["", "h.example/../x", "h.example/a:../b", "h.example/a?b", "h.example//a"] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}

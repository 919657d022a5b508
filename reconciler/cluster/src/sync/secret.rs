//! What a SiteSync's Secret holds, in a form that cannot be printed.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

/// The keys and values of a Secret: no Display, no Debug, no Serialize (law 10).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretData(BTreeMap<String, Vec<u8>>);

impl SecretData {
    pub(super) fn of(secret: Secret) -> Self {
        let data = secret.data.unwrap_or_default();
        Self(data.into_iter().map(|(key, value)| (key, value.0)).collect())
    }

    /// Returns a value as text without white space around it; none where there is none, or it is no text.
    pub fn text(&self, key: &str) -> Option<&str> {
        let value = std::str::from_utf8(self.0.get(key)?).ok()?.trim();
        Some(value).filter(|value| !value.is_empty())
    }
}

/// Keys and values that somebody has already.
impl<'a> FromIterator<(&'a str, &'a str)> for SecretData {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.as_bytes().to_vec());
        Self(pairs.into_iter().map(owned).collect())
    }
}

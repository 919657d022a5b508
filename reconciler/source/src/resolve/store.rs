//! The stores that the site names: where they are, and who we are there.
//!
//! What somebody claims names a bucket or a repository, and never a server: that is the site's to say.

use std::fmt;

use crate::url::{Secret, Url};

/// Stores of data, by their kind.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// S3, and what speaks as it does.
    pub s3: Vec<S3>,
    /// lakeFS.
    pub lakefs: Vec<LakeFs>,
    /// Catalogs of Iceberg.
    pub iceberg: Vec<Catalog>,
}

/// A server of buckets.
#[derive(Clone)]
pub struct S3 {
    /// Its address, such as `https://rgw.example.org`.
    pub endpoint: Url,
    /// Its region; `us-east-1` where it has none.
    pub region: String,
    /// The buckets that are asked for there; none for all.
    pub buckets: Option<Vec<String>>,
    /// Who we are; nobody for public buckets.
    pub login: Option<S3Login>,
    /// Whether a name that ends in `/` leads to the list of what is below it.
    pub list: bool,
}

/// Who we are to a server of buckets.
#[derive(Clone)]
pub struct S3Login {
    /// The id of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
    /// What goes with a key for a time.
    pub session: Option<Secret>,
}

/// A server of lakeFS.
#[derive(Clone)]
pub struct LakeFs {
    /// Its address, without `/api/v1`.
    pub endpoint: Url,
    /// The id of the key.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
}

/// A catalog of Iceberg, by its REST protocol.
#[derive(Clone)]
pub struct Catalog {
    /// What it is called in `iceberg://NAME/namespace.table`.
    pub name: String,
    /// Its address, without `/v1`.
    pub endpoint: Url,
    /// What the catalog wants between `/v1/` and `/namespaces`, if anything.
    pub prefix: Option<String>,
    /// A bearer token.
    pub token: Option<Secret>,
}

// Who we are there is nobody's to see.
impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3({})", self.endpoint)
    }
}

impl fmt::Debug for LakeFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeFs({})", self.endpoint)
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalog({} at {})", self.name, self.endpoint)
    }
}

impl Stores {
    /// Returns the first server that is asked for `bucket`; one that names it before one that takes any.
    pub(super) fn s3(&self, bucket: &str) -> Option<&S3> {
        let names = |store: &&S3| {
            store.buckets.as_ref().is_some_and(|all| all.iter().any(|one| one == bucket))
        };
        self.s3.iter().find(names).or_else(|| self.s3.iter().find(|store| store.buckets.is_none()))
    }
}

//! The head: which generation of shards is in force.

use serde_json::{Value, json};
use sitewright_model::name::SiteName;

use super::{metadata, unreadable, version_of, write};
use crate::{Error, client::http::Http};

/// The format of head and shards.
pub(super) const FORMAT: &str = "sitewright.dev/inventory/v1";

/// The head of an inventory, as last read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) generation: u64,
    pub(super) shards: usize,
    version: String,
}

pub(super) fn name(site: &SiteName) -> String {
    format!("sitewright-{site}")
}

impl Head {
    pub(super) fn read(map: &Value) -> Result<Self, Error> {
        expect_format(map)?;
        let number = |key: &str| {
            let text = map.get("data").and_then(|data| data.get(key)).and_then(Value::as_str);
            text.and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(|| unreadable(map, &format!("`data.{key}` is not a number")))
        };
        let shards = usize::try_from(number("shards")?).unwrap_or(usize::MAX);
        Ok(Self { generation: number("generation")?, shards, version: version_of(map) })
    }

    /// Writes the head of an empty inventory: from now on, missing shards are a damage.
    pub(super) async fn create(http: &Http, site: &SiteName) -> Result<Self, Error> {
        let head = Self { generation: 0, shards: 0, version: String::new() };
        let version = write(http, &head.body(site)).await?;
        Ok(Self { version, ..head })
    }

    /// Puts another generation in force.
    pub(super) async fn point_to(
        self,
        http: &Http,
        site: &SiteName,
        generation: u64,
        shards: usize,
    ) -> Result<Self, Error> {
        let head = Self { generation, shards, version: self.version };
        let version = write(http, &head.body(site)).await?;
        Ok(Self { version, ..head })
    }

    fn body(&self, site: &SiteName) -> Value {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": metadata(site, &name(site), &self.version),
            "data": {
                "format": FORMAT,
                "generation": self.generation.to_string(),
                "shards": self.shards.to_string(),
            },
        })
    }
}

/// An unknown format is an error: an old program must not take a newer inventory for damaged or empty.
pub(super) fn expect_format(map: &Value) -> Result<(), Error> {
    let format = map.get("data").and_then(|data| data.get("format")).and_then(Value::as_str);
    match format {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(unreadable(map, &format!("its format is `{other}`, not `{FORMAT}`"))),
        None => Err(unreadable(map, "`data.format` is missing")),
    }
}

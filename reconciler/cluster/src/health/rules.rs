//! The health rules of all components, compiled, with what of the cluster a verdict looks at.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sitewright_model::{desired::Desired, health::Rules, name::ComponentName, object::GroupKind};

use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
};

/// The rules of each component.
pub(crate) type RulesOf<'a> = BTreeMap<&'a ComponentName, Rules>;

/// Compiles the rules of all components.
///
/// # Errors
/// [`Error::HealthRule`].
pub(crate) fn compile<'a>(
    desired: &'a Desired,
    late_binding: &BTreeSet<String>,
) -> Result<RulesOf<'a>, Error> {
    let compiled = desired.components.iter().map(|component| {
        let rules = Rules::compile(&component.health).map_err(|errors| {
            let why = errors.first().map(ToString::to_string).unwrap_or_default();
            Error::HealthRule { component: component.name.clone(), why }
        })?;
        Ok((&component.name, rules.with_late_binding(late_binding.clone())))
    });
    compiled.collect()
}

/// Returns the storage classes that bind a claim only when a pod uses it, on the cluster and in the site.
/// Nothing is asked where the site has no claim; where the classes may not be read, none is known.
pub(crate) async fn late_binding(
    http: &Http,
    desired: &Desired,
) -> Result<BTreeSet<String>, Error> {
    let (claim, class) = (
        GroupKind::new("", "PersistentVolumeClaim"),
        GroupKind::new("storage.k8s.io", "StorageClass"),
    );
    let bodies = |kind: GroupKind| {
        desired
            .objects()
            .filter(move |(_, o)| o.object.id().kind == kind)
            .map(|(_, o)| o.object.expose())
    };
    if bodies(claim).next().is_none() {
        return Ok(BTreeSet::new());
    }
    let live = classes(http).await?;
    Ok(live.iter().chain(bodies(class)).filter_map(late).map(str::to_owned).collect())
}

/// Clusters have a handful of storage classes: one page.
async fn classes(http: &Http) -> Result<Vec<Value>, Error> {
    const WHAT: &str = "StorageClasses";
    let request = Request::list("/apis/storage.k8s.io/v1/storageclasses?limit=500", WHAT);
    let mut list: Value = match http.send(request).await {
        Ok(answer) => answer.json()?,
        Err(Failure::Refused(refused)) if [403, 404].contains(&refused.code) => {
            return Ok(Vec::new());
        }
        Err(failure) => return Err(http.error(failure, Verb::List, WHAT)),
    };
    match list.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => Ok(items),
        _ => Ok(Vec::new()),
    }
}

/// Returns the name of a class that waits for the first consumer.
fn late(class: &Value) -> Option<&str> {
    let waits = class.get("volumeBindingMode")?.as_str()? == "WaitForFirstConsumer";
    class.pointer("/metadata/name")?.as_str().filter(|_| waits)
}

//! A kind that discovery does not have is no proof that its objects are gone (law 2).
//!
//! Its server may not answer for a while, and a definition may serve none of its versions; the objects
//! are in the store all the same. They are gone where no definition of their kind is left.

use serde_json::Value;
use sitewright_model::object::GroupKind;

use super::listing::{self, Content, Query};
use crate::{
    Error,
    client::{
        http::{Failure, Http, Request, Verb},
        path::Resource,
    },
    discovery::Kinds,
};

/// Whether the objects of a kind that is not served are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Nothing defines the kind any more.
    Proven,
    /// They may be there: why.
    Unproven(String),
}

/// Looks whether anything still defines `kind`.
///
/// # Errors
/// Only a signal to stop or a server that is gone.
pub(crate) async fn look(http: &Http, kinds: &Kinds, kind: &GroupKind) -> Result<Absence, Error> {
    let definition = match kinds.expect_fresh(kind) {
        Ok(()) => definition(http, kinds, kind).await,
        Err(error) => Err(error),
    };
    match definition {
        Ok(None) => Ok(Absence::Proven),
        Ok(Some(name)) => Ok(Absence::Unproven(format!("its definition {name} is there"))),
        Err(error) if error.loses_ground() => Err(error),
        Err(error) => Ok(Absence::Unproven(error.to_string())),
    }
}

/// Returns the name of the definition of `kind`. Names end with the group, so that few are read whole.
async fn definition(http: &Http, kinds: &Kinds, kind: &GroupKind) -> Result<Option<String>, Error> {
    if !kind.group.contains('.') {
        return Ok(None); // only Kubernetes itself has groups without a dot, and no definitions of them
    }
    let definitions = GroupKind::new("apiextensions.k8s.io", "CustomResourceDefinition");
    let resource = kinds.preferred(&definitions).ok_or_else(|| Error::BadAnswer {
        verb: "list".into(),
        resource: definitions.to_string(),
        why: "the server does not serve them".into(),
    })?;
    let suffix = format!(".{}", kind.group);
    let is_of_group = |value: &Value| {
        let name = value.pointer("/metadata/name").and_then(Value::as_str);
        name.is_some_and(|name| name.ends_with(&suffix))
    };
    let asked = Query { content: Content::Metadata, ..Query::ALL };
    let most = usize::MAX;
    let (names, _) = listing::sample(http, resource, asked, most, &is_of_group, &|_| false).await?;
    for name in names {
        if defines(http, resource, &name, kind).await? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

async fn defines(
    http: &Http,
    resource: &Resource,
    name: &str,
    kind: &GroupKind,
) -> Result<bool, Error> {
    let what = format!("CustomResourceDefinition {name}");
    let crd: Value = match http.send(Request::get(resource.object(None, name), &what)).await {
        Ok(answer) => answer.json()?,
        Err(Failure::Refused(refused)) if refused.is_not_found() => return Ok(false),
        Err(failure) => return Err(http.error(failure, Verb::Get, &what)),
    };
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str);
    Ok(text("/spec/group") == Some(&kind.group) && text("/spec/names/kind") == Some(&kind.kind))
}

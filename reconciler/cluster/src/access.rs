//! Who somebody is, and what they may see, by the cluster's own word.
//!
//! Comes in: a bearer token. Goes out: who it belongs to (TokenReview), and whether they have a right
//! (SubjectAccessReview). Never: a decision of its own, or a token in a message.

use std::{collections::BTreeMap, time::Duration};

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::{
    Cluster, Error,
    client::http::{Failure, Request, Verb},
};

/// How long the API server may take to say who somebody is, retries included: they wait for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// Somebody whom the cluster knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(default)]
pub struct Person {
    /// What they are called, for example `system:serviceaccount:lab:ada`.
    pub username: String,
    /// Their UID, where they have one.
    pub uid: String,
    /// The groups that they are in.
    pub groups: Vec<String>,
    /// What else the authenticator says of them; some authorizers look at it.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A right: a verb on a resource of a group, somewhere or everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Right<'r> {
    /// The verb.
    pub verb: &'r str,
    /// The API group.
    pub group: &'r str,
    /// The resource, plural.
    pub resource: &'r str,
    /// The namespace; none for all of them.
    pub namespace: Option<&'r str>,
}

#[derive(Deserialize)]
struct Review<S> {
    status: Option<S>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenStatus {
    authenticated: bool,
    user: Person,
    audiences: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AccessStatus {
    allowed: bool,
}

impl Cluster {
    /// Returns whose token this is; none where it is nobody's, or is not meant for `audience`.
    ///
    /// Without an audience, it has to be meant for the API server itself.
    ///
    /// # Errors
    /// The server does not answer, or does not let us ask.
    pub async fn who(&self, token: &str, audience: Option<&str>) -> Result<Option<Person>, Error> {
        let audiences: Vec<&str> = audience.into_iter().collect();
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": audiences },
        });
        let url = "/apis/authentication.k8s.io/v1/tokenreviews";
        let status: TokenStatus = self.review(url, "tokenreviews", body.to_string()).await?;
        // an authenticator that knows no audiences names none: then the token is meant for the API server alone
        let is_meant = audience.is_none_or(|ours| status.audiences.iter().any(|one| one == ours));
        let is_known = status.authenticated && is_meant && !status.user.username.is_empty();
        Ok(is_known.then_some(status.user))
    }

    /// Returns whether somebody has a right.
    ///
    /// # Errors
    /// The server does not answer, or does not let us ask.
    pub async fn may(&self, person: &Person, right: &Right<'_>) -> Result<bool, Error> {
        let mut attributes = json!({
            "verb": right.verb,
            "group": right.group,
            "resource": right.resource,
        });
        if let (Some(map), Some(namespace)) = (attributes.as_object_mut(), right.namespace) {
            map.insert("namespace".to_owned(), json!(namespace));
        }
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": person.username,
                "uid": person.uid,
                "groups": person.groups,
                "extra": person.extra,
                "resourceAttributes": attributes,
            },
        });
        let url = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        let status: AccessStatus =
            self.review(url, "subjectaccessreviews", body.to_string()).await?;
        Ok(status.allowed)
    }

    async fn review<S: serde::de::DeserializeOwned + Default>(
        &self,
        url: &str,
        what: &str,
        body: String,
    ) -> Result<S, Error> {
        let request = Request::post(Verb::Create, url.to_owned(), what, body.into_bytes());
        match self.http.send(request.within(DEADLINE)).await {
            Ok(answer) => Ok(answer.json::<Review<S>>()?.status.unwrap_or_default()),
            // what the server says may quote the token
            Err(Failure::Refused(refused)) if is_about_the_token(refused.code) => {
                Err(Error::Refused {
                    verb: Verb::Create.text().into(),
                    resource: what.to_owned(),
                    why: "the token is not one that can be judged".to_owned(),
                })
            }
            Err(failure) => Err(failure.into_error(Verb::Create, what)),
        }
    }
}

fn is_about_the_token(code: u16) -> bool {
    code == StatusCode::BAD_REQUEST.as_u16() || code == StatusCode::UNPROCESSABLE_ENTITY.as_u16()
}

//! Creates objects for somebody, with that person's own rights: never changes one that is there.

use serde_json::Value;
use sitewright_model::{digest::canonical_json, object::GroupKind};

use crate::{
    Connection, Error,
    client::{
        self,
        http::{Failure, Http, Request, Verb},
        path,
    },
    discovery::Kinds,
};

/// The field manager of what is created.
const MANAGER: &str = "sitewright-submit";

/// A way to create objects.
///
/// Unlike a [`Cluster`](crate::Cluster) it asks nothing that a person with rights in one namespace may not.
pub struct Creator {
    http: Http,
    kinds: Kinds,
}

/// Returns the namespace of the kubeconfig's context; asks nothing of the cluster.
///
/// # Errors
/// There is no kubeconfig, or it cannot be used.
pub async fn namespace(connection: &Connection) -> Result<String, Error> {
    client::namespace(connection).await
}

impl Creator {
    /// Connects, and asks which kinds are served. Costs two requests.
    ///
    /// # Errors
    /// There is no cluster, or it lets nobody in with these credentials.
    pub async fn connect(connection: &Connection) -> Result<Self, Error> {
        let http = client::reach(connection).await?;
        let kinds = Kinds::discover(&http).await?;
        Ok(Self { http, kinds })
    }

    /// Asks the server whether it would create an object; nothing is created.
    ///
    /// # Errors
    /// It would not, or does not answer.
    pub async fn check(&self, object: &Value) -> Result<(), Error> {
        let request = self.request(object, Verb::DryRun)?;
        self.http.ask(request).await.map(drop)
    }

    /// Creates an object, and returns it as the server has it.
    ///
    /// `is_unique` says that nobody else can have chosen its name: one that is there is then this one, the answer about
    /// which was lost on the way.
    ///
    /// # Errors
    /// The server refuses, or does not answer.
    pub async fn create(&self, object: &Value, is_unique: bool) -> Result<Value, Error> {
        let request = self.request(object, Verb::Create)?;
        match self.http.send(request).await {
            Ok(answer) => answer.json(),
            Err(Failure::Refused(refused)) if is_unique && refused.reason == "AlreadyExists" => {
                Ok(object.clone())
            }
            Err(failure) => Err(self.http.error(failure, Verb::Create, &called(object))),
        }
    }

    fn request(&self, object: &Value, verb: Verb) -> Result<Request, Error> {
        let what = called(object);
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let api = text("/apiVersion").unwrap_or_default();
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        let kind = GroupKind::new(group, text("/kind").unwrap_or_default());
        let Some(resource) = self.kinds.exactly(&kind, version) else {
            self.kinds.expect_fresh(&kind)?;
            let why = format!("this cluster has no kind {} in {api}", kind.kind);
            return Err(Error::Refused { verb: verb.text().to_owned(), resource: what, why });
        };
        let mut pairs = vec![("fieldManager", MANAGER), ("fieldValidation", "Strict")];
        if verb == Verb::DryRun {
            pairs.push(("dryRun", "All"));
        }
        let url = path::query(&resource.collection(text("/metadata/namespace")), pairs);
        Ok(Request::post(verb, url, what, canonical_json(object)))
    }
}

fn called(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => format!("{} {}", text("/kind"), text("/metadata/name")),
        namespace => format!("{} {namespace}/{}", text("/kind"), text("/metadata/name")),
    }
}

//! What leaves the site: deleted by permit of the guards, released, or forgotten.

use serde_json::{Value, json};
use sitewright_model::{
    code,
    digest::canonical_json,
    live::{Evidence, LiveObject},
    managed::field_manager,
    object::{ADOPTED_LABEL, COMPONENT_LABEL, SITE_LABEL, Uid},
    plan::{
        Action,
        guard::{NotPermitted, Permit, permits},
    },
};

use super::{
    ObjectOutcome,
    change::{Changed, Note, READS, failed, fresh, refused, too_fast},
    scene::{Part, Scene},
};
use crate::{
    Error,
    client::{
        http::{Failure, Http, Request, Verb},
        path::Resource,
    },
    observe::{
        absence::{self, Absence},
        evidence::{self, Asker, AtStake},
        judge::stop_if_broken,
        refusal,
    },
};

/// How an attempt to have an object deleted ended.
pub(super) enum Asked {
    /// Its deletion was asked for, by us or before.
    Going,
    /// It is not there.
    Gone,
    /// It is not there, and another object has its name.
    Another,
    /// It must not go, or cannot.
    Refused(ObjectOutcome),
}

/// Asks for the deletion of one object; that it is gone is waited for elsewhere.
pub(super) async fn ask(scene: &Scene<'_>, part: Part<'_>) -> Result<Changed, Error> {
    let Some(resource) = scene.resource(part.change) else { return unserved(scene, part).await };
    Ok(match delete(scene, &resource, part, scene.http).await? {
        Asked::Going | Asked::Gone | Asked::Another => Changed::only(ObjectOutcome::Deleted),
        Asked::Refused(outcome) => Changed::only(outcome),
    })
}

/// Reads the object, asks the guards again, and deletes what they permit: nothing else (law 1).
pub(super) async fn delete(
    scene: &Scene<'_>,
    resource: &Resource,
    part: Part<'_>,
    http: &Http,
) -> Result<Asked, Error> {
    for _ in 0..READS {
        let Some(live) = fresh(scene, resource, &part).await? else { return Ok(Asked::Gone) };
        if planned_uid(&part.change.action).is_some_and(|uid| *uid != live.uid) {
            return Ok(Asked::Another); // not ours to delete
        }
        if live.deleting_since.is_some() {
            return Ok(Asked::Going);
        }
        if !is_labelled(scene, &live) {
            return Ok(Asked::Refused(failed(
                code::apply::NOT_THE_SAME,
                "somebody took the site's label off it: it stays",
                Some("put the label sitewright.dev/site back, or delete it by hand"),
            )));
        }
        let permit = match permit(scene, &part, &live).await? {
            Ok(permit) => permit,
            Err(refusal) => return Ok(Asked::Refused(not_permitted(&refusal))),
        };
        match send(http, resource, permit).await {
            Ok(()) => return Ok(Asked::Going),
            Err(Failure::Refused(refused)) if refused.is_not_found() => return Ok(Asked::Gone),
            Err(Failure::Refused(refused)) if refused.is_about_another_object() => {}
            Err(failure) => {
                stop_if_broken(&failure)?;
                let meaning = refusal::meaning(&failure, &live.object, None);
                return Ok(Asked::Refused(refused(meaning)));
            }
        }
    }
    Ok(Asked::Refused(too_fast("deleted")))
}

/// What is done about an object whose kind discovery does not have: forgotten only where it must be gone
/// with its kind.
async fn unserved(scene: &Scene<'_>, part: Part<'_>) -> Result<Changed, Error> {
    match absence::look(scene.http, scene.kinds, &part.change.id.kind).await? {
        Absence::Proven => Ok(forgotten()),
        Absence::Unproven(why) => Ok(Changed::failed(
            code::cluster::PARTIAL_DISCOVERY,
            format!("the server does not serve its kind, and it may be there all the same: {why}"),
            Some("run the command again once the kind is served, or its definition is deleted"),
        )),
    }
}

fn planned_uid(action: &Action) -> Option<&Uid> {
    match action {
        Action::Delete { uid } | Action::Replace { uid, .. } => Some(uid),
        _ => None,
    }
}

async fn permit(
    scene: &Scene<'_>,
    part: &Part<'_>,
    live: &LiveObject,
) -> Result<Result<Permit, Box<NotPermitted>>, Error> {
    let id = &part.change.id;
    let mut evidence = Evidence::default();
    let at_stake = AtStake { id, live };
    let Scene { http, kinds, desired, .. } = *scene;
    let asker = Asker { http, kinds, desired, inventory: &scene.live.inventory };
    evidence::gather(asker, at_stake, &mut evidence).await?;
    Ok(permits(scene.plan, id, live, &evidence, scene.consent))
}

fn not_permitted(refusal: &NotPermitted) -> ObjectOutcome {
    match refusal {
        NotPermitted::Held { gates, .. } => ObjectOutcome::Held { gates: gates.clone() },
        other => failed(
            code::apply::NOT_THE_SAME,
            other.to_string(),
            Some("run the command again: it plans anew, and shows what is at stake"),
        ),
    }
}

/// The only delete of an object of a site: it takes the guards' permit, and names UID and resource version.
async fn send(http: &Http, resource: &Resource, permit: Permit) -> Result<(), Failure> {
    let id = permit.id();
    let options = json!({
        "apiVersion": "v1", "kind": "DeleteOptions",
        "preconditions": { "uid": permit.uid(), "resourceVersion": permit.resource_version() },
        "propagationPolicy": propagation(&resource.group),
    });
    let url = resource.object(id.namespace.as_deref(), &id.name);
    let request = Request::delete(url, id.to_string(), canonical_json(&options));
    http.send(request).await.map(drop)
}

/// Workloads are gone when their pods are: what comes after must not meet them.
fn propagation(group: &str) -> &'static str {
    if matches!(group, "apps" | "batch") { "Foreground" } else { "Background" }
}

// === release ===

/// Takes our labels and our ownership of fields off an object that was there before us; its fields stay.
pub(super) async fn release(scene: &Scene<'_>, part: Part<'_>) -> Result<Changed, Error> {
    let Action::Release { uid } = &part.change.action else {
        return Ok(Changed::only(ObjectOutcome::Unchanged));
    };
    let Some(resource) = scene.resource(part.change) else { return unserved(scene, part).await };
    let id = &part.change.id;
    for _ in 0..READS {
        let live = fresh(scene, &resource, &part).await?;
        let Some(live) = live.filter(|live| live.uid == *uid) else { return Ok(forgotten()) };
        let patch = release_patch(&live, &field_manager(&scene.desired.site));
        let url = resource.object(id.namespace.as_deref(), &id.name);
        let request =
            Request::json_patch(Verb::Update, url, id.to_string(), canonical_json(&patch));
        match scene.http.send(request).await {
            Ok(_) => {
                let note = Note::Forget;
                return Ok(Changed { note, ..Changed::only(ObjectOutcome::Released) });
            }
            Err(Failure::Refused(refused)) if is_stale(&refused) => {}
            Err(failure) => {
                stop_if_broken(&failure)?;
                let meaning = refusal::meaning(&failure, &live.object, None);
                return Ok(Changed::only(refused(meaning)));
            }
        }
    }
    Ok(Changed::only(too_fast("released")))
}

/// The `test` of a JSON patch fails with 422, a lost race with 409.
pub(super) fn is_stale(refused: &crate::client::status::Refused) -> bool {
    refused.code == 409 || (refused.code == 422 && refused.causes.is_empty())
}

fn release_patch(live: &LiveObject, manager: &str) -> Value {
    let mut patch = vec![json!({
        "op": "test", "path": "/metadata/resourceVersion", "value": live.resource_version })];
    let labels = live.object.expose().pointer("/metadata/labels");
    for label in [SITE_LABEL, COMPONENT_LABEL, ADOPTED_LABEL] {
        if labels.is_some_and(|labels| labels.get(label).is_some()) {
            let path = format!("/metadata/labels/{}", label.replace('/', "~1"));
            patch.push(json!({ "op": "remove", "path": path }));
        }
    }
    let ours = live.managers.iter().enumerate().filter(|(_, entry)| entry.manager == manager);
    for (index, _) in ours.collect::<Vec<_>>().into_iter().rev() {
        patch.push(json!({ "op": "remove", "path": format!("/metadata/managedFields/{index}") }));
    }
    Value::Array(patch)
}

// === forget ===

/// Takes an object out of the inventory that is no longer on the cluster, or no longer ours; looks once more.
pub(super) async fn forget(scene: &Scene<'_>, part: Part<'_>) -> Result<Changed, Error> {
    let Some(resource) = scene.resource(part.change) else { return unserved(scene, part).await };
    let live = fresh(scene, &resource, &part).await?;
    // Under another name than the entry's it is another entry's.
    let is_ours = |live: &LiveObject| {
        live.object.id() == &part.change.id
            && part.entry.and_then(|entry| entry.uid()) == Some(&live.uid)
    };
    match live {
        Some(live) if is_ours(&live) && is_labelled(scene, &live) => Ok(Changed::failed(
            code::apply::NOT_THE_SAME,
            "it was gone when the plan was made, and is there again",
            Some("run the command again: it plans anew"),
        )),
        Some(_) | None => Ok(forgotten()),
    }
}

fn is_labelled(scene: &Scene<'_>, live: &LiveObject) -> bool {
    let labels = live.object.expose().pointer("/metadata/labels");
    let site = labels.and_then(|labels| labels.get(SITE_LABEL)).and_then(Value::as_str);
    site == Some(scene.desired.site.as_str())
}

fn forgotten() -> Changed {
    Changed { note: Note::Forget, ..Changed::only(ObjectOutcome::Forgotten) }
}

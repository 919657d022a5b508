//! A replacement: proven once more, deleted by permit, gone, created (law 5).
//!
//! From the delete to the create it no longer listens to the signal to stop, for a while: what was
//! taken away comes back in the same run where it can. Where it cannot, the inventory names the object
//! since before the delete, and the next run creates it.

use std::time::Duration;

use sitewright_model::{code, health::finalizers::held_by};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    ObjectOutcome,
    change::{Apply, Changed, failed, fresh, refused},
    remove::{self, Asked},
    scene::{Part, Scene},
};
use crate::{
    Error,
    client::path::Resource,
    observe::{
        judge::{Subject, stop_if_broken},
        refusal, replacement,
    },
};

/// How long a replacement goes on after the signal to stop.
const AFTER_STOP: Duration = Duration::from_secs(10);

/// How soon it looks whether the old object is gone; ever more slowly from there.
const SOON: Duration = Duration::from_millis(250);

/// How often it looks at least.
const SELDOM: Duration = Duration::from_secs(5);

pub(super) async fn replace<'a>(
    scene: &Scene<'a>,
    part: Part<'a>,
    subject: Subject<'a>,
) -> Result<Changed, Error> {
    let Some(resource) = scene.resource(part.change) else {
        return Ok(Changed::failed(
            code::apply::REFUSED,
            "the server does not serve its kind",
            None,
        ));
    };
    if let Some(live) = fresh(scene, &resource, &part).await? {
        let (object, manager) = (&subject.desired.object, scene.judge.manager());
        let live = live.object.expose();
        let proof = replacement::prove(scene.http, &resource, object, live, manager).await;
        if let Err(failure) = proof {
            stop_if_broken(&failure)?;
            let ObjectOutcome::Failed { message, .. } =
                refused(refusal::meaning(&failure, object, None))
            else {
                return Ok(Changed::only(ObjectOutcome::Unchanged));
            };
            return Ok(Changed::failed(
                code::apply::REPLACEMENT_UNPROVEN,
                format!("the live object stays: a new one would be refused: {message}"),
                None,
            ));
        }
    }
    match remove::delete(scene, &resource, part, scene.http).await? {
        Asked::Refused(outcome) => return Ok(Changed::only(outcome)),
        Asked::Another => {
            return Ok(Changed::failed(
                code::apply::NOT_THE_SAME,
                "another object has its name by now; it is left as it is",
                Some("run the command again: it plans anew"),
            ));
        }
        Asked::Gone | Asked::Going => {}
    }
    if let Err(outcome) = gone(scene, &resource, &part).await? {
        return Ok(Changed::only(outcome));
    }
    let to_the_end = scene.http.until(&CancellationToken::new());
    let outcome = ObjectOutcome::Replaced;
    Apply { http: &to_the_end, scene, part, subject, outcome }.run(None).await
}

/// Waits until the old object is gone.
async fn gone(
    scene: &Scene<'_>,
    resource: &Resource,
    part: &Part<'_>,
) -> Result<Result<(), ObjectOutcome>, Error> {
    let old = part.live.map(|live| &live.uid);
    let http = scene.http.until(&CancellationToken::new());
    let mut until = Instant::now() + scene.patience();
    let (mut stopped, mut pause) = (false, SOON);
    loop {
        if scene.http.stop().is_cancelled() && !stopped {
            stopped = true;
            until = until.min(Instant::now() + AFTER_STOP);
        }
        let none = std::collections::BTreeSet::new();
        let live = crate::observe::get(&http, resource, &part.change.id, &none).await?;
        let Some(live) = live.filter(|live| old.is_none_or(|old| *old == live.uid)) else {
            return Ok(Ok(()));
        };
        if Instant::now() >= until {
            let held = held_by(live.object.expose(), &live.managers);
            return Ok(Err(still_there(held.as_deref())));
        }
        http.pause(pause.min(until.saturating_duration_since(Instant::now()))).await?;
        pause = pause.mul_f64(1.5).min(SELDOM);
    }
}

/// The outcome of a deletion that did not finish in time; `held` says what holds it.
pub(super) fn still_there(held: Option<&str>) -> ObjectOutcome {
    let message = match held {
        None => "its deletion was asked for, and it is still there".to_owned(),
        Some(held) => format!("its deletion was asked for, and it is held by {held}"),
    };
    failed(
        code::apply::DELETE_HANGS,
        message,
        Some(
            "see whether the controller that serves the finalizer runs; then run the command again",
        ),
    )
}

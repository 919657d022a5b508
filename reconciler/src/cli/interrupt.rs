//! SIGINT and SIGTERM: the first asks to stop, the second stops.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI32, Ordering},
};

use sitewright_cluster::CancellationToken;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{exit::Exit, screen::Screen};

/// What the program is doing, as far as a signal is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It reads or computes; nothing is lost by stopping at once.
    Reading(&'static str),
    /// It changes the cluster; it stops between two requests.
    Applying,
}

/// The state of interruption, shared between the command and the signal handler.
#[derive(Clone)]
pub(crate) struct Interrupt {
    inner: Arc<Inner>,
}

struct Inner {
    token: CancellationToken,
    signal: AtomicI32,
    stage: Mutex<Stage>,
}

impl Interrupt {
    /// Makes a state in which nothing happened yet.
    pub(super) fn new() -> Self {
        let inner = Inner {
            token: CancellationToken::new(),
            signal: AtomicI32::new(0),
            stage: Mutex::new(Stage::Reading("starting")),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Says what the program does from now on.
    pub(crate) fn enter(&self, stage: Stage) {
        *self.stage_guard() = stage;
    }

    /// Returns the token that is cancelled by the first signal.
    pub(crate) fn token(&self) -> CancellationToken {
        self.inner.token.clone()
    }

    /// Returns how the program ends if a signal came.
    pub(crate) fn exit(&self) -> Option<Exit> {
        match self.inner.signal.load(Ordering::SeqCst) {
            0 => None,
            signal => Some(Exit::Signal(signal)),
        }
    }

    fn stage_guard(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.inner.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits for signals for as long as the program runs.
    pub(super) async fn watch(self, screen: Screen) {
        let (Ok(mut interrupts), Ok(mut terminations)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            tracing::warn!("signals cannot be watched; they end the program at once");
            return;
        };
        loop {
            let number = next(&mut interrupts, &mut terminations).await;
            let first = self.inner.signal.swap(number, Ordering::SeqCst) == 0;
            let stage = *self.stage_guard();
            match (stage, first) {
                (Stage::Reading(what), _) => {
                    quit(&screen, number, &format!("stopped while {what}; nothing was changed"))
                }
                (Stage::Applying, true) => {
                    screen.line(
                        "stopping: requests under way are finished, none is begun; \
                         a second signal quits at once",
                    );
                    self.inner.token.cancel();
                }
                (Stage::Applying, false) => quit(
                    &screen,
                    number,
                    "stopped amid applying; the next apply goes on where this one stopped",
                ),
            }
        }
    }
}

async fn next(interrupts: &mut Signal, terminations: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupts.recv() => SignalKind::interrupt().as_raw_value(),
        _ = terminations.recv() => SignalKind::terminate().as_raw_value(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the second signal: the person wants out now, and the next run recovers (law 2)"
)]
fn quit(screen: &Screen, signal: i32, why: &str) {
    screen.clear();
    screen.line(why);
    std::process::exit(i32::from(Exit::Signal(signal).code()));
}

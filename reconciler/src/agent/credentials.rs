//! The Secrets that the loop of a site was begun with, and when they are read again.
//!
//! To watch Secrets an agent would need the right to list them, and a poll would cost requests at rest (law 6). So they are
//! read again where something fails that another login could mend, and as often as the whole cluster is looked at, which
//! asks the server in any case.

use std::time::Duration;

use sitewright_cluster::sync::{SecretData, SecretReference};
use sitewright_model::{code, diagnostic::Diagnostics};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    pace::{Pace, jittered},
    state::State,
};

/// How often a Secret is read again while something fails that it could mend.
const AGAIN: Duration = Duration::from_secs(30);

/// What was read for one loop: no Display, no Debug (law 10).
#[derive(Default)]
pub(super) struct Credentials(Vec<(SecretReference, SecretData)>);

impl Credentials {
    /// Takes what a Secret held.
    pub(super) fn were(&mut self, reference: &SecretReference, secret: SecretData) {
        self.0.push((reference.clone(), secret));
    }

    /// Waits until one of the Secrets holds something else. One that cannot be read, or is gone for a moment while it is
    /// replaced, ends nothing: what was read still is what there is.
    pub(super) async fn changed(
        &self,
        mut state: watch::Receiver<State>,
        pace: Pace,
        read: impl AsyncFn(&SecretReference) -> Result<SecretData, Diagnostics>,
    ) {
        if self.0.is_empty() {
            return std::future::pending().await;
        }
        let mut last = Instant::now();
        loop {
            tokio::select! {
                () = sleep(pace.next_resync()) => {}
                () = fails(&mut state) => sleep_until(last + jittered(AGAIN)).await,
            }
            last = Instant::now();
            for (reference, known) in &self.0 {
                if read(reference).await.is_ok_and(|secret| secret != *known) {
                    return;
                }
            }
        }
    }
}

/// Waits until something fails that another login could mend. The borrow of the state ends here: whoever changes it waits
/// for that.
async fn fails(state: &mut watch::Receiver<State>) {
    drop(state.wait_for(is_a_matter_of_logins).await);
}

/// Returns whether something fails that another login, or another address in a kubeconfig, could mend. A forge says of a
/// private repository that it is not there.
fn is_a_matter_of_logins(state: &State) -> bool {
    state.problems.values().any(|problem| {
        let of_git = [
            code::source::REPOSITORY_REFUSED,
            code::source::NOT_A_REPOSITORY,
            code::source::REPOSITORY_UNREACHABLE,
        ];
        of_git.iter().chain(code::cluster::ALL).any(|code| code.to_string() == problem.code)
    })
}

#[cfg(test)]
mod tests {
    use std::{
        cell::{Cell, RefCell},
        rc::Rc,
    };

    use super::{
        super::state::{Problem, Side},
        *,
    };

    /// A Secret that can be changed, and how often it was read.
    #[derive(Default)]
    struct Server {
        password: RefCell<String>,
        reads: Cell<usize>,
    }

    impl Server {
        fn secret(&self) -> SecretData {
            SecretData::from_iter([("password", self.password.borrow().as_str())])
        }

        async fn read(&self) -> Result<SecretData, Diagnostics> {
            self.reads.set(self.reads.get() + 1);
            Ok(self.secret())
        }
    }

    fn failing(code: code::Code) -> State {
        let problem = Problem {
            code: code.to_string(),
            message: "no".into(),
            passes: false,
            since: jiff::Timestamp::UNIX_EPOCH,
        };
        State { problems: [(Side::Git, problem)].into(), ..State::default() }
    }

    /// Runs for `minutes` after `change` was made at once; returns whether the change was seen, and how often was read.
    async fn looked(state: State, minutes: u64, change: Option<&str>) -> (bool, usize) {
        let server = Rc::new(Server::default());
        let mut credentials = Credentials::default();
        let reference = SecretReference { name: "login".into(), key: None };
        credentials.were(&reference, server.secret());
        if let Some(password) = change {
            server.password.replace(password.to_owned());
        }
        let (sender, receiver) = watch::channel(state);
        let changed = credentials.changed(receiver, Pace::default(), async |_| server.read().await);
        // whoever changes the state is never held up
        let goes_on = async {
            loop {
                sleep(Duration::from_secs(1)).await;
                sender.send_modify(|state| state.objects = Some(1));
            }
        };
        let time = Duration::from_secs(minutes * 60);
        let seen = tokio::select! {
            seen = tokio::time::timeout(time, changed) => seen.is_ok(),
            () = goes_on => unreachable!("it goes on for ever"),
        };
        (seen, server.reads.get())
    }

    #[tokio::test(start_paused = true)]
    async fn at_rest_a_secret_is_read_as_often_as_the_whole_is_looked_at() {
        assert_eq!(looked(State::default(), 26, None).await, (false, 0));
        assert_eq!(looked(State::default(), 34, None).await, (false, 1));
        assert_eq!(looked(State::default(), 34, Some("new")).await, (true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn where_a_login_is_refused_it_is_read_again_within_a_minute() {
        let refused = || failing(code::source::REPOSITORY_REFUSED);
        assert_eq!(looked(refused(), 1, Some("new")).await, (true, 1));
        let (seen, reads) = looked(refused(), 10, None).await;
        assert!(!seen && (18..=22).contains(&reads), "{reads}");
        let unauthorised = failing(code::cluster::UNAUTHORISED);
        assert_eq!(looked(unauthorised, 1, Some("new")).await, (true, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_mistake_in_a_file_is_no_matter_of_logins() {
        assert_eq!(looked(failing(code::format::BAD_PATH), 26, Some("new")).await, (false, 0));
    }
}

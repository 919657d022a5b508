//! What goes wrong.

use std::{thread, time::Duration};

use sitewright_testbed::{Fault as Answer, GitTrouble, Request};

use super::{random::Random, world::World};

/// Longer than the Lease of a leader, and of the lock of a site.
const PAST_THE_LEASE: Duration = Duration::from_secs(17);

/// How far a clock jumps, in seconds: longer than all that an agent waits for.
const JUMP: i64 = 2 * 60 * 60;

/// What goes wrong in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The API server is killed, and comes back.
    ApiServerKilled,
    /// etcd is killed, and comes back.
    EtcdKilled,
    /// Every connection breaks, watches among them.
    ConnectionsCut,
    /// Watches and lists are told that their version is too old, while connections break.
    VersionsGone,
    /// Requests are refused: 429, 500, 503.
    Refusals,
    /// The server takes its time.
    SlowAnswers,
    /// Some requests get no answer.
    Silence,
    /// The git server answers 503.
    GitAway,
    /// Packs end in their middle.
    TruncatedPacks,
    /// One of the agents is killed, and started again.
    AgentKilled,
    /// Both are killed, and started again.
    BothKilled,
    /// The leader is stopped until its Lease is over, and goes on while another leads.
    LeaderPaused,
    /// The wall clock of the leader jumps by two hours, and stays so.
    ClockAhead,
    /// It jumps back by as much, and stays so.
    ClockBack,
}

impl Fault {
    pub(super) const ALL: [Self; 14] = [
        Self::ApiServerKilled,
        Self::EtcdKilled,
        Self::ConnectionsCut,
        Self::VersionsGone,
        Self::Refusals,
        Self::SlowAnswers,
        Self::Silence,
        Self::GitAway,
        Self::TruncatedPacks,
        Self::AgentKilled,
        Self::BothKilled,
        Self::LeaderPaused,
        Self::ClockAhead,
        Self::ClockBack,
    ];

    /// Breaks something, makes changes meanwhile where they can be made, and mends it.
    pub(super) fn strike(self, world: &mut World, random: &mut Random, changes: usize) {
        // so that it comes upon something that is under way
        thread::sleep(random.pause(0, 1_500));
        match self {
            Self::ApiServerKilled => {
                world.plane.kill_apiserver();
                thread::sleep(random.pause(0, 4_000));
                world.plane.start_apiserver().expect("the API server starts");
            }
            Self::EtcdKilled => {
                world.plane.kill_etcd();
                thread::sleep(random.pause(0, 4_000));
                world.plane.start_etcd().expect("etcd starts");
                world.wait_for_api();
            }
            Self::ConnectionsCut => {
                for _ in 0..=random.below(4) {
                    world.proxies().for_each(|proxy| proxy.cut_all());
                    world.change(random, 1);
                    thread::sleep(random.pause(0, 500));
                }
            }
            Self::VersionsGone => {
                let is_read = |request: &Request| request.method == "GET";
                self.inject(world, Answer::Gone, 2 + random.below(6), is_read);
                world.proxies().for_each(|proxy| proxy.cut_all());
                world.change(random, changes);
            }
            Self::Refusals => {
                let answers = [
                    Answer::TooManyRequests(Duration::from_secs(1)),
                    Answer::InternalError,
                    Answer::Unavailable,
                ];
                for answer in answers {
                    self.inject(world, answer, random.below(8), |_| true);
                }
                world.change(random, changes);
            }
            Self::SlowAnswers => {
                let answer = Answer::Late(random.pause(200, 3_000));
                self.inject(world, answer, 10 + random.below(30), |_| true);
                world.change(random, changes);
            }
            Self::Silence => {
                self.inject(world, Answer::Silence, 1 + random.below(2), |_| true);
                world.change(random, changes);
            }
            Self::GitAway | Self::TruncatedPacks => {
                let trouble = match self {
                    Self::GitAway => GitTrouble::Away,
                    _ => GitTrouble::TruncatedPacks,
                };
                world.git.trouble(Some(trouble));
                world.commit(random);
                world.change(random, changes);
                thread::sleep(random.pause(2_000, 6_000));
                world.git.trouble(None);
            }
            Self::AgentKilled => {
                let which = random.below(2);
                world.kill(which);
                world.change(random, changes);
                thread::sleep(random.pause(0, 2_000));
                world.launch(which);
            }
            Self::BothKilled => {
                world.commit(random);
                thread::sleep(random.pause(1_000, 4_000));
                world.kill(0);
                world.kill(1);
                world.change(random, changes);
                world.launch(0);
                world.launch(1);
            }
            Self::LeaderPaused => {
                world.commit(random);
                thread::sleep(random.pause(0, 3_000));
                let Some(leader) = world.leader() else { return };
                world.signal(leader, "STOP");
                world.change(random, changes);
                thread::sleep(PAST_THE_LEASE);
                world.change(random, changes);
                thread::sleep(random.pause(0, 4_000));
                world.signal(leader, "CONT");
            }
            Self::ClockAhead | Self::ClockBack => {
                let jump = if self == Self::ClockAhead { JUMP } else { -JUMP };
                let Some(leader) = world.leader() else { return };
                world.commit(random);
                thread::sleep(random.pause(0, 4_000));
                world.jump(leader, jump);
                world.change(random, changes);
                thread::sleep(random.pause(0, 6_000));
                // there and back while something is under way
                world.jump(leader, -jump);
                world.change(random, 1);
                world.jump(leader, jump);
                world.expect_to_see(leader);
            }
        }
    }

    fn inject(
        self,
        world: &World,
        answer: Answer,
        times: usize,
        matches: impl Fn(&Request) -> bool + Clone + Send + Sync + 'static,
    ) {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        world.proxies().for_each(|proxy| proxy.inject(answer, times, matches.clone()));
    }
}

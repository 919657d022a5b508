//! The soak: two agents, one at work and one standing by, through faults that come at random from a seed.
//!
//! After each fault the site must converge again, with nothing lost, no object written by two agents at once, and not
//! one write once nothing changes. What counts is the API server's audit log and the objects, not what an agent says.

mod clock;
mod faults;
mod law;
mod random;
mod world;

use std::{
    fmt::Write as _,
    path::PathBuf,
    time::{Duration, Instant},
};

use self::{faults::Fault, law::Writers, random::Random, world::World};

/// How a soak is run.
#[derive(Clone, Debug)]
pub struct Soak {
    /// The program.
    pub program: PathBuf,
    /// How long new faults are begun.
    pub time: Duration,
    /// Objects of the site.
    pub objects: usize,
    /// Where randomness comes from: equal seeds, equal faults.
    pub seed: u64,
    /// Who hears of each round.
    pub told: fn(&str),
}

/// How long nothing is done at the end of a round, to see that nothing is written; several polls.
const STILL: Duration = Duration::from_secs(7);

/// The same at the end, for longer than a look at the whole cluster can be due.
const LAST: Duration = Duration::from_secs(20);

/// Changes of a round, before, while and after something is broken.
const EDITS: usize = 4;

impl Soak {
    /// Runs rounds, at least one, until the time is over; returns what was done.
    ///
    /// # Panics
    /// A law is broken; with the round, the seed, and what the agents said.
    pub fn run(self) -> String {
        let mut random = Random::new(self.seed);
        let mut world = World::start(self.program, self.objects);
        let mut summary = format!("seed {}, {} objects\n", self.seed, self.objects);
        world.converge();
        world.be_still(STILL);
        let begun = Instant::now();
        let mut order = random.order();
        let mut round = 0;
        while round == 0 || begun.elapsed() < self.time {
            round += 1;
            // each fault once, in an order of its own, before any comes again
            let fault = order.pop().unwrap_or_else(|| {
                order = random.order();
                order.pop().unwrap_or(Fault::AgentKilled)
            });
            let line = format!("round {round}: {fault:?}");
            (self.told)(&line);
            let started = Instant::now();
            world.say_where(format!("{line}, seed {}", self.seed));
            let writers = Writers::watch(&world);
            world.change(&mut random, EDITS);
            fault.strike(&mut world, &mut random, EDITS);
            world.change(&mut random, 1);
            world.converge();
            world.expect_nothing_lost();
            writers.expect_one_at_a_time(&world);
            world.be_still(STILL);
            let _ = writeln!(summary, "{line}: converged after {:.1?}", started.elapsed());
        }
        world.be_still(LAST);
        summary
    }
}

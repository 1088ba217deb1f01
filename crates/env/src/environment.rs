//! The one value that carries everything nondeterministic.

use crate::{Clock, Disk, FaultPlan, Memory, Net, Rng, Tasks};

/// Bytes of a simulated node's pools.
const SIM_MEMORY: u64 = 1 << 30;

/// The environment of one process, or of one simulated node. Clones share everything.
#[derive(Clone, Debug)]
pub struct Env {
    /// Wall and monotonic time, and timers.
    pub clock: Clock,
    /// Random numbers that are not secrets.
    pub rng: Rng,
    /// Files.
    pub disk: Disk,
    /// Sockets.
    pub net: Net,
    /// Tasks and threads.
    pub tasks: Tasks,
    /// Memory that peers can make this process hold.
    pub memory: Memory,
}

impl Env {
    /// The machine: kernel clocks, entropy, files and sockets. Sleeping and spawning need a running
    /// tokio runtime; creating the value does not.
    pub fn real() -> Env {
        let clock = Clock::real();
        Env {
            tasks: Tasks::new(clock.clone()),
            clock,
            rng: Rng::real(),
            disk: Disk::real(),
            net: Net::real(),
            memory: Memory::for_machine(),
        }
    }

    /// A simulated node: empty disk in memory, clock that stands still until it is advanced, everything
    /// random from `seed`. Sockets are the machine's.
    pub fn sim(seed: u64) -> Env {
        Env::sim_on(seed, |clock, _| Disk::mem_with(clock))
    }

    /// [`Env::sim`] on a disk that fails as `plan` says, see [`Disk::fault`].
    pub fn fault(seed: u64, plan: FaultPlan) -> Env {
        Env::sim_on(seed, |clock, rng| Disk::fault_with(clock, rng, plan))
    }

    fn sim_on(seed: u64, disk: impl FnOnce(Clock, Rng) -> Disk) -> Env {
        let (clock, rng) = (Clock::sim(), Rng::seeded(seed));
        let disk = disk(clock.clone(), rng.child("disk"));
        let memory = Memory::new(SIM_MEMORY);
        Env { tasks: Tasks::new(clock.clone()), clock, rng, disk, net: Net::real(), memory }
    }

    /// What the next process finds after this one was killed, see [`Disk::kill`].
    #[must_use]
    pub fn kill(&self) -> Env {
        Env { disk: self.disk.kill(), ..self.with_own_tasks() }
    }

    /// What the next process finds after a power cut, see [`Disk::crash`].
    #[must_use]
    pub fn crash(&self) -> Env {
        Env { disk: self.disk.crash(), ..self.with_own_tasks() }
    }

    /// The same environment with a task group of its own, which is stopped by itself.
    #[must_use]
    pub fn with_own_tasks(&self) -> Env {
        Env { tasks: Tasks::new(self.clock.clone()), ..self.clone() }
    }
}

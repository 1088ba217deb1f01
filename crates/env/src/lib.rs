//! Everything nondeterministic enters here: clock, random numbers, disk, sockets, tasks and threads.
//!
//! The rest of the workspace takes an [`Env`] and never names `std::{fs, net, thread, time}` or
//! `tokio::{spawn, time, net}` (the workspace's `clippy.toml` bans them), so that the same code runs
//! on the machine ([`Env::real`]) and in a deterministic simulation ([`Env::sim`]).
//!
//! - Concrete structs with an enum inside: no type parameter leaks into users.
//! - Only this crate may contain `unsafe`, and only `disk/map.rs` and `disk/sys.rs` do.
//! - Absent: anything about RocketMQ. This crate depends on no other crate of the workspace.
//!
//! Start reading at [`disk`], then [`tasks`].
#![allow(clippy::disallowed_methods, reason = "this crate is what the bans point to")]

mod clock;
pub mod disk;
pub mod net;
mod rng;
pub mod settings;
pub mod tasks;

pub use clock::{Clock, Elapsed, Ticker};
pub use disk::Disk;
pub use net::Net;
pub use rng::Rng;
pub use tasks::{Stop, Tasks};

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
        }
    }

    /// The same environment with a task group of its own, which is stopped by itself.
    #[must_use]
    pub fn with_own_tasks(&self) -> Env {
        Env { tasks: Tasks::new(self.clock.clone()), ..self.clone() }
    }
}

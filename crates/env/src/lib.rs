//! Everything nondeterministic enters here: clock, random numbers, disk, sockets, tasks and threads.
//!
//! The rest of the workspace takes an [`Env`] and never names `std::{fs, net, thread, time}` or
//! `tokio::{spawn, time, net}` (the workspace's `clippy.toml` bans them), so that the same code runs
//! on the machine ([`Env::real`]) and in a deterministic simulation ([`Env::sim`]).
//!
//! - Concrete structs with an enum inside: no type parameter leaks into users.
//! - Only this crate may contain `unsafe`, and only `disk/map.rs`, `disk/sys.rs` and `local_time.rs` do.
//! - Absent: anything about RocketMQ but the names of its settings. This crate depends on no other crate of the workspace.
//!
//! Start reading at [`disk`], then [`tasks`].
#![allow(clippy::disallowed_methods, reason = "this crate is what the bans point to")]

mod clock;
pub mod disk;
mod environment;
pub mod limits;
mod local_time;
pub mod memory;
pub mod net;
mod rng;
pub mod settings;
pub mod tasks;

pub use clock::{Clock, Elapsed, Ticker};
pub use disk::{Disk, FaultPlan};
pub use environment::Env;
pub use memory::Memory;
pub use net::Net;
pub use rng::Rng;
pub use tasks::{Stop, Tasks};

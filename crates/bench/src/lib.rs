//! `apogee bench`: a load generator for the remoting protocol, and the yardsticks beside it.
//!
//! **Owns** the raw path: request frames are encoded once into a ring, only the correlation number,
//! the unique key and the time are patched before each use, and whole runs of frames leave in one
//! write. Answers are split by their length prefix and only three things are looked at: the
//! correlation number, the code, and (pull) the next offset. One thread costs well under a
//! microsecond of CPU per message, so that a figure is the broker's and not the generator's.
//!
//! `--client sdk` sends the same loads through the Rust SDK ([`client`]) and labels them so.
//!
//! **Modes**: [`Command::Send`], [`Command::Pull`], [`Command::Deliver`] (end to end), and three
//! yardsticks: [`Command::NullServer`] answers and stores nothing (the ceiling), [`Command::Disk`]
//! times the disk alone, [`Command::Probe`] waits for a broker's first accepted message.
//!
//! **Invariants.** Latency runs from the *intended* time of a request when a rate is given (a stalled
//! broker cannot hide behind a stalled generator), else from the moment it was handed to the socket.
//! Only what is answered inside the window counts. Everything is bounded by [`limits`].
//!
//! **Absent**: retries, TLS, compression, and in the raw path any code of the broker or of `wire`, so
//! that a fault there cannot hide here. This crate reads the real clock, opens real sockets and starts real
//! threads: it measures the machine and is no part of the simulated product.
//!
//! Start at [`run`].

#![allow(
    clippy::disallowed_methods,
    reason = "a load generator measures the real clock, sockets, threads and disk; it is never simulated"
)]

mod admin;
mod args;
mod clock;
mod deliver;
mod disk;
mod drive;
mod error;
mod frame;
pub mod limits;
mod measure;
mod null_server;
mod poll;
mod probe;
mod process;
mod pull;
mod puller;
mod records;
mod report;
mod ring;
mod scan;
mod sdk;
mod send;
mod slots;
mod socket;

pub use args::{Args, Command, DeliverArgs, DiskArgs, LoadArgs, NullServerArgs, ProbeArgs};
pub use args::{PullArgs, SendArgs, Target, Via};
pub use disk::DiskReport;
pub use error::BenchError;
pub use probe::first_accepted;
pub use process::{Usage, usage};
pub use report::{ErrorCount, Generator, Percentiles, Report, ServerUse, run};

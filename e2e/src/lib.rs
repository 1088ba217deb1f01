//! What the end-to-end tests stand on: the reference and the built binary as child processes.
//!
//! Owns: fetching the reference from the package registry, starting and ending servers by process
//! id, their settings files and captured logs. Absent: any knowledge of the protocol; the clients
//! that talk to these servers are foreign programs or the tests' own sockets.
//!
//! Start reading at [`java`], then [`apogee`].
#![allow(clippy::disallowed_methods, reason = "drives real processes, sockets and clocks")]

pub mod apogee;
pub mod cases;
pub mod client;
pub mod frame;
pub mod java;
pub mod load;
pub mod peer;
pub mod ports;
pub mod power;
pub mod process;
pub mod record;
pub mod scrape;
pub mod view;

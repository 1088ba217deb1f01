//! Sockets: what carries frames between machines and the code that serves them.
//!
//! Owns: listeners, connections, their buffers and limits, and the client's pool of connections.
//! One task serves one connection: it reads what is there, hands all complete frames to the
//! [`wire::Call`] in one go, and writes everything that was answered in one write. Nothing is
//! allocated, scheduled or copied per frame, and an idle connection holds no buffer.
//!
//! Invariants: a peer that does not read is not read from, unless it answers what this side asked;
//! what waits for it is bounded; a connection ends on the first bytes that are no frame, and its
//! [`wire::Call`] hears of the end of each connection that it saw frames of, once.
//!
//! Absent: request codes (the frames are opaque but for their bounds), TLS, retries.
//!
//! Start at [`Server::start`] and `conn.rs`.

mod client;
mod conn;
mod connections;
pub mod limits;
mod link;
mod metrics;
mod preamble;
mod server;

pub use self::metrics::{Counter, Metrics};
pub use client::{AnswersOnly, CallError, Client};
pub use limits::Limits;
pub use server::{Bound, Server};

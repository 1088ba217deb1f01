//! The bytes of RocketMQ's remoting protocol and commit log, as Rust types, and back.
//!
//! Owns: frames and their two header formats, the table of request codes with a typed header for
//! each, JSON bodies, the message record, its properties and identifiers, and the seam [`Call`]
//! between whatever serves requests and whatever carries them.
//!
//! Invariants: every function that reads is total. Hostile bytes give an error that names the limit
//! or the field, never a panic, and nothing is allocated by a length that was not checked. Decoding
//! a frame and its header borrows from the read buffer and allocates nothing.
//!
//! Absent: sockets, files, clocks, threads, and every decision about what a request means.
//!
//! Start at [`record`] for what is stored.

pub mod flags;
pub mod ids;
pub mod java_hash;
pub mod limits;
pub mod props;
pub mod record;

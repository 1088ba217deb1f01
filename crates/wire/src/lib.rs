//! The bytes of RocketMQ's remoting protocol and commit log, as Rust types, and back.
//!
//! Owns: frames and their two header formats, the table of request codes with a typed header for
//! each, JSON bodies, the message record, its properties and identifiers, and the seam
//! [`call::Call`] between whatever serves requests and whatever carries them.
//!
//! Invariants: every function that reads is total. Hostile bytes give an error that names the limit
//! or the field, never a panic, and nothing is allocated by a length that was not checked. Decoding
//! a frame and its header borrows from the read buffer and allocates nothing.
//!
//! Absent: sockets, files, clocks, threads, and every decision about what a request means.
//!
//! Start at [`frame`] and [`codes`] for what travels, [`record`] for what is stored, [`call`] for the
//! seam.

pub mod batch;
pub mod body;
pub mod call;
pub mod codes;
pub mod compress;
pub mod flags;
pub mod frame;
pub mod header;
pub mod ids;
pub mod java_hash;
pub mod limits;
pub mod peer;
pub mod props;
pub mod record;
pub mod reply_codes;
pub mod text;

pub use call::{Call, Replies};
pub use codes::{BrokerRequest, ClientRequest, NamesrvRequest, RequestCode};
pub use frame::{Fields, Format, Frame, FrameError, FrameWriter, Frames, Language};
pub use header::{Header, HeaderError};
pub use peer::Peer;
pub use text::Text;

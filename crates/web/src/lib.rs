//! The HTTP port: pages that operators and their tools look at.
//!
//! Owns: the listener, its connections and their limits ([`limits`]), and the form of answers. What a page says comes
//! from whoever starts it. Invariants: only GET and HEAD are served; a request's head is bounded in size and time, its
//! body is never read; a connection carries one request and ends, whatever its peer does; bytes that are no request
//! cost one answer and no line in the log. Absent: TLS, sessions, files, anything that changes the server.
//!
//! Start at [`Web::start`].

pub mod limits;
mod server;

pub use server::{Answer, Later, Pages, Web};

//! What can end a run early.

use std::io;
use std::net::SocketAddr;

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// No connection to a server.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// Where to.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A connection failed or was closed by the server.
    #[error("connection to {addr}: {source}")]
    Connection {
        /// Where to.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server sent bytes that are no frame of the protocol.
    #[error("{addr} sent a frame that cannot be read: {what}")]
    Frame {
        /// Where from.
        addr: SocketAddr,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A request that prepares the run was refused.
    #[error("{addr} refused request {request} with code {code}: {remark}")]
    Refused {
        /// Who refused.
        addr: SocketAddr,
        /// Request code.
        request: i32,
        /// Response code.
        code: i32,
        /// The server's own words.
        remark: String,
    },
    /// The name server knows no broker to send to.
    #[error("name server {addr} has no master broker for topic {topic}: {what}")]
    NoBroker {
        /// The name server.
        addr: SocketAddr,
        /// Topic that was asked for.
        topic: String,
        /// What its answer lacked.
        what: String,
    },
    /// A pulled body broke the order of its queue.
    #[error("queue {queue}: expected offset {expected}, found {found}")]
    Order {
        /// Queue id.
        queue: u32,
        /// Offset that had to come next.
        expected: u64,
        /// Offset that came.
        found: u64,
    },
    /// An argument is outside its range.
    #[error("{name} is {value}, allowed is {allowed}")]
    Argument {
        /// Name of the option.
        name: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A name that does not resolve.
    #[error("{text} is not an address of the form host:port")]
    Address {
        /// What was given.
        text: String,
    },
    /// Nothing was accepted in time.
    #[error("{addr} accepted no message within {seconds} s; last answer: {last}")]
    NotAccepted {
        /// Who was asked.
        addr: SocketAddr,
        /// How long.
        seconds: u64,
        /// The last failure seen.
        last: String,
    },
    /// The report or the disk under test could not be written or read.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused something that the generator needs.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The SDK failed at something that the run needs.
    #[error("the SDK could not {what}: {source}")]
    Sdk {
        /// What was tried.
        what: &'static str,
        /// What the SDK said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The consumers of `bench deliver` did not get to share the queues out.
    #[error("{queues} queues were not shared out among the consumers in {seconds} s")]
    NotShared {
        /// Queues of the topic.
        queues: usize,
        /// How long that was waited for.
        seconds: u64,
    },
    /// A worker thread panicked.
    #[error("a generator thread panicked")]
    Panicked,
}

//! Every limit of the HTTP port, in one place.

use std::time::Duration;

/// Connections at a time; one more is closed at once.
pub const CONNECTIONS: usize = 128;
/// Bytes of a request's head.
pub const HEAD_BYTES: usize = 16 << 10;
/// Header fields of a request.
pub const HEADERS: usize = 64;
/// How long a client may take to send the head.
pub const HEAD_TIME: Duration = Duration::from_secs(5);
/// How long a connection may last, the making and the reading of the answer included.
pub const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// Pause after a connection could not be accepted, for a lack of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

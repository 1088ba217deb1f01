//! The calling side: one connection per address, kept and replaced as needed.
//!
//! A connection is the same as a server's: requests go out through the peer's outbox, answers are
//! matched by opaque, and what the other end sends of its own accord goes to the handler.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use env::Env;
use parking_lot::Mutex;
use wire::call::Replies;
use wire::frame::{OwnedFrame, ReplyTo};
use wire::peer::PeerError;
use wire::reply_codes::REQUEST_CODE_NOT_SUPPORTED;
use wire::{Call, FrameError, FrameWriter, Frames, Peer};

use crate::conn;
use crate::connections::Connections;
use crate::limits::{self, Limits};
use crate::link::Link;
use crate::metrics::Metrics;

/// First pause after a failed attempt to connect.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection.
    #[error("cannot connect to {addr}: {source}")]
    Connect {
        /// The address as given.
        addr: String,
        /// What the resolver or the kernel said.
        source: io::Error,
    },
    /// Connections to too many addresses are kept, or too many are open.
    #[error("cannot connect to {addr}: {limit} connections are kept already, the limit")]
    Connections {
        /// The address as given.
        addr: String,
        /// The limit.
        limit: usize,
    },
    /// No answer in time. The request may have been carried out.
    #[error("no answer from {addr} within {timeout:?}")]
    Timeout {
        /// The address as given.
        addr: String,
        /// The time that was given.
        timeout: Duration,
    },
    /// The connection ended, or takes no more requests. The request may have been carried out.
    #[error("call to {addr}: {source}")]
    Peer {
        /// The address as given.
        addr: String,
        /// What happened to the connection.
        source: PeerError,
    },
}

/// The handler of a client that serves no requests of its servers: it takes the answers out and
/// refuses the rest, as the reference's client does.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnswersOnly;

impl Call for AnswersOnly {
    fn call_batch(
        &self,
        peer: &Arc<Peer>,
        frames: &mut Frames<'_>,
        out: &mut Replies,
    ) -> Result<(), FrameError> {
        while let Some(frame) = frames.next()? {
            if !peer.accept(&frame) && !frame.is_oneway() {
                let to = ReplyTo { opaque: frame.opaque, format: frame.format };
                FrameWriter::response(out.head(), to, REQUEST_CODE_NOT_SUPPORTED)
                    .remark(&format!(" request type {} not supported", frame.code))
                    .finish(b"");
            }
        }
        Ok(())
    }
}

/// Calls servers by address. Clones share connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    connections: Arc<Connections>,
    addresses: Mutex<BTreeMap<String, Arc<Address>>>,
}

#[derive(Default)]
struct Address {
    link: Mutex<Option<Arc<Link>>>,
    dial: tokio::sync::Mutex<Dial>,
    /// How often it was tried to connect: tells those who wait for an attempt that it was made.
    attempts: AtomicU64,
}

/// The attempts to connect to one address since it was last connected.
#[derive(Default)]
struct Dial {
    failures: u32,
    not_before: Duration,
    error: Option<(io::ErrorKind, String)>,
}

impl Address {
    fn connected(&self) -> Option<Arc<Link>> {
        self.link.lock().as_ref().filter(|link| !link.peer.is_closed()).cloned()
    }
}

impl Client {
    /// A client without connections. `handler` gets every frame that a server sends; it must give
    /// each to [`Peer::accept`], which takes the answers out. The connections end with the tasks of
    /// `env`.
    pub fn new(env: Env, name: &'static str, handler: Arc<dyn Call>, limits: Limits) -> Client {
        let stop = env.tasks.stop_token();
        let connections = Connections::new(env.clone(), name, handler, limits);
        env.tasks.spawn("net-watch", connections.clone().watch(stop));
        Client(Arc::new(Inner { connections, addresses: Mutex::default() }))
    }

    /// Sends a request to `addr` (`host:port`) and waits for the answer. `timeout` covers all of it,
    /// connecting, the pause after failed attempts and the wait for earlier requests to be written included.
    ///
    /// # Errors
    /// See [`CallError`]. An answer with an error code is an answer.
    pub async fn call(
        &self,
        addr: &str,
        code: i32,
        fields: impl FnOnce(&mut FrameWriter<'_>),
        body: &[u8],
        timeout: Duration,
    ) -> Result<OwnedFrame, CallError> {
        let clock = &self.0.connections.env.clock;
        let mut asked = None;
        let called = async {
            let link = self.link(addr).await?;
            asked = Some(link.ask(clock.mono()));
            link.room(body.len()).await;
            let answer = link.peer.call(code, fields, body).await;
            answer.map_err(|source| CallError::Peer { addr: addr.to_owned(), source })
        };
        if let Ok(answer) = clock.timeout(timeout, called).await {
            return answer;
        }
        if let Some(asked) = asked {
            asked.give_up(clock.mono());
        }
        Err(CallError::Timeout { addr: addr.to_owned(), timeout })
    }

    /// Sends a request to `addr` that is not answered; returns once it is queued. `timeout` covers all of it,
    /// as in [`Client::call`].
    ///
    /// # Errors
    /// When there is no connection, or it takes no more in time.
    pub async fn oneway(
        &self,
        addr: &str,
        code: i32,
        fields: impl FnOnce(&mut FrameWriter<'_>),
        body: &[u8],
        timeout: Duration,
    ) -> Result<(), CallError> {
        let sent = async {
            let link = self.link(addr).await?;
            link.room(body.len()).await;
            if link.peer.oneway(code, fields, body) {
                return Ok(());
            }
            // Another caller may have taken the room.
            let source = if link.peer.is_closed() { PeerError::Closed } else { PeerError::Full };
            Err(CallError::Peer { addr: addr.to_owned(), source })
        };
        let timed_out = |_| Err(CallError::Timeout { addr: addr.to_owned(), timeout });
        self.0.connections.env.clock.timeout(timeout, sent).await.unwrap_or_else(timed_out)
    }

    /// The connection to `addr`, opened if there is none.
    async fn link(&self, addr: &str) -> Result<Arc<Link>, CallError> {
        let address = self.address(addr)?;
        match address.connected() {
            Some(link) => Ok(link),
            None => self.dial(addr, &address).await,
        }
    }

    /// The counters of all its connections.
    pub fn metrics(&self) -> &Metrics {
        &self.0.connections.metrics
    }

    fn address(&self, addr: &str) -> Result<Arc<Address>, CallError> {
        let mut addresses = self.0.addresses.lock();
        if let Some(address) = addresses.get(addr) {
            return Ok(address.clone());
        }
        if addresses.len() >= limits::CLIENT_ADDRESSES {
            addresses.retain(|_, a| Arc::strong_count(a) > 1 || a.connected().is_some());
        }
        if addresses.len() >= limits::CLIENT_ADDRESSES {
            let limit = limits::CLIENT_ADDRESSES;
            return Err(CallError::Connections { addr: addr.to_owned(), limit });
        }
        Ok(addresses.entry(addr.to_owned()).or_default().clone())
    }

    /// Connects, one attempt at a time. Those who waited for a failed attempt share its error; the
    /// next attempt waits for its pause to pass.
    async fn dial(&self, addr: &str, address: &Address) -> Result<Arc<Link>, CallError> {
        let seen = address.attempts.load(Relaxed);
        let mut dial = address.dial.lock().await;
        if let Some(link) = address.connected() {
            return Ok(link);
        }
        if address.attempts.load(Relaxed) != seen
            && let Some((kind, text)) = &dial.error
        {
            let source = io::Error::new(*kind, text.clone());
            return Err(CallError::Connect { addr: addr.to_owned(), source });
        }
        let clock = &self.0.connections.env.clock;
        clock.sleep(dial.not_before.saturating_sub(clock.mono())).await;
        let connected = self.connect(addr).await;
        address.attempts.fetch_add(1, Relaxed);
        match connected {
            Ok(link) => {
                *dial = Dial::default();
                *address.link.lock() = Some(link.clone());
                Ok(link)
            }
            Err(error) => {
                let pause = RECONNECT_PAUSE * 2_u32.pow(dial.failures.min(10));
                dial.not_before = clock.mono() + pause.min(limits::RECONNECT_BACKOFF);
                dial.failures += 1;
                if let CallError::Connect { source, .. } = &error {
                    dial.error = Some((source.kind(), source.to_string()));
                }
                Err(error)
            }
        }
    }

    async fn connect(&self, addr: &str) -> Result<Arc<Link>, CallError> {
        let connections = &self.0.connections;
        let failed = |source| CallError::Connect { addr: addr.to_owned(), source };
        let remote = resolve(addr).await.map_err(failed)?;
        let connected = connections.env.net.connect(remote, limits::CONNECT_TIMEOUT).await;
        let socket = connected.map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        let Some(registered) = connections.register() else {
            let limit = connections.limits.connections;
            return Err(CallError::Connections { addr: addr.to_owned(), limit });
        };
        let peer = Peer::with_calls(registered.id, remote, local, limits::CLIENT_CALLS);
        let link = Link::new(peer.clone());
        conn::spawn(connections, registered, socket, peer, Some(link.clone()));
        Ok(link)
    }
}

/// The first address of a `host:port`; a number needs no resolver.
async fn resolve(addr: &str) -> io::Result<SocketAddr> {
    if let Ok(addr) = addr.parse() {
        return Ok(addr);
    }
    let mut found = tokio::net::lookup_host(addr).await?;
    found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

//! A listener: accepts connections up to the limit and serves each in a task of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use env::net::Listener;
use env::{Env, Stop};
use wire::{Call, Peer};

use crate::conn;
use crate::connections::{Connections, Sparse};
use crate::limits::{self, Limits};
use crate::metrics::Metrics;

/// First pause after `accept` failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(5);

/// A listener and its connections. They end when the tasks of the [`Env`] it was started with are
/// shut down: the listener at once, connections that owe no answer too, the others when they have
/// answered, at most [`limits::DRAIN`] later.
pub struct Server {
    addr: SocketAddr,
    connections: Arc<Connections>,
}

/// A port that is taken but not served yet.
pub struct Bound {
    env: Env,
    listener: Listener,
    addr: SocketAddr,
}

impl Bound {
    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves the port with `call`. `name` appears in logs.
    pub fn serve(self, name: &'static str, call: Arc<dyn Call>, limits: Limits) -> Server {
        let Bound { env, listener, addr } = self;
        let stop = env.tasks.stop_token();
        let connections = Connections::new(env.clone(), name, call, limits);
        env.tasks.spawn("net-watch", connections.clone().watch(stop.clone()));
        env.tasks.spawn("net-accept", accept(connections.clone(), listener, stop));
        Server { addr, connections }
    }
}

impl Server {
    /// Listens on `addr` (port 0: any free one) and serves requests with `call`. `name` appears in
    /// logs.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(
        env: Env,
        addr: SocketAddr,
        name: &'static str,
        call: Arc<dyn Call>,
        limits: Limits,
    ) -> io::Result<Server> {
        Ok(Server::bind(env, addr).await?.serve(name, call, limits))
    }

    /// Takes the port without serving it yet: clients may connect, and wait. For roles that must know
    /// their own port first.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(env: Env, addr: SocketAddr) -> io::Result<Bound> {
        let listener = env.net.listen(addr).await?;
        let addr = listener.local_addr()?;
        Ok(Bound { env, listener, addr })
    }

    /// The address that it listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its counters.
    pub fn metrics(&self) -> &Metrics {
        &self.connections.metrics
    }
}

async fn accept(connections: Arc<Connections>, listener: Listener, stop: Stop) {
    let mut stopped = std::pin::pin!(stop.stopped());
    let mut pause = ACCEPT_PAUSE;
    let rejected_lines = Sparse::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, remote)) => {
                pause = ACCEPT_PAUSE;
                let Some(registered) = connections.register() else {
                    reject(&connections, &rejected_lines, remote);
                    continue;
                };
                let local = socket.local_addr().unwrap_or(remote);
                let peer = Peer::new(registered.id, canonical(remote), canonical(local));
                conn::spawn(&connections, registered, socket, peer, None);
            }
            Err(error) if concerns_one_connection(&error) => {
                tracing::debug!(listener = connections.name, %error, "connection lost before accept");
            }
            Err(error) => {
                tracing::warn!(listener = connections.name, %error, ?pause, "cannot accept connections");
                connections.env.clock.sleep(pause).await;
                pause = (pause * 2).min(limits::ACCEPT_BACKOFF);
            }
        }
    }
}

/// Connections over the limit: each is counted, one a second is worth a line.
fn reject(connections: &Connections, lines: &Sparse, remote: SocketAddr) {
    connections.metrics.rejected.add(1);
    if lines.is_due(&connections.env.clock) {
        tracing::warn!(
            listener = connections.name,
            peer = %remote,
            rejected = connections.metrics.rejected.get(),
            "connection rejected: {} are open, the limit",
            connections.limits.connections
        );
    }
}

fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput, NotConnected};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | NotConnected | InvalidInput)
}

/// An IPv4 client of a dual-stack listener is an IPv4 client.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

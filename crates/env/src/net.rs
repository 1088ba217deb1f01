//! TCP with the options every connection of ours wants.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that the kernel completes before [`Listener::accept`] takes them. The kernel caps it
/// by `net.core.somaxconn`.
pub const BACKLOG: u32 = 1024;

/// Makes sockets.
#[derive(Clone, Debug)]
pub struct Net(());

impl Net {
    /// The machine's network.
    pub fn real() -> Net {
        Net(())
    }

    /// Listens on `addr` with `SO_REUSEADDR` (a restarted server need not wait for old connections)
    /// and a backlog of [`BACKLOG`]. Port 0 asks the kernel for a free one.
    pub async fn listen(&self, addr: SocketAddr) -> io::Result<Listener> {
        let socket = new_socket(addr)?;
        socket.set_reuseaddr(true)?;
        socket.bind(addr)?;
        Ok(Listener(socket.listen(BACKLOG)?))
    }

    /// Connects to `addr` with `TCP_NODELAY`, or fails with [`io::ErrorKind::TimedOut`] after `timeout`.
    pub async fn connect(&self, addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        let connected = tokio::time::timeout(timeout, new_socket(addr)?.connect(addr)).await;
        let stream = connected.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, format!("no connection in {timeout:?}"))
        })??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

fn new_socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// The next connection, with `TCP_NODELAY`. An error concerns that connection or a lack of file
    /// descriptors; the listener stays usable.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, remote) = self.0.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, remote))
    }

    /// The address that it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Both ends of a connection send at once; a port that nobody listens on refuses.
    #[test]
    fn connections() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (net, timeout) = (Net::real(), Duration::from_secs(30));
            for any in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(listener) = net.listen(any.parse().unwrap()).await else { continue };
                let addr = listener.local_addr().unwrap();
                let (client, accepted) =
                    tokio::join!(net.connect(addr, timeout), listener.accept());
                let (client, (server, remote)) = (client.unwrap(), accepted.unwrap());
                assert!(client.nodelay().unwrap() && server.nodelay().unwrap());
                assert_eq!(client.local_addr().unwrap(), remote);
                drop(listener);
                let refused = net.connect(addr, timeout).await.unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            }
        });
    }
}

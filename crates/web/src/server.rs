//! The listener, and one task per connection.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use env::net::Listener;
use env::{Env, Stop};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

const TEXT: &str = "text/plain; charset=utf-8";

/// What a page says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status code.
    pub status: u16,
    /// `Content-Type`.
    pub media_type: &'static str,
    /// The body; several answers may share it.
    pub body: Bytes,
}

/// An answer that takes its time.
pub type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The pages of a port.
pub trait Pages: Send + Sync + 'static {
    /// The page at `path`, which begins with a slash and has no query; `None` where there is none.
    fn get(&self, path: &str) -> Option<Later>;
}

/// An open HTTP port. It ends with the tasks of its [`Env`].
#[derive(Debug)]
pub struct Web {
    addr: SocketAddr,
}

impl Web {
    /// Opens the port and serves `pages` on it.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn start(env: Env, addr: SocketAddr, pages: Arc<dyn Pages>) -> io::Result<Web> {
        let listener = env.net.listen(addr).await?;
        let addr = listener.local_addr()?;
        let stop = env.tasks.stop_token();
        env.tasks.clone().spawn("web-accept", accept(env, listener, pages, stop));
        Ok(Web { addr })
    }

    /// The address that it listens on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

async fn accept(env: Env, listener: Listener, pages: Arc<dyn Pages>, stop: Stop) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((socket, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let connection = Connection { env: env.clone(), place, peer };
                    let served = connection.serve(socket, Arc::clone(&pages), stop.clone());
                    env.tasks.spawn("web-connection", served);
                }
                Err(_) => {
                    tracing::debug!(%peer, "connection closed: {} are open, the limit", limits::CONNECTIONS)
                }
            },
            Err(error) => {
                tracing::debug!(%error, "cannot accept a connection");
                env.clock.sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Connection {
    env: Env,
    place: OwnedSemaphorePermit,
    peer: SocketAddr,
}

impl Connection {
    /// Serves one request. What a peer does wrong concerns nobody but it.
    async fn serve(self, socket: TcpStream, pages: Arc<dyn Pages>, stop: Stop) {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_TIME)
            .max_buf_size(limits::HEAD_BYTES)
            .max_headers(limits::HEADERS)
            .keep_alive(false);
        let service = service_fn(move |request| answer(Arc::clone(&pages), request));
        let connection = protocol.serve_connection(TokioIo::new(socket), service);
        let served = self.env.clock.timeout(limits::CONNECTION_TIME, connection);
        tokio::select! {
            served = served => match served {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "connection ended"),
                Err(_) => tracing::debug!(peer = %self.peer, "connection ended: its time is over"),
            },
            () = stop.stopped() => {}
        }
        drop(self.place);
    }
}

async fn answer(
    pages: Arc<dyn Pages>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status: StatusCode, body| Answer {
        status: status.as_u16(),
        media_type: TEXT,
        body: Bytes::from_static(body),
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let found = match is_read {
        true => match pages.get(request.uri().path()) {
            Some(page) => page.await,
            None => plain(StatusCode::NOT_FOUND, b"there is no such page\n"),
        },
        false => plain(StatusCode::METHOD_NOT_ALLOWED, b"only GET and HEAD are served\n"),
    };
    // Of a HEAD's body the library sends the length only.
    let mut response = Response::new(Full::new(found.body));
    *response.status_mut() =
        StatusCode::from_u16(found.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(found.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !is_read {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

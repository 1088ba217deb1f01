//! The HTTP port over real sockets: what it serves, and what hostile peers get.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use env::Env;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use web::{Answer, Later, Pages, Web, limits};

struct Fixed;

impl Pages for Fixed {
    fn get(&self, path: &str) -> Option<Later> {
        let body = match path {
            "/page" => Bytes::from_static(b"hello\n"),
            "/large" => Bytes::from(vec![b'x'; 8 << 20]),
            _ => return None,
        };
        let answer = Answer { status: 200, media_type: "text/plain", body };
        Some(Box::pin(std::future::ready(answer)))
    }
}

async fn start(env: &Env) -> Web {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Web::start(env.clone(), any, Arc::new(Fixed)).await.expect("loopback has a free port")
}

async fn connect(env: &Env, web: &Web) -> TcpStream {
    let connected = env.net.connect(web.local_addr(), Duration::from_secs(10)).await;
    connected.expect("the port is open")
}

/// Sends `request` and returns all that comes until the other side closes; nothing if it resets.
async fn exchange(env: &Env, web: &Web, request: &[u8]) -> String {
    let mut socket = connect(env, web).await;
    // It may close while more is sent.
    let _ = socket.write_all(request).await;
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Shows what is served: a page with and without a query, its length to HEAD, and errors for anything else.
#[tokio::test(flavor = "multi_thread")]
async fn pages() {
    let env = Env::real();
    let web = start(&env).await;
    for target in ["/page", "/page?name=value", "http://other.example/page"] {
        let answer =
            exchange(&env, &web, format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
                .await;
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nhello\n"),
            "{answer}"
        );
        assert!(answer.contains("connection: close"), "one request per connection: {answer}");
    }
    let head = exchange(&env, &web, b"HEAD /page HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(head.contains("content-length: 6") && head.ends_with("\r\n\r\n"), "{head}");
    let missing = exchange(&env, &web, b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(missing.starts_with("HTTP/1.1 404"), "{missing}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"] {
        let request = format!("{method} /page HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc");
        let answer = exchange(&env, &web, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 405") || answer.starts_with("HTTP/1.1 400"),
            "{method}: {answer}"
        );
    }
    env.tasks.shutdown(Duration::from_secs(10)).await;
}

/// Shows that bytes that are no request, heads that are too large and bodies without end are answered with an error or
/// a closed connection, and that the port serves on afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_harmless() {
    let env = Env::real();
    let web = start(&env).await;
    let mut large_field = b"GET /page HTTP/1.1\r\nhost: x\r\na: ".to_vec();
    large_field.resize(limits::HEAD_BYTES + 100_000, b'a');
    let many_fields =
        format!("GET /page HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(limits::HEADERS + 1));
    let bad: [&[u8]; 9] = [
        b"\x00\x00\x00\x10\x00\x00\x00\x08{\"code\":10}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /page\r\n\r\n",
        b"GET /page HTTP/9.9\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
        b"GET /page HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        &large_field,
        many_fields.as_bytes(),
    ];
    for request in bad {
        let answer = exchange(&env, &web, request).await;
        let shown = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{shown:?}: {answer}");
    }
    let endless =
        b"GET /page HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\nabc";
    let answer = exchange(&env, &web, endless).await;
    assert!(answer.ends_with("hello\n"), "a body is not waited for: {answer}");
    let answer = exchange(&env, &web, b"GET /page HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.ends_with("hello\n"), "{answer}");
    env.tasks.shutdown(Duration::from_secs(10)).await;
}

/// Shows that connections over the limit are closed at once, that those which ended make room, and that peers that do
/// not read or never ask hold nothing up at the end.
#[tokio::test(flavor = "multi_thread")]
async fn connections_are_bounded() {
    let env = Env::real();
    let web = start(&env).await;
    let mut silent = Vec::new();
    for _ in 0..limits::CONNECTIONS - 1 {
        silent.push(connect(&env, &web).await);
    }
    let mut slow = connect(&env, &web).await;
    slow.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let answer = exchange(&env, &web, b"GET /page HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(answer, "", "the limit is {}", limits::CONNECTIONS);
    silent.truncate(10);
    // The server hears of the ends at its own time.
    let served = async {
        while !exchange(&env, &web, b"GET /page HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .ends_with("hello\n")
        {}
    };
    env.clock.timeout(Duration::from_secs(60), served).await.expect("ended connections make room");
    let late = env.tasks.shutdown(Duration::from_secs(60)).await;
    assert_eq!(late, Vec::<&str>::new(), "nobody is waited for");
}

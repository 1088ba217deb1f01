//! What a caller sees of the client.
#![allow(clippy::disallowed_methods, reason = "tests open sockets of their own")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apogee_net::{AnswersOnly, CallError, Client, Limits};
use common::{CALL_BACK, ECHO, Handler, PARK, PUSH, Setup, until};
use env::Env;
use futures_util::future::join_all;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const SECOND: Duration = Duration::from_secs(1);

fn client() -> (Client, Arc<Handler>) {
    client_in(Env::real())
}

fn client_in(env: Env) -> (Client, Arc<Handler>) {
    let handler = Arc::new(Handler::default());
    (Client::new(env, "test-client", handler.clone(), Limits::default()), handler)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_share_a_connection() {
    // Shows that concurrent calls to one address use one connection and get their own answers.
    let setup = Setup::new(Limits::default()).await;
    let addr = setup.server.local_addr().to_string();
    let (client, _) = client();
    let calls: Vec<_> = (0..500)
        .map(|i: i32| {
            let (client, addr) = (client.clone(), addr.clone());
            tokio::spawn(async move {
                let body = i.to_be_bytes();
                let answer = client.call(&addr, ECHO, |_| {}, &body, 10 * SECOND).await.unwrap();
                assert_eq!(answer.body()[..], body);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(setup.server.metrics().connections.get(), 1);
    let name = addr.replace("127.0.0.1", "localhost");
    client.call(&name, ECHO, |_| {}, b"", 10 * SECOND).await.unwrap();
}

#[tokio::test]
async fn servers_push_and_call_back() {
    // Shows that a server's oneway and its own request reach the handler of the client.
    let setup = Setup::new(Limits::default()).await;
    let addr = setup.server.local_addr().to_string();
    let (client, handler) = client();
    client.call(&addr, PUSH, |_| {}, b"", 10 * SECOND).await.unwrap();
    until(|| handler.oneways.load(Ordering::SeqCst) == 1).await;
    let answer = client.call(&addr, CALL_BACK, |_| {}, b"", 10 * SECOND).await.unwrap();
    assert_eq!(&answer.body()[..], b"from the server");
    let deaf = Client::new(Env::real(), "deaf", Arc::new(AnswersOnly), Limits::default());
    let answer = deaf.call(&addr, CALL_BACK, |_| {}, b"", 10 * SECOND).await.unwrap();
    assert_eq!(&answer.body()[..], b"", "a refusal has no body");
    client.oneway(&addr, ECHO, |_| {}, b"", 10 * SECOND).await.unwrap();
    until(|| setup.handler.oneways.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test]
async fn failures_are_told_apart() {
    // Shows the errors for no answer in time, a lost connection, nobody there, and no such name.
    let setup = Setup::new(Limits::default()).await;
    let addr = setup.server.local_addr().to_string();
    let (client, _) = client();
    let late = client.call(&addr, PARK, |_| {}, b"", SECOND / 10).await;
    assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    let lost = client.call(&addr, PARK, |_| {}, b"", 60 * SECOND);
    let stop = async {
        until(|| setup.server.metrics().reads.get() >= 2).await;
        setup.env.tasks.shutdown(10 * SECOND).await;
    };
    let (lost, ()) = tokio::join!(lost, stop);
    assert!(matches!(lost, Err(CallError::Peer { .. })), "{lost:?}");
    let nobody = client.call(&addr, ECHO, |_| {}, b"", 10 * SECOND).await;
    assert!(matches!(nobody, Err(CallError::Connect { .. })), "{nobody:?}");
    let nonsense = client.call("no such host", ECHO, |_| {}, b"", 10 * SECOND).await;
    assert!(matches!(nonsense, Err(CallError::Connect { .. })), "{nonsense:?}");
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    // Shows that calls succeed again over a new connection once the server is back, within the pause.
    let setup = Setup::new(Limits::default()).await;
    let addr = setup.server.local_addr();
    let (client, _) = client();
    client.call(&addr.to_string(), ECHO, |_| {}, b"", 10 * SECOND).await.unwrap();
    setup.env.tasks.shutdown(10 * SECOND).await;
    until(|| client.metrics().connections.get() == 0).await;
    for _ in 0..3 {
        client.call(&addr.to_string(), ECHO, |_| {}, b"", 10 * SECOND).await.unwrap_err();
    }
    let again = Setup::at(addr, Limits::default()).await;
    client.call(&addr.to_string(), ECHO, |_| {}, b"", 10 * SECOND).await.unwrap();
    assert_eq!(again.server.metrics().connections.get(), 1);
}

#[tokio::test]
async fn requests_wait_for_their_turn() {
    // Shows that more requests, and more bytes of them, than the connection takes at once wait for room, and
    // are all carried out.
    let setup = Setup::new(Limits::default()).await;
    let addr = setup.server.local_addr().to_string();
    let (client, _) = client();
    for (count, size) in [(5_000, 1), (16, 1 << 20)] {
        let body = vec![b'x'; size];
        let calls = (0..count).map(|_| client.call(&addr, ECHO, |_| {}, &body, 10 * SECOND));
        for answer in join_all(calls).await {
            assert_eq!(answer.unwrap().body().len(), size);
        }
    }
    let oneways = (0..5_000).map(|_| client.oneway(&addr, ECHO, |_| {}, b"", 10 * SECOND));
    join_all(oneways).await.into_iter().for_each(|sent| sent.unwrap());
    until(|| setup.handler.oneways.load(Ordering::SeqCst) == 5_000).await;
}

#[tokio::test]
async fn both_ends_may_send_much_at_once() {
    // Shows that large requests and large answers on one connection do not wait for each other: the server
    // does not read while its answers are not read, so the client reads while its requests are not.
    let setup = Setup::new(Limits::default()).await;
    let addr = setup.server.local_addr().to_string();
    let (client, _) = client();
    let body = vec![b'x'; 3_000_000];
    let calls = (0..32).map(|_| client.call(&addr, ECHO, |_| {}, &body, 20 * SECOND));
    for answer in join_all(calls).await {
        assert_eq!(answer.unwrap().body().len(), body.len());
    }
}

#[tokio::test]
async fn a_dead_connection_is_closed() {
    // Shows that a request that is not answered in time closes its connection when nothing else came
    // meanwhile, and leaves it open when something did, or it waited only briefly.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().to_string();
    let setup = Setup::new(Limits::default()).await;
    let alive = setup.server.local_addr().to_string();
    let env = Env::sim(1);
    let (client, _) = client_in(env.clone());

    let call = client.call(&silent, ECHO, |_| {}, b"", 3 * SECOND);
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        assert!(socket.read(&mut request).await.unwrap() > 0);
        env.clock.advance(3 * SECOND);
        assert_eq!(socket.read(&mut request).await.unwrap(), 0, "the connection is closed");
    };
    let (late, ()) = tokio::join!(call, serve);
    assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");

    for (wait, between) in [(3 * SECOND, true), (SECOND / 10, false)] {
        let reads = setup.server.metrics().reads.get();
        let parked = client.call(&alive, PARK, |_| {}, b"", wait);
        let serve = async {
            until(|| setup.server.metrics().reads.get() > reads).await;
            if between {
                client.call(&alive, ECHO, |_| {}, b"", 60 * SECOND).await.unwrap();
            }
            env.clock.advance(wait);
        };
        let (late, ()) = tokio::join!(parked, serve);
        assert!(matches!(late, Err(CallError::Timeout { .. })), "{late:?}");
    }
    client.call(&alive, ECHO, |_| {}, b"", 60 * SECOND).await.unwrap();
    assert_eq!(setup.handler.disconnects.load(Ordering::SeqCst), 0);
}

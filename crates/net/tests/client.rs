//! What a caller sees of the client.
#![allow(clippy::disallowed_methods, reason = "tests open sockets of their own")]

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use apogee_net::{AnswersOnly, CallError, Client, Limits};
use common::{CALL_BACK, ECHO, Handler, PARK, PUSH, Setup, until};
use env::Env;

const SECOND: Duration = Duration::from_secs(1);

fn client() -> (Client, Arc<Handler>) {
    let handler = Arc::new(Handler::default());
    (Client::new(Env::real(), "test-client", handler.clone(), Limits::default()), handler)
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
    client.oneway(&addr, ECHO, |_| {}, b"").await.unwrap();
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

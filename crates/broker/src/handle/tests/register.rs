//! Registration with name servers that do not answer.

use std::time::Duration;

use env::{Disk, Env};
use store::StoreSettings;

use super::Fixture;
use crate::BrokerSettings;

/// Shows that who asks for a registration while one with a silent name server is on its way does not wait for that
/// name server, whose answer may take two minutes here: the broker would not start.
#[tokio::test]
async fn a_silent_name_server_holds_up_nobody() {
    let env = Env { disk: Disk::mem(), ..Env::real() };
    let silent = env.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let namesrv = silent.local_addr().unwrap().to_string();
    let clock = env.clock.clone();
    let settings = BrokerSettings { register_timeout_ms: 120_000, ..BrokerSettings::default() };
    let store = StoreSettings::test_min("/store");
    let fixture = Fixture::over(env, store, settings, &namesrv);
    let (_connection, _) = silent.accept().await.unwrap();
    let registered = clock.timeout(Duration::from_secs(60), fixture.broker.registered());
    assert!(registered.await.is_ok(), "it waits for the name server");
    fixture.end().await;
}

//! The worker that takes silent brokers out of the routes.

use std::time::Duration;

use env::Stop;

use crate::serve::Namesrv;

/// Looks each interval until `stop`.
pub(crate) async fn run(namesrv: Namesrv, stop: Stop) {
    let interval = Duration::from_millis(namesrv.settings().expire_interval_ms);
    while namesrv.env().clock.timeout(interval, stop.stopped()).await.is_err() {
        namesrv.expire();
    }
}

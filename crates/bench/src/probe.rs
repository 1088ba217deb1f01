//! `bench probe`: how long until a broker accepts its first message.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::admin::{Admin, Endpoint};
use crate::error::BenchError;
use crate::frame::code;
use crate::scan;

const RETRY: Duration = Duration::from_millis(1);

/// Sends one message again and again, over a new connection after each failure, until one is
/// accepted; the time that took. The topic is left to the broker's automatic creation.
pub fn first_accepted(
    addr: SocketAddr,
    topic: &str,
    timeout: Duration,
) -> Result<Duration, BenchError> {
    let began = Instant::now();
    let endpoint = Endpoint { name: "broker-a".into(), addr };
    loop {
        let last = match attempt(&endpoint, topic) {
            Ok(()) => return Ok(began.elapsed()),
            Err(e) => e.to_string(),
        };
        if began.elapsed() >= timeout {
            return Err(BenchError::NotAccepted { addr, seconds: timeout.as_secs(), last });
        }
        thread::sleep(RETRY);
    }
}

fn attempt(endpoint: &Endpoint, topic: &str) -> Result<(), BenchError> {
    let born = crate::ring::wall_ms().to_string();
    let fields = [
        ("a", "bench_producer"),
        ("b", topic),
        ("c", "TBW102"),
        ("d", "4"),
        ("e", "0"),
        ("f", "0"),
        ("g", &*born),
        ("h", "0"),
        ("i", "WAIT\u{1}true\u{2}"),
        ("j", "0"),
        ("k", "false"),
        ("m", "false"),
        ("n", &endpoint.name),
    ];
    let request = code::SEND_MESSAGE_V2;
    let (code, header, _) = Admin::connect(endpoint.addr)?.call(request, &fields, b"probe")?;
    match code {
        0 => Ok(()),
        code => {
            let (addr, remark) = (endpoint.addr, scan::remark(&header));
            Err(BenchError::Refused { addr, request, code, remark })
        }
    }
}

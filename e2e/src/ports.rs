//! Free loopback ports.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, bail};

/// Below the range from which the kernel takes outgoing ports, so that no connection of a
/// running test can take a port between its choice here and its use by a server.
const RANGE: std::ops::Range<u16> = 10_000..32_000;
const ATTEMPTS: u32 = 1_000;
/// Ports that this process was given; none is given twice.
static TAKEN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A port that could be listened on a moment ago, together with every `port + offset`.
///
/// A broker also listens two below (VIP) and one above (replication) its main port.
pub fn free(offsets: &[i32]) -> Result<u16> {
    for _ in 0..ATTEMPTS {
        let random = RandomState::new().hash_one(0u8);
        let span = u64::from(RANGE.end - RANGE.start);
        let port = RANGE.start + u16::try_from(random % span)?;
        let all_free = offsets.iter().chain(&[0]).all(|offset| {
            let port = u16::try_from(i32::from(port) + offset);
            port.is_ok_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        });
        // Two servers of one test program would take it between the choice of the one and its use.
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let all = || offsets.iter().chain(&[0]).map(|offset| i32::from(port) + offset);
        if all_free && all().all(|port| !taken.contains(&port)) {
            taken.extend(all());
            return Ok(port);
        }
    }
    bail!("no free loopback port in {RANGE:?} after {ATTEMPTS} attempts")
}

//! What may stand before the first frame of a connection: a PROXY protocol header, or something that
//! is no remoting connection at all.
//!
//! The first byte decides. The length word of a frame starts with 0, or 1 at exactly the largest
//! frame; `P` (v1) and 0x0D (v2) start a PROXY header, 0x16 a TLS handshake.
//! Formats: the PROXY protocol specification, versions 1 and 2 (haproxy.org).

use std::net::{IpAddr, SocketAddr};

#[cfg(test)]
mod tests;

const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest v1 line with its line end, by the specification.
const V1_LINE: usize = 107;
/// Most bytes of addresses and TLVs after a v2 header: ours; proxies send a few hundred at most.
const V2_REST: usize = 4096;

/// What the first bytes are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Preamble {
    /// Too short to tell.
    More,
    /// Frames start after `len` bytes. A proxy names the client's address unless it speaks for
    /// itself (`LOCAL`, `UNKNOWN`).
    Frames { len: usize, source: Option<SocketAddr> },
    /// Not for us.
    Refused(Refused),
}

/// Why a connection is closed before its first frame.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("it starts a TLS handshake; this listener serves plaintext only")]
    Tls,
    #[error("it starts an HTTP/2 connection (gRPC); this listener serves the remoting protocol")]
    Http2,
    #[error("it starts with a broken PROXY protocol header: {0}")]
    Proxy(&'static str),
}

/// Reads the start of a connection.
pub(crate) fn read(bytes: &[u8]) -> Preamble {
    match bytes.first() {
        None => Preamble::More,
        Some(0x16) => Preamble::Refused(Refused::Tls),
        Some(b'P') if b"PRI ".starts_with(&bytes[..bytes.len().min(4)]) => {
            if bytes.len() < 3 {
                Preamble::More
            } else {
                Preamble::Refused(Refused::Http2)
            }
        }
        Some(b'P') => version_1(bytes),
        Some(b'\r') => version_2(bytes),
        Some(_) => Preamble::Frames { len: 0, source: None },
    }
}

fn broken(what: &'static str) -> Preamble {
    Preamble::Refused(Refused::Proxy(what))
}

/// `PROXY TCP4 source destination sourcePort destinationPort\r\n`
fn version_1(bytes: &[u8]) -> Preamble {
    let start = bytes.len().min(V1_START.len());
    if bytes[..start] != V1_START[..start] {
        return broken("it does not continue with \"PROXY \"");
    }
    let head = &bytes[..bytes.len().min(V1_LINE)];
    let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
        let ended = bytes.len() >= V1_LINE;
        return if ended { broken("its line exceeds 107 bytes") } else { Preamble::More };
    };
    let len = end + 2;
    let Ok(line) = std::str::from_utf8(&head[..end]) else {
        return broken("its line is not text");
    };
    let mut words = line.split(' ').skip(1);
    match words.next() {
        Some("UNKNOWN") => Preamble::Frames { len, source: None },
        Some("TCP4" | "TCP6") => {
            let ip = words.next().and_then(|ip| ip.parse::<IpAddr>().ok());
            let port = words.nth(1).and_then(|port| port.parse::<u16>().ok());
            match (ip, port) {
                (Some(ip), Some(port)) => {
                    Preamble::Frames { len, source: Some(SocketAddr::new(ip, port)) }
                }
                _ => broken("its source address or port is not a number"),
            }
        }
        _ => broken("its protocol is not TCP4, TCP6 or UNKNOWN"),
    }
}

/// `signature:12 | version 2 << 4 | command | family:1 | length:int16 | addresses | TLVs`
fn version_2(bytes: &[u8]) -> Preamble {
    let start = bytes.len().min(V2_SIGNATURE.len());
    if bytes[..start] != V2_SIGNATURE[..start] {
        return broken("its signature is wrong");
    }
    let Some(head) = bytes.get(..16) else { return Preamble::More };
    let rest = usize::from(u16::from_be_bytes([head[14], head[15]]));
    if head[12] >> 4 != 2 || head[12] & 0xF > 1 {
        return broken("its version or command is unknown");
    }
    if rest > V2_REST {
        return broken("it is longer than 4096 bytes");
    }
    let Some(rest) = bytes.get(16..16 + rest) else { return Preamble::More };
    let len = 16 + rest.len();
    let is_local = head[12] & 0xF == 0;
    match head[13] {
        _ if is_local => Preamble::Frames { len, source: None },
        0x11 => match rest.first_chunk::<12>() {
            Some(a) => {
                let ip = IpAddr::from([a[0], a[1], a[2], a[3]]);
                let port = u16::from_be_bytes([a[8], a[9]]);
                Preamble::Frames { len, source: Some(SocketAddr::new(ip, port)) }
            }
            None => broken("it is too short for IPv4 addresses"),
        },
        0x21 => match rest.first_chunk::<36>() {
            Some(a) => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&a[..16]);
                let port = u16::from_be_bytes([a[32], a[33]]);
                Preamble::Frames { len, source: Some(SocketAddr::new(ip.into(), port)) }
            }
            None => broken("it is too short for IPv6 addresses"),
        },
        _ => Preamble::Frames { len, source: None },
    }
}

//! Message identifiers: the offset id that a broker gives and the unique key that a client makes.
//!
//! Both are upper-case hexadecimal, 32 digits with an IPv4 host and 56 with an IPv6 host, and
//! nothing in the text tells them apart. Sources: `MessageDecoder.createMessageId`,
//! `MessageClientIDSetter`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

/// Longest identifier: 28 bytes in hexadecimal.
const MAX_DIGITS: usize = 56;

/// Digits of an identifier, without allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Id {
    digits: [u8; MAX_DIGITS],
    len: u8,
}

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789ABCDEF";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 0xF]];
        byte += 1;
    }
    table
};

impl Id {
    fn from_bytes(bytes: &[u8]) -> Self {
        let mut digits = [0; MAX_DIGITS];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
            *pair = HEX[usize::from(*byte)];
        }
        let len = if bytes.len() * 2 <= 32 { 32 } else { 56 };
        Self { digits, len }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.len)])
            .expect("an identifier holds only hexadecimal digits")
    }
}

impl AsRef<[u8]> for Id {
    fn as_ref(&self) -> &[u8] {
        &self.digits[..usize::from(self.len)]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an offset message id says: which broker stored the record, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OffsetMsgId {
    /// Address of the broker that stored the message.
    pub host: SocketAddr,
    /// Offset of the record in that broker's commit log, bytes.
    pub offset: u64,
}

impl OffsetMsgId {
    /// The text: hexadecimal of ip (4 or 16 bytes), port (4 bytes) and offset (8 bytes).
    #[must_use]
    pub fn encode(&self) -> Id {
        let mut bytes = Bytes::default();
        bytes.ip(self.host.ip());
        bytes.put(&u32::from(self.host.port()).to_be_bytes());
        bytes.put(&self.offset.to_be_bytes());
        Id::from_bytes(bytes.filled())
    }

    /// Reads 32 or 56 hexadecimal digits of either case. Any unique key decodes as well, to
    /// nonsense, unless its port field exceeds 65,535.
    #[must_use]
    pub fn decode(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_DIGITS / 2];
        let bytes = bytes.get_mut(..text.len() / 2)?;
        for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        let ip: IpAddr = match text.len() {
            32 => <[u8; 4]>::try_from(&bytes[..4]).ok()?.into(),
            56 => <[u8; 16]>::try_from(&bytes[..16]).ok()?.into(),
            _ => return None,
        };
        let tail: [u8; 12] = bytes[bytes.len() - 12..].try_into().ok()?;
        let tail = tail.map(u128::from).iter().fold(0, |all, byte| all << 8 | byte);
        let port = u16::try_from(tail >> 64).ok()?;
        let offset = u64::try_from(tail & u128::from(u64::MAX)).ok()?;
        Some(Self { host: SocketAddr::new(ip, port), offset })
    }
}

fn digit(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Makes unique keys the way a Java client does: host, process, a salt, milliseconds since the
/// first of the month, and a counter.
#[derive(Debug)]
pub struct UniqKeys {
    ip: IpAddr,
    process: u16,
    salt: u32,
    counter: AtomicU16,
}

impl UniqKeys {
    /// `salt` stands where Java puts the hash of its class loader: it keeps two generators of one
    /// process apart.
    #[must_use]
    pub fn new(ip: IpAddr, process: u16, salt: u32) -> Self {
        Self { ip: ip.to_canonical(), process, salt, counter: AtomicU16::new(0) }
    }

    /// The next key at `now_ms` (ms since the epoch). Keys repeat only after 65,536 calls within
    /// one millisecond, or after a month.
    #[must_use]
    pub fn next(&self, now_ms: i64) -> Id {
        let mut bytes = Bytes::default();
        bytes.ip(self.ip);
        bytes.put(&self.process.to_be_bytes());
        bytes.put(&self.salt.to_be_bytes());
        bytes.put(&since_first_of_month(now_ms).to_be_bytes());
        bytes.put(&self.counter.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        Id::from_bytes(bytes.filled())
    }
}

/// Milliseconds since midnight UTC of the first day of `now_ms`'s month.
fn since_first_of_month(now_ms: i64) -> u32 {
    const DAY_MS: i64 = 86_400_000;
    let days = now_ms.div_euclid(DAY_MS);
    let in_month = (i64::from(day_of_month(days)) - 1) * DAY_MS + now_ms.rem_euclid(DAY_MS);
    // At most 31 days of 86,400,000 ms.
    u32::try_from(in_month).unwrap_or(0)
}

/// Day of the month, 1 to 31, of a day counted from 1970-01-01 (Gregorian calendar in 400-year
/// eras that start in March, so that a leap day is the last of its year).
fn day_of_month(days: i64) -> u8 {
    let of_era = (days + 719_468).rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    u8::try_from(of_year - (153 * month + 2) / 5 + 1).unwrap_or(1)
}

/// Up to 28 bytes of an identifier.
#[derive(Default)]
struct Bytes {
    bytes: [u8; MAX_DIGITS / 2],
    len: usize,
}

impl Bytes {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn ip(&mut self, ip: IpAddr) {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.put(&ip.octets()),
            IpAddr::V6(ip) => self.put(&ip.octets()),
        }
    }

    fn filled(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id of the golden record, both ways.
    #[test]
    fn offset_id_of_the_golden_record() {
        let id = OffsetMsgId { host: "127.0.0.1:10911".parse().unwrap(), offset: 4096 };
        assert_eq!(id.encode().as_str(), "7F00000100002A9F0000000000001000");
        assert_eq!(OffsetMsgId::decode(b"7f00000100002a9f0000000000001000"), Some(id));
    }

    /// An IPv6 host makes 56 digits; an IPv4 host mapped into IPv6 makes 32.
    #[test]
    fn offset_id_of_ipv6() {
        let id = OffsetMsgId { host: "[2001:db8::1]:1".parse().unwrap(), offset: u64::MAX };
        assert_eq!(id.encode().as_str().len(), 56);
        assert_eq!(OffsetMsgId::decode(id.encode().as_ref()), Some(id));
        let mapped = OffsetMsgId { host: "[::ffff:10.0.0.1]:1".parse().unwrap(), offset: 0 };
        assert!(mapped.encode().as_str().starts_with("0A000001"));
    }

    /// Texts that are not 32 or 56 hexadecimal digits, or hold an impossible port, are no ids.
    #[test]
    fn refuses_other_texts() {
        for text in
            ["", "7F", "7G00000100002A9F0000000000001000", "7F0000010001FFFF0000000000001000"]
        {
            assert_eq!(OffsetMsgId::decode(text.as_bytes()), None, "{text}");
        }
        assert_eq!(OffsetMsgId::decode(&[b'0'; 58]), None);
        assert_eq!(OffsetMsgId::decode(&[b'0'; 33]), None);
    }

    /// Layout of a unique key at a known time, and its counter.
    #[test]
    fn unique_key() {
        let keys = UniqKeys::new("10.1.2.3".parse().unwrap(), 0x1234, 0xAABB_CCDD);
        // 2023-11-14T22:13:20Z: 13 days, 22:13:20 into the month.
        let ms: u32 = (13 * 86_400 + 22 * 3_600 + 13 * 60 + 20) * 1_000;
        let want = format!("0A0102031234AABBCCDD{ms:08X}");
        assert_eq!(keys.next(1_700_000_000_000).as_str(), format!("{want}0000"));
        assert_eq!(keys.next(1_700_000_000_000).as_str(), format!("{want}0001"));
    }

    /// Days of the month around leap days and before 1970.
    #[test]
    fn calendar() {
        for (days, day) in
            [(0, 1), (30, 31), (31, 1), (-1, 31), (11_016, 29), (11_017, 1), (19_675, 14)]
        {
            assert_eq!(day_of_month(days), day, "{days}");
        }
    }
}

//! Send requests encoded ahead: a ring of frames that lie back to back in the order they leave.
//!
//! Each use of a frame patches three things in place, none of which changes its length: the
//! correlation number, `bornTimestamp`, and the counter at the end of every `UNIQ_KEY`. A run of
//! patched frames is one contiguous piece of memory and leaves in one write. A frame is not patched
//! again before its bytes were handed to the socket.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memmem;

use crate::frame::{self, code};
use crate::limits;

/// What the messages of a run look like.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub topic: String,
    pub broker: String,
    pub queues: u32,
    pub body_bytes: usize,
    /// Messages of one request; 1 = plain sends (310), else batches (320).
    pub batch: usize,
}

/// Places to patch in one frame; absolute positions in the ring.
#[derive(Debug, Clone, Copy)]
struct Spots {
    end: usize,
    opaque: usize,
    born: usize,
    keys: (usize, usize),
}

/// The frames of one connection and how far they are sent.
#[derive(Debug)]
pub(crate) struct Ring {
    bytes: Vec<u8>,
    frames: Vec<Spots>,
    keys: Vec<usize>,
    next: usize,
    counter: u32,
    /// Bytes patched and bytes written since the start; a position is the value modulo the ring.
    queued: u64,
    sent: u64,
    born: [u8; BORN_DIGITS],
    born_ms: u64,
}

const BORN_DIGITS: usize = 13;
const KEY_COUNTER_DIGITS: usize = 8;
/// Bytes at the start of a body that [`Ring::push`] may overwrite with a time stamp.
pub(crate) const STAMP_BYTES: usize = 8;

impl Ring {
    /// Encodes the frames of connection `connection`: queues in turn, beginning with its own number.
    pub(crate) fn new(shape: &Shape, connection: u32) -> Ring {
        let body = body(shape.body_bytes, connection);
        let frame_bytes = shape.batch * (shape.body_bytes + 128) + 512;
        let fits = (limits::RING_BYTES / frame_bytes).clamp(2, limits::RING_FRAMES);
        let queues = shape.queues as usize;
        let count = fits.next_multiple_of(queues);
        let prefix = key_prefix(connection);
        let mut ring = Ring {
            bytes: Vec::with_capacity(count * frame_bytes),
            frames: Vec::with_capacity(count),
            keys: Vec::with_capacity(count * shape.batch),
            next: 0,
            counter: 0,
            queued: 0,
            sent: 0,
            born: [b'0'; BORN_DIGITS],
            born_ms: 0,
        };
        for i in 0..count {
            let queue = (connection as usize + i) % queues;
            ring.encode(shape, queue as u32, &prefix, &body);
        }
        ring
    }

    fn encode(&mut self, shape: &Shape, queue: u32, prefix: &str, body: &[u8]) {
        let start = self.bytes.len();
        let key = format!("{prefix}{:0KEY_COUNTER_DIGITS$}", 0);
        let single = format!("UNIQ_KEY\u{1}{key}\u{2}WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}");
        let whole = format!("UNIQ_KEY\u{1}{key}\u{2}WAIT\u{1}true\u{2}");
        let batch = shape.batch > 1;
        let queue = queue.to_string();
        let fields = [
            ("a", "bench_producer"),
            ("b", &shape.topic),
            ("c", "TBW102"),
            ("d", "4"),
            ("e", &queue),
            ("f", "0"),
            ("g", "1000000000000"),
            ("h", "0"),
            ("i", if batch { &whole } else { &single }),
            ("j", "0"),
            ("k", "false"),
            ("m", if batch { "true" } else { "false" }),
            ("n", &shape.broker),
        ];
        let records;
        let (code, body) = if batch {
            records = batch_body(body, &single, shape.batch);
            (code::SEND_BATCH_MESSAGE, &records[..])
        } else {
            (code::SEND_MESSAGE_V2, body)
        };
        let opaque = frame::request(&mut self.bytes, code, 1_000_000, &fields, body);
        let encoded = &self.bytes[start..];
        let born = memmem::find(encoded, b"\"g\":\"").expect("written just above") + start + 5;
        let first = self.keys.len();
        let at = memmem::find_iter(encoded, prefix.as_bytes());
        self.keys.extend(at.map(|at| start + at + prefix.len()));
        let keys = (first, self.keys.len());
        self.frames.push(Spots { end: self.bytes.len(), opaque, born, keys });
    }

    /// Whether the next frame's last use has left for the socket.
    pub(crate) fn has_room(&self) -> bool {
        let unsent = self.queued - self.sent;
        unsent + (self.next_end() - self.next_start()) as u64 <= self.bytes.len() as u64
    }

    fn next_start(&self) -> usize {
        if self.next == 0 { 0 } else { self.frames[self.next - 1].end }
    }

    fn next_end(&self) -> usize {
        self.frames[self.next].end
    }

    /// Sets `bornTimestamp` of the frames that follow; called once per pass.
    pub(crate) fn set_born(&mut self, wall_ms: u64) {
        if wall_ms != self.born_ms {
            self.born_ms = wall_ms;
            decimal(&mut self.born, wall_ms);
        }
    }

    /// Patches the next frame under number `opaque`; `stamp` goes into the first bytes of the body.
    /// The caller has checked [`Ring::has_room`].
    pub(crate) fn push(&mut self, opaque: u32, stamp: Option<[u8; STAMP_BYTES]>) {
        let start = self.next_start();
        let spots = self.frames[self.next];
        decimal(&mut self.bytes[spots.opaque..spots.opaque + 7], u64::from(opaque));
        self.bytes[spots.born..spots.born + BORN_DIGITS].copy_from_slice(&self.born);
        for &at in &self.keys[spots.keys.0..spots.keys.1] {
            self.counter = self.counter.wrapping_add(1);
            hex(&mut self.bytes[at..at + KEY_COUNTER_DIGITS], self.counter);
        }
        if let Some(stamp) = stamp {
            let header = self.bytes[start + 4..start + 8].try_into().expect("four bytes");
            let body = start + 8 + u32::from_be_bytes(header) as usize;
            self.bytes[body..body + STAMP_BYTES].copy_from_slice(&stamp);
        }
        self.queued += (spots.end - start) as u64;
        self.next = if self.next + 1 == self.frames.len() { 0 } else { self.next + 1 };
    }

    /// Writes what is patched; true when nothing is left, false when the socket takes no more.
    pub(crate) fn flush(&mut self, mut socket: impl io::Write) -> io::Result<bool> {
        let round = self.bytes.len() as u64;
        while self.sent < self.queued {
            let from = (self.sent % round) as usize;
            let to = (from as u64 + self.queued - self.sent).min(round) as usize;
            match socket.write(&self.bytes[from..to]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.sent += n as u64,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// Milliseconds since the epoch.
pub(crate) fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

/// 24 of the 32 digits of a `UNIQ_KEY`: address, process id, a hash that differs per run, connection.
fn key_prefix(connection: u32) -> String {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let run = nanos.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    format!("7F000001{:04X}{run:08X}{:04X}", std::process::id() & 0xffff, connection & 0xffff)
}

/// A body of letters and digits without a pattern that a compressor or a file system could use.
fn body(len: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed) + 0x2545_F491_4F6C_DD1D;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        b"abcdefghijklmnopqrstuvwxyz012345"[(state >> 59) as usize]
    };
    (0..len).map(|_| next()).collect()
}

/// Body of request 320: `total | magic 0 | crc 0 | flag 0 | bodyLen | body | propLen:int16 | properties`
/// for each message.
fn batch_body(body: &[u8], properties: &str, count: usize) -> Vec<u8> {
    let total = 4 * 5 + body.len() + 2 + properties.len();
    let mut out = Vec::with_capacity(total * count);
    for _ in 0..count {
        out.extend((total as u32).to_be_bytes());
        out.extend([0; 12]);
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(body);
        out.extend((properties.len() as u16).to_be_bytes());
        out.extend(properties.as_bytes());
    }
    out
}

/// Writes `value` in decimal over the whole of `out`, leading zeros included.
fn decimal(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Writes `value` in upper-case hexadecimal over the whole of `out`.
fn hex(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789ABCDEF"[(value & 15) as usize];
        value >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Scanner, frame_len};

    fn shape(batch: usize) -> Shape {
        let (topic, broker) = ("BenchTopic".to_owned(), "broker-a".to_owned());
        Shape { topic, broker, queues: 12, body_bytes: 64, batch }
    }

    fn drain(ring: &mut Ring) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        assert!(ring.flush(&mut out).unwrap());
        let mut frames = Vec::new();
        while let Some(len) = frame_len(&out).unwrap() {
            let rest = out.split_off(len);
            frames.push(std::mem::replace(&mut out, rest));
        }
        assert!(out.is_empty());
        frames
    }

    // Patched frames stay well formed over several rounds of the ring, carry the numbers they were
    // given, and no unique key comes twice, neither among plain sends nor inside batches.
    #[test]
    fn frames_survive_patching() {
        for batch in [1, 4] {
            let mut ring = Ring::new(&shape(batch), 3);
            let mut keys = std::collections::HashSet::new();
            ring.set_born(1_795_563_222_902);
            for opaque in 1_000_000..1_000_900 {
                assert!(ring.has_room());
                ring.push(opaque, Some([7; STAMP_BYTES]));
                let frame = drain(&mut ring).pop().unwrap();
                let head = Scanner::new().head(&frame).unwrap();
                assert_eq!(head.opaque, opaque as i32);
                let header: serde_json::Value = serde_json::from_slice(head.header).unwrap();
                assert_eq!(header["extFields"]["g"], "1795563222902");
                assert_eq!(head.body[..STAMP_BYTES], [7; STAMP_BYTES]);
                for at in memmem::find_iter(&frame, b"7F000001") {
                    assert!(keys.insert(frame[at..at + 32].to_vec()));
                }
            }
            assert_eq!(keys.len(), 900 * if batch == 1 { 1 } else { batch + 1 });
        }
    }

    // A ring whose frames are all unsent has no room, and has it again once they left.
    #[test]
    fn unsent_frames_are_not_patched() {
        let mut ring = Ring::new(&shape(1), 0);
        let mut pushed = 0;
        while ring.has_room() {
            ring.push(1_000_000, None);
            pushed += 1;
        }
        assert_eq!(pushed, ring.frames.len());
        assert_eq!(drain(&mut ring).len(), pushed);
        assert!(ring.has_room());
    }
}

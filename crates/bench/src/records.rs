//! Walking the bodies of pull answers: stored messages back to back.
//!
//! Fixed places of a record: size 0, magic 4, queue offset 20, flags 36, born host 48 (8 bytes, 20 with
//! flag 0x10), then store time 8, store host (8, or 20 with 0x20), two numbers of 4 and 8, body length 4.

const MAGIC_V1: u32 = 0xDAA3_20A7;
const MAGIC_V2: u32 = 0xDAA3_20AB;
const FIXED_BYTES: usize = 88;

/// One stored message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    pub queue_offset: u64,
    bytes: &'a [u8],
}

impl<'a> Record<'a> {
    /// The message's body; None when its length does not fit the record.
    pub(crate) fn body(&self) -> Option<&'a [u8]> {
        let flags = number(self.bytes, 36)?;
        let wide = |bit: u32| if flags & bit == 0 { 8 } else { 20 };
        let at = 48 + wide(0x10) + 8 + wide(0x20) + 4 + 8;
        let len = number(self.bytes, at)? as usize;
        self.bytes.get(at + 4..at + 4 + len)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The records of one pull's body.
#[derive(Debug)]
pub(crate) struct Records<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.split();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record.ok_or("its body is not a sequence of message records"))
    }
}

impl<'a> Records<'a> {
    fn split(&mut self) -> Option<Record<'a>> {
        let size = number(self.0, 0)? as usize;
        let magic = number(self.0, 4)?;
        if size < FIXED_BYTES || (magic != MAGIC_V1 && magic != MAGIC_V2) {
            return None;
        }
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        let queue_offset = u64::from_be_bytes(*bytes[20..].first_chunk()?);
        Some(Record { queue_offset, bytes })
    }
}

/// Writes one record as a server would send it; what the generator does not look at is zero.
pub(crate) fn encode(out: &mut Vec<u8>, queue: u32, queue_offset: u64, topic: &str, body: &[u8]) {
    let start = out.len();
    out.extend([0; FIXED_BYTES]);
    out[start + 4..start + 8].copy_from_slice(&MAGIC_V1.to_be_bytes());
    out[start + 12..start + 16].copy_from_slice(&queue.to_be_bytes());
    out[start + 20..start + 28].copy_from_slice(&queue_offset.to_be_bytes());
    out[start + 84..start + 88].copy_from_slice(&(body.len() as u32).to_be_bytes());
    out.extend(body);
    out.push(topic.len() as u8);
    out.extend(topic.as_bytes());
    out.extend([0, 0]);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    // Records come back with offset and body; a cut or foreign one is an error and ends the walk.
    #[test]
    fn walks_records() {
        let mut bytes = Vec::new();
        encode(&mut bytes, 1, 7, "T", b"one");
        let first = bytes.len();
        encode(&mut bytes, 1, 8, "T", b"second");
        let all: Vec<_> = Records(&bytes).map(Result::unwrap).collect();
        assert_eq!(all.iter().map(|r| r.queue_offset).collect::<Vec<_>>(), [7, 8]);
        assert_eq!(all[1].body(), Some(&b"second"[..]));
        let cut: Vec<_> = Records(&bytes[..first + 50]).map(|r| r.is_ok()).collect();
        assert_eq!(cut, [true, false]);
        bytes[4] = 0;
        assert!(Records(&bytes).next().unwrap().is_err());
    }
}

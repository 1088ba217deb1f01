//! Durable marks: how far the log was synced, in the last 1024 bytes of the segment being written.
//!
//! After a power cut, only what is known to have been synced may be kept: a record's own checksum
//! covers its body only, so a torn record can look whole. A file beside the log would have to be synced
//! with each group of appends. The space behind a segment's filler is free by the format (store format
//! §3.8: "the rest is arbitrary bytes"), and one sync covers both it and the records.
//!
//! Each sync first writes a mark: what the syncs before made durable, and where this one ends together
//! with a checksum of what it covers. The disk may persist a mark without the records, then the
//! checksum fails and the older claim counts. Marks alternate between two sectors, so that a torn one
//! does not destroy the other. Once the segment is full they are overwritten by nobody and read no more.
//!
//! Layout, big endian: magic `APOGEEMK`, durable u64, end u64, checksum u32 of the covered bytes (records
//! and heads of fillers between `durable` and `end`), CRC-32 u32 of the 28 bytes before.

use std::io;

use env::disk::File;

use crate::limits;

const MAGIC: &[u8; 8] = b"APOGEEMK";
const SIZE: usize = 32;
const SECTOR: u64 = limits::MARK_BYTES / 2;

/// What one sync of the log claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Log offset up to which everything was durable before the sync began.
    pub(crate) durable: u64,
    /// Log offset up to which the sync goes; equals `durable` where there is no checksum.
    pub(crate) end: u64,
    /// CRC-32 of what was appended between the two.
    pub(crate) checksum: u32,
}

impl Mark {
    fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.durable.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.end.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.checksum.to_be_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8; SIZE]) -> Option<Mark> {
        let number = |at: usize| bytes[at..].first_chunk().map(|b| u64::from_be_bytes(*b));
        let crc = |at: usize| bytes[at..].first_chunk().map(|b| u32::from_be_bytes(*b));
        if !bytes.starts_with(MAGIC) || crc(28)? != crc32fast::hash(&bytes[..28]) {
            return None;
        }
        Some(Mark { durable: number(8)?, end: number(16)?, checksum: crc(24)? })
    }

    /// Writes it into the segment file of `segment_bytes`; `turn` alternates.
    pub(crate) fn write(&self, file: &File, segment_bytes: u64, turn: bool) -> io::Result<()> {
        let sector = if turn { SECTOR } else { limits::MARK_BYTES };
        file.write_at(&self.encode(), segment_bytes - sector)
    }

    /// The marks in a segment file, the older first.
    pub(crate) fn read(file: &File, segment_bytes: u64) -> io::Result<Vec<Mark>> {
        let mut marks = Vec::new();
        for sector in [limits::MARK_BYTES, SECTOR] {
            let mut bytes = [0; SIZE];
            file.read_exact_at(&mut bytes, segment_bytes - sector)?;
            marks.extend(Mark::decode(&bytes));
        }
        marks.sort_by_key(|mark| (mark.durable, mark.end));
        Ok(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mark survives encoding, and any flipped bit unmakes it.
    #[test]
    fn round_trip() {
        let mark = Mark { durable: 7, end: 900, checksum: 0xDEAD_BEEF };
        let bytes = mark.encode();
        assert_eq!(Mark::decode(&bytes), Some(mark));
        for bit in 0..SIZE * 8 {
            let mut torn = bytes;
            torn[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&torn), None, "bit {bit}");
        }
    }
}

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
/// Where the two marks lie, counted from the end of the segment.
const SECTORS: [u64; 2] = [limits::MARK_BYTES, limits::MARK_BYTES / 2];

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

    /// Writes it into the segment file of `segment_bytes`, in the sector that does not hold the newest
    /// mark: until the sync has ended, that one is all that an answer rests on. The sectors are looked at
    /// each time, which costs little beside a sync and cannot get out of step.
    pub(crate) fn write(&self, file: &File, segment_bytes: u64) -> io::Result<()> {
        let mut newest = (None, SECTORS[1]);
        for sector in SECTORS {
            let mark = Mark::read_sector(file, segment_bytes, sector)?;
            let claim = mark.map(|mark| (mark.durable, mark.end));
            if claim > newest.0 {
                newest = (claim, sector);
            }
        }
        let free = if newest.1 == SECTORS[0] { SECTORS[1] } else { SECTORS[0] };
        file.write_at(&self.encode(), segment_bytes - free)
    }

    fn read_sector(file: &File, segment_bytes: u64, sector: u64) -> io::Result<Option<Mark>> {
        let mut bytes = [0; SIZE];
        file.read_exact_at(&mut bytes, segment_bytes - sector)?;
        Ok(Mark::decode(&bytes))
    }

    /// The marks in a segment file, the older first.
    pub(crate) fn read(file: &File, segment_bytes: u64) -> io::Result<Vec<Mark>> {
        let mut marks = Vec::new();
        for sector in SECTORS {
            marks.extend(Mark::read_sector(file, segment_bytes, sector)?);
        }
        marks.sort_by_key(|mark| (mark.durable, mark.end));
        Ok(marks)
    }
}

#[cfg(test)]
mod tests {
    use env::Disk;

    use super::*;

    /// The newest mark is never overwritten, whatever the older one is.
    #[test]
    fn the_newest_mark_stays() {
        let file = Disk::mem().create("segment".as_ref()).unwrap();
        file.set_len(4096).unwrap();
        let mark = |end| Mark { durable: end - 1, end, checksum: 0 };
        for end in 1..6 {
            mark(end).write(&file, 4096).unwrap();
            let kept = Mark::read(&file, 4096).unwrap();
            let want: Vec<Mark> = (end.saturating_sub(1).max(1)..=end).map(mark).collect();
            assert_eq!(kept, want);
        }
    }

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

//! The hash slots of an index file: for each, the newest item of its chain.

use std::io;
use std::sync::Arc;

use env::disk::File;

use super::file::{HEADER, SLOT};
use crate::kept_file::KeptFile;

/// Slots that are loaded together: 16 KiB.
const CHUNK: usize = 4096;

/// Slots in memory, a chunk from its first use on.
#[derive(Debug)]
pub(crate) struct Slots {
    chunks: Vec<Option<Box<[u32; CHUNK]>>>,
    /// Whether a chunk that is not in memory is in the file; else it is all zeros.
    in_file: bool,
    count: u32,
}

impl Slots {
    pub(crate) fn new(count: u32, in_file: bool) -> Slots {
        let chunks = (count as usize).div_ceil(CHUNK);
        Slots { chunks: vec![None; chunks], in_file, count }
    }

    /// The slot of a hash.
    pub(crate) fn of(&self, hash: u32) -> u32 {
        hash % self.count
    }

    /// The newest item of a slot's chain; 0 for none.
    pub(crate) fn get(&mut self, slot: u32, file: &Arc<File>) -> io::Result<u32> {
        Ok(self.chunk(slot, || Ok(Arc::clone(file)))?[slot as usize % CHUNK])
    }

    /// Makes it `item`; returns the one before, 0 for none.
    pub(crate) fn replace(&mut self, slot: u32, item: u32, file: &KeptFile) -> io::Result<u32> {
        let newest = &mut self.chunk(slot, || file.keep())?[slot as usize % CHUNK];
        Ok(std::mem::replace(newest, item))
    }

    fn chunk(
        &mut self,
        slot: u32,
        file: impl FnOnce() -> io::Result<Arc<File>>,
    ) -> io::Result<&mut [u32; CHUNK]> {
        let index = slot as usize / CHUNK;
        let chunk = &mut self.chunks[index];
        if chunk.is_none() {
            let mut slots = Box::new([0; CHUNK]);
            if self.in_file {
                const BYTES: usize = CHUNK * SLOT as usize;
                let mut bytes = [0; BYTES];
                file()?.read_at(&mut bytes, HEADER + (index * BYTES) as u64)?;
                for (slot, bytes) in slots.iter_mut().zip(bytes.as_chunks().0) {
                    *slot = u32::from_be_bytes(*bytes);
                }
            }
            *chunk = Some(slots);
        }
        Ok(chunk.as_mut().expect("it was filled above"))
    }

    /// Writes what is in memory to the file, and forgets it.
    pub(crate) fn write(&mut self, file: &KeptFile) -> io::Result<()> {
        for (index, chunk) in self.chunks.iter().enumerate() {
            let Some(chunk) = chunk else { continue };
            let start = index * CHUNK;
            let len = CHUNK.min(self.count as usize - start);
            let bytes: Vec<u8> = chunk[..len].iter().flat_map(|slot| slot.to_be_bytes()).collect();
            file.write_at(&bytes, HEADER + start as u64 * SLOT)?;
        }
        *self = Slots::new(self.count, true);
        Ok(())
    }
}

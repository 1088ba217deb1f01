//! The key index: which records have a key.

mod keys;

pub use keys::Keys;
pub(crate) use keys::hash_keys;

/// Placeholder state of the index until its files are opened.
#[derive(Debug)]
pub(crate) struct Index;

impl Index {
    pub(crate) fn add(&self, _physical: u64, _store_timestamp: i64, _hashes: &[u32]) {}
}

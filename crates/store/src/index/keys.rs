//! What a message can be found by, and the hashes that stand for it in index files.

use wire::java_hash::extend;
use wire::props::{self, names};

/// The properties of a message that it can be found by. Of what is not UTF-8 counts what [`extend`] makes of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Keys<'a> {
    /// `UNIQ_KEY`.
    pub unique: Option<&'a [u8]>,
    /// `KEYS`: words separated by spaces.
    pub keys: Option<&'a [u8]>,
    /// `TAGS`.
    pub tag: Option<&'a [u8]>,
}

/// Hash of what all keys of a topic's messages begin with.
pub(crate) fn key_prefix(topic: &str) -> i32 {
    extend(extend(0, topic), "#")
}

/// Adds the hash of each key: the unique key's, those of the words of `keys`, the tag's (store format
/// §9; tags since 5.4.0). `prefix` is the [`key_prefix`] of their topic.
pub(crate) fn hash_keys(keys: &Keys<'_>, prefix: i32, out: &mut Vec<u32>) {
    let words = keys.keys.unwrap_or_default().split(|byte| *byte == b' ');
    for key in keys.unique.into_iter().chain(words).filter(|key| !key.is_empty()) {
        out.push(index_hash(extend(prefix, key)));
    }
    if let Some(tag) = keys.tag.filter(|tag| !tag.is_empty()) {
        out.push(index_hash(extend(extend(prefix, "T#"), tag)));
    }
}

/// What a query asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// Messages with this unique key or among whose keys is this.
    Key(&'a str),
    /// Messages with this tag.
    Tag(&'a str),
}

impl Lookup<'_> {
    /// Whether a message with these properties is meant.
    pub(crate) fn matches(&self, properties: &[u8]) -> bool {
        let has = |name, want: &str| props::get(properties, name) == Some(want.as_bytes());
        match self {
            Lookup::Tag(tag) => has(names::TAGS, tag),
            Lookup::Key(key) => {
                let keys = props::get(properties, names::KEYS).unwrap_or_default();
                has(names::UNIQ_KEY, key)
                    || keys.split(|byte| *byte == b' ').any(|word| word == key.as_bytes())
            }
        }
    }
}

/// The hash to look for.
pub(crate) fn hash_lookup(lookup: Lookup<'_>, topic: &str) -> u32 {
    let prefix = key_prefix(topic);
    index_hash(match lookup {
        Lookup::Key(key) => extend(prefix, key),
        Lookup::Tag(tag) => extend(extend(prefix, "T#"), tag),
    })
}

/// The hash as index files hold it: its absolute value, 0 where Java has none.
fn index_hash(hash: i32) -> u32 {
    u32::try_from(hash.wrapping_abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reference's vector, the order of several keys, and the tag's text.
    #[test]
    fn hashes() {
        let mut out = Vec::new();
        let keys = Keys { unique: Some(b"KEY0"), keys: Some(b" a  b"), tag: Some(b"t") };
        hash_keys(&keys, key_prefix("TopicTest"), &mut out);
        let hash = |text| index_hash(extend(0, text));
        assert_eq!(out[0], 1_656_969_517);
        assert_eq!(out[1..], ["TopicTest#a", "TopicTest#b", "TopicTest#T#t"].map(hash));
        assert_eq!(index_hash(i32::MIN), 0);
    }
}

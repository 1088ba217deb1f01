//! Java's `String.hashCode`, which decides tag codes and key index slots.
//!
//! The hash runs over UTF-16 units: `h = 31 * h + unit`, wrapping in 32 bits.

/// Hash of `text`, as `text.hashCode()` in Java.
#[must_use]
pub fn java_hash(text: &str) -> i32 {
    extend(0, text)
}

/// Hash of a text whose first part hashed to `hash` and whose rest is `text`; lets a caller hash
/// `topic#key` without joining the parts. Sequences that are not UTF-8 count as U+FFFD, as in Java's decoder, which
/// only takes an encoded surrogate for one of them and not for three.
#[must_use]
pub fn extend(hash: i32, text: impl AsRef<[u8]>) -> i32 {
    let mut hash = hash;
    let mut rest = text.as_ref();
    // Four at a time: each step would wait for the multiplication of the one before.
    while let Some((four @ [0..0x80, 0..0x80, 0..0x80, 0..0x80], behind)) = rest.split_first_chunk()
    {
        let [a, b, c, d] = four.map(i32::from);
        let new = a * (31 * 31 * 31) + b * (31 * 31) + c * 31 + d;
        hash = hash.wrapping_mul(31 * 31 * 31 * 31).wrapping_add(new);
        rest = behind;
    }
    if rest.is_ascii() {
        return rest.iter().fold(hash, |hash, byte| step(hash, u16::from(*byte)));
    }
    // What is before is ASCII, so a character starts here.
    String::from_utf8_lossy(rest).encode_utf16().fold(hash, step)
}

/// The code that a consume queue stores for a message's tag: the hash, sign-extended.
#[must_use]
pub fn tags_code(tag: &[u8]) -> i64 {
    i64::from(extend(0, tag))
}

fn step(hash: i32, unit: u16) -> i32 {
    hash.wrapping_mul(31).wrapping_add(i32::from(unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known hashes: the tag of the golden record, the empty text, an overflow, and a surrogate pair.
    #[test]
    fn agrees_with_java() {
        assert_eq!(java_hash("TagA"), 2_598_919);
        assert_eq!(java_hash("TagB"), 2_598_920);
        assert_eq!(java_hash(""), 0);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        // "a" = 97, then U+1F600 = D83D DE00.
        assert_eq!(java_hash("a\u{1F600}"), (97 * 31 + 0xD83D) * 31 + 0xDE00);
        assert_eq!(tags_code(b"abcde\xFFf"), i64::from(java_hash("abcde\u{FFFD}f")));
    }

    /// Hashing in parts gives the hash of the whole.
    #[test]
    fn parts_equal_whole() {
        let parts = ["TopicTest", "#", "key-ä-1", "x"];
        let joined = parts.iter().fold(0, extend);
        assert_eq!(joined, java_hash(&parts.concat()));
    }
}

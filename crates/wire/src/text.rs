//! A text of a frame header, borrowed from the read buffer and unescaped only when asked.

use std::borrow::Cow;
use std::fmt;

use bytes::BytesMut;
use wide::u8x16;

/// A borrowed text. From a JSON header it may still hold escape sequences; the bytes may be invalid
/// UTF-8, which reads as U+FFFD.
#[derive(Clone, Copy, Default)]
pub struct Text<'a> {
    raw: &'a [u8],
    escaped: bool,
}

impl<'a> Text<'a> {
    /// A text whose bytes stand for themselves.
    #[must_use]
    pub const fn plain(raw: &'a [u8]) -> Self {
        Self { raw, escaped: false }
    }

    /// The inside of a JSON string; `escaped` tells whether it holds a backslash.
    pub(crate) const fn json(raw: &'a [u8], escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The bytes, if they need no unescaping. They may be invalid UTF-8.
    #[must_use]
    pub const fn as_plain(&self) -> Option<&'a [u8]> {
        if self.escaped { None } else { Some(self.raw) }
    }

    /// Whether the text has no characters.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Bytes that the text takes at most once unescaped.
    #[must_use]
    pub const fn max_len(&self) -> usize {
        self.raw.len()
    }

    /// The text; borrowed unless it holds escapes or invalid UTF-8.
    #[must_use]
    pub fn to_str(&self) -> Cow<'a, str> {
        match self.to_bytes() {
            Cow::Borrowed(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Cow::Borrowed(text),
                Err(_) => String::from_utf8_lossy(bytes),
            },
            Cow::Owned(bytes) => Cow::Owned(
                String::from_utf8(bytes)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            ),
        }
    }

    /// The unescaped bytes; borrowed unless the text holds escapes.
    #[inline]
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(unescaped(self.raw)) } else { Cow::Borrowed(self.raw) }
    }

    /// Appends the unescaped bytes to `out`.
    pub fn append_to(&self, out: &mut BytesMut) {
        if !self.escaped {
            out.extend_from_slice(self.raw);
            return;
        }
        let start = out.len();
        out.resize(start + self.raw.len(), 0);
        let len = unescape(self.raw, &mut out[start..]);
        out.truncate(start + len);
    }

    /// The number, as Java's `Long.parseLong` reads it: an optional sign, decimal digits.
    #[inline]
    #[must_use]
    pub fn parse_i64(&self) -> Option<i64> {
        if self.escaped { parse_i64(&unescaped(self.raw)) } else { parse_i64(self.raw) }
    }

    /// The number, if it fits 32 bits.
    #[inline]
    #[must_use]
    pub fn parse_i32(&self) -> Option<i32> {
        self.parse_i64().and_then(|number| i32::try_from(number).ok())
    }

    /// As Java's `Boolean.parseBoolean`: true exactly for "true" in any letter case.
    #[inline]
    #[must_use]
    pub fn parse_bool(&self) -> bool {
        self.to_bytes().eq_ignore_ascii_case(b"true")
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::plain(text.as_bytes())
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.to_bytes() == other.to_bytes()
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        *self.to_bytes() == *other.as_bytes()
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_str(), f)
    }
}

/// An optional sign and decimal digits that fit 64 bits.
pub(crate) fn parse_i64(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Counted downwards: the negative range has one more number.
    let mut number = 0_i64;
    if digits.len() <= 18 {
        // Cannot overflow: the usual case, without a check a digit.
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number * 10 - i64::from(digit);
        }
    } else {
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return None;
            }
            number = number.checked_mul(10)?.checked_sub(i64::from(digit))?;
        }
    }
    if negative { Some(number) } else { number.checked_neg() }
}

/// One bit for each byte of `block`, the first lowest: set where it equals `a` or `b`.
#[inline]
pub(crate) fn find_in_block(block: &[u8; 64], a: u8, b: u8) -> u64 {
    let (a, b) = (u8x16::splat(a), u8x16::splat(b));
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().enumerate().fold(0, |all, (n, part)| {
        let part = u8x16::new(*part);
        let found = part.simd_eq(a) | part.simd_eq(b);
        all | u64::from(found.to_bitmask()) << (16 * n)
    })
}

#[cold]
fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut out = vec![0; raw.len()];
    let len = unescape(raw, &mut out);
    out.truncate(len);
    out
}

/// Writes the unescaped `raw` to the start of `out`, which has at least its length, and returns the
/// length written: no escape stands for more bytes than it has. Escapes that JSON and its dialects
/// do not know stand for their letter.
fn unescape(raw: &[u8], out: &mut [u8]) -> usize {
    let (mut read, mut write) = (0, 0);
    while read < raw.len() {
        // Sixteen bytes at a time while there is no backslash among them.
        if let (Some(from), Some(to)) =
            (raw[read..].first_chunk::<16>(), out[write..].first_chunk_mut::<16>())
        {
            *to = *from;
            let found = u8x16::new(*from).simd_eq(u8x16::splat(b'\\')).to_bitmask();
            let plain = (found.trailing_zeros() as usize).min(16);
            read += plain;
            write += plain;
            if plain == 16 {
                continue;
            }
        } else if raw[read] != b'\\' {
            out[write] = raw[read];
            read += 1;
            write += 1;
            continue;
        }
        let (used, character) = escape(&raw[read..]);
        read += used;
        if let Some(character) = character {
            write += character.encode_utf8(&mut out[write..]).len();
        }
    }
    write
}

/// Reads the escape at the start of `raw` (a backslash): the bytes it takes and its character; none
/// for a backslash at the end.
fn escape(raw: &[u8]) -> (usize, Option<char>) {
    if let [_, b'u', b'0', b'0', b'0', digit, ..] = raw
        && let Some(value) = (*digit as char).to_digit(16)
    {
        // U+0001 and U+0002 separate properties: far the most frequent escapes.
        return (6, char::from_u32(value));
    }
    let simple = match raw.get(1) {
        None => return (1, None),
        Some(b'u') => return unicode_escape(raw),
        Some(b'x') => return hex_escape(raw),
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'v') => '\u{b}',
        Some(octal @ b'0'..=b'7') => char::from(octal - b'0'),
        Some(other) if other.is_ascii() => char::from(*other),
        // The first byte of a longer character, which is copied as it is.
        Some(_) => return (1, None),
    };
    (2, Some(simple))
}

/// `\uXXXX`, or two of them that form one character; half a pair stands for U+FFFD.
fn unicode_escape(raw: &[u8]) -> (usize, Option<char>) {
    let Some(first) = raw.get(2..6).and_then(hex) else { return (2, Some('u')) };
    if let 0xD800..0xDC00 = first
        && let Some([b'\\', b'u']) = raw.get(6..8)
        && let Some(second @ 0xDC00..0xE000) = raw.get(8..12).and_then(hex)
    {
        return (12, char::from_u32(0x10000 + ((first - 0xD800) << 10 | (second - 0xDC00))));
    }
    (6, Some(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// `\xXX`.
fn hex_escape(raw: &[u8]) -> (usize, Option<char>) {
    match raw.get(2..4).and_then(hex) {
        Some(value) => (4, char::from_u32(value)),
        None => (2, Some('x')),
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |all, digit| Some(all << 4 | (*digit as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(raw: &str, want: &str) {
        let text = Text::json(raw.as_bytes(), raw.contains('\\'));
        assert_eq!(text.to_str(), want, "{raw:?}");
        let mut out = BytesMut::from(&b"before"[..]);
        text.append_to(&mut out);
        assert_eq!(&out[..], format!("before{want}").as_bytes(), "{raw:?}");
    }

    /// Every escape that a Java peer writes or reads, and what is not one.
    #[test]
    fn unescapes() {
        expect("", "");
        expect("plain text of some length", "plain text of some length");
        expect(r"TAGS\u0001TagA\u0002", "TAGS\u{1}TagA\u{2}");
        expect(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t");
        expect(r"\x41\'\v\0", "A'\u{b}\0");
        expect(r"\u00e4\u20AC\ud83d\ude00", "ä€😀");
        expect(r"\ud83d", "\u{FFFD}");
        expect(r"\ud83d\u0041", "\u{FFFD}A");
        expect(r"\q\u12\u\x4", "qu12ux4");
        expect("ä\\ö", "äö");
        expect("ends\\", "ends");
    }

    /// Numbers as Java reads them, to the ends of the range.
    #[test]
    fn parses_numbers() {
        for number in [0, 7, -7, i64::MAX, i64::MIN, 1_700_000_000_000] {
            assert_eq!(parse_i64(number.to_string().as_bytes()), Some(number));
        }
        assert_eq!(parse_i64(b"+5"), Some(5));
        assert_eq!(parse_i64(b"007"), Some(7));
        for text in ["", "-", "+", "1.0", " 1", "9223372036854775808", "99999999999999999999", "x"]
        {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Text::from("2147483648").parse_i32(), None);
        assert_eq!(Text::json(br"\u0031", true).parse_i32(), Some(1));
    }

    /// Only "true" is true, in any case.
    #[test]
    fn parses_booleans() {
        assert!(Text::from("TRUE").parse_bool());
        assert!(!Text::from("1").parse_bool());
    }

    /// Bytes that are not UTF-8 read as replacement characters.
    #[test]
    fn invalid_utf8() {
        assert_eq!(Text::plain(b"a\xFFb").to_str(), "a\u{FFFD}b");
        assert_eq!(Text::json(b"\xFF\\n", true).to_str(), "\u{FFFD}\n");
    }
}

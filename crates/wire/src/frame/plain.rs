//! The JSON header as clients write it: no blanks, double quotes, ext fields that are all strings.
//!
//! The names of the members are compared where they must stand. Vector instructions mark the quotes and backslashes of
//! 64 bytes at once, and where a string ends follows from the marks: searched for from where it starts, each load would
//! wait for the one before. Anything that is not of this form, valid or not, is left to [`super::json`]: this module
//! has no errors.

use super::fields::Span;
use super::{Frame, Language};
use crate::text;

/// Decodes `header` into `frame`, which holds the defaults of missing fields. Where it returns `None`, the
/// header has another form, and `frame` something of it.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Option<()> {
    let mut scan = Scan { bytes: header, at: 0, marks: 0, marked: 0 };
    let mut before = b'{';
    // Each round takes a member and what precedes it.
    loop {
        scan.expect(&[before, b'"'])?;
        match scan.peek()? {
            b'c' => frame.code = scan.expect(br#"code":"#)?.number()?,
            b'e' => scan.expect(br#"extFields":"#)?.fields(frame)?,
            b'f' => frame.flag = scan.expect(br#"flag":"#)?.number()?,
            b'l' => frame.language = scan.expect(br#"language":""#)?.language()?,
            b'o' => frame.opaque = scan.expect(br#"opaque":"#)?.number()?,
            b'r' => frame.remark = Some(scan.expect(br#"remark":""#)?.string()?.text(header)),
            b's' => {
                scan.expect(br#"serializeTypeCurrentRPC":""#)?.string()?;
            }
            b'v' => frame.version = scan.expect(br#"version":"#)?.number()?,
            _ => return None,
        }
        before = b',';
        if scan.peek()? == b'}' {
            return (scan.at + 1 == header.len()).then_some(());
        }
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    /// What is before was read.
    at: usize,
    /// A bit for each quote and backslash of the last 64 bytes before `marked`, the first lowest; those of strings
    /// that were read may be missing.
    marks: u64,
    /// Where the next block to look at starts; perhaps behind the end.
    marked: usize,
}

impl Scan<'_> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over `text`, which must come next.
    #[inline(always)]
    fn expect<const N: usize>(&mut self, text: &[u8; N]) -> Option<&mut Self> {
        if self.bytes.get(self.at..)?.first_chunk() != Some(text) {
            return None;
        }
        self.at += N;
        Some(self)
    }

    /// The rest of a string whose opening quote is behind; steps over the closing one.
    #[inline(always)]
    fn string(&mut self) -> Option<Span> {
        let (start, mut escaped) = (self.at, false);
        loop {
            let end = self.mark()?;
            if self.bytes[end] == b'"' {
                self.at = end + 1;
                return Some(Span::new(start, end, escaped));
            }
            // Whatever an escape is, its second character ends no string.
            escaped = true;
            self.at = end + 2;
        }
    }

    /// Where the next quote or backslash is.
    #[inline(always)]
    fn mark(&mut self) -> Option<usize> {
        while self.at >= self.marked {
            self.look()?;
        }
        self.marks &= u64::MAX << (64 - (self.marked - self.at).min(64));
        while self.marks == 0 {
            self.look()?;
        }
        Some(self.marked - 64 + self.marks.trailing_zeros() as usize)
    }

    /// Marks the next 64 bytes.
    fn look(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.marked..).filter(|rest| !rest.is_empty())?;
        self.marked += 64;
        self.marks = match (rest.first_chunk(), self.bytes.last_chunk()) {
            (Some(block), _) => text::find_in_block(block, b'"', b'\\'),
            // The end of the header, with what is before.
            (None, Some(block)) => text::find_in_block(block, b'"', b'\\') >> (64 - rest.len()),
            (None, None) => {
                let mut block = [0; 64];
                block[..rest.len()].copy_from_slice(rest);
                text::find_in_block(&block, b'"', b'\\')
            }
        };
        Some(())
    }

    /// The object of ext fields.
    #[inline]
    fn fields(&mut self, frame: &mut Frame<'_>) -> Option<()> {
        frame.fields.clear();
        let mut before = b'{';
        loop {
            // The names of a send have one letter.
            let name = match self.bytes.get(self.at..)? {
                [first, b'"', letter, b'"', b':', b'"', ..]
                    if *first == before && !matches!(letter, b'"' | b'\\') =>
                {
                    let at = self.at + 2;
                    self.at += 6;
                    Span::new(at, at + 1, false)
                }
                [b'}', ..] if before == b',' => break,
                [b'{', b'}', ..] if before == b'{' => {
                    self.at += 1;
                    break;
                }
                _ => {
                    let name = self.expect(&[before, b'"'])?.string()?;
                    self.expect(br#":""#)?;
                    name
                }
            };
            let value = self.string()?;
            frame.fields.push(name, value).ok()?;
            before = b',';
        }
        self.at += 1;
        Some(())
    }

    /// A string, whose opening quote is behind, that names a language.
    #[inline]
    fn language(&mut self) -> Option<Language> {
        let value = self.string()?.text(self.bytes).as_plain()?;
        match value {
            b"JAVA" => Some(Language::Java),
            // Others may be the number of a language.
            name if name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'_')) => {
                Some(Language::from_name(name))
            }
            _ => None,
        }
    }

    /// A number of 32 bits.
    #[inline]
    fn number(&mut self) -> Option<i32> {
        let rest = self.bytes.get(self.at..)?;
        let len = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
        let number = text::parse_i64(&rest[..len])?;
        self.at += len;
        i32::try_from(number).ok()
    }
}

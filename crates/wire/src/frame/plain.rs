//! The JSON header as clients write it: no blanks, double quotes, ext fields that are all strings.
//!
//! Such a header is a sequence of quotes with little between them. One pass of vector instructions finds
//! them, and the rest follows them from one to the next instead of looking at each byte. Anything that is
//! not of this form, valid or not, is left to [`super::json`]: this module has no errors.

use super::fields::Span;
use super::{Frame, Language};
use crate::limits::MAX_FIELDS;
use crate::text;

/// Decodes `header` into `frame`, which holds the defaults of missing fields. Where it returns `None`, the
/// header has another form, and `frame` something of it.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Option<()> {
    let mut scan =
        Scan { bytes: header, quotes: Quotes { bytes: header, block: 0, bits: 0, next: 0 } };
    let mut at = 0;
    let mut before = b'{';
    // Each round takes a member and what precedes it.
    while before != b'}' {
        if scan.byte(at)? != before {
            return None;
        }
        let name = scan.string(at + 1)?;
        let value_at = name.end + 2;
        let name = &header[name.start..name.end];
        if scan.byte(value_at - 1)? != b':' {
            return None;
        }
        at = match name {
            b"extFields" => scan.fields(value_at, frame)?,
            b"code" => scan.number(value_at, &mut frame.code)?,
            b"flag" => scan.number(value_at, &mut frame.flag)?,
            b"opaque" => scan.number(value_at, &mut frame.opaque)?,
            b"version" => scan.number(value_at, &mut frame.version)?,
            b"language" => {
                let value = scan.string(value_at)?;
                frame.language = match &header[value.start..value.end] {
                    b"JAVA" => Language::Java,
                    // Others may be the number of a language.
                    name if name.iter().all(|byte| matches!(byte, b'A'..=b'Z' | b'_')) => {
                        Language::from_name(name)
                    }
                    _ => return None,
                };
                value.end + 1
            }
            b"remark" => {
                let value = scan.string(value_at)?;
                frame.remark = Some(value.span().text(header));
                value.end + 1
            }
            b"serializeTypeCurrentRPC" => scan.string(value_at)?.end + 1,
            _ => return None,
        };
        before = if scan.byte(at)? == b'}' { b'}' } else { b',' };
    }
    (at + 1 == header.len()).then_some(())
}

/// A string without its quotes.
#[derive(Clone, Copy)]
struct Quoted {
    start: usize,
    end: usize,
    escaped: bool,
}

impl Quoted {
    #[inline]
    fn span(self) -> Span {
        Span::new(self.start, self.end, self.escaped)
    }
}

struct Scan<'a> {
    bytes: &'a [u8],
    quotes: Quotes<'a>,
}

impl Scan<'_> {
    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// The string whose opening quote is at `at`.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<Quoted> {
        if self.quotes.next()? != at || self.bytes[at] != b'"' {
            return None;
        }
        let start = at + 1;
        let end = self.quotes.next()?;
        if self.bytes[end] == b'"' {
            return Some(Quoted { start, end, escaped: false });
        }
        self.escaped(start, end)
    }

    /// The rest of a string from its first backslash on.
    fn escaped(&mut self, start: usize, backslash: usize) -> Option<Quoted> {
        let mut end = backslash;
        while self.bytes[end] == b'\\' {
            let taken = end + 1;
            end = self.quotes.next()?;
            if end == taken {
                end = self.quotes.next()?;
            }
        }
        Some(Quoted { start, end, escaped: true })
    }

    /// The object of ext fields at `at`; returns where it ends.
    #[inline]
    fn fields(&mut self, mut at: usize, frame: &mut Frame<'_>) -> Option<usize> {
        frame.fields.clear();
        let mut before = b'{';
        if self.byte(at)? == b'{' && self.byte(at + 1)? == b'}' {
            return Some(at + 2);
        }
        loop {
            if self.byte(at)? != before {
                return (self.byte(at)? == b'}' && before == b',').then_some(at + 1);
            }
            let name = self.string(at + 1)?;
            if self.byte(name.end + 1)? != b':' {
                return None;
            }
            let value = self.string(name.end + 2)?;
            if frame.fields.len() == MAX_FIELDS {
                return None;
            }
            frame.fields.push(name.span(), value.span()).ok()?;
            at = value.end + 1;
            before = b',';
        }
    }

    /// The number at `at`, of which `into` gets the value; returns where it ends.
    #[inline]
    fn number(&self, at: usize, into: &mut i32) -> Option<usize> {
        let rest = self.bytes.get(at..)?;
        let len = rest.iter().position(|byte| matches!(byte, b',' | b'}'))?;
        let number = text::parse_i64(&rest[..len])?;
        *into = i32::try_from(number).ok()?;
        Some(at + len)
    }
}

/// Positions of double quotes and backslashes, one after the other.
struct Quotes<'a> {
    bytes: &'a [u8],
    /// Start of the block that is being looked at.
    block: usize,
    /// A bit for each of them in the block that was not returned yet, the first lowest.
    bits: u64,
    /// Start of the next block.
    next: usize,
}

impl Quotes<'_> {
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.look()?;
        }
        let found = self.block + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(found)
    }

    /// Looks at the next block.
    #[inline(always)]
    fn look(&mut self) -> Option<()> {
        let rest = self.bytes.get(self.next..).filter(|rest| !rest.is_empty())?;
        self.block = self.next;
        self.next += 64;
        self.bits = match rest.first_chunk() {
            Some(block) => text::find_in_block(block, b'"', b'\\'),
            None => {
                let mut block = [0; 64];
                block[..rest.len()].copy_from_slice(rest);
                text::find_in_block(&block, b'"', b'\\')
            }
        };
        Some(())
    }
}

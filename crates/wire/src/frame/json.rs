//! The JSON header with everything that the reference tolerates in it. What clients really write is read
//! by [`super::plain`]; both give the same for it.

use memchr::memchr2;

use super::fields::Span;
use super::{Frame, FrameError, Language};
use crate::limits::MAX_JSON_DEPTH;

/// Decodes a JSON header into `frame`, which holds the defaults of missing fields.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Result<(), FrameError> {
    let mut scan = Scan { bytes: header, at: 0 };
    scan.header(frame).map_err(|what| FrameError::Header { what, at: scan.at })
}

/// What is wrong is a text; where, is where the scan stopped. Both, and a [`Span`], travel in
/// registers: results that go through memory took more time than all scanning.
type Scanned<T> = Result<T, &'static str>;

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn header(&mut self, frame: &mut Frame<'a>) -> Scanned<()> {
        self.expect(b'{', "the header is not an object")?;
        while !self.object_ends()? {
            let name = self.name()?.text(self.bytes).to_bytes();
            match &*name {
                b"code" => frame.code = self.number()?,
                b"opaque" => frame.opaque = self.number()?,
                b"flag" => frame.flag = self.number()?,
                b"version" => frame.version = self.number()?,
                b"language" => frame.language = self.language()?,
                b"remark" => {
                    let remark = self.value()?;
                    frame.remark = (!remark.is_null()).then(|| remark.text(self.bytes));
                }
                b"extFields" => self.fields(frame)?,
                _ => drop(self.value()?),
            }
            self.skip_comma();
        }
        self.skip_blanks();
        if self.at < self.bytes.len() { Err("bytes behind the object") } else { Ok(()) }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips blanks and the byte that must follow.
    #[inline]
    fn expect(&mut self, byte: u8, what: &'static str) -> Scanned<()> {
        self.skip_blanks();
        if self.peek() != Some(byte) {
            return Err(what);
        }
        self.at += 1;
        Ok(())
    }

    /// Where a member may start: whether the object ends instead.
    #[inline]
    fn object_ends(&mut self) -> Scanned<bool> {
        self.skip_blanks();
        match self.peek() {
            Some(b'"' | b'\'') => Ok(false),
            Some(b'}') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err("a quoted name or the object's end is missing"),
        }
    }

    /// Behind a member: one comma, which may be missing, or trail the last member.
    #[inline]
    fn skip_comma(&mut self) {
        self.skip_blanks();
        if self.peek() == Some(b',') {
            self.at += 1;
        }
    }

    /// A quoted name and its colon.
    #[inline]
    fn name(&mut self) -> Scanned<Span> {
        let name = self.string()?;
        self.expect(b':', "a colon is missing")?;
        self.skip_blanks();
        Ok(name)
    }

    /// The string that starts here with its quote, single or double.
    fn string(&mut self) -> Scanned<Span> {
        let quote = self.bytes[self.at];
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let found = at + memchr2(quote, b'\\', rest).ok_or("a string does not end")?;
            if self.bytes[found] == quote {
                self.at = found + 1;
                return Ok(Span::new(start, found, escaped));
            }
            // Neither the backslash nor what it takes.
            escaped = true;
            at = found + 2;
        }
    }

    /// Any value: a string without its quotes, anything else as its own text, null as [`Span::NULL`].
    #[inline]
    fn value(&mut self) -> Scanned<Span> {
        match self.peek() {
            Some(b'"' | b'\'') => self.string(),
            _ => self.bare_value(),
        }
    }

    /// A value that is no string.
    fn bare_value(&mut self) -> Scanned<Span> {
        let start = self.at;
        match self.peek() {
            Some(b'{' | b'[') => self.skip_nested()?,
            Some(b'0'..=b'9' | b'-' | b'+') => self.skip_word(),
            Some(b't' | b'f' | b'n') => {
                self.skip_word();
                match &self.bytes[start..self.at] {
                    b"null" => return Ok(Span::NULL),
                    b"true" | b"false" => {}
                    _ => return Err("an unknown literal"),
                }
            }
            _ => return Err("a value is missing"),
        }
        Ok(Span::new(start, self.at, false))
    }

    /// Skips the letters, digits and signs of a number or literal.
    fn skip_word(&mut self) {
        while let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'+') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips an object or array by matching brackets; strings hide theirs.
    fn skip_nested(&mut self) -> Scanned<()> {
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'"' | b'\'') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') if depth == MAX_JSON_DEPTH => {
                    return Err("values are nested too deep");
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err("a nested value does not end"),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// A 32-bit number, also as a string; null and the empty string are 0.
    #[inline]
    fn number(&mut self) -> Scanned<i32> {
        match self.value()? {
            span if span.is_empty() => Ok(0),
            span => span.text(self.bytes).parse_i32().ok_or("not a number of 32 bits"),
        }
    }

    /// A language by name, or by code as a number or as a string.
    fn language(&mut self) -> Scanned<Language> {
        let quoted = matches!(self.peek(), Some(b'"' | b'\''));
        let value = self.value()?;
        if value.is_null() {
            return Ok(Language::Unknown);
        }
        let value = value.text(self.bytes);
        match value.parse_i64() {
            Some(code) => match Language::from_code(code) {
                Some(language) => Ok(language),
                None if quoted => Ok(Language::Unknown),
                None => Err("no language has this number"),
            },
            None if quoted => Ok(Language::from_name(&value.to_bytes())),
            None => Err("the language is neither name nor number"),
        }
    }

    /// The object of ext fields; null and the empty string stand for none.
    fn fields(&mut self, frame: &mut Frame<'a>) -> Scanned<()> {
        frame.fields.clear();
        if self.peek() != Some(b'{') {
            let empty = self.value()?.is_empty();
            return if empty { Ok(()) } else { Err("extFields is not an object") };
        }
        self.at += 1;
        let mut nulls = false;
        while !self.object_ends()? {
            let name = self.name()?;
            let value = self.value()?;
            nulls |= value.is_null();
            frame.fields.push(name, value)?;
            self.skip_comma();
        }
        if nulls {
            frame.fields.remove_nulls();
        }
        Ok(())
    }
}

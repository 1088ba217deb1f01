//! The JSON header, read in one pass.

use super::{Format, Frame, FrameError, Language};
use crate::limits::MAX_JSON_DEPTH;
use crate::text::{self, Text};

/// Decodes a JSON header; the frame's body and bytes are still to be set.
pub(super) fn decode(header: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut frame = Frame::empty(Format::Json, header);
    let mut scan = Scan { bytes: header, at: 0 };
    scan.expect(b'{', "the header is not an object")?;
    while !scan.object_ends()? {
        let name = scan.name()?.to_bytes();
        match &*name {
            b"code" => frame.code = scan.number()?,
            b"opaque" => frame.opaque = scan.number()?,
            b"flag" => frame.flag = scan.number()?,
            b"version" => frame.version = scan.number()?,
            b"language" => frame.language = scan.language()?,
            b"remark" => frame.remark = scan.value()?.map(|(_, text)| text),
            b"extFields" => scan.fields(&mut frame)?,
            _ => drop(scan.value()?),
        }
        scan.skip_comma();
    }
    scan.skip_blanks();
    if scan.at < header.len() {
        return Err(scan.error("bytes behind the object"));
    }
    Ok(frame)
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn error(&self, what: &'static str) -> FrameError {
        FrameError::Header { what, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips blanks and the byte that must follow.
    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), FrameError> {
        self.skip_blanks();
        if self.peek() != Some(byte) {
            return Err(self.error(what));
        }
        self.at += 1;
        Ok(())
    }

    /// Where a member may start: whether the object ends instead.
    fn object_ends(&mut self) -> Result<bool, FrameError> {
        self.skip_blanks();
        match self.peek() {
            Some(b'"' | b'\'') => Ok(false),
            Some(b'}') => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.error("a quoted name or the object's end is missing")),
        }
    }

    /// Behind a member: one comma, which may be missing, or trail the last member.
    fn skip_comma(&mut self) {
        self.skip_blanks();
        if self.peek() == Some(b',') {
            self.at += 1;
        }
    }

    /// A quoted name and its colon.
    fn name(&mut self) -> Result<Text<'a>, FrameError> {
        let name = self.string()?;
        self.expect(b':', "a colon is missing")?;
        self.skip_blanks();
        Ok(name)
    }

    /// The string that starts here with its quote, single or double.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, FrameError> {
        let quote = self.bytes[self.at];
        let start = self.at + 1;
        let mut at = start;
        let mut escaped = false;
        loop {
            while let Some(chunk) = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
                let word = u64::from_le_bytes(*chunk);
                let found = text::find(word, quote) | text::find(word, b'\\');
                at += (found.trailing_zeros() / 8) as usize;
                if found != 0 {
                    break;
                }
            }
            match self.bytes.get(at) {
                Some(byte) if *byte == quote => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                }
                Some(_) => at += 1,
                None => return Err(self.error("a string does not end")),
            }
        }
        self.at = at + 1;
        Ok(Text::json(&self.bytes[start..at], escaped))
    }

    /// Any value, with its position; a string without its quotes, anything else as its own text,
    /// null as nothing.
    fn value(&mut self) -> Result<Option<(usize, Text<'a>)>, FrameError> {
        let start = self.at;
        match self.peek() {
            Some(b'"' | b'\'') => return self.string().map(|text| Some((start + 1, text))),
            Some(b'{' | b'[') => self.skip_nested()?,
            Some(b'0'..=b'9' | b'-' | b'+') => self.skip_word(),
            Some(b't' | b'f' | b'n') => {
                self.skip_word();
                match &self.bytes[start..self.at] {
                    b"null" => return Ok(None),
                    b"true" | b"false" => {}
                    _ => return Err(self.error("an unknown literal")),
                }
            }
            _ => return Err(self.error("a value is missing")),
        }
        Ok(Some((start, Text::plain(&self.bytes[start..self.at]))))
    }

    /// Skips the letters, digits and signs of a number or literal.
    fn skip_word(&mut self) {
        while let Some(b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'+') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips an object or array by matching brackets; strings hide theirs.
    fn skip_nested(&mut self) -> Result<(), FrameError> {
        let mut depth = 0;
        loop {
            match self.peek() {
                Some(b'"' | b'\'') => {
                    self.string()?;
                    continue;
                }
                Some(b'{' | b'[') if depth == MAX_JSON_DEPTH => {
                    return Err(self.error("values are nested too deep"));
                }
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(_) => {}
                None => return Err(self.error("a nested value does not end")),
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// A 32-bit number, also as a string; null and the empty string are 0.
    fn number(&mut self) -> Result<i32, FrameError> {
        match self.value()? {
            None => Ok(0),
            Some((_, text)) if text.is_empty() => Ok(0),
            Some((_, text)) => {
                text.parse_i32().ok_or_else(|| self.error("not a number of 32 bits"))
            }
        }
    }

    /// A language by name, or by code as a number or as a string.
    fn language(&mut self) -> Result<Language, FrameError> {
        let quoted = matches!(self.peek(), Some(b'"' | b'\''));
        let Some((_, value)) = self.value()? else { return Ok(Language::Unknown) };
        match value.parse_i64() {
            Some(code) => match Language::from_code(code) {
                Some(language) => Ok(language),
                None if quoted => Ok(Language::Unknown),
                None => Err(self.error("no language has this number")),
            },
            None if quoted => Ok(Language::from_name(&value.to_bytes())),
            None => Err(self.error("the language is neither name nor number")),
        }
    }

    /// The object of ext fields; null and the empty string stand for none.
    fn fields(&mut self, frame: &mut Frame<'a>) -> Result<(), FrameError> {
        frame.fields.clear();
        if self.peek() != Some(b'{') {
            return match self.value()? {
                None => Ok(()),
                Some((_, text)) if text.is_empty() => Ok(()),
                Some(_) => Err(self.error("extFields is not an object")),
            };
        }
        self.at += 1;
        while !self.object_ends()? {
            let name_at = self.at + 1;
            let name = self.name()?;
            match self.value()? {
                Some(value) => frame.fields.push((name_at, name), value)?,
                None => frame.fields.remove(name),
            }
            self.skip_comma();
        }
        Ok(())
    }
}

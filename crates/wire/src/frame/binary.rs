//! The binary header (`RocketMQSerializable`):
//!
//! ```text
//! code i16 | language u8 | version i16 | opaque i32 | flag i32
//! remarkLen i32 | remark | extLen i32 | { nameLen i16 | name | valueLen i32 | value }*
//! ```

use super::fields::Span;
use super::{Format, Frame, FrameError, Language};

/// Decodes a binary header into `frame`.
pub(super) fn decode<'a>(header: &'a [u8], frame: &mut Frame<'a>) -> Result<(), FrameError> {
    let mut read = Read { bytes: header, at: 0 };
    read.header(frame).map_err(|what| FrameError::Header { what, at: read.at })
}

/// Undoes what 16 bits do to the codes above 32,767. No real code has one of the values that these
/// become.
fn untruncated(code: i32) -> i32 {
    match code {
        3442..=3448 | 3543 => code + 0x3_0000,
        _ => code,
    }
}

struct Read<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Read<'a> {
    fn header(&mut self, frame: &mut Frame<'a>) -> Result<(), &'static str> {
        frame.format = Format::Binary;
        frame.code = i32::from(i16::from_be_bytes(self.array()?));
        let [language] = self.array()?;
        frame.language = Language::from_code(language.into()).unwrap_or(Language::Unknown);
        frame.version = i32::from(i16::from_be_bytes(self.array()?));
        frame.opaque = i32::from_be_bytes(self.array()?);
        frame.flag = i32::from_be_bytes(self.array()?);
        if !frame.is_response() {
            frame.code = untruncated(frame.code);
        }
        let remark_len = i32::from_be_bytes(self.array()?);
        let remark = self.take(remark_len)?;
        frame.remark = (!remark.is_empty()).then(|| remark.text(self.bytes));
        let fields_len = i32::from_be_bytes(self.array()?);
        if fields_len > 0 {
            let at = self.at;
            self.take(fields_len)?;
            Read { bytes: &self.bytes[..self.at], at }.fields(frame)?;
        }
        Ok(())
    }

    fn fields(&mut self, frame: &mut Frame<'a>) -> Result<(), &'static str> {
        while self.at < self.bytes.len() {
            let name_len = i16::from_be_bytes(self.array()?);
            let name = self.take(name_len.into())?;
            let value_len = i32::from_be_bytes(self.array()?);
            let value = self.take(value_len)?;
            // An empty name or value is null to the reference.
            if !name.is_empty() && !value.is_empty() {
                frame.fields.push(name, value)?;
            }
        }
        Ok(())
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let chunk = self.bytes[self.at..].first_chunk().ok_or(TOO_SHORT)?;
        self.at += N;
        Ok(*chunk)
    }

    /// The place of the next `len` bytes.
    #[inline]
    fn take(&mut self, len: i32) -> Result<Span, &'static str> {
        let at = self.at;
        let len = usize::try_from(len).map_err(|_| TOO_SHORT)?;
        if len > self.bytes.len() - at {
            return Err(TOO_SHORT);
        }
        self.at += len;
        Ok(Span::new(at, self.at, false))
    }
}

const TOO_SHORT: &str = "a length exceeds the header";

//! The binary header (`RocketMQSerializable`):
//!
//! ```text
//! code i16 | language u8 | version i16 | opaque i32 | flag i32
//! remarkLen i32 | remark | extLen i32 | { nameLen i16 | name | valueLen i32 | value }*
//! ```

use super::{Format, Frame, FrameError, Language};
use crate::text::Text;

/// Decodes a binary header; the frame's body and bytes are still to be set.
pub(super) fn decode(header: &[u8]) -> Result<Frame<'_>, FrameError> {
    let mut frame = Frame::empty(Format::Binary, header);
    let mut read = Read { bytes: header, at: 0 };
    frame.code = i32::from(i16::from_be_bytes(read.array()?));
    let [language] = read.array()?;
    frame.language = Language::from_code(language.into()).unwrap_or(Language::Unknown);
    frame.version = i32::from(i16::from_be_bytes(read.array()?));
    frame.opaque = i32::from_be_bytes(read.array()?);
    frame.flag = i32::from_be_bytes(read.array()?);
    if !frame.is_response() {
        frame.code = untruncated(frame.code);
    }
    let remark_len = i32::from_be_bytes(read.array()?);
    let (_, remark) = read.take(remark_len)?;
    frame.remark = (!remark.is_empty()).then_some(remark);
    let fields_len = i32::from_be_bytes(read.array()?);
    let fields_at = read.at;
    if fields_len > 0 {
        read.take(fields_len)?;
        let mut read = Read { bytes: &header[..read.at], at: fields_at };
        while read.at < read.bytes.len() {
            let name_len = i16::from_be_bytes(read.array()?);
            let name = read.take(name_len.into())?;
            let value_len = i32::from_be_bytes(read.array()?);
            let value = read.take(value_len)?;
            // An empty name or value is null to the reference.
            if !name.1.is_empty() && !value.1.is_empty() {
                frame.fields.push(name, value)?;
            }
        }
    }
    Ok(frame)
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
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let chunk = self.bytes[self.at..].first_chunk().ok_or(self.short())?;
        self.at += N;
        Ok(*chunk)
    }

    /// The next `len` bytes as text, with their position.
    fn take(&mut self, len: i32) -> Result<(usize, Text<'a>), FrameError> {
        let at = self.at;
        let len = usize::try_from(len).map_err(|_| self.short())?;
        let bytes = self.bytes[at..].get(..len).ok_or(self.short())?;
        self.at += len;
        Ok((at, Text::plain(bytes)))
    }

    fn short(&self) -> FrameError {
        FrameError::Header { what: "a length exceeds the header", at: self.at }
    }
}

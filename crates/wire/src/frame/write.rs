//! Writing a frame into a buffer, in either header format.
//!
//! JSON is strict, every ext field is a string, and `extFields` is there even when empty: what the
//! C++, Node and Go clients need.

use bytes::BytesMut;

use super::{Format, Language, ReplyTo, VERSION};
use crate::flags::command;
use crate::text::{self, Text};

/// The fixed fields of a frame to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Request or response code.
    pub code: i32,
    /// Correlates a response with its request.
    pub opaque: i32,
    /// [`command`] bits.
    pub flag: i32,
    /// Form of the header.
    pub format: Format,
    /// Language to announce. Decoders of every age know Java, and no other name everywhere.
    pub language: Language,
    /// Version ordinal to announce.
    pub version: i32,
}

impl Head {
    /// A request that expects an answer; `opaque` is the caller's to set.
    #[must_use]
    pub const fn request(code: i32, format: Format) -> Self {
        let (opaque, flag) = (0, 0);
        Self { code, opaque, flag, format, language: Language::Java, version: VERSION }
    }

    /// A request that expects none.
    #[must_use]
    pub const fn oneway(code: i32, format: Format) -> Self {
        Self { flag: command::ONEWAY, ..Self::request(code, format) }
    }

    /// An answer.
    #[must_use]
    pub const fn response(to: ReplyTo, code: i32) -> Self {
        let head = Self::request(code, to.format);
        Self { opaque: to.opaque, flag: command::RESPONSE, ..head }
    }
}

/// Writes one frame at the end of a buffer: head, perhaps a remark, fields, body, in this order.
/// A writer that is dropped unfinished leaves half a frame.
#[derive(Debug)]
pub struct FrameWriter<'b> {
    out: &'b mut BytesMut,
    start: usize,
    format: Format,
    /// Where the binary fields' length goes; JSON's `extFields` is open when this is set.
    fields_at: Option<usize>,
    has_remark: bool,
}

impl<'b> FrameWriter<'b> {
    /// Starts a frame.
    #[must_use]
    pub fn begin(out: &'b mut BytesMut, head: &Head) -> Self {
        let start = out.len();
        match head.format {
            Format::Json => json_head(out, head),
            Format::Binary => binary_head(out, head),
        }
        Self { out, start, format: head.format, fields_at: None, has_remark: false }
    }

    /// Starts an answer.
    #[must_use]
    pub fn response(out: &'b mut BytesMut, to: ReplyTo, code: i32) -> Self {
        Self::begin(out, &Head::response(to, code))
    }

    /// Writes the remark. An empty one is none.
    ///
    /// # Panics
    /// When a field or a remark was written before.
    #[must_use]
    pub fn remark(mut self, remark: &str) -> Self {
        assert!(self.fields_at.is_none() && !self.has_remark, "the remark precedes the fields");
        if remark.is_empty() {
            return self;
        }
        self.has_remark = true;
        match self.format {
            Format::Json => {
                self.out.extend_from_slice(b",\"remark\":\"");
                escape(self.out, remark);
                self.out.extend_from_slice(b"\"");
            }
            Format::Binary => {
                self.out.extend_from_slice(&len32(remark));
                self.out.extend_from_slice(remark.as_bytes());
            }
        }
        self
    }

    /// Writes a field; a value that is not there is left out.
    pub fn field(&mut self, name: &str, value: impl FieldValue) {
        value.with_str(&mut |value| self.str_field(name, value));
    }

    fn str_field(&mut self, name: &str, value: &str) {
        let first = self.open_fields();
        match self.format {
            Format::Json => {
                self.out.extend_from_slice(if first { b"\"" } else { b",\"" });
                escape(self.out, name);
                self.out.extend_from_slice(b"\":\"");
                escape(self.out, value);
                self.out.extend_from_slice(b"\"");
            }
            Format::Binary => {
                let name_len = i16::try_from(name.len()).expect("a field name is a short text");
                self.out.extend_from_slice(&name_len.to_be_bytes());
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(&len32(value));
                self.out.extend_from_slice(value.as_bytes());
            }
        }
    }

    /// Starts the fields unless they were started; returns whether it did.
    fn open_fields(&mut self) -> bool {
        if self.fields_at.is_some() {
            return false;
        }
        match self.format {
            Format::Json => self.out.extend_from_slice(b",\"extFields\":{"),
            Format::Binary => {
                let no_remark: &[u8] = if self.has_remark { &[] } else { &[0; 4] };
                self.out.extend_from_slice(no_remark);
                self.out.extend_from_slice(&[0; 4]);
            }
        }
        self.fields_at = Some(self.out.len());
        true
    }

    /// Ends the frame with this body.
    pub fn finish(self, body: &[u8]) {
        let out = self.finish_before(body.len());
        out.extend_from_slice(body);
    }

    /// Ends the frame's header; `body_len` bytes of body follow from elsewhere, such as
    /// [`crate::call::Replies::body`].
    pub fn finish_before(mut self, body_len: usize) -> &'b mut BytesMut {
        self.open_fields();
        let Self { out, start, format, fields_at, .. } = self;
        match format {
            Format::Json => out.extend_from_slice(b"}}"),
            Format::Binary => {
                let at = fields_at.unwrap_or(out.len());
                // The header's length, checked below, bounds this one.
                let len = ((out.len() - at) as u32).to_be_bytes();
                out[at - 4..at].copy_from_slice(&len);
            }
        }
        let header = out.len() - start - 8;
        assert!(header < 1 << 24, "a header's fields are bounded far below 16 MiB");
        let length = i32::try_from(4 + header + body_len).expect("bodies are smaller than 2 GiB");
        let format = if format == Format::Json { 0 } else { 1 << 24 };
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&(format | header as u32).to_be_bytes());
        out
    }
}

/// Room for the two length words, then the head up to where the remark may come.
fn json_head(out: &mut BytesMut, head: &Head) {
    out.reserve(512);
    out.extend_from_slice(b"\0\0\0\0\0\0\0\0{\"code\":");
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(head.code).as_bytes());
    out.extend_from_slice(b",\"flag\":");
    out.extend_from_slice(digits.format(head.flag).as_bytes());
    out.extend_from_slice(b",\"opaque\":");
    out.extend_from_slice(digits.format(head.opaque).as_bytes());
    out.extend_from_slice(b",\"language\":\"");
    out.extend_from_slice(head.language.name().as_bytes());
    out.extend_from_slice(b"\",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    out.extend_from_slice(digits.format(head.version).as_bytes());
}

/// The same in the binary form. Codes and versions are cut to 16 bits, as the reference does.
fn binary_head(out: &mut BytesMut, head: &Head) {
    let mut fixed = [0; 21];
    fixed[8..10].copy_from_slice(&(head.code as u16).to_be_bytes());
    fixed[10] = match head.language {
        Language::Unknown => Language::Other as u8,
        language => language as u8,
    };
    fixed[11..13].copy_from_slice(&(head.version as u16).to_be_bytes());
    fixed[13..17].copy_from_slice(&head.opaque.to_be_bytes());
    fixed[17..21].copy_from_slice(&head.flag.to_be_bytes());
    out.extend_from_slice(&fixed);
}

fn len32(text: &str) -> [u8; 4] {
    i32::try_from(text.len()).expect("a field is smaller than a frame").to_be_bytes()
}

/// Appends `text` as the inside of a JSON string: quote, backslash and control characters escaped,
/// everything else as it is.
fn escape(out: &mut BytesMut, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text.as_bytes();
    loop {
        let plain = plain_prefix(rest);
        out.extend_from_slice(&rest[..plain]);
        let Some(byte) = rest.get(plain) else { return };
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            control => {
                let (high, low) = (usize::from(control >> 4), usize::from(control & 0xF));
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', HEX[high], HEX[low]]);
            }
        }
        rest = &rest[plain + 1..];
    }
}

/// Number of bytes before the first that must be escaped.
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 0xFF;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7);
        let found = control | text::find(word, b'"') | text::find(word, b'\\');
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let special = |byte: &u8| matches!(byte, 0..0x20 | b'"' | b'\\');
    bytes[at..].iter().position(special).map_or(bytes.len(), |n| at + n)
}

/// What can be the value of a header field.
pub trait FieldValue {
    /// Calls `put` once with the value's text, or not at all if there is no value.
    fn with_str(&self, put: &mut dyn FnMut(&str));
}

impl FieldValue for &str {
    fn with_str(&self, put: &mut dyn FnMut(&str)) {
        put(self);
    }
}

impl FieldValue for Text<'_> {
    fn with_str(&self, put: &mut dyn FnMut(&str)) {
        put(&self.to_str());
    }
}

impl FieldValue for bool {
    fn with_str(&self, put: &mut dyn FnMut(&str)) {
        put(if *self { "true" } else { "false" });
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    fn with_str(&self, put: &mut dyn FnMut(&str)) {
        if let Some(value) = self {
            value.with_str(put);
        }
    }
}

impl<T: FieldValue> FieldValue for &T {
    fn with_str(&self, put: &mut dyn FnMut(&str)) {
        (*self).with_str(put);
    }
}

impl FieldValue for crate::ids::Id {
    fn with_str(&self, put: &mut dyn FnMut(&str)) {
        put(self.as_str());
    }
}

macro_rules! number_values {
    ($($number:ty)*) => {$(
        impl FieldValue for $number {
            fn with_str(&self, put: &mut dyn FnMut(&str)) {
                put(itoa::Buffer::new().format(*self));
            }
        }
    )*};
}
number_values!(i32 i64 u16 u32 u64 usize);

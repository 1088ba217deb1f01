//! Writing a frame into a buffer, in either header format.
//!
//! JSON is strict, every ext field is a string, and `extFields` is there even when empty: what the
//! C++, Node and Go clients need.

use bytes::BytesMut;
use wide::u8x16;

use super::{Format, Language, ReplyTo, VERSION};
use crate::flags::command;
use crate::text::Text;

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
    /// Where the fields start, once there are some; before it, in binary, their length.
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

    /// Writes a field; a value that is not there is left out. The name is one of the protocol's: letters,
    /// digits and signs that JSON need not escape.
    #[inline]
    pub fn field(&mut self, name: &str, value: impl FieldValue) {
        value.write(self, name);
    }

    /// Writes a field whose value may hold anything.
    fn text_field(&mut self, name: &str, value: &str) {
        self.begin_field(name, value.len());
        match self.format {
            Format::Json => escape(self.out, value),
            Format::Binary => self.out.extend_from_slice(value.as_bytes()),
        }
    }

    /// Writes a field whose value has nothing to escape.
    #[inline]
    fn plain_field(&mut self, name: &str, value: &[u8]) {
        self.begin_field(name, value.len());
        self.out.extend_from_slice(value);
    }

    /// Writes all of a field but its value. A JSON value's closing quote comes with what follows it.
    #[inline]
    fn begin_field(&mut self, name: &str, value_len: usize) {
        debug_assert_eq!(plain_prefix(name.as_bytes()), name.len(), "{name:?} is no field name");
        let first = self.fields_at.is_none();
        if self.format == Format::Json {
            self.out.reserve(name.len() + value_len + 24);
            if first {
                self.out.extend_from_slice(b",\"extFields\":{\"");
                self.fields_at = Some(self.out.len());
            } else {
                self.out.extend_from_slice(b"\",\"");
            }
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"\":\"");
        } else {
            self.open_binary_fields();
            let name_len = i16::try_from(name.len()).expect("a field name is a short text");
            self.out.extend_from_slice(&name_len.to_be_bytes());
            self.out.extend_from_slice(name.as_bytes());
            let len = i32::try_from(value_len).expect("a field is smaller than a frame");
            self.out.extend_from_slice(&len.to_be_bytes());
        }
    }

    /// Starts the binary fields unless they were started.
    fn open_binary_fields(&mut self) {
        if self.fields_at.is_none() {
            let no_remark: &[u8] = if self.has_remark { &[] } else { &[0; 4] };
            self.out.extend_from_slice(no_remark);
            self.out.extend_from_slice(&[0; 4]);
            self.fields_at = Some(self.out.len());
        }
    }

    /// Ends the frame with this body.
    pub fn finish(self, body: &[u8]) {
        let out = self.finish_before(body.len());
        out.extend_from_slice(body);
    }

    /// Ends the frame's header; `body_len` bytes of body follow from elsewhere, such as
    /// [`crate::call::Replies::body`].
    pub fn finish_before(mut self, body_len: usize) -> &'b mut BytesMut {
        if self.format == Format::Binary {
            self.open_binary_fields();
        }
        let Self { out, start, format, fields_at, .. } = self;
        match format {
            Format::Json if fields_at.is_none() => out.extend_from_slice(b",\"extFields\":{}}"),
            Format::Json => out.extend_from_slice(b"\"}}"),
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
    let (blocks, rest) = bytes.as_chunks::<16>();
    for (n, block) in blocks.iter().enumerate() {
        let found = special(*block);
        if found != 0 {
            return 16 * n + found.trailing_zeros() as usize;
        }
    }
    let mut block = [b' '; 16];
    block[..rest.len()].copy_from_slice(rest);
    let found = special(block).trailing_zeros() as usize;
    bytes.len() - rest.len() + found.min(rest.len())
}

/// A bit for each byte of `block`, the first lowest: set where it must be escaped.
fn special(block: [u8; 16]) -> u32 {
    let block = u8x16::new(block);
    let control = block.simd_le(u8x16::splat(0x1F));
    (control | block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\'))).to_bitmask()
}

/// What can be the value of a header field.
pub trait FieldValue {
    /// Writes the field, or nothing if there is no value.
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str);
}

impl FieldValue for &str {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        writer.text_field(name, self);
    }
}

impl FieldValue for Text<'_> {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        writer.text_field(name, &self.to_str());
    }
}

impl FieldValue for bool {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        writer.plain_field(name, if *self { b"true" } else { b"false" });
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        if let Some(value) = self {
            value.write(writer, name);
        }
    }
}

impl<T: FieldValue> FieldValue for &T {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        (*self).write(writer, name);
    }
}

impl FieldValue for crate::ids::Id {
    fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
        writer.plain_field(name, self.as_ref());
    }
}

macro_rules! number_values {
    ($($number:ty)*) => {$(
        impl FieldValue for $number {
            fn write(&self, writer: &mut FrameWriter<'_>, name: &str) {
                writer.plain_field(name, itoa::Buffer::new().format(*self).as_bytes());
            }
        }
    )*};
}
number_values!(i32 i64 u16 u32 u64 usize);

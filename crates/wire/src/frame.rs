//! Frames: the unit of the remoting protocol, in both directions.
//!
//! ```text
//! 0        4              8                 8+H             4+L
//! | L: i32 | format << 24 | H   | header: H bytes | body: L-4-H bytes |
//! ```
//! `L` counts the bytes behind itself. The header is JSON (format 0) or the binary ROCKETMQ form
//! (format 1). What a 5.4.0 server accepts in a JSON header was read off by running it: quoted names
//! only (single quotes count), trailing or missing commas, numbers and booleans for strings and the
//! other way round, unknown members, null. Everything that it answers by closing the connection is
//! a [`FrameError`].
//!
//! Invariants: a decoded frame borrows from the read buffer; decoding allocates nothing for headers
//! of up to 20 fields and is bounded by [`crate::limits`].

mod binary;
mod fields;
mod json;
mod plain;
mod write;

use std::fmt;

pub use fields::{Fields, FieldsIter};
pub use write::{FieldValue, FrameWriter, Head};

use crate::flags::command;
use crate::text::Text;

/// Version ordinal that Apogee announces: V5_4_0 (`MQVersion`: 412 + 20 · 4 + 1).
pub const VERSION: i32 = 493;

/// Name of [`VERSION`].
pub const VERSION_NAME: &str = "V5_4_0";

/// Name of a version ordinal (`MQVersion`), as clients announce it; the last is that of everything later.
#[must_use]
pub fn version_name(ordinal: i32) -> String {
    let Ok(ordinal) = u32::try_from(ordinal) else { return "V3_0_0".to_owned() };
    // Each version has two ordinals, its snapshot's first.
    let (pair, is_release) = (ordinal / 2, ordinal % 2 == 1);
    let number = match ordinal {
        0..46 => 300 + (pair.saturating_sub(7)).min(9),
        // From 3.3 on there is no 3.x.0.
        46..212 => {
            (310..400).filter(|n| *n < 330 || n % 10 != 0).nth(pair as usize - 23).unwrap_or(399)
        }
        212..612 => 400 + pair - 106,
        _ => return "HIGHER_VERSION".to_owned(),
    };
    let (major, minor, patch) = (number / 100, number / 10 % 10, number % 10);
    let suffix = if is_release { "" } else { "_SNAPSHOT" };
    format!("V{major}_{minor}_{patch}{suffix}")
}

/// The code of an answer that [`FrameWriter::response`] wrote, by its place in the bytes; `None` of anything else.
#[must_use]
pub fn answer_code(frame: &[u8]) -> Option<i32> {
    let header = frame.get(8..)?;
    if frame[4] == Format::Binary as u8 {
        return Some(i16::from_be_bytes(*header.first_chunk()?).into());
    }
    let digits = header.strip_prefix(br#"{"code":"#)?;
    let len = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..len]).ok()?.parse().ok()
}

/// Serialization of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// JSON, which every client reads.
    #[default]
    Json,
    /// The binary form that Java and Go can be told to use.
    Binary,
}

/// Language of a sender (`LanguageCode`). Names that this list lacks are [`Language::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Language {
    /// JAVA; also what a header without language means.
    #[default]
    Java = 0,
    /// CPP, also announced by Python clients.
    Cpp,
    /// DOTNET
    Dotnet,
    /// PYTHON
    Python,
    /// DELPHI
    Delphi,
    /// ERLANG
    Erlang,
    /// RUBY
    Ruby,
    /// OTHER
    Other,
    /// HTTP
    Http,
    /// GO
    Go,
    /// PHP
    Php,
    /// OMS
    Oms,
    /// RUST
    Rust,
    /// NODE_JS
    NodeJs,
    /// A name or code that Java reads as null.
    Unknown = u8::MAX,
}

impl Language {
    const NAMES: [(&'static str, Self); 14] = [
        ("JAVA", Self::Java),
        ("CPP", Self::Cpp),
        ("DOTNET", Self::Dotnet),
        ("PYTHON", Self::Python),
        ("DELPHI", Self::Delphi),
        ("ERLANG", Self::Erlang),
        ("RUBY", Self::Ruby),
        ("OTHER", Self::Other),
        ("HTTP", Self::Http),
        ("GO", Self::Go),
        ("PHP", Self::Php),
        ("OMS", Self::Oms),
        ("RUST", Self::Rust),
        ("NODE_JS", Self::NodeJs),
    ];

    /// The name in JSON headers and bodies; `OTHER` for an unknown language.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).map_or("OTHER", |(name, _)| name)
    }

    /// The language of that code, if there is one.
    #[must_use]
    pub fn from_code(code: i64) -> Option<Self> {
        Some(Self::NAMES.get(usize::try_from(code).ok()?)?.1)
    }

    /// The language of that name, in any letter case.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Self {
        let named = Self::NAMES.iter().find(|(n, _)| n.as_bytes().eq_ignore_ascii_case(name));
        named.map_or(Self::Unknown, |(_, language)| *language)
    }
}

/// One command, borrowed from a read buffer; by default an empty one to read into ([`Frames::read`]).
#[derive(Debug, Clone, Default)]
pub struct Frame<'a> {
    /// Request or response code.
    pub code: i32,
    /// Correlates a response with its request.
    pub opaque: i32,
    /// [`command`] bits.
    pub flag: i32,
    /// Sender's version ordinal; 0 if it named none.
    pub version: i32,
    /// Sender's language.
    pub language: Language,
    /// Form of the header; answers take the same.
    pub format: Format,
    /// Error text, or the status name of a read.
    pub remark: Option<Text<'a>>,
    /// Header fields.
    pub fields: Fields<'a>,
    /// Body, empty if there is none.
    pub body: &'a [u8],
    /// The whole frame with its length word.
    pub bytes: &'a [u8],
}

/// What an answer takes over from its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyTo {
    /// The request's opaque.
    pub opaque: i32,
    /// Form of the request's header.
    pub format: Format,
}

impl Frame<'_> {
    /// What an answer to this request must repeat.
    #[must_use]
    pub fn reply_to(&self) -> ReplyTo {
        ReplyTo { opaque: self.opaque, format: self.format }
    }

    /// Whether this answers a request.
    #[must_use]
    pub fn is_response(&self) -> bool {
        self.flag & command::RESPONSE != 0
    }

    /// Whether the sender expects no answer.
    #[must_use]
    pub fn is_oneway(&self) -> bool {
        self.flag & command::ONEWAY != 0
    }
}

/// Why a connection cannot go on: the reference closes it without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The length word is negative or below the header word.
    #[error("a frame of {0} bytes cannot hold a header")]
    Length(i32),
    /// The frame is larger than allowed.
    #[error("a frame of {size} bytes exceeds the limit of {limit} bytes")]
    TooLarge {
        /// Bytes with the length word.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The header is longer than the frame.
    #[error("a header of {header} bytes in a frame of {frame} bytes")]
    HeaderLength {
        /// Bytes of the header.
        header: usize,
        /// Bytes of the frame behind its length word.
        frame: usize,
    },
    /// The header's format byte is neither 0 nor 1.
    #[error("unknown header format {0}")]
    Format(u8),
    /// The header is not what its format demands.
    #[error("header: {what} at byte {at}")]
    Header {
        /// What is wrong.
        what: &'static str,
        /// Position in the header.
        at: usize,
    },
}

/// The frames of a read buffer, in order.
#[derive(Debug)]
pub struct Frames<'a> {
    buf: &'a [u8],
    at: usize,
    max_frame: usize,
}

impl<'a> Frames<'a> {
    /// Frames of `buf`, whose first byte starts a frame. `max_frame` bounds a frame's bytes
    /// including its length word ([`crate::limits::MAX_FRAME`]).
    #[must_use]
    pub fn new(buf: &'a [u8], max_frame: usize) -> Self {
        Self { buf, at: 0, max_frame }
    }

    /// The next complete frame; `None` when the rest is incomplete.
    ///
    /// # Errors
    /// When the connection must be closed. The frames before were valid.
    #[expect(clippy::should_implement_trait, reason = "an iterator would go on after an error")]
    pub fn next(&mut self) -> Result<Option<Frame<'a>>, FrameError> {
        let mut frame = Frame::default();
        Ok(self.read(&mut frame)?.then_some(frame))
    }

    /// As [`Frames::next`], into a frame that was used before: a frame has half a kilobyte, and moving it around costs
    /// a third of decoding it. Returns whether there was one; else `frame` means nothing.
    ///
    /// # Errors
    /// As for [`Frames::next`].
    #[inline]
    pub fn read(&mut self, frame: &mut Frame<'a>) -> Result<bool, FrameError> {
        let rest = &self.buf[self.at..];
        let Some(size) = frame_size(rest, self.max_frame)? else { return Ok(false) };
        let Some(bytes) = rest.get(..size) else { return Ok(false) };
        frame.read(bytes)?;
        self.at += size;
        Ok(true)
    }

    /// Bytes of the frames returned so far.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.at
    }

    /// Size of the incomplete frame at the end, once its length word is there; `None` if the next
    /// frame is complete, unknown, or invalid.
    #[must_use]
    pub fn needed(&self) -> Option<usize> {
        let rest = &self.buf[self.at..];
        frame_size(rest, self.max_frame).ok().flatten().filter(|size| *size > rest.len())
    }
}

/// Bytes of the frame that starts at `bytes[0]`, if its length word is there.
#[inline]
fn frame_size(bytes: &[u8], max_frame: usize) -> Result<Option<usize>, FrameError> {
    let Some(word) = bytes.first_chunk() else { return Ok(None) };
    let length = i32::from_be_bytes(*word);
    let size = usize::try_from(length).map_err(|_| FrameError::Length(length))? + 4;
    if size < 8 {
        return Err(FrameError::Length(length));
    }
    if size > max_frame {
        return Err(FrameError::TooLarge { size, limit: max_frame });
    }
    Ok(Some(size))
}

/// Bytes of the header by its word, without the format in its first byte.
#[inline]
fn header_size(word: &[u8]) -> usize {
    usize::from(word[1]) << 16 | usize::from(word[2]) << 8 | usize::from(word[3])
}

impl<'a> Frame<'a> {
    /// Decodes exactly one frame.
    ///
    /// # Errors
    /// When `bytes` are not one whole, valid frame.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FrameError> {
        let mut frame = Self::default();
        match frame_size(bytes, usize::MAX)? {
            Some(size) if size == bytes.len() => frame.read(bytes)?,
            _ => return Err(FrameError::Header { what: "the frame is incomplete", at: 0 }),
        }
        Ok(frame)
    }

    /// Decodes the header of a frame whose end is not there yet, as if it had no body; `None` while the
    /// header is not all there either.
    ///
    /// # Errors
    /// As for [`Frame::decode`].
    pub fn decode_head(bytes: &'a [u8]) -> Result<Option<Self>, FrameError> {
        let Some(size) = frame_size(bytes, usize::MAX)? else { return Ok(None) };
        let Some(word) = bytes.get(4..8) else { return Ok(None) };
        let header = header_size(word);
        if header > size - 8 {
            return Err(FrameError::HeaderLength { header, frame: size - 4 });
        }
        let Some(bytes) = bytes.get(..8 + header) else { return Ok(None) };
        let mut frame = Self::default();
        frame.read_parts(word[0], &bytes[8..], &[], bytes)?;
        Ok(Some(frame))
    }

    /// Takes over what is in `bytes`, a frame of its size.
    #[inline]
    fn read(&mut self, bytes: &'a [u8]) -> Result<(), FrameError> {
        let (word, rest) = bytes[4..].split_at(4);
        let header = header_size(word);
        let Some((header, body)) = rest.split_at_checked(header) else {
            return Err(FrameError::HeaderLength { header, frame: rest.len() + 4 });
        };
        self.read_parts(word[0], header, body, bytes)
    }

    fn read_parts(
        &mut self,
        format: u8,
        header: &'a [u8],
        body: &'a [u8],
        bytes: &'a [u8],
    ) -> Result<(), FrameError> {
        (self.body, self.bytes) = (body, bytes);
        self.begin(header);
        match format {
            0 if plain::decode(header, self).is_some() => {}
            0 => {
                self.begin(header);
                json::decode(header, self)?;
            }
            1 => binary::decode(header, self)?,
            format => return Err(FrameError::Format(format)),
        }
        Ok(())
    }

    /// Makes the header's members what they are when they are missing.
    fn begin(&mut self, header: &'a [u8]) {
        (self.code, self.opaque, self.flag, self.version) = (0, 0, 0, 0);
        (self.language, self.format, self.remark) = (Language::Java, Format::Json, None);
        self.fields.begin(header);
    }
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_response() { "response" } else { "request" };
        write!(f, "{kind} {} #{}", self.code, self.opaque)?;
        if let Some(remark) = &self.remark {
            write!(f, " {remark:?}")?;
        }
        Ok(())
    }
}

/// A frame that owns its bytes, for whoever waits for an answer.
#[derive(Debug, Clone)]
pub struct OwnedFrame(bytes::Bytes);

impl OwnedFrame {
    /// Keeps `bytes`, which must be one valid frame.
    ///
    /// # Errors
    /// When they are not.
    pub fn new(bytes: bytes::Bytes) -> Result<Self, FrameError> {
        Frame::decode(&bytes)?;
        Ok(Self(bytes))
    }

    /// Copies a frame out of its read buffer.
    #[must_use]
    pub fn copy(frame: &Frame<'_>) -> Self {
        Self(bytes::Bytes::copy_from_slice(frame.bytes))
    }

    /// The frame, decoded anew.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame::decode(&self.0).expect("an owned frame was decoded before")
    }

    /// The body, without a copy.
    #[must_use]
    pub fn body(&self) -> bytes::Bytes {
        self.0.slice(self.0.len() - self.frame().body.len()..)
    }
}

#[cfg(test)]
mod tests;

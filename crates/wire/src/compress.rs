//! Compression of message bodies and registrations: zlib (RFC 1950), LZ4 frame, Zstandard frame.
//!
//! Brokers store bodies as they come; clients, gateways and the name server look inside, always
//! with a limit on what may come out.

use std::io::{Read, Write};

use crate::flags::message;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// LZ4 frame.
    Lz4,
    /// Zstandard frame.
    Zstd,
    /// zlib stream.
    Zlib,
}

/// Why bytes cannot be decompressed.
#[derive(Debug, thiserror::Error)]
pub enum DecompressError {
    /// More would come out than is allowed.
    #[error("more than the limit of {0} bytes come out of the compressed data")]
    TooLarge(usize),
    /// The data are damaged or of another kind.
    #[error("the data are no valid {kind:?}: {error}")]
    Invalid {
        /// What they should be.
        kind: Compression,
        /// What the decompressor says.
        error: std::io::Error,
    },
}

impl Compression {
    /// Compression of a body with this system flag; none if it is not compressed, or by a type that
    /// is not known. Old clients leave the type 0 and mean zlib.
    #[must_use]
    pub fn of(sys_flag: i32) -> Option<Self> {
        if sys_flag & message::COMPRESSED == 0 {
            return None;
        }
        match sys_flag & message::COMPRESSION {
            message::LZ4 => Some(Self::Lz4),
            message::ZSTD => Some(Self::Zstd),
            message::ZLIB | 0 => Some(Self::Zlib),
            _ => None,
        }
    }

    /// Bits that say a body is compressed so.
    #[must_use]
    pub const fn flags(self) -> i32 {
        message::COMPRESSED
            | match self {
                Self::Lz4 => message::LZ4,
                Self::Zstd => message::ZSTD,
                Self::Zlib => message::ZLIB,
            }
    }

    /// Decompresses `data` to at most `limit` bytes.
    ///
    /// # Errors
    /// When more would come out, or the data are damaged.
    pub fn decompress(self, data: &[u8], limit: usize) -> Result<Vec<u8>, DecompressError> {
        let mut out = Vec::new();
        let invalid = |error| DecompressError::Invalid { kind: self, error };
        // One byte more than allowed tells a full output from one that goes on.
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        match self {
            Self::Lz4 => lz4_flex::frame::FrameDecoder::new(data).take(most).read_to_end(&mut out),
            Self::Zstd => zstd::stream::read::Decoder::new(data)
                .map_err(invalid)?
                .take(most)
                .read_to_end(&mut out),
            Self::Zlib => flate2::read::ZlibDecoder::new(data).take(most).read_to_end(&mut out),
        }
        .map_err(invalid)?;
        if out.len() > limit { Err(DecompressError::TooLarge(limit)) } else { Ok(out) }
    }

    /// Compresses `data`; `level` (1 to 9) counts for zlib and Zstandard.
    #[must_use]
    pub fn compress(self, data: &[u8], level: u32) -> Vec<u8> {
        let result = match self {
            Self::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(data).and_then(|()| Ok(encoder.finish()?))
            }
            Self::Zstd => zstd::stream::encode_all(data, level.min(9) as i32),
            Self::Zlib => {
                let level = flate2::Compression::new(level.min(9));
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
                encoder.write_all(data).and_then(|()| encoder.finish())
            }
        };
        result.expect("writing to memory does not fail")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 3] = [Compression::Lz4, Compression::Zstd, Compression::Zlib];

    /// Each kind gives back what went in, up to exactly the limit.
    #[test]
    fn round_trips_within_the_limit() {
        let data: Vec<u8> = (0..100_000_u32).map(|n| (n / 7 % 251) as u8).collect();
        for kind in ALL {
            let small = kind.compress(&data, 5);
            assert!(small.len() < data.len(), "{kind:?}");
            assert_eq!(kind.decompress(&small, data.len()).unwrap(), data);
            let error = kind.decompress(&small, data.len() - 1).unwrap_err();
            assert!(matches!(error, DecompressError::TooLarge(99_999)), "{error}");
        }
    }

    /// Damaged data are an error.
    #[test]
    fn damaged() {
        for kind in ALL {
            assert!(kind.decompress(b"not compressed at all", 1 << 20).is_err(), "{kind:?}");
            let mut small = kind.compress(&[7; 1000], 5);
            small.truncate(small.len() / 2);
            assert!(kind.decompress(&small, 1 << 20).is_err(), "{kind:?}");
        }
    }

    /// The flag bits name the kind; without a type, zlib.
    #[test]
    fn flags() {
        for kind in ALL {
            assert_eq!(Compression::of(kind.flags()), Some(kind));
        }
        assert_eq!(Compression::of(0x1), Some(Compression::Zlib));
        assert_eq!(Compression::of(0x300), None);
        assert_eq!(Compression::of(0x701), None);
    }
}

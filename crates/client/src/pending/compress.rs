//! Compression of bodies.

use std::io::{Read, Write};

use wire::flags::message;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1950.
    Zlib,
}

impl Compression {
    pub(crate) fn sys_flag(self) -> i32 {
        message::ZLIB
    }
}

/// Why a body cannot be decompressed.
#[derive(Debug, thiserror::Error)]
#[error("body: {0}")]
pub struct CompressError(String);

pub(crate) fn of_sys_flag(flag: i32) -> Option<Compression> {
    (flag & message::COMPRESSED != 0).then_some(Compression::Zlib)
}

pub(crate) fn compress(_: Compression, body: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(5));
    out.write_all(body).and_then(|()| out.finish()).unwrap_or_default()
}

pub(crate) fn decompress(_: Compression, body: &[u8]) -> Result<Vec<u8>, CompressError> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(body)
        .take(64 << 20)
        .read_to_end(&mut out)
        .map_err(|error| CompressError(error.to_string()))?;
    Ok(out)
}

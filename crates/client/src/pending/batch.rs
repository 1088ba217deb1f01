//! The body of a batch.

use bytes::{BufMut, BytesMut};

/// Appends one message.
pub(crate) fn append(out: &mut BytesMut, flag: i32, body: &[u8], properties: &[u8]) {
    let total = 4 * 5 + body.len() + 2 + properties.len();
    out.put_i32(total as i32);
    out.put_i32(0);
    out.put_i32(0);
    out.put_i32(flag);
    out.put_i32(body.len() as i32);
    out.put_slice(body);
    out.put_i16(properties.len() as i16);
    out.put_slice(properties);
}

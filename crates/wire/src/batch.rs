//! The body of a batch (320), and of an inner batch record: messages back to back.
//!
//! ```text
//! total i32 | magic i32 | crc i32 | flag i32 | bodyLen i32 | body | propLen i16 | properties
//! ```
//! Magic and checksum are written 0 and ignored; there is no count.

use bytes::BytesMut;

use crate::limits::MAX_PROPERTIES;

/// One message of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMessage<'a> {
    /// Opaque client flag.
    pub flag: i32,
    /// Body.
    pub body: &'a [u8],
    /// Property block ([`crate::props`]).
    pub properties: &'a [u8],
}

/// The batch goes on with something that is not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message {index} of the batch, at byte {at}, does not fit its {field}")]
pub struct BatchError {
    /// Number of good messages before.
    pub index: usize,
    /// Position in the batch.
    pub at: usize,
    /// The length that does not fit.
    pub field: &'static str,
}

/// Iterates over the messages of a batch; ends after an error.
#[must_use]
pub fn iter(batch: &[u8]) -> Batch<'_> {
    Batch { batch, at: 0, index: 0 }
}

/// Iterator of [`iter`].
#[derive(Debug, Clone)]
pub struct Batch<'a> {
    batch: &'a [u8],
    at: usize,
    index: usize,
}

impl<'a> Iterator for Batch<'a> {
    type Item = Result<BatchMessage<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.batch.get(self.at..).filter(|rest| !rest.is_empty())?;
        match message(rest) {
            Ok((message, size)) => {
                self.at += size;
                self.index += 1;
                Some(Ok(message))
            }
            Err(field) => {
                let error = BatchError { index: self.index, at: self.at, field };
                self.at = self.batch.len();
                Some(Err(error))
            }
        }
    }
}

/// The message at the start of `bytes`, and its size.
fn message(bytes: &[u8]) -> Result<(BatchMessage<'_>, usize), &'static str> {
    let (total, _) = bytes.split_first_chunk().ok_or("total size")?;
    let total = usize::try_from(i32::from_be_bytes(*total)).map_err(|_| "total size")?;
    let bytes = bytes.get(..total).ok_or("total size")?;
    let (_, rest) = bytes.split_at_checked(12).ok_or("total size")?;
    let (flag, rest) = rest.split_first_chunk().ok_or("total size")?;
    let (body_len, rest) = rest.split_first_chunk().ok_or("total size")?;
    let body_len = usize::try_from(i32::from_be_bytes(*body_len)).map_err(|_| "body length")?;
    let (body, rest) = rest.split_at_checked(body_len).ok_or("body length")?;
    let (len, properties) = rest.split_first_chunk().ok_or("body length")?;
    if usize::try_from(i16::from_be_bytes(*len)) != Ok(properties.len()) {
        return Err("properties length");
    }
    Ok((BatchMessage { flag: i32::from_be_bytes(*flag), body, properties }, total))
}

/// Appends a message to a batch.
///
/// # Panics
/// If the properties exceed [`MAX_PROPERTIES`] or the message 2 GiB.
pub fn append(batch: &mut BytesMut, message: &BatchMessage<'_>) {
    let BatchMessage { flag, body, properties } = *message;
    assert!(properties.len() <= MAX_PROPERTIES, "properties are checked before they are batched");
    let total = i32::try_from(22 + body.len() + properties.len()).expect("a message is small");
    batch.reserve(22 + body.len() + properties.len());
    batch.extend_from_slice(&total.to_be_bytes());
    batch.extend_from_slice(&[0; 8]);
    batch.extend_from_slice(&flag.to_be_bytes());
    // Both lengths are below the total's.
    batch.extend_from_slice(&(body.len() as i32).to_be_bytes());
    batch.extend_from_slice(body);
    batch.extend_from_slice(&(properties.len() as i16).to_be_bytes());
    batch.extend_from_slice(properties);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGES: [BatchMessage<'_>; 3] = [
        BatchMessage { flag: 1, body: b"first", properties: b"TAGS\x01a\x02" },
        BatchMessage { flag: -1, body: b"", properties: b"" },
        BatchMessage { flag: 0, body: b"third", properties: b"" },
    ];

    fn batch() -> BytesMut {
        let mut batch = BytesMut::new();
        MESSAGES.iter().for_each(|message| append(&mut batch, message));
        batch
    }

    /// What is appended comes back in order.
    #[test]
    fn round_trip() {
        let batch = batch();
        let got: Result<Vec<_>, _> = iter(&batch).collect();
        assert_eq!(got.unwrap(), MESSAGES);
        assert_eq!(iter(b"").count(), 0);
    }

    /// A cut batch yields its whole messages, then one error that says where, then nothing.
    #[test]
    fn cut() {
        let batch = batch();
        let ends = [34, 56, 83];
        assert_eq!(batch.len(), 83);
        for len in 1..83 {
            let whole = ends.iter().filter(|end| **end <= len).count();
            let got: Vec<_> = iter(&batch[..len]).collect();
            let clean = ends.contains(&len);
            assert_eq!(got.len(), whole + usize::from(!clean), "{len}");
            assert_eq!(got.iter().filter(|item| item.is_err()).count(), usize::from(!clean));
        }
    }

    /// Lengths that lie are refused and named.
    #[test]
    fn hostile_lengths() {
        let check = |at: usize, bytes: &[u8], want: &str| {
            let mut batch = batch();
            batch[at..at + bytes.len()].copy_from_slice(bytes);
            let error = iter(&batch).find_map(Result::err).unwrap();
            assert_eq!((error.index, error.at, error.field), (0, 0, want));
        };
        check(0, &0_i32.to_be_bytes(), "total size");
        check(0, &(-1_i32).to_be_bytes(), "total size");
        check(0, &i32::MAX.to_be_bytes(), "total size");
        check(16, &(-1_i32).to_be_bytes(), "body length");
        check(16, &13_i32.to_be_bytes(), "body length");
        check(16, &4_i32.to_be_bytes(), "properties length");
        check(25, &(-1_i16).to_be_bytes(), "properties length");
        check(25, &8_i16.to_be_bytes(), "properties length");
    }
}

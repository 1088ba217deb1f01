//! Reading answers without decoding them: the length prefix, then three fields by search.
//!
//! Layout: `length:int32 | kind<<24 + headerLength:int32 | header | body`, big-endian. Requests go out
//! with JSON headers and a server answers in kind, so the header is searched as text. A quoted name
//! followed by a colon cannot occur inside a JSON string, where its quotes would be escaped.

use memchr::memmem::Finder;

use crate::limits;

/// Whole length of the frame at the start of `bytes`, prefix included; None while the prefix is
/// incomplete; an error when no peer may send such a frame.
pub(crate) fn frame_len(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    let Some(prefix) = bytes.first_chunk::<4>() else { return Ok(None) };
    let len = u32::from_be_bytes(*prefix) as usize;
    if len < 4 || len + 4 > limits::FRAME_BYTES {
        return Err("its length is outside 4 to 16 MiB");
    }
    Ok(Some(len + 4))
}

/// What is looked at in one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub opaque: i32,
    pub code: i32,
    pub header: &'a [u8],
    pub body: &'a [u8],
}

/// The searches, prepared once per thread.
#[derive(Debug)]
pub(crate) struct Scanner {
    opaque: Finder<'static>,
    code: Finder<'static>,
}

const CODE_FIRST: &[u8] = b"{\"code\":";

impl Scanner {
    pub(crate) fn new() -> Scanner {
        Scanner { opaque: Finder::new("\"opaque\":"), code: Finder::new("\"code\":") }
    }

    /// Reads one complete frame (see [`frame_len`]).
    pub(crate) fn head<'a>(&self, frame: &'a [u8]) -> Result<Head<'a>, &'static str> {
        let word = frame.get(4..8).ok_or("it has no header length")?;
        if word[0] != 0 {
            return Err("its header is not JSON");
        }
        let header_len = u32::from_be_bytes([0, word[1], word[2], word[3]]) as usize;
        let header = frame.get(8..8 + header_len).ok_or("its header is longer than the frame")?;
        let opaque = self.number(&self.opaque, header).ok_or("its header has no opaque")?;
        let code = match header.strip_prefix(CODE_FIRST) {
            Some(rest) => integer(rest),
            None => self.number(&self.code, header),
        };
        let code = code.ok_or("its header has no code")?;
        Ok(Head { opaque, code, header, body: &frame[8 + header_len..] })
    }

    fn number(&self, finder: &Finder<'_>, header: &[u8]) -> Option<i32> {
        let at = finder.find(header)? + finder.needle().len();
        integer(&header[at..])
    }
}

/// A whole number at the start of `text`, quoted or not, after optional blanks.
fn integer<T: TryFrom<i64>>(text: &[u8]) -> Option<T> {
    let mut rest = text;
    while let [b' ' | b'"', tail @ ..] = rest {
        rest = tail;
    }
    let negative = rest.first() == Some(&b'-');
    if negative {
        rest = &rest[1..];
    }
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 || digits > 18 {
        return None;
    }
    let value = rest[..digits].iter().fold(0i64, |n, b| n * 10 + i64::from(b - b'0'));
    T::try_from(if negative { -value } else { value }).ok()
}

/// The number in field `name` of a JSON header.
pub(crate) fn field(header: &[u8], name: &str) -> Option<u64> {
    let needle = format!("\"{name}\":");
    let at = memchr::memmem::find(header, needle.as_bytes())? + needle.len();
    integer(&header[at..])
}

/// The text of `remark`, or an empty string.
pub(crate) fn remark(header: &[u8]) -> String {
    let parsed = serde_json::from_slice::<serde_json::Value>(header).ok();
    let text = parsed.as_ref().and_then(|v| v.get("remark")?.as_str()).unwrap_or_default();
    text.chars().take(limits::REMARK_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(header: &str, body: &[u8]) -> Vec<u8> {
        let mut out = ((4 + header.len() + body.len()) as u32).to_be_bytes().to_vec();
        out.extend((header.len() as u32).to_be_bytes());
        out.extend(header.as_bytes());
        out.extend(body);
        out
    }

    // Code, number, body and a field are found in the order Java writes them and in another one.
    #[test]
    fn finds_what_counts() {
        let java = r#"{"code":0,"extFields":{"nextBeginOffset":"64"},"flag":1,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":493}"#;
        let other = r#"{"opaque": 7,"flag":1,"extFields":{"nextBeginOffset":64},"code": -3,"remark":"a \"opaque\":9"}"#;
        let scanner = Scanner::new();
        for (header, code) in [(java, 0), (other, -3)] {
            let bytes = frame(header, b"xy");
            assert_eq!(frame_len(&bytes), Ok(Some(bytes.len())));
            let head = scanner.head(&bytes).unwrap();
            assert_eq!((head.opaque, head.code, head.body), (7, code, &b"xy"[..]));
            assert_eq!(field(head.header, "nextBeginOffset"), Some(64));
        }
        assert_eq!(remark(other.as_bytes()), "a \"opaque\":9");
    }

    // Bytes that are no frame are refused, never followed.
    #[test]
    fn refuses_what_is_no_frame() {
        assert_eq!(frame_len(&[0, 0]), Ok(None));
        assert!(frame_len(&[0, 0, 0, 3]).is_err());
        assert!(frame_len(&[0xff, 0, 0, 0]).is_err());
        let scanner = Scanner::new();
        assert!(scanner.head(&[0, 0, 0, 4, 0, 0, 0, 9]).is_err());
        assert!(scanner.head(&[0, 0, 0, 4, 1, 0, 0, 0]).is_err());
        assert!(scanner.head(&frame(r#"{"code":0,"opaque":x}"#, b"")).is_err());
    }
}

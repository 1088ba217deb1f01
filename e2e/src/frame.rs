//! A raw client of the remoting protocol: one socket, frames written as the test wants them.
//!
//! Deliberately not the product's codec: what the product gets wrong on both of its sides would
//! not be seen. Format: a length, a header length whose top byte names the header format (0 JSON),
//! the header, the body; lengths are big-endian.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// Largest answer read: above the default message limit of 4 MiB and a batch of them.
const MAX_FRAME: usize = 64 << 20;
/// Flag bit of an answer.
const ANSWER: i64 = 1;
/// Flag bit of a request that wants no answer.
const ONEWAY: i64 = 2;

/// One answer (or, on a consumer's socket, a request of the server).
#[derive(Debug, Clone)]
pub struct Frame {
    /// Request or answer code.
    pub code: i64,
    /// Number that pairs request and answer.
    pub opaque: i64,
    /// Flag bits: 1 answer, 2 oneway.
    pub flag: i64,
    /// Human-readable reason, empty if there is none.
    pub remark: String,
    /// Named values of the header.
    pub fields: BTreeMap<String, String>,
    /// The header as it came.
    pub header: Value,
    /// Everything behind the header.
    pub body: Vec<u8>,
}

impl Frame {
    /// A field as a number; an error that names it if it is absent or no number.
    pub fn number(&self, name: &str) -> Result<i64> {
        let text = self.fields.get(name).with_context(|| format!("no field {name} in {self:?}"))?;
        text.parse().with_context(|| format!("field {name} is {text:?}"))
    }

    fn parse(header: &[u8], body: Vec<u8>) -> Result<Self> {
        let header: Value = serde_json::from_slice(header).context("header is not JSON")?;
        let number = |name: &str| header.get(name).and_then(Value::as_i64);
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let fields = header.get("extFields").and_then(Value::as_object);
        let fields =
            fields.into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect();
        Ok(Self {
            code: number("code").context("no code")?,
            opaque: number("opaque").context("no opaque")?,
            flag: number("flag").unwrap_or(0),
            remark: header.get("remark").and_then(Value::as_str).unwrap_or("").to_owned(),
            fields,
            body,
            header,
        })
    }
}

/// A connection that sends what it is told to and reads whatever comes.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    opaque: i64,
}

impl Connection {
    /// Connects; every later read and write waits at most `limit`.
    pub fn open(addr: SocketAddr, limit: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, limit)
            .with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        Ok(Self { stream, opaque: 0 })
    }

    /// Sends a request as a Java client would and waits for its answer; frames that are not
    /// this answer (a server's own requests) are dropped.
    pub fn call(&mut self, code: i64, fields: &[(&str, &str)], body: &[u8]) -> Result<Frame> {
        let opaque = self.send(code, fields, body)?;
        self.answer_to(opaque)
    }

    /// Sends a request without waiting; the number of its answer.
    pub fn send(&mut self, code: i64, fields: &[(&str, &str)], body: &[u8]) -> Result<i64> {
        let fields: Map<String, Value> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        self.opaque += 1;
        let header = json!({
            "code": code, "flag": 0, "language": "JAVA", "opaque": self.opaque,
            "serializeTypeCurrentRPC": "JSON", "version": 493, "extFields": fields,
        });
        self.send_header(header.to_string().as_bytes(), body)?;
        Ok(self.opaque)
    }

    /// Sends a frame with exactly this header text (format JSON).
    pub fn send_header(&mut self, header: &[u8], body: &[u8]) -> Result<()> {
        self.send_bytes(&encode(header, body)?)
    }

    /// Sends bytes that need not be a frame.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("writing to the socket")
    }

    /// The next frame, whatever it is.
    pub fn read(&mut self) -> Result<Frame> {
        let (format, header, body) = self.read_parts()?;
        ensure!(format == 0, "header format {format}");
        Frame::parse(&header, body)
    }

    /// Header format, header and body of the next frame, as they come.
    pub fn read_parts(&mut self) -> Result<(u8, Vec<u8>, Vec<u8>)> {
        let mut word = [0; 4];
        self.stream.read_exact(&mut word).context("reading a frame length")?;
        let total = usize::try_from(u32::from_be_bytes(word))?;
        ensure!((4..=MAX_FRAME).contains(&total), "frame of {total} bytes");
        let mut rest = vec![0; total];
        self.stream.read_exact(&mut rest).context("reading a frame")?;
        let (word, rest) = rest.split_at(4);
        let length = usize::try_from(u32::from_be_bytes([0, word[1], word[2], word[3]]))?;
        let (header, body) = rest
            .split_at_checked(length)
            .with_context(|| format!("header of {length} bytes in a frame of {total}"))?;
        Ok((word[0], header.to_vec(), body.to_vec()))
    }

    /// Reads until the answer numbered `opaque` comes.
    pub fn answer_to(&mut self, opaque: i64) -> Result<Frame> {
        loop {
            let frame = self.read()?;
            if frame.flag & ANSWER != 0 && frame.opaque == opaque {
                return Ok(frame);
            }
            if frame.flag & (ANSWER | ONEWAY) == ANSWER {
                bail!("an answer to {}, waiting for {opaque}: {frame:?}", frame.opaque);
            }
        }
    }

    /// Whether the peer closes the connection, perhaps after a few bytes (within the connection's limit).
    pub fn closes(&mut self) -> bool {
        let mut rest = Vec::new();
        match Read::by_ref(&mut self.stream).take(4096).read_to_end(&mut rest) {
            Ok(read) => read < 4096,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    /// Whether the peer has closed the connection (within the connection's limit).
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(read) => read == 0,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// One frame with a JSON header.
pub fn encode(header: &[u8], body: &[u8]) -> Result<Vec<u8>> {
    let total = u32::try_from(4 + header.len() + body.len())?;
    let length = u32::try_from(header.len())?;
    let mut frame = Vec::with_capacity(8 + header.len() + body.len());
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(header);
    frame.extend_from_slice(body);
    Ok(frame)
}

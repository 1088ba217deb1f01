//! The few requests that prepare a run: find the broker, create the topic, read queue bounds.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde_json::Value;

use crate::args::Target;
use crate::error::BenchError;
use crate::frame::{self, code};
use crate::scan::{self, Scanner};

const TIMEOUT: Duration = Duration::from_secs(5);
const TOPIC_NOT_EXIST: i32 = 17;
/// The topic that brokers with automatic creation register as a template.
const TEMPLATE_TOPIC: &str = "TBW102";

/// The broker under test.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub name: String,
    pub addr: SocketAddr,
}

/// A blocking connection for one request after the other.
#[derive(Debug)]
pub(crate) struct Admin {
    stream: TcpStream,
    addr: SocketAddr,
    scanner: Scanner,
    opaque: u32,
}

/// An answer: code, JSON header, body.
pub(crate) type Answer = (i32, Vec<u8>, Vec<u8>);

impl Admin {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Admin, BenchError> {
        let connect = || {
            let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            stream.set_write_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| BenchError::Connect { addr, source })?;
        Ok(Admin { stream, addr, scanner: Scanner::new(), opaque: 1_000_000 })
    }

    /// Sends one request and waits for its answer; pushes of the server are passed over.
    pub(crate) fn call(
        &mut self,
        code: i32,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, BenchError> {
        self.opaque += 1;
        let mut out = Vec::new();
        frame::request(&mut out, code, self.opaque, fields, body);
        let failed = |source| BenchError::Connection { addr: self.addr, source };
        let bad = |what| BenchError::Frame { addr: self.addr, what };
        self.stream.write_all(&out).map_err(failed)?;
        loop {
            let frame = read_frame(&mut self.stream).map_err(failed)?;
            let head = self.scanner.head(&frame).map_err(bad)?;
            let answers = scan::field(head.header, "flag").is_some_and(|flag| flag & 1 == 1);
            if answers && head.opaque == self.opaque as i32 {
                return Ok((head.code, head.header.to_vec(), head.body.to_vec()));
            }
        }
    }

    /// Like [`Admin::call`], but only code 0 is good.
    fn demand(&mut self, code: i32, fields: &[(&str, &str)]) -> Result<Answer, BenchError> {
        let answer = self.call(code, fields, &[])?;
        match answer.0 {
            0 => Ok(answer),
            refused => Err(BenchError::Refused {
                addr: self.addr,
                request: code,
                code: refused,
                remark: scan::remark(&answer.1),
            }),
        }
    }

    /// Creates the topic with `queues` queues, or changes it to that number.
    pub(crate) fn create_topic(&mut self, topic: &str, queues: u32) -> Result<(), BenchError> {
        let queues = queues.to_string();
        let fields = [
            ("readQueueNums", &*queues),
            ("perm", "6"),
            ("writeQueueNums", &queues),
            ("topicFilterType", "SINGLE_TAG"),
            ("topic", topic),
            ("force", "false"),
            ("defaultTopic", TEMPLATE_TOPIC),
            ("order", "false"),
            ("topicSysFlag", "0"),
        ];
        self.demand(code::UPDATE_AND_CREATE_TOPIC, &fields).map(drop)
    }

    /// First and next offset of a queue.
    pub(crate) fn offsets(&mut self, topic: &str, queue: u32) -> Result<(u64, u64), BenchError> {
        let queue = queue.to_string();
        let mut offset = |code| {
            let (_, header, _) = self.demand(code, &[("queueId", &queue), ("topic", topic)])?;
            // A queue that was never written has first offset -1 by some brokers: nothing yet, so 0.
            Ok(scan::field(&header, "offset").unwrap_or(0))
        };
        Ok((offset(code::GET_MIN_OFFSET)?, offset(code::GET_MAX_OFFSET)?))
    }
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    stream.read_exact(&mut frame)?;
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let len = scan::frame_len(&frame).map_err(invalid)?.unwrap_or(4);
    frame.resize(len, 0);
    stream.read_exact(&mut frame[4..])?;
    Ok(frame)
}

/// The broker that `target` names, asked from the name server when given one.
pub(crate) fn find(target: &Target) -> Result<Endpoint, BenchError> {
    match &target.broker {
        Some(broker) => {
            let name = target.broker_name.clone().unwrap_or_else(|| "broker-a".into());
            Ok(Endpoint { name, addr: resolve(broker)? })
        }
        None => find_by_route(resolve(target.namesrv())?, target),
    }
}

fn find_by_route(addr: SocketAddr, target: &Target) -> Result<Endpoint, BenchError> {
    let mut namesrv = Admin::connect(addr)?;
    let mut route = namesrv.call(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", &target.topic)], &[])?;
    if route.0 == TOPIC_NOT_EXIST {
        route = namesrv.call(code::GET_ROUTEINFO_BY_TOPIC, &[("topic", TEMPLATE_TOPIC)], &[])?;
    }
    let none = |what: String| BenchError::NoBroker { addr, topic: target.topic.clone(), what };
    if route.0 != 0 {
        return Err(none(format!("code {}: {}", route.0, scan::remark(&route.1))));
    }
    let body: Value = serde_json::from_slice(&route.2).map_err(|e| none(e.to_string()))?;
    let mut masters: Vec<(&str, &str)> = body["brokerDatas"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|broker| {
            Some((broker["brokerName"].as_str()?, broker["brokerAddrs"]["0"].as_str()?))
        })
        .filter(|(name, _)| target.broker_name.as_deref().is_none_or(|wanted| wanted == *name))
        .collect();
    masters.sort_unstable();
    let (name, addr) = masters.first().ok_or_else(|| none("its route lists none".into()))?;
    Ok(Endpoint { name: (*name).to_owned(), addr: resolve(addr)? })
}

/// The first address of `host:port`.
pub(crate) fn resolve(text: &str) -> Result<SocketAddr, BenchError> {
    let addresses = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    addresses.ok_or_else(|| BenchError::Address { text: text.into() })
}

//! `bench null-server`: answers like a broker and name server, stores nothing.
//!
//! The ceiling: what the generator, the protocol's bytes and the kernel leave to a broker. One thread;
//! all requests of one read are answered by one write, a queue's offset counts up, and pulls get the
//! same 32 messages under the offsets they ask for.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use crate::args::NullServerArgs;
use crate::error::BenchError;
use crate::frame::code;
use crate::limits;
use crate::poll::Poll;
use crate::records;
use crate::scan::{self, Head, Scanner};
use crate::socket::{Filled, Socket};
use std::time::Duration;

const LISTENER: usize = usize::MAX;
const IDLE: Duration = Duration::from_secs(60);
/// Offset behind the last message that a queue pretends to hold.
const PRETENDED_MESSAGES: u64 = 1_000_000;
/// Bytes of answers that may wait for a client that does not read.
const UNSENT_BYTES: usize = 64 << 20;

/// A bound server; [`NullServer::run`] serves.
#[derive(Debug)]
pub(crate) struct NullServer {
    listener: TcpListener,
    addr: SocketAddr,
    connections: Vec<Option<Connection>>,
    answers: Answers,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    out: Vec<u8>,
    written: usize,
}

/// Encodes answers.
#[derive(Debug)]
struct Answers {
    scanner: Scanner,
    route: Vec<u8>,
    pulled: Vec<u8>,
    record_bytes: usize,
    stored: u64,
}

impl NullServer {
    pub(crate) fn bind(args: &NullServerArgs) -> Result<NullServer, BenchError> {
        let addr = crate::admin::resolve(&args.listen)?;
        let bind = || {
            let listener = TcpListener::bind(addr)?;
            listener.set_nonblocking(true)?;
            let addr = listener.local_addr()?;
            Ok((listener, addr))
        };
        let (listener, addr) = bind().map_err(|source| BenchError::Connect { addr, source })?;
        let answers = Answers::new(addr, args.size);
        Ok(NullServer { listener, addr, connections: Vec::new(), answers })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until the process ends.
    pub(crate) fn run(mut self) -> Result<(), BenchError> {
        let system = |source| BenchError::System { what: "epoll", source };
        let mut poll = Poll::new().map_err(system)?;
        poll.add(&self.listener, LISTENER).map_err(system)?;
        let mut ready = Vec::new();
        loop {
            ready.clear();
            ready.extend(poll.wait(IDLE).map_err(system)?);
            for &token in &ready {
                if token == LISTENER {
                    self.accept(&poll).map_err(system)?;
                } else if let Some(connection) = &mut self.connections[token]
                    && connection.serve(&mut self.answers).is_err()
                {
                    self.connections[token] = None;
                }
            }
        }
    }

    fn accept(&mut self, poll: &Poll) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((stream, addr)) => {
                    let socket = Socket::new(stream, addr)?;
                    let free = self.connections.iter().position(Option::is_none);
                    let token = free.unwrap_or(self.connections.len());
                    if token >= limits::CONNECTIONS {
                        continue;
                    }
                    poll.add(&socket.stream, token)?;
                    let connection = Some(Connection { socket, out: Vec::new(), written: 0 });
                    match free {
                        Some(token) => self.connections[token] = connection,
                        None => self.connections.push(connection),
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }
}

impl Connection {
    fn serve(&mut self, answers: &mut Answers) -> Result<(), BenchError> {
        self.flush()?;
        loop {
            let filled = self.socket.fill().map_err(|e| self.socket.failed(e))?;
            while let Some(frame) = self.socket.next_frame()? {
                let frame = self.socket.bytes(frame);
                let bad = |what| self.socket.bad(what);
                let head = answers.scanner.head(frame).map_err(bad)?;
                answers.answer(&head, &mut self.out);
            }
            if self.out.len() - self.written > UNSENT_BYTES {
                return Err(self.socket.bad("more requests than answers are read"));
            }
            self.flush()?;
            if filled == Filled::Drained {
                return Ok(());
            }
        }
    }

    fn flush(&mut self) -> Result<(), BenchError> {
        while self.written < self.out.len() {
            match (&self.socket.stream).write(&self.out[self.written..]) {
                Ok(n) => self.written += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(self.socket.failed(e)),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }
}

impl Answers {
    fn new(addr: SocketAddr, body_bytes: usize) -> Answers {
        let mut pulled = Vec::new();
        let body = vec![b'x'; body_bytes];
        for _ in 0..32 {
            records::encode(&mut pulled, 0, 0, "BenchTopic", &body);
        }
        let record_bytes = pulled.len() / 32;
        let route = format!(
            r#"{{"brokerDatas":[{{"brokerAddrs":{{"0":"{addr}"}},"brokerName":"null","cluster":"null"}}],"filterServerTable":{{}},"queueDatas":[{{"brokerName":"null","perm":6,"readQueueNums":16,"topicSysFlag":0,"writeQueueNums":16}}]}}"#
        );
        let scanner = Scanner::new();
        Answers { scanner, route: route.into_bytes(), pulled, record_bytes, stored: 0 }
    }

    fn answer(&mut self, head: &Head<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend([0; 8]);
        out.extend(b"{\"code\":0,\"extFields\":{");
        let mut number = itoa::Buffer::new();
        let mut body: &[u8] = &[];
        match head.code {
            code::SEND_MESSAGE_V2 | code::SEND_BATCH_MESSAGE => {
                self.stored += 1;
                out.extend(b"\"queueId\":\"0\",\"TRACE_ON\":\"true\",\"MSG_REGION\":\"DefaultRegion\",\"msgId\":\"7F00000100002A9F0000000000000000\",\"queueOffset\":\"");
                out.extend(number.format(self.stored).as_bytes());
                out.push(b'"');
            }
            code::PULL_MESSAGE => {
                let offset = scan::field(head.header, "queueOffset").unwrap_or(0);
                for (i, record) in self.pulled.chunks_exact_mut(self.record_bytes).enumerate() {
                    record[20..28].copy_from_slice(&(offset + i as u64).to_be_bytes());
                }
                out.extend(b"\"suggestWhichBrokerId\":\"0\",\"minOffset\":\"0\",\"maxOffset\":\"1000000\",\"nextBeginOffset\":\"");
                out.extend(number.format(offset + 32).as_bytes());
                out.push(b'"');
                body = &self.pulled;
            }
            code::GET_MAX_OFFSET => {
                out.extend(b"\"offset\":\"");
                out.extend(number.format(PRETENDED_MESSAGES).as_bytes());
                out.push(b'"');
            }
            code::GET_MIN_OFFSET => out.extend(b"\"offset\":\"0\""),
            code::GET_ROUTEINFO_BY_TOPIC => body = &self.route,
            _ => {}
        }
        out.extend(b"},\"flag\":1,\"language\":\"JAVA\",\"opaque\":");
        out.extend(itoa::Buffer::new().format(head.opaque).as_bytes());
        out.extend(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":493}");
        let header = (out.len() - start - 8) as u32;
        out.extend(body);
        let len = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&len.to_be_bytes());
        out[start + 4..start + 8].copy_from_slice(&header.to_be_bytes());
    }
}

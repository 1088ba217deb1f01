//! What the description of the protocol lists as checks, as far as no other case has it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::Shared;
use apogee_e2e::frame::{Connection, Frame, encode};
use apogee_e2e::peer::Peer;
use serde_json::{Value, json};

use crate::{LIMIT, broker, call, cpp_send, fetch, fields_are_text, namesrv, pull};

/// remoting-frame check 1: a request with the binary header is served like one with JSON, and answered in
/// kind here; the reference answers in the format that it was started with.
pub(crate) fn both_header_formats(shared: &Shared) -> Result<()> {
    let mut connection = namesrv(shared)?;
    let mut header = Vec::new();
    header.extend(105_i16.to_be_bytes());
    header.push(0);
    header.extend(493_i16.to_be_bytes());
    for number in [41_i32, 0, 0, 21] {
        header.extend(number.to_be_bytes());
    }
    header.extend(b"\0\x05topic\0\0\0\x06TBW102");
    let (length, entries) = (header.len() - 21, 2 + 5 + 4 + 6);
    header[17..21].copy_from_slice(&i32::try_from(entries)?.to_be_bytes());
    ensure!(length == entries, "{length} bytes of fields");
    let mut frame = encode(&header, &[])?;
    frame[4] = 1;
    connection.send_bytes(&frame)?;
    let (format, answer, body) = connection.read_parts()?;
    ensure!(!body.is_empty(), "no route in answer to a binary header");
    match shared.peer() {
        Peer::Java => ensure!(format == 0, "format {format}"),
        Peer::Apogee => {
            ensure!(format == 1, "format {format}");
            ensure!(answer[..2] == [0, 0] && answer[5..9] == 41_i32.to_be_bytes(), "{answer:?}");
        }
    }
    let header =
        json!({ "code": 105, "opaque": 42, "version": 493, "extFields": { "topic": "TBW102" } });
    connection.send_header(header.to_string().as_bytes(), &[])?;
    let (format, _, json) = connection.read_parts()?;
    ensure!(format == 0 && json == body, "the answers differ");
    Ok(())
}

/// remoting-frame check 3: a frame of 16 MiB is read, one of a byte more ends its connection before it has
/// come.
pub(crate) fn largest_frame(shared: &Shared) -> Result<()> {
    const LARGEST: usize = 16 << 20;
    let header = json!({ "code": 9999, "opaque": 5 }).to_string();
    let mut connection = broker(shared)?;
    let frame = encode(header.as_bytes(), &vec![b'x'; LARGEST - 8 - header.len()])?;
    ensure!(frame.len() == LARGEST);
    connection.send_bytes(&frame)?;
    let answer = connection.read()?;
    ensure!(answer.code == 3 && answer.opaque == 5, "{answer:?}");
    let mut connection = broker(shared)?;
    connection.send_bytes(&u32::try_from(LARGEST - 3)?.to_be_bytes())?;
    connection.send_bytes(&frame[4..64])?;
    ensure!(connection.closes(), "a frame of 16 MiB and a byte was accepted");
    Ok(())
}

/// remoting-frame check 4: a PROXY header of either version is passed over; what starts like TLS and is
/// none, and the preface of HTTP/2, end their connection.
pub(crate) fn other_protocols_on_the_port(shared: &Shared) -> Result<()> {
    let request = encode(json!({ "code": 9999, "opaque": 6 }).to_string().as_bytes(), &[])?;
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0C".to_vec();
    second.extend([10, 0, 0, 9, 10, 0, 0, 1, 0x10, 0, 0x2A, 0x9F]);
    for start in [&b"PROXY TCP4 10.0.0.9 10.0.0.1 4096 10911\r\n"[..], &second] {
        let mut connection = broker(shared)?;
        connection.send_bytes(&[start, &request].concat())?;
        let answer = connection.read()?;
        ensure!(answer.code == 3 && answer.opaque == 6, "{answer:?}");
    }
    for start in
        [&b"\x16\x03\x01\0\x10no handshake at all"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let mut connection = broker(shared)?;
        connection.send_bytes(start)?;
        ensure!(connection.closes(), "{start:?} was accepted");
    }
    Ok(())
}

/// remoting-frame check 5: a connection on which nothing moves is closed after
/// `serverChannelMaxIdleTimeSeconds`, one that is used in time is not.
pub(crate) fn idle_connections_are_closed(shared: &Shared) -> Result<()> {
    let mut settings = shared.case_dir("idle")?;
    settings.push("cluster");
    let seconds = ("serverChannelMaxIdleTimeSeconds".to_owned(), "3".to_owned());
    let cluster = apogee_e2e::peer::Cluster::start(shared.peer(), &settings, &[seconds].into())?;
    let mut used = Connection::open(cluster.broker(), LIMIT)?;
    let mut idle = Connection::open(cluster.broker(), LIMIT)?;
    ensure!(idle.call(9999, &[], &[])?.code == 3);
    let (sender, closed) = std::sync::mpsc::channel();
    let waiter = std::thread::spawn(move || sender.send(idle.is_closed()));
    let closed = loop {
        ensure!(used.call(9999, &[], &[])?.code == 3);
        match closed.recv_timeout(std::time::Duration::from_millis(500)) {
            Ok(closed) => break closed,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(error) => return Err(error.into()),
        }
    };
    ensure!(closed, "the idle connection was not closed");
    ensure!(waiter.join().is_ok());
    ensure!(used.call(9999, &[], &[])?.code == 3);
    cluster.check_log()
}

/// remoting-frame check 6: answers name a version that has all features, and a language that every decoder
/// knows.
pub(crate) fn answers_name_version_and_language(shared: &Shared) -> Result<()> {
    const KNOWN: [&str; 12] = [
        "JAVA", "CPP", "DOTNET", "PYTHON", "DELPHI", "ERLANG", "RUBY", "OTHER", "HTTP", "GO",
        "PHP", "OMS",
    ];
    for mut connection in [broker(shared)?, namesrv(shared)?] {
        let answer = connection.call(9999, &[], &[])?;
        ensure!(answer.header["version"].as_i64() >= Some(479), "{}", answer.header);
        let language = answer.header["language"].as_str().unwrap_or_default();
        ensure!(KNOWN.contains(&language), "{}", answer.header);
    }
    Ok(())
}

/// remoting-frame check 7: pulls that are answered 0, 19, 20 and 21 have the same complete header.
pub(crate) fn pull_headers_are_complete(shared: &Shared) -> Result<()> {
    const FIELDS: [&str; 6] = [
        "suggestWhichBrokerId",
        "nextBeginOffset",
        "minOffset",
        "maxOffset",
        "topicSysFlag",
        "groupSysFlag",
    ];
    let mut connection = broker(shared)?;
    let sent = call(&mut connection, &cpp_send("complete", 0, "TAGS\u{1}A\u{2}", 1), b"x")?;
    ensure!(sent.code == 0, "{sent:?}");
    fetch(&mut connection, "complete", 0, 0)?;
    let mut other_tag = pull("complete", 0, 0, 2);
    other_tag["extFields"]["subscription"] = json!("B");
    for (code, header) in [
        (0, pull("complete", 0, 0, 2)),
        (19, pull("complete", 0, 1, 2)),
        (20, other_tag),
        (21, pull("complete", 0, 9, 2)),
    ] {
        let answer = call(&mut connection, &header, &[])?;
        ensure!(answer.code == code, "{code}: {answer:?}");
        fields_are_text(&answer)?;
        for name in FIELDS {
            answer.number(name).with_context(|| format!("answer {code}"))?;
        }
    }
    Ok(())
}

/// remoting-frame check 7: a send's answer has the complete header, and the two common fields also when it
/// is refused.
pub(crate) fn send_headers_are_complete(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    for (topic, code) in [("complete-send", 0), ("bad topic", 29)] {
        let answer = call(&mut connection, &cpp_send(topic, 0, "UNIQ_KEY\u{1}k\u{2}", 1), b"x")?;
        ensure!(answer.code == code, "{answer:?}");
        let mut fields = vec![];
        if code == 0 {
            fields.extend([
                "msgId",
                "queueId",
                "queueOffset",
                "transactionId",
                "MSG_REGION",
                "TRACE_ON",
            ]);
        }
        let missing: Vec<_> =
            fields.into_iter().filter(|name| !answer.fields.contains_key(*name)).collect();
        ensure!(missing.is_empty(), "{missing:?} not in {answer:?}");
    }
    Ok(())
}

/// remoting-frame check 8: a broker that has just started registers more than one topic, since a name
/// server takes a first registration of exactly one for an addition to others.
pub(crate) fn a_new_broker_has_system_topics(shared: &Shared) -> Result<()> {
    let answer = broker(shared)?.call(21, &[], &[])?;
    let body: Value = serde_json::from_slice(&answer.body)?;
    let topics = body["topicConfigTable"].as_object().context("no topicConfigTable")?;
    let system = topics
        .keys()
        .filter(|name| ["TBW102", "BenchmarkTest", "SELF_TEST_TOPIC"].contains(&&***name));
    ensure!(system.count() > 1, "{:?}", topics.keys().collect::<Vec<_>>());
    let answer = namesrv(shared)?.call(105, &[("topic", "SELF_TEST_TOPIC")], &[])?;
    ensure!(answer.code == 0, "{answer:?}");
    Ok(())
}

/// remoting-frame check 9: routes and the cluster's brokers are strict JSON for who asks so, the keys of
/// the broker ids included.
pub(crate) fn routes_are_strict_json(shared: &Shared) -> Result<()> {
    let mut connection = namesrv(shared)?;
    let strict = [("topic", "TBW102"), ("acceptStandardJsonOnly", "true")];
    let answer = connection.call(105, &strict, &[])?;
    let route: Value = serde_json::from_slice(&answer.body)?;
    let addresses: BTreeMap<String, String> =
        serde_json::from_value(route["brokerDatas"][0]["brokerAddrs"].clone())?;
    ensure!(addresses.keys().eq(["0"]), "{route}");
    Ok(())
}

/// remoting-frame check 11: what the Go client sends without waiting for an answer has no one-way flag, and
/// is answered: commits (15) and unlocks (42).
pub(crate) fn go_requests_are_answered(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let sent = call(&mut connection, &cpp_send("go-commit", 0, "", 1), b"x")?;
    ensure!(sent.code == 0, "{sent:?}");
    let group = json!({ "groupName": "go-group", "consumeEnable": true });
    let created = connection.call(200, &[], group.to_string().as_bytes())?;
    ensure!(created.code == 0, "{created:?}");
    let commit = json!({ "code": 15, "opaque": 8, "flag": 0, "language": "GO", "version": 431, "remark": "",
        "extFields": { "consumerGroup": "go-group", "topic": "go-commit", "queueId": "0", "commitOffset": "1" } });
    answered(&call(&mut connection, &commit, &[])?)?;
    let unlock = json!({ "code": 42, "opaque": 9, "flag": 0, "language": "GO", "version": 431, "remark": "" });
    let body = json!({ "consumerGroup": "go-group", "clientId": "go", "mqSet": [
        { "topic": "go-commit", "brokerName": "broker-a", "queueId": 0 }] });
    answered(&call(&mut connection, &unlock, body.to_string().as_bytes())?)
}

fn answered(answer: &Frame) -> Result<()> {
    ensure!(answer.code == 0 && answer.flag & 1 == 1, "{answer:?}");
    Ok(())
}

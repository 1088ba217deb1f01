//! Frames that no Java client sends: what C++ and Node clients leave out or write otherwise, what
//! arrives in pieces, what is no frame at all; and codes that Java clients never get to see.
//!
//! They have the checks of the protocol's description, `remoting-frame check N`; where the others are
//! tested:
//!
//! | check | where |
//! |---|---|
//! | 1 both header formats, answered in kind | `checks::both_header_formats` |
//! | 2 values that are no text, unknown and missing members | `cpp_send_with_numbers_in_the_header`, `odd_but_legal_headers`, `header_without_language_version_and_flag` |
//! | 3 frames of 16 MiB; one-way is never answered | `checks::largest_frame`, `oneway_is_never_answered`, `illegal_lengths_close_the_connection` |
//! | 4 PROXY, TLS and HTTP/2 on one port | `checks::other_protocols_on_the_port`; TLS is not served yet |
//! | 5 idle for 120 s; the end of a connection unregisters | `checks::idle_connections_are_closed`, `members_learn_of_joins_and_leaves`; brokers: `crates/namesrv/tests/requests.rs` |
//! | 6 version and language of answers | `checks::answers_name_version_and_language` |
//! | 7 complete headers of pulls and sends | `checks::pull_headers_are_complete`, `checks::send_headers_are_complete` |
//! | 8 the first registration has more than one topic | `checks::a_new_broker_has_system_topics` |
//! | 9 strict JSON of routes | `checks::routes_are_strict_json`; keys that are objects: `crates/wire/tests/golden.rs` |
//! | 10 long topics, mapped addresses | `refused_topics_and_queues`; `crates/net/tests/serve.rs`, `crates/wire/src/ids.rs` |
//! | 11 requests of the Go client that want no answer get one | `checks::go_requests_are_answered` |
//!
//! What each request is answered with is checked against recorded answers, `crates/wire/fixtures`.
#![allow(clippy::disallowed_methods, reason = "drives real sockets and clocks")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use apogee_e2e::cases::{Cases, Shared};
use apogee_e2e::frame::{Connection, Frame, encode};
use apogee_e2e::peer::Peer;
use apogee_e2e::record::Record;
use serde_json::{Value, json};

mod checks;
mod groups;
mod name_servers;
mod settings;

const LIMIT: Duration = Duration::from_secs(10);

type Case = fn(&Shared) -> Result<()>;

const CASES: [(&str, Case); 28] = [
    ("cpp_send_with_numbers_in_the_header", cpp_send_with_numbers_in_the_header),
    ("cpp_heartbeat_and_pull", cpp_heartbeat_and_pull),
    ("header_without_language_version_and_flag", header_without_language_version_and_flag),
    ("odd_but_legal_headers", odd_but_legal_headers),
    ("escaped_text_in_properties", escaped_text_in_properties),
    ("frames_in_pieces_and_in_one_write", frames_in_pieces_and_in_one_write),
    ("oneway_is_never_answered", oneway_is_never_answered),
    ("unknown_request_code", unknown_request_code),
    ("refused_topics_and_queues", refused_topics_and_queues),
    ("pull_edges", pull_edges),
    ("illegal_headers_close_the_connection", illegal_headers_close_the_connection),
    ("illegal_lengths_close_the_connection", illegal_lengths_close_the_connection),
    ("answers_keep_their_numbers", answers_keep_their_numbers),
    ("queue_locks_exclude_each_other", groups::queue_locks_exclude_each_other),
    ("members_learn_of_joins_and_leaves", groups::members_learn_of_joins_and_leaves),
    ("parked_pull_wakes_on_a_message", groups::parked_pull_wakes_on_a_message),
    ("parked_pull_expires", groups::parked_pull_expires),
    ("settings_change_while_running", settings::settings_change_while_running),
    ("both_header_formats", checks::both_header_formats),
    ("largest_frame", checks::largest_frame),
    ("other_protocols_on_the_port", checks::other_protocols_on_the_port),
    ("answers_name_version_and_language", checks::answers_name_version_and_language),
    ("pull_headers_are_complete", checks::pull_headers_are_complete),
    ("send_headers_are_complete", checks::send_headers_are_complete),
    ("a_new_broker_has_system_topics", checks::a_new_broker_has_system_topics),
    ("routes_are_strict_json", checks::routes_are_strict_json),
    ("go_requests_are_answered", checks::go_requests_are_answered),
    ("idle_connections_are_closed", checks::idle_connections_are_closed),
];

fn main() -> Result<ExitCode> {
    let mut cases = Cases::default();
    for peer in Peer::selected() {
        let shared = Arc::new(Shared::new(peer, &[])?);
        cases.watch(&shared);
        for (name, case) in CASES {
            let shared = Arc::clone(&shared);
            cases.add(format!("{peer}::{name}"), peer.missing(), move || case(&shared));
        }
    }
    let missing = match Peer::selected().contains(&Peer::Apogee) {
        true => Peer::Apogee.missing(),
        false => Some("is of the binary".to_owned()),
    };
    let name = "apogee::one_dead_name_server_does_not_delay_the_others";
    cases.add(name.to_owned(), missing, name_servers::one_dead_does_not_delay_the_others);
    Ok(cases.run())
}

fn broker(shared: &Shared) -> Result<Connection> {
    let addr = shared.cluster()?.broker();
    Connection::open(addr, LIMIT)
}

fn namesrv(shared: &Shared) -> Result<Connection> {
    let addr = shared.cluster()?.namesrv();
    Connection::open(addr, LIMIT)
}

/// Sends a frame and waits for its answer; notices that come in between are dropped.
fn call(connection: &mut Connection, header: &Value, body: &[u8]) -> Result<Frame> {
    connection.send_header(header.to_string().as_bytes(), body)?;
    connection.answer_to(header["opaque"].as_i64().context("no opaque")?)
}

/// A send as the C++ client writes it: long names, numbers and booleans unquoted.
fn cpp_send(topic: &str, queue: i32, properties: &str, opaque: i64) -> Value {
    json!({
        "code": 10, "language": "CPP", "version": 63, "opaque": opaque, "flag": 0,
        "remark": "", "serializeTypeCurrentRPC": "JSON",
        "extFields": {
            "producerGroup": "cpp", "topic": topic, "defaultTopic": "TBW102",
            "defaultTopicQueueNums": 4, "queueId": queue, "sysFlag": 0,
            "bornTimestamp": 1_700_000_000_000_i64, "flag": 7, "properties": properties,
            "reconsumeTimes": 0, "unitMode": false, "batch": false,
        },
    })
}

fn pull(topic: &str, queue: i32, offset: i64, opaque: i64) -> Value {
    json!({
        "code": 11, "language": "CPP", "version": 63, "opaque": opaque, "flag": 0,
        "extFields": {
            "consumerGroup": "cpp", "topic": topic, "queueId": queue, "queueOffset": offset,
            "maxMsgNums": 32, "sysFlag": 4, "commitOffset": 0, "suspendTimeoutMillis": 0,
            "subscription": "*", "subVersion": 0,
        },
    })
}

/// Number of a pull that waits.
const PARKED: i64 = 77;

/// A pull that waits for a message.
fn parked(topic: &str, queue: i32, offset: i64, suspend_ms: u64) -> Value {
    let mut header = pull(topic, queue, offset, PARKED);
    header["extFields"]["sysFlag"] = json!(2 | 4);
    header["extFields"]["suspendTimeoutMillis"] = json!(suspend_ms);
    header
}

/// The messages at `offset`; waits for the first, since a queue follows the log a little later.
fn fetch(connection: &mut Connection, topic: &str, queue: i32, offset: i64) -> Result<Vec<Record>> {
    let answer = call(connection, &parked(topic, queue, offset, 9_000), &[])?;
    ensure!(answer.code == 0, "{answer:?}");
    fields_are_text(&answer)?;
    Record::parse_all(&answer.body)
}

/// Every value of an answer's header fields is text, and the object is there: C++ reads numbers as
/// empty, Go refuses the header, Node reads fields without looking whether there are any.
fn fields_are_text(answer: &Frame) -> Result<()> {
    let fields = answer.header.get("extFields").and_then(Value::as_object);
    let good = fields.is_some_and(|fields| fields.values().all(Value::is_string));
    ensure!(good, "fields that are not text in {}", answer.header);
    Ok(())
}

/// remoting-frame check 2: a send whose header has numbers for text is stored as if it had text.
fn cpp_send_with_numbers_in_the_header(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let answer = call(&mut connection, &cpp_send("cpp-send", 2, "TAGS\u{1}A\u{2}", 5), b"x")?;
    ensure!(answer.code == 0 && answer.opaque == 5, "{answer:?}");
    fields_are_text(&answer)?;
    ensure!(answer.number("queueId")? == 2, "{answer:?}");
    ensure!(answer.number("queueOffset")? == 0, "{answer:?}");
    let records = fetch(&mut connection, "cpp-send", 2, 0)?;
    ensure!(records.len() == 1 && records[0].body == b"x", "{records:?}");
    ensure!(records[0].raw[16..20] == 7_u32.to_be_bytes(), "the flag is lost");
    Ok(())
}

/// Shows that a heartbeat with enums as numbers, versions as text and without fields that Java
/// sends registers a subscription that a pull without one of its own then uses.
fn cpp_heartbeat_and_pull(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    for (number, tag) in ["TagA", "TagB"].into_iter().enumerate() {
        let properties = format!("TAGS\u{1}{tag}\u{2}");
        let header = cpp_send("cpp-pull", 0, &properties, i64::try_from(number)?);
        ensure!(call(&mut connection, &header, b"x")?.code == 0, "send {tag}");
    }
    let heartbeat = json!({
        "clientID": "127.0.0.1@1#2",
        "consumerDataSet": [{
            "groupName": "cpp-pull", "consumeFromWhere": 0, "consumeType": 1, "messageModel": 1,
            "subscriptionDataSet": [{
                "classFilterMode": false, "topic": "cpp-pull", "subString": "TagB",
                "tagsSet": ["TagB"], "codeSet": ["2598920"], "subVersion": "1700000000000",
            }],
        }],
    });
    let header = json!({ "code": 34, "opaque": 10, "flag": 0, "language": "CPP", "version": 63 });
    let answer = call(&mut connection, &header, heartbeat.to_string().as_bytes())?;
    ensure!(answer.code == 0, "{answer:?}");

    fetch(&mut connection, "cpp-pull", 0, 1)?;
    let mut header = pull("cpp-pull", 0, 0, 11);
    header["extFields"]["consumerGroup"] = json!("cpp-pull");
    header["extFields"]["sysFlag"] = json!(0);
    header["extFields"]["subVersion"] = json!(1_700_000_000_000_i64);
    let answer = call(&mut connection, &header, &[])?;
    ensure!(answer.code == 0, "{answer:?}");
    let records = Record::parse_all(&answer.body)?;
    ensure!(records.len() == 1 && records[0].property("TAGS")? == "TagB", "{records:?}");
    Ok(())
}

/// remoting-frame check 2: a header of code, number and fields is enough.
fn header_without_language_version_and_flag(shared: &Shared) -> Result<()> {
    let header = json!({ "code": 105, "opaque": 1, "extFields": { "topic": "TBW102" } });
    let answer = call(&mut namesrv(shared)?, &header, &[])?;
    ensure!(answer.code == 0 && !answer.body.is_empty(), "{answer:?}");
    let header = json!({ "code": 30, "opaque": 2,
        "extFields": { "topic": "TBW102", "queueId": 0 } });
    let answer = call(&mut broker(shared)?, &header, &[])?;
    ensure!(answer.code == 0 && answer.number("offset")? == 0, "{answer:?}");
    fields_are_text(&answer)
}

/// remoting-frame check 2: spellings which the reference's parser takes are taken: languages in any letter
/// case, unknown or by number, numbers as text, unknown keys, null for a field.
fn odd_but_legal_headers(shared: &Shared) -> Result<()> {
    let mut connection = namesrv(shared)?;
    let topic = r#""extFields":{"topic":"TBW102"}"#;
    for (opaque, header) in [
        format!(r#"{{"code":105,"opaque":0,"language":"go",{topic}}}"#),
        format!(r#"{{"code":105,"opaque":1,"language":"COBOL",{topic}}}"#),
        format!(r#"{{"code":105,"opaque":2,"language":12,{topic}}}"#),
        format!(r#"{{"code":"105","opaque":"3","flag":"0","version":"493",{topic}}}"#),
        format!(r#"{{"code":105,"opaque":4,"color":{{"a":[1,2]}},"remark":17,{topic}}}"#),
        format!(" {{ \"code\" : 105 ,\n\"opaque\" : 5 , {topic} }} "),
        r#"{"code":105,"opaque":6,"extFields":{"topic":"TBW102","x":null,"y":[1],"z":true}}"#
            .to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        connection.send_header(header.as_bytes(), &[])?;
        let answer = connection.read()?;
        ensure!(
            answer.code == 0 && answer.opaque == i64::try_from(opaque)?,
            "{header}: {answer:?}"
        );
    }
    Ok(())
}

/// Shows that text which a client escapes comes back as the text it stands for.
fn escaped_text_in_properties(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let header = cpp_send("escaped", 0, "PROPERTIES", 1).to_string().replace(
        "PROPERTIES",
        r##"note\u0001gr\u00f6\u00dfer \ud83d\ude80 \/ \" \\\u0002KEYS\u0001k\u0002"##,
    );
    connection.send_header(header.as_bytes(), b"x")?;
    let answer = connection.read()?;
    ensure!(answer.code == 0, "{answer:?}");
    let records = fetch(&mut connection, "escaped", 0, 0)?;
    ensure!(records[0].property("note")? == "größer 🚀 / \" \\", "{records:?}");
    ensure!(records[0].property("KEYS")? == "k", "{records:?}");
    Ok(())
}

/// Shows that frame borders and packet borders have nothing to do with each other.
fn frames_in_pieces_and_in_one_write(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let frame = |number: i64| {
        let header = cpp_send("pieces", 0, "TAGS\u{1}A\u{2}", number).to_string();
        encode(header.as_bytes(), format!("body {number}").as_bytes())
    };
    for byte in frame(0)? {
        connection.send_bytes(&[byte])?;
    }
    let mut many = Vec::new();
    for number in 1..50 {
        many.extend(frame(number)?);
    }
    let (early, late) = many.split_at(many.len() - 3);
    connection.send_bytes(early)?;
    connection.send_bytes(late)?;
    let mut numbers = Vec::new();
    for _ in 0..50 {
        let answer = connection.read()?;
        ensure!(answer.code == 0, "{answer:?}");
        numbers.push(answer.opaque);
    }
    numbers.sort_unstable();
    ensure!(numbers.iter().copied().eq(0..50), "{numbers:?}");
    Ok(())
}

/// remoting-frame check 3: a request with the oneway flag gets no answer, whether it succeeds or fails.
fn oneway_is_never_answered(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    for topic in ["oneway", "not a topic"] {
        let mut header = cpp_send(topic, 0, "", 1);
        header["flag"] = json!(2);
        connection.send_header(header.to_string().as_bytes(), b"x")?;
    }
    let mut header = json!({ "code": 9999, "opaque": 2, "flag": 2 });
    connection.send_header(header.to_string().as_bytes(), &[])?;
    header["flag"] = json!(0);
    header["opaque"] = json!(3);
    connection.send_header(header.to_string().as_bytes(), &[])?;
    let answer = connection.read()?;
    ensure!(answer.opaque == 3, "answered a oneway request: {answer:?}");
    Ok(())
}

/// Shows that a code nobody knows is answered with 3 by both roles.
fn unknown_request_code(shared: &Shared) -> Result<()> {
    for mut connection in [broker(shared)?, namesrv(shared)?] {
        let answer = connection.call(9999, &[], &[])?;
        ensure!(answer.code == 3, "{answer:?}");
        ensure!(answer.remark == " request type 9999 not supported", "{answer:?}");
    }
    Ok(())
}

/// remoting-frame check 10: which code a send gets that the store never sees, for a long topic among others.
fn refused_topics_and_queues(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let long = "x".repeat(128);
    for (topic, queue, code) in [
        ("bad topic", 0, 29),
        ("größer", 0, 29),
        ("", 0, 29),
        (&*long, 0, 29),
        ("SCHEDULE_TOPIC_XXXX", 0, 16),
        ("refused", 99, 29),
    ] {
        let answer = call(&mut connection, &cpp_send(topic, queue, "", 1), b"x")?;
        ensure!(answer.code == code, "{topic:?} queue {queue}: {answer:?}");
    }
    let mut header = cpp_send("without-template", 0, "", 1);
    header["extFields"]["defaultTopic"] = json!("no-template");
    let answer = call(&mut connection, &header, b"x")?;
    ensure!(answer.code == 17, "{answer:?}");
    Ok(())
}

/// Shows the codes and next offsets of pulls at, above and without a queue.
fn pull_edges(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    let answer = call(&mut connection, &cpp_send("edges", 0, "", 1), b"x")?;
    ensure!(answer.code == 0, "{answer:?}");
    fetch(&mut connection, "edges", 0, 0)?;
    for (queue, offset, code, next) in [
        (0, 0, 0, Some(1)),
        (0, 1, 19, Some(1)),
        (0, 6, 21, Some(1)),
        (1, 0, 19, Some(0)),
        (4, 0, 29, None),
    ] {
        let answer = call(&mut connection, &pull("edges", queue, offset, 2), &[])?;
        ensure!(answer.code == code, "queue {queue} offset {offset}: {answer:?}");
        if let Some(next) = next {
            ensure!(answer.number("nextBeginOffset")? == next, "at {offset}: {answer:?}");
        }
    }
    let answer = call(&mut connection, &pull("no-such-topic", 0, 0, 3), &[])?;
    ensure!(answer.code == 17, "{answer:?}");
    Ok(())
}

/// Shows that what is no header ends the connection, and only that one.
fn illegal_headers_close_the_connection(shared: &Shared) -> Result<()> {
    for header in [
        "",
        "[1,2]",
        "nonsense",
        r#"{"code":105,"#,
        r#"{"code":105,"opaque":99999999999,"extFields":{"topic":"TBW102"}}"#,
        r#"{code:105,opaque:1,extFields:{topic:"TBW102"}}"#,
        r#"{"code":105,"opaque":1,"language":99,"extFields":{"topic":"TBW102"}}"#,
    ] {
        let mut connection = namesrv(shared)?;
        // The reference looks at 12 bytes before it decides what protocol this is.
        connection.send_header(header.as_bytes(), &[0; 16])?;
        ensure!(connection.is_closed(), "{header:?} was accepted");
    }
    header_without_language_version_and_flag(shared)
}

/// remoting-frame check 3: lengths which cannot be end the connection at once, before any memory is taken.
fn illegal_lengths_close_the_connection(shared: &Shared) -> Result<()> {
    for bytes in [
        [0xFF_u8, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0],
        [0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0],
        // A header longer than its frame.
        [0, 0, 0, 4, 0, 0, 0, 0x7F],
    ] {
        let mut connection = broker(shared)?;
        connection.send_bytes(&bytes)?;
        connection.send_bytes(&[0; 16])?;
        ensure!(connection.is_closed(), "{bytes:?} was accepted");
    }
    unknown_request_code(shared)
}

/// Shows that an answer carries its request's number up to the largest and for a negative one.
fn answers_keep_their_numbers(shared: &Shared) -> Result<()> {
    let mut connection = broker(shared)?;
    for opaque in [0, i64::from(i32::MAX), -1, i64::from(i32::MIN)] {
        let header = json!({ "code": 9999, "opaque": opaque });
        let answer = call(&mut connection, &header, &[])?;
        ensure!(answer.opaque == opaque, "{answer:?}");
    }
    Ok(())
}

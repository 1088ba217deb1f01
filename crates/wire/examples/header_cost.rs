//! Prints what decoding and encoding the headers of the hot path cost, in nanoseconds each.
//!
//! `cargo run --release -p apogee-wire --example header_cost`

#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, reason = "it is for reading")]
#![allow(clippy::unwrap_used, reason = "its inputs are its own")]

use std::hint::black_box;
use std::time::Instant;

use apogee_wire::frame::{Head, ReplyTo};
use apogee_wire::header::{Header, PullHeader, PullResponse, SendHeader, SendResponse};
use apogee_wire::record::{self, PropertyCrc, RecordHead, RecordWriter};
use apogee_wire::{BrokerRequest, Format, Frame, FrameWriter, Frames};
use bytes::BytesMut;

const PROPERTIES: &str = "KEYS\u{1}order-1000123\u{2}UNIQ_KEY\u{1}7F000001A0B418B4AAC200000A3C0001\u{2}\
    WAIT\u{1}true\u{2}TAGS\u{1}TagA\u{2}";

fn main() {
    for format in [Format::Json, Format::Binary] {
        println!("{format:?}");
        sends(format);
        pulls(format);
    }
    records();
}

fn sends(format: Format) {
    let mut frame = BytesMut::new();
    let header = SendHeader {
        producer_group: "please_rename_unique_group_name".into(),
        topic: "TopicTest".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        queue_id: 2,
        born_timestamp: 1_700_000_000_000,
        properties: Some(PROPERTIES.into()),
        ..SendHeader::default()
    };
    encode_send(&mut frame, format, &header);
    println!("  a send of {} bytes", frame.len());
    let mut read = Frame::default();
    measure("frame", || decode(&frame, &mut read).fields.len());
    measure("frame and typed header", || {
        match BrokerRequest::decode(decode(&frame, &mut read)).unwrap() {
            BrokerRequest::SendMessageV2(header) => header.topic.max_len(),
            _ => 0,
        }
    });
    let properties = match BrokerRequest::decode(&read).unwrap() {
        BrokerRequest::SendMessageV2(header) => header.properties.unwrap(),
        _ => return,
    };
    let mut out = BytesMut::with_capacity(4096);
    measure("properties unescaped", || {
        out.clear();
        black_box(properties).append_to(&mut out);
        out.len()
    });
    let mut out = BytesMut::with_capacity(4096);
    measure("encoded by a client", || {
        out.clear();
        encode_send(&mut out, format, black_box(&header));
        out.len()
    });
    let response = SendResponse {
        msg_id: "7F00000100002A9F0000000000001000".into(),
        queue_id: 2,
        queue_offset: 1_234_567,
        transaction_id: Some("7F000001A0B418B4AAC200000A3C0001".into()),
        region: Some("DefaultRegion".into()),
        trace_on: Some(true),
        ..SendResponse::default()
    };
    measure("answer to a send", || {
        out.clear();
        respond(&mut out, format, black_box(&response), 0);
        out.len()
    });
    println!("  an answer of {} bytes", out.len());
}

fn pulls(format: Format) {
    let mut frame = BytesMut::new();
    let header = PullHeader {
        consumer_group: "please_rename_unique_group_name_4".into(),
        topic: "TopicTest".into(),
        queue_id: 2,
        queue_offset: 1_234_567,
        max_msg_nums: 32,
        sys_flag: 3,
        commit_offset: 1_234_000,
        suspend_timeout_millis: 15_000,
        sub_version: 1_700_000_000_000,
        expression_type: Some("TAG".into()),
        max_msg_bytes: Some(262_144),
        ..PullHeader::default()
    };
    let mut writer = FrameWriter::begin(&mut frame, &Head::request(11, format));
    header.encode(&mut writer);
    writer.finish(b"");
    println!("  a pull of {} bytes", frame.len());
    let mut read = Frame::default();
    measure("frame and typed header", || {
        match BrokerRequest::decode(decode(&frame, &mut read)).unwrap() {
            BrokerRequest::PullMessage(header) => header.topic.max_len(),
            _ => 0,
        }
    });
    let response = PullResponse {
        next_begin_offset: 1_234_599,
        max_offset: 2_000_000,
        topic_sys_flag: Some(0),
        group_sys_flag: Some(0),
        ..PullResponse::default()
    };
    let mut out = BytesMut::with_capacity(4096);
    measure("answer to a pull", || {
        out.clear();
        respond(&mut out, format, black_box(&response), 40_000);
        out.len()
    });
}

fn records() {
    println!("Records of 1 KiB");
    let head = RecordHead {
        queue_id: 2,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "10.0.0.9:50000".parse().unwrap(),
        store_host: "10.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
    };
    let body = vec![7; 1024];
    let mut out = BytesMut::with_capacity(4096);
    measure("encoded", || {
        out.clear();
        let mut writer = RecordWriter::begin(&mut out, &head, b"TopicTest", &body).unwrap();
        let mut properties = writer.properties();
        properties.buf().extend_from_slice(PROPERTIES.as_bytes());
        properties.append("MSG_REGION", b"DefaultRegion");
        properties.append("TRACE_ON", b"true");
        properties.append("CLUSTER", b"DefaultCluster");
        writer.finish(PropertyCrc::Absent).unwrap()
    });
    measure("parsed", || record::RecordView::parse(black_box(&out)).unwrap().topic().len());
    measure("body checked", || {
        usize::from(record::RecordView::parse(&out).unwrap().verify_body().is_ok())
    });
}

fn encode_send(out: &mut BytesMut, format: Format, header: &SendHeader<'_>) {
    let mut writer = FrameWriter::begin(out, &Head { opaque: 1234, ..Head::request(310, format) });
    header.encode_short(&mut writer);
    writer.field("n", "broker-a");
    writer.finish(b"");
}

fn respond<'a>(out: &mut BytesMut, format: Format, header: &impl Header<'a>, body_len: usize) {
    let mut writer = FrameWriter::response(out, ReplyTo { opaque: 1234, format }, 0);
    header.encode(&mut writer);
    writer.finish_before(body_len);
}

fn decode<'a, 'f>(bytes: &'a [u8], frame: &'f mut Frame<'a>) -> &'f Frame<'a> {
    assert!(Frames::new(black_box(bytes), 1 << 24).read(frame).unwrap());
    frame
}

/// Best of 20 rounds of 100,000 calls.
fn measure(what: &str, mut work: impl FnMut() -> usize) {
    const CALLS: u32 = 100_000;
    let mut best = f64::MAX;
    for _ in 0..20 {
        let start = Instant::now();
        for _ in 0..CALLS {
            black_box(work());
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    println!("    {best:7.1} ns  {what}");
}

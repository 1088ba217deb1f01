use bytes::BytesMut;

use super::*;
use crate::codes::{BrokerRequest, RequestCode};
use crate::frame::{Format, Head};

/// The header of a real send, as the description of the protocol shows it.
const SEND_V2: &str = r#"{"code":310,"extFields":{"a":"pg","b":"TopicTest","c":"TBW102","d":"4","e":"0","f":"0","g":"1700000000000","h":"0","i":"TAGS\u0001TagA\u0002WAIT\u0001true\u0002","j":"0","k":"false","m":"false","n":"broker-a"},"flag":0,"language":"JAVA","opaque":3,"serializeTypeCurrentRPC":"JSON","version":479}"#;

fn framed(header: &str) -> Vec<u8> {
    let len = u32::try_from(header.len()).unwrap();
    [&(len + 4).to_be_bytes()[..], &len.to_be_bytes(), header.as_bytes()].concat()
}

fn send<'a>(frame: &Frame<'a>) -> SendHeader<'a> {
    match BrokerRequest::decode(frame).unwrap() {
        BrokerRequest::SendMessageV2(header) => header,
        other => panic!("{other:?}"),
    }
}

/// Letters decode to the fields they stand for, missing optional ones to their defaults.
#[test]
fn send_by_letters() {
    let bytes = framed(SEND_V2);
    let header = send(&Frame::decode(&bytes).unwrap());
    let want = SendHeader {
        producer_group: "pg".into(),
        topic: "TopicTest".into(),
        default_topic: "TBW102".into(),
        default_topic_queue_nums: 4,
        born_timestamp: 1_700_000_000_000,
        properties: Some("TAGS\u{1}TagA\u{2}WAIT\u{1}true\u{2}".into()),
        ..SendHeader::default()
    };
    assert_eq!(header, want);
}

/// Long and short names encode to the same header, in both formats.
#[test]
fn send_encodes_both_ways() {
    let bytes = framed(SEND_V2);
    let header = send(&Frame::decode(&bytes).unwrap());
    for format in [Format::Json, Format::Binary] {
        for short in [false, true] {
            let mut out = BytesMut::new();
            let mut writer = FrameWriter::begin(&mut out, &Head::request(310, format));
            if short {
                header.encode_short(&mut writer)
            } else {
                header.encode(&mut writer)
            }
            writer.finish(b"");
            let frame = Frame::decode(&out).unwrap();
            assert_eq!(send(&frame), header);
            assert_eq!(frame.fields.get("b").is_some(), short);
        }
    }
}

/// A missing required field, and a field of the wrong type, are named.
#[test]
fn errors_name_the_field() {
    let check = |header: &str, want: &str| {
        let bytes = framed(header);
        let error = BrokerRequest::decode(&Frame::decode(&bytes).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), want);
    };
    check(r#"{"code":30,"extFields":{"topic":"T"}}"#, "code 30: field queueId is missing");
    check(r#"{"code":30}"#, "code 30: field topic is missing");
    check(
        r#"{"code":30,"extFields":{"topic":"T","queueId":"x\u0001"}}"#,
        r#"code 30: field queueId is "x\u{1}", not a number of 32 bits"#,
    );
    check(
        r#"{"code":310,"extFields":{"d":"2147483648"}}"#,
        r#"code 310: field d is "2147483648", not a number of 32 bits"#,
    );
}

/// A boundary is read in any case, and is the lower one when missing.
#[test]
fn boundaries() {
    let boundary = |field: &str| {
        let bytes = framed(&format!(
            r#"{{"code":29,"extFields":{{"topic":"T","queueId":1,"timestamp":5{field}}}}}"#
        ));
        match BrokerRequest::decode(&Frame::decode(&bytes).unwrap()) {
            Ok(BrokerRequest::SearchOffsetByTimestamp(header)) => header.boundary_type,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(boundary(""), BoundaryType::Lower);
    assert_eq!(boundary(r#","boundaryType":"upper""#), BoundaryType::Upper);
}

/// Every served code without its fields gives an answerable error or a header, never a panic.
#[test]
fn empty_headers() {
    for code in RequestCode::ALL {
        let bytes = framed(&format!(r#"{{"code":{}}}"#, code.code()));
        let frame = Frame::decode(&bytes).unwrap();
        if let Ok(request) = BrokerRequest::decode(&frame) {
            assert_eq!(request.code(), *code);
        }
    }
}

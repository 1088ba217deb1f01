//! Frames that a running 5.4.0 and its client exchanged (`fixtures/`), against this crate: what
//! they say must survive decoding into typed headers and bodies and encoding again.

#![allow(clippy::disallowed_methods, reason = "fixtures are read as files")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use apogee_wire::body::{self, *};
use apogee_wire::codes::{RequestCode, Role};
use apogee_wire::frame::{Head, ReplyTo};
use apogee_wire::header::*;
use apogee_wire::record::RecordView;
use apogee_wire::{
    BrokerRequest, ClientRequest, Format, Frame, FrameWriter, NamesrvRequest, batch,
};
use bytes::BytesMut;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Fields that no header declares: routing and marks that any request may carry.
const UNDECLARED: &[&str] = &["bname", "n", "lo", "ns", "nsd", "oway", "ReqT"];

/// Fields that the reference writes and its servers never read.
const UNREAD: &[(i32, &str)] = &[
    (30, "committed"),
    (17, "force"),
    (105, "acceptStandardJsonOnly"),
    (322, "brokerId"),
    (322, "clusterName"),
    (904, "clusterName"),
];

/// Times as texts, which the reference's own reader ignores.
const TIME_TEXTS: [&str; 3] = ["consumeTimeStampStr", "maxTimeStampStr", "minTimeStampStr"];

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|name| name == kind)).collect();
    paths.sort();
    assert!(!paths.is_empty(), "no fixtures of kind {kind}");
    paths
}

fn fields(frame: &Frame<'_>) -> BTreeMap<String, String> {
    frame.fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// Encodes a request of any role again.
fn encode_request(frame: &Frame<'_>, code: RequestCode) -> BytesMut {
    let mut out = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut out, &Head::request(frame.code, frame.format));
    match code.role() {
        Role::Namesrv => NamesrvRequest::decode(frame).unwrap().encode(&mut writer),
        Role::Client => ClientRequest::decode(frame).unwrap().encode(&mut writer),
        _ => match BrokerRequest::decode(frame).unwrap() {
            BrokerRequest::SendMessageV2(header)
            | BrokerRequest::SendBatchMessage(header)
            | BrokerRequest::SendReplyMessageV2(header) => header.encode_short(&mut writer),
            request => request.encode(&mut writer),
        },
    }
    writer.finish(frame.body);
    out
}

/// Every captured request decodes into its typed header, and encoding that gives the same fields.
#[test]
fn requests_survive() {
    for path in fixtures("req") {
        let bytes = std::fs::read(&path).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        let Some(code) = RequestCode::from_code(frame.code).filter(|code| code.is_served()) else {
            assert!(BrokerRequest::decode(&frame).is_err(), "{}", path.display());
            continue;
        };
        let encoded = encode_request(&frame, code);
        let (mut want, got) = (fields(&frame), fields(&Frame::decode(&encoded).unwrap()));
        want.retain(|name, _| {
            !UNDECLARED.contains(&name.as_str()) && !UNREAD.contains(&(frame.code, name.as_str()))
        });
        for (name, value) in &got {
            let default = matches!(value.as_str(), "false" | "0" | "LOWER");
            let kept = want.remove(name).map_or(default, |want| want == *value);
            assert!(kept, "{}: {name} became {value}", path.display());
        }
        assert!(want.is_empty(), "{}: lost {want:?}", path.display());
        check_request_body(&path, &frame);
    }
}

/// Every captured response decodes into its typed header, and encoding that gives the same fields.
#[test]
fn responses_survive() {
    for path in fixtures("resp") {
        let bytes = std::fs::read(&path).unwrap();
        let frame = Frame::decode(&bytes).unwrap();
        let request = std::fs::read(path.with_extension("req")).unwrap();
        let request = Frame::decode(&request).unwrap();
        let mut out = BytesMut::new();
        let to = ReplyTo { opaque: frame.opaque, format: frame.format };
        let mut writer = FrameWriter::response(&mut out, to, frame.code);
        if let Some(remark) = frame.remark {
            writer = writer.remark(&remark.to_str());
        }
        encode_response(&path, request.code, &frame, &mut writer);
        writer.finish(frame.body);
        let encoded = Frame::decode(&out).unwrap();
        assert_eq!(fields(&encoded), fields(&frame), "{}", path.display());
        // An empty remark is none.
        assert_eq!(encoded.remark, frame.remark.filter(|remark| !remark.is_empty()));
        assert_eq!((encoded.code, encoded.flag), (frame.code, frame.flag));
        check_response_body(&path, request.code, &frame);
    }
}

/// Decodes a response's header by its request's code and encodes it.
fn encode_response(path: &Path, request: i32, frame: &Frame<'_>, out: &mut FrameWriter<'_>) {
    fn again<'a, T: Header<'a>>(frame: &Frame<'a>, out: &mut FrameWriter<'_>) {
        T::decode(frame).unwrap().encode(out);
    }
    match request {
        10 | 310 | 320 | 324 | 325 if frame.fields.get("msgId").is_some() => {
            again::<SendResponse<'_>>(frame, out)
        }
        // A failed send carries only what every answer to a send adds.
        10 | 310 | 320 | 324 | 325 => {
            for name in ["MSG_REGION", "TRACE_ON"] {
                out.field(name, frame.fields.get(name));
            }
        }
        11 | 361 if frame.fields.get("nextBeginOffset").is_some() => {
            again::<PullResponse>(frame, out);
        }
        12 => again::<QueryMessageResponse>(frame, out),
        14 | 29 | 30 | 31 if frame.code == 0 => again::<OffsetResponse>(frame, out),
        32 if frame.code == 0 => again::<EarliestStoreTimeResponse>(frame, out),
        34 => again::<HeartbeatResponse>(frame, out),
        21 => again::<GetAllTopicConfigResponse>(frame, out),
        201 => again::<GetAllGroupsResponse>(frame, out),
        26 => again::<GetBrokerConfigResponse<'_>>(frame, out),
        103 => again::<RegisterBrokerResponse<'_>>(frame, out),
        322 => again::<QueryDataVersionResponse>(frame, out),
        // Answers of a single field, which the name server writes by name.
        101 => out.field("value", frame.fields.get("value")),
        205 => out.field("wipeTopicCount", frame.fields.get("wipeTopicCount")),
        327 => out.field("addTopicCount", frame.fields.get("addTopicCount")),
        // A forbidden pull says only why.
        11 | 361 => out.field("forbiddenType", frame.fields.get("forbiddenType")),
        _ => assert!(frame.fields.is_empty(), "{}: {:?}", path.display(), fields(frame)),
    }
}

/// A body reads as `T`, and what is written for it has every member of the original.
fn check_body<T: DeserializeOwned + Serialize>(path: &Path, bytes: &[u8]) {
    check_body_but::<T>(path, bytes, &[]);
}

/// The same, but for members of these names, at any depth.
fn check_body_but<T: DeserializeOwned + Serialize>(path: &Path, bytes: &[u8], unread: &[&str]) {
    let mut original = body::lenient::parse(bytes).unwrap();
    remove(&mut original, unread);
    let typed: T = body::read(bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let written: Value = serde_json::from_slice(&body::write(&typed)).unwrap();
    contains(path, &written, &original);
}

/// The same for a body with queues as keys, which is no strict JSON: it is written as the reference writes it.
fn check_offsets<T: DeserializeOwned>(path: &Path, bytes: &[u8], encode: fn(&T) -> Vec<u8>) {
    let typed: T = body::read(bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (written, original) = (body::lenient::parse(&encode(&typed)), body::lenient::parse(bytes));
    contains(path, &written.unwrap(), &original.unwrap());
}

/// The same for a body with queues as keys: it comes out in the reference's form.
fn check_tables<T: DeserializeOwned + Serialize>(path: &Path, bytes: &[u8]) {
    check_body::<T>(path, bytes);
    let typed: T = body::read(bytes).unwrap();
    let written = body::write_tables(&typed);
    contains(path, &body::lenient::parse(&written).unwrap(), &body::lenient::parse(bytes).unwrap());
    for form in [&b"{{\"brokerName\""[..], b"},{\"brokerName\"", b"}:{"] {
        let has = |text: &[u8]| text.windows(form.len()).any(|part| part == form);
        assert_eq!(has(&written), has(bytes), "{}: {form:?}", path.display());
    }
}

fn remove(value: &mut Value, names: &[&str]) {
    match value {
        Value::Object(map) => {
            map.retain(|name, _| !names.contains(&name.as_str()));
            map.values_mut().for_each(|value| remove(value, names));
        }
        Value::Array(array) => array.iter_mut().for_each(|value| remove(value, names)),
        _ => {}
    }
}

fn contains(path: &Path, got: &Value, want: &Value) {
    match (got, want) {
        (Value::Object(got), Value::Object(want)) => {
            for (key, want) in want.iter().filter(|(_, want)| !want.is_null()) {
                let got = got.get(key).unwrap_or_else(|| panic!("{}: no {key}", path.display()));
                contains(path, got, want);
            }
        }
        (Value::Array(got), Value::Array(want)) => {
            assert_eq!(got.len(), want.len(), "{}", path.display());
            got.iter().zip(want).for_each(|(got, want)| contains(path, got, want));
        }
        _ => assert_eq!(got, want, "{}", path.display()),
    }
}

fn check_request_body(path: &Path, frame: &Frame<'_>) {
    match frame.code {
        34 => check_body::<HeartbeatData>(path, frame.body),
        41 | 42 => check_body::<LockBatchRequest>(path, frame.body),
        103 => {
            let decoded = RegisterBrokerBody::decode(frame.body, frame.version).unwrap();
            assert!(!decoded.topics.topic_config_table.is_empty(), "{}", path.display());
        }
        18 => check_body::<TopicConfigList>(path, frame.body),
        200 => check_body::<SubscriptionGroupConfig>(path, frame.body),
        220 => check_offsets(path, frame.body, ResetOffsets::encode),
        225 => check_body::<SubscriptionGroupList>(path, frame.body),
        320 => {
            let mut again = BytesMut::new();
            batch::iter(frame.body)
                .for_each(|message| batch::append(&mut again, &message.unwrap()));
            assert_eq!(again, frame.body, "{}", path.display());
        }
        _ => {}
    }
}

fn check_response_body(path: &Path, request: i32, frame: &Frame<'_>) {
    if frame.body.is_empty() {
        return;
    }
    match request {
        11 | 361 | 12 | 33 => check_records(path, frame.body),
        28 => check_body::<KVTable>(path, frame.body),
        21 => check_body::<TopicConfigs>(path, frame.body),
        38 => check_body::<ConsumerIdList>(path, frame.body),
        41 => check_body::<LockBatchResponse>(path, frame.body),
        103 => check_body::<KVTable>(path, frame.body),
        105 => check_body::<TopicRouteData>(path, frame.body),
        106 => check_body::<ClusterInfo>(path, frame.body),
        201 => check_body::<SubscriptionGroups>(path, frame.body),
        202 => check_tables::<TopicStatsTable>(path, frame.body),
        203 => check_body::<ConsumerConnection>(path, frame.body),
        204 => check_body::<ProducerConnection>(path, frame.body),
        206 | 305 | 343 => check_body::<TopicList>(path, frame.body),
        208 => check_tables::<ConsumeStats>(path, frame.body),
        221 | 223 => check_offsets(path, frame.body, ConsumerStatus::encode),
        222 => check_offsets(path, frame.body, ResetOffsets::encode),
        300 => check_body::<GroupList>(path, frame.body),
        303 => check_body_but::<ConsumeTimeSpans>(path, frame.body, &TIME_TEXTS),
        308 => check_body::<CorrectionOffsets>(path, frame.body),
        315 => check_body::<BrokerStatsData>(path, frame.body),
        317 => check_tables::<ConsumeStatsList>(path, frame.body),
        321 => check_body::<ConsumeQueuePart>(path, frame.body),
        328 => check_body::<ProducerTable>(path, frame.body),
        345 => check_body::<GroupSubscription>(path, frame.body),
        351 => check_body::<TopicConfig>(path, frame.body),
        352 => check_body::<SubscriptionGroupConfig>(path, frame.body),
        _ => {}
    }
}

/// A body of records is whole records, with right checksums, that this crate would encode alike.
fn check_records(path: &Path, mut bytes: &[u8]) {
    use apogee_wire::record::{RecordHead, Stamp, encode, patch};
    while !bytes.is_empty() {
        let record = RecordView::parse(bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        record.verify_body().unwrap();
        let head = RecordHead {
            queue_id: record.queue_id(),
            flag: record.flag(),
            sys_flag: record.sys_flag(),
            born_timestamp: record.born_timestamp(),
            born_host: record.born_host(),
            store_host: record.store_host(),
            reconsume_times: record.reconsume_times(),
            prepared_transaction_offset: record.prepared_transaction_offset(),
        };
        let mut again = BytesMut::new();
        encode(&mut again, &head, record.topic(), record.body(), record.properties()).unwrap();
        let stamp = Stamp {
            queue_offset: record.queue_offset(),
            physical_offset: record.physical_offset(),
            store_timestamp: record.store_timestamp(),
        };
        patch(&mut again, &stamp);
        assert_eq!(again, record.as_bytes(), "{}", path.display());
        bytes = &bytes[record.size()..];
    }
}

/// The reference captured every request in both formats, and they say the same.
#[test]
fn formats_agree() {
    for json in fixtures("req") {
        let name = json.file_name().unwrap().to_str().unwrap();
        let Some(stem) = name.strip_suffix(".json.req") else { continue };
        let bytes = std::fs::read(&json).unwrap();
        let other = std::fs::read(json.with_file_name(format!("{stem}.binary.req"))).unwrap();
        let (json, binary) = (Frame::decode(&bytes).unwrap(), Frame::decode(&other).unwrap());
        assert_eq!((json.format, binary.format), (Format::Json, Format::Binary), "{stem}");
        assert_eq!(
            (json.code, json.flag, json.language),
            (binary.code, binary.flag, binary.language)
        );
        let names = |frame: &Frame<'_>| {
            // An empty value is none in the binary form.
            let all = fields(frame).into_iter().filter(|(_, value)| !value.is_empty());
            all.map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(names(&json), names(&binary), "{stem}");
    }
}

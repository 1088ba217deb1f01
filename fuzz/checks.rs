//! What must hold for any bytes, one function a fuzz target. `crates/wire/tests/corpus.rs` runs the
//! same functions over the corpus on every test run.

use apogee_wire::body::{self, *};
use apogee_wire::compress::Compression;
use apogee_wire::frame::{Head, ReplyTo};
use apogee_wire::limits::MAX_FRAME;
use apogee_wire::record::{self, Entry, RecordHead, Stamp};
use apogee_wire::{
    BrokerRequest, ClientRequest, Format, Frame, FrameWriter, Frames, NamesrvRequest, batch, props,
};
use bytes::BytesMut;

/// Frames consume what they return, and each survives being written again.
pub fn frame(data: &[u8]) {
    let mut frames = Frames::new(data, MAX_FRAME);
    while let Ok(Some(frame)) = frames.next() {
        one_frame(&frame);
    }
    assert!(frames.consumed() <= data.len());
    let _ = frames.needed();
}

/// `data` as the header of a JSON frame.
pub fn header_json(data: &[u8]) {
    header(0, data);
}

/// `data` as the header of a binary frame.
pub fn header_binary(data: &[u8]) {
    header(1, data);
}

fn header(format: u8, data: &[u8]) {
    let Ok(len) = u32::try_from(data.len()) else { return };
    let bytes = [&(len + 4).to_be_bytes()[..], &[format], &len.to_be_bytes()[1..], data].concat();
    if let Ok(frame) = Frame::decode(&bytes) {
        one_frame(&frame);
    }
}

fn one_frame(frame: &Frame<'_>) {
    let _ = BrokerRequest::decode(frame);
    let _ = NamesrvRequest::decode(frame);
    let _ = ClientRequest::decode(frame);
    for format in [Format::Json, Format::Binary] {
        let mut out = BytesMut::new();
        let head =
            Head { opaque: frame.opaque, ..Head::response(ReplyTo { opaque: 0, format }, 0) };
        let mut writer = FrameWriter::begin(&mut out, &head);
        // Names that are written are the protocol's own; the binary form has 16 bits for their length, and
        // no empty texts.
        let fits = |name: &str| {
            let named =
                name.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
            named && (format == Format::Json || i16::try_from(name.len()).is_ok())
        };
        let mut written = 0;
        for (name, value) in &frame.fields {
            if fits(&name.to_str()) && !name.is_empty() && !value.is_empty() {
                writer.field(&name.to_str(), value);
                written += 1;
            }
        }
        writer.finish(frame.body);
        let again = Frame::decode(&out).expect("a written frame decodes");
        assert_eq!(
            (again.opaque, again.fields.len(), again.body),
            (frame.opaque, written, frame.body)
        );
        for (name, value) in again.fields.iter().filter(|(name, _)| !name.is_empty()) {
            let known = frame.fields.iter().any(|(other, text)| {
                other.to_str() == name.to_str() && text.to_str() == value.to_str()
            });
            assert!(known, "{name} came out of nowhere");
        }
    }
}

/// A record that parses has its parts inside its bytes, and is encoded to the same bytes.
pub fn record(data: &[u8]) {
    let Ok(Entry::Record(record)) = record::parse(data) else { return };
    let _ = (record.verify_body(), record.verify_property_crc());
    let _ = props::iter(record.properties()).count();
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
    let size =
        record::encode(&mut again, &head, record.topic(), record.body(), record.properties());
    assert_eq!(size, Ok(again.len()));
    let stamp = Stamp {
        queue_offset: record.queue_offset(),
        physical_offset: record.physical_offset(),
        store_timestamp: record.store_timestamp(),
    };
    record::patch(&mut again, &stamp);
    let Ok(Entry::Record(again)) = record::parse(&again) else {
        panic!("an encoded record parses")
    };
    assert_eq!(again.topic(), record.topic());
    assert_eq!(again.body(), record.body());
    assert_eq!(again.properties(), record.properties());
    assert_eq!(again.store_timestamp(), record.store_timestamp());
    assert_eq!(again.queue_offset(), record.queue_offset());
    again.verify_body().expect("an encoded record has the right checksum");
}

/// Bodies of every type are read or refused; what is written for them is read to the same.
pub fn bodies(data: &[u8]) {
    macro_rules! types {
        ($($type:ty)*) => {$(
            if let Ok(first) = body::read::<$type>(data) {
                let written = body::write(&first);
                assert_eq!(body::read::<$type>(&written).as_ref(), Ok(&first));
            }
        )*};
    }
    types! {
        HeartbeatData TopicRouteData ClusterInfo TopicConfigs SubscriptionGroups LockBatchRequest
        LockBatchResponse ConsumerIdList TopicList KVTable TopicConfigList SubscriptionGroupList
        CorrectionOffsets
    }
    if let Ok(first) = body::read::<ResetOffsets>(data) {
        assert_eq!(body::read(&first.encode()), Ok(first));
    }
    if let Ok(first) = body::read::<ConsumerStatus>(data) {
        assert_eq!(body::read(&first.encode()), Ok(first));
    }
}

/// A registration is read or refused, as JSON, compressed, and as what was compressed; what is read is the
/// same once it is written and read again.
pub fn register(data: &[u8]) {
    let packed = Compression::Zlib.compress(data, 1);
    compressed(data);
    for version in [36, 412, 493] {
        let _ = RegisterBrokerBody::decode(data, version);
        let Ok(first) = RegisterBrokerBody::decode(&packed, version) else { continue };
        let again = RegisterBrokerBody::decode(&first.encode_compressed(), 493);
        assert_eq!(
            again.map(|again| again.topics.topic_config_table.len()),
            Ok(first.topics.topic_config_table.len())
        );
    }
}

/// Compressed bodies are decompressed within the limit, or refused.
fn compressed(data: &[u8]) {
    const LIMIT: usize = 64 << 10;
    for kind in [Compression::Lz4, Compression::Zstd, Compression::Zlib] {
        if let Ok(out) = kind.decompress(data, LIMIT) {
            assert!(out.len() <= LIMIT);
            let again = kind.decompress(&kind.compress(&out, 1), LIMIT);
            assert_eq!(again.ok().as_deref(), Some(&*out));
        }
    }
}

/// What is read leniently is read the same once it is written strictly.
pub fn lenient(data: &[u8]) {
    let Ok(value) = body::lenient::parse(data) else { return };
    let strict = body::write(&value);
    if !data.windows(4).any(|part| part == b"$ref")
        && !strict.windows(4).any(|part| part == b"$ref")
    {
        assert_eq!(body::lenient::parse(&strict), Ok(value));
    }
}

/// A batch's whole messages make the same batch again.
pub fn batch(data: &[u8]) {
    let messages: Vec<_> = batch::iter(data).map_while(Result::ok).collect();
    let mut again = BytesMut::new();
    messages.iter().for_each(|message| batch::append(&mut again, message));
    let back: Result<Vec<_>, _> = batch::iter(&again).collect();
    assert_eq!(back, Ok(messages));
    assert!(again.len() <= data.len());
}

/// A check of one target.
pub type Check = fn(&[u8]);

/// Every target with the name of its corpus.
pub const TARGETS: [(&str, Check); 8] = [
    ("frame", frame),
    ("header_json", header_json),
    ("header_binary", header_binary),
    ("record", record),
    ("bodies", bodies),
    ("lenient", lenient),
    ("batch", batch),
    ("register", register),
];

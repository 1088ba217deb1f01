//! Whatever is encoded decodes to the same, for arbitrary contents.

#![allow(clippy::unwrap_used, reason = "a test")]

use apogee_wire::batch::{self, BatchMessage};
use apogee_wire::frame::{Head, ReplyTo};
use apogee_wire::ids::OffsetMsgId;
use apogee_wire::java_hash::java_hash;
use apogee_wire::limits::MAX_FRAME;
use apogee_wire::record::{PropertyCrc, RecordHead, RecordView, RecordWriter, Stamp};
use apogee_wire::{Format, Frame, FrameWriter, Frames, body, props, record};
use bytes::BytesMut;
use proptest::prelude::*;

/// Texts with everything that JSON escapes in them.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,12}", "[\\PC\u{0}-\u{1f}\"\\\\äß漢😀]{1,40}"]
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Json), Just(Format::Binary)]
}

prop_compose! {
    fn socket_addr()(ip in any::<std::net::IpAddr>(), port in any::<u16>()) -> std::net::SocketAddr {
        std::net::SocketAddr::new(ip.to_canonical(), port)
    }
}

prop_compose! {
    fn head()(
        (queue_id, flag, sys_flag, reconsume_times) in any::<(i32, i32, i32, i32)>(),
        (born_timestamp, prepared_transaction_offset) in any::<(i64, i64)>(),
        born_host in socket_addr(),
        store_host in socket_addr(),
    ) -> RecordHead {
        RecordHead {
            queue_id, flag, sys_flag, born_timestamp, born_host, store_host, reconsume_times,
            prepared_transaction_offset,
        }
    }
}

proptest! {
    /// Frames in either format, pipelined, come back in order with every field.
    #[test]
    fn frames(
        format in format(),
        code in any::<i16>(),
        opaque in any::<i32>(),
        remark in text(),
        fields in prop::collection::btree_map("[!#-Z^-~]{1,20}", text(), 0..30),
        body in prop::collection::vec(any::<u8>(), 0..200),
        count in 1_usize..4,
    ) {
        let mut out = BytesMut::new();
        for _ in 0..count {
            let head = Head { code: code.into(), ..Head::response(ReplyTo { opaque, format }, 0) };
            let mut writer = FrameWriter::begin(&mut out, &head).remark(&remark);
            fields.iter().for_each(|(name, value)| writer.field(name, value.as_str()));
            writer.finish(&body);
        }
        let mut frames = Frames::new(&out, MAX_FRAME);
        for _ in 0..count {
            let frame = frames.next().unwrap().unwrap();
            prop_assert_eq!((frame.code, frame.opaque, frame.format), (code.into(), opaque, format));
            prop_assert_eq!(frame.remark.unwrap().to_str(), remark.as_str());
            prop_assert_eq!(frame.fields.len(), fields.len());
            for (name, value) in &fields {
                prop_assert_eq!(frame.fields.get(name).unwrap().to_str(), value.as_str());
            }
            prop_assert_eq!(frame.body, &body[..]);
        }
        prop_assert!(frames.next().unwrap().is_none());
        prop_assert_eq!(frames.consumed(), out.len());
    }

    /// A JSON header that another library wrote reads the same.
    #[test]
    fn foreign_headers(fields in prop::collection::btree_map(text(), text(), 0..30)) {
        let header = serde_json::json!({"code": 310, "opaque": -5, "extFields": fields});
        let header = serde_json::to_vec_pretty(&header).unwrap();
        let len = u32::try_from(header.len()).unwrap();
        let bytes = [&(len + 4).to_be_bytes()[..], &len.to_be_bytes(), &header].concat();
        let frame = Frame::decode(&bytes).unwrap();
        prop_assert_eq!((frame.code, frame.opaque), (310, -5));
        for (name, value) in &fields {
            let got = frame.fields.get(name).unwrap();
            prop_assert_eq!(got.to_str(), value.as_str());
            let mut out = BytesMut::new();
            got.append_to(&mut out);
            prop_assert_eq!(&out[..], value.as_bytes());
        }
    }

    /// And a JSON header that this crate wrote is strict JSON for another library.
    #[test]
    fn strict_headers(name in "[!#-Z^-~]{1,20}", value in text(), remark in text()) {
        let mut out = BytesMut::new();
        let to = ReplyTo { opaque: 1, format: Format::Json };
        let mut writer = FrameWriter::response(&mut out, to, 17).remark(&remark);
        writer.field(&name, value.as_str());
        writer.finish(b"");
        let json: serde_json::Value = serde_json::from_slice(&out[8..]).unwrap();
        prop_assert_eq!(json["remark"].as_str(), Some(remark.as_str()));
        prop_assert_eq!(json["extFields"][&name].as_str(), Some(value.as_str()));
    }

    /// Records with any hosts, flags and contents.
    #[test]
    fn records(
        head in head(),
        topic in prop::collection::vec(any::<u8>(), 0..300),
        body in prop::collection::vec(any::<u8>(), 0..500),
        properties in prop::collection::vec(("[a-zA-Z]{1,8}", "[a-z0-9]{1,8}"), 0..10),
        (queue_offset, physical_offset) in any::<(u64, u64)>(),
        store_timestamp in any::<i64>(),
        reserve in any::<bool>(),
    ) {
        let mut out = BytesMut::from(&b"before"[..]);
        let mut writer = RecordWriter::begin(&mut out, &head, &topic, &body).unwrap();
        for (name, value) in &properties {
            writer.properties().append(name, value.as_bytes());
        }
        let property_crc = if reserve { PropertyCrc::Reserved } else { PropertyCrc::Absent };
        let size = writer.finish(property_crc).unwrap();
        prop_assert_eq!(size, out.len() - 6);
        let stamp = Stamp { queue_offset, physical_offset, store_timestamp };
        record::patch(&mut out[6..], &stamp);
        if reserve {
            record::patch_property_crc(&mut out[6..]);
        }
        let record = RecordView::parse(&out[6..]).unwrap();
        record.verify_body().unwrap();
        prop_assert_eq!(record.verify_property_crc().is_ok(), reserve);
        prop_assert_eq!(record.topic(), &topic[..]);
        prop_assert_eq!(record.body(), &body[..]);
        prop_assert_eq!((record.born_host(), record.store_host()), (head.born_host, head.store_host));
        prop_assert_eq!(record.sys_flag() & !0x30, head.sys_flag & !0x30);
        prop_assert_eq!(record.queue_offset(), queue_offset);
        prop_assert_eq!(record.physical_offset(), physical_offset);
        prop_assert_eq!(record.store_timestamp(), store_timestamp);
        prop_assert_eq!(record.born_timestamp(), head.born_timestamp);
        prop_assert_eq!(record.reconsume_times(), head.reconsume_times);
        prop_assert_eq!(record.prepared_transaction_offset(), head.prepared_transaction_offset);
        let got: Vec<_> = props::iter(record.properties()).collect();
        let want = properties.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        prop_assert_eq!(&got[..properties.len()], &want.collect::<Vec<_>>()[..]);
        let id = OffsetMsgId { host: head.store_host, offset: physical_offset };
        prop_assert_eq!(OffsetMsgId::decode(id.encode().as_ref()), Some(id));
    }

    /// Batches of any messages.
    #[test]
    fn batches(messages in prop::collection::vec(
        (any::<i32>(), prop::collection::vec(any::<u8>(), 0..60), prop::collection::vec(any::<u8>(), 0..60)),
        0..10,
    )) {
        let message = |(flag, body, properties)| BatchMessage { flag, body, properties };
        let want: Vec<_> = messages.iter().map(|(f, b, p)| message((*f, &b[..], &p[..]))).collect();
        let mut out = BytesMut::new();
        want.iter().for_each(|message| batch::append(&mut out, message));
        let got: Result<Vec<_>, _> = batch::iter(&out).collect();
        prop_assert_eq!(got, Ok(want));
    }

    /// Strict JSON reads leniently as another library reads it.
    #[test]
    fn lenient_reads_strict(texts in prop::collection::btree_map(text(), (text(), any::<i64>(), any::<bool>()), 0..8)) {
        let bytes = serde_json::to_vec_pretty(&texts).unwrap();
        let want: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(body::lenient::parse(&bytes).unwrap(), want);
    }

    /// The hash is the sum that Java's documentation gives.
    #[test]
    fn hash(text in text()) {
        let want = text.encode_utf16().fold(0_i32, |h, unit| h.wrapping_mul(31).wrapping_add(unit.into()));
        prop_assert_eq!(java_hash(&text), want);
    }
}

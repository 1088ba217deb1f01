use super::*;

/// The golden record of the format's description: 125 bytes at commit log offset 4096.
const GOLDEN: &str = "0000007ddaa320a73610a6860000000200000000000000000000000700000000000010000000\
    00000000018bcfe568007f0000010000c3500000018bcfe5687b7f00000100002a9f000000000000000000000000\
    0000000568656c6c6f0154001c554e49515f4b4559013041304230433044025441475301546167410\
    2";

fn golden_head() -> RecordHead {
    RecordHead {
        queue_id: 2,
        flag: 0,
        sys_flag: 0,
        born_timestamp: 1_700_000_000_000,
        born_host: "127.0.0.1:50000".parse().unwrap(),
        store_host: "127.0.0.1:10911".parse().unwrap(),
        reconsume_times: 0,
        prepared_transaction_offset: 0,
    }
}

const STAMP: Stamp =
    Stamp { queue_offset: 7, physical_offset: 4096, store_timestamp: 1_700_000_000_123 };
const PROPERTIES: &[u8] = b"UNIQ_KEY\x010A0B0C0D\x02TAGS\x01TagA\x02";

fn golden() -> BytesMut {
    let mut out = BytesMut::new();
    encode(&mut out, &golden_head(), b"T", b"hello", PROPERTIES).unwrap();
    patch(&mut out, &STAMP);
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encoding and patching gives the golden bytes.
#[test]
fn encodes_the_golden_record() {
    assert_eq!(hex(&golden()), GOLDEN);
}

/// Every field of the golden record reads back, and trailing bytes do not matter.
#[test]
fn reads_the_golden_record() {
    let mut bytes = golden();
    bytes.extend_from_slice(b"next");
    let record = RecordView::parse(&bytes).unwrap();
    assert_eq!(record.size(), 125);
    assert_eq!(record.queue_id(), 2);
    assert_eq!(record.queue_offset(), 7);
    assert_eq!(record.physical_offset(), 4096);
    assert_eq!(record.born_timestamp(), 1_700_000_000_000);
    assert_eq!(record.store_timestamp(), 1_700_000_000_123);
    assert_eq!(record.born_host(), golden_head().born_host);
    assert_eq!(record.store_host(), golden_head().store_host);
    assert_eq!(record.body(), b"hello");
    assert_eq!(record.topic(), b"T");
    assert_eq!(record.properties(), PROPERTIES);
    assert_eq!((record.reconsume_times(), record.prepared_transaction_offset()), (0, 0));
    record.verify_body().unwrap();
}

/// The checksum property of the golden record: 20 more bytes, digits least significant first.
#[test]
fn property_checksum_of_the_golden_record() {
    let mut out = BytesMut::new();
    let mut writer = RecordWriter::begin(&mut out, &golden_head(), b"T", b"hello").unwrap();
    writer.properties().buf().extend_from_slice(PROPERTIES);
    assert_eq!(writer.finish(PropertyCrc::Reserved), Ok(145));
    patch(&mut out, &STAMP);
    patch_property_crc(&mut out);
    assert!(out.ends_with(b"__CRC32#\x012935728941\x02"));
    let record = RecordView::parse(&out).unwrap();
    record.verify_property_crc().unwrap();
    assert_eq!(
        RecordView::parse(&golden()).unwrap().verify_property_crc(),
        Err(RecordError::PropertyCrc)
    );
    out[60] ^= 1;
    let damaged = RecordView::parse(&out).unwrap();
    assert_eq!(damaged.verify_property_crc(), Err(RecordError::PropertyCrc));
}

/// IPv6 hosts take 12 bytes more each and move the store timestamp; a client's host bits in the
/// system flag are not believed; an IPv4 address mapped into IPv6 is IPv4.
#[test]
fn hosts_decide_the_host_bits() {
    let mut head = golden_head();
    head.born_host = "[2001:db8::1]:4".parse().unwrap();
    head.store_host = "[::ffff:10.0.0.1]:5".parse().unwrap();
    head.sys_flag = STORE_HOST_V6 | 1;
    let mut out = BytesMut::new();
    assert_eq!(encode(&mut out, &head, b"T", b"hello", PROPERTIES), Ok(137));
    patch(&mut out, &STAMP);
    assert_eq!(store_timestamp_at(&out), 68);
    let record = RecordView::parse(&out).unwrap();
    assert_eq!(record.sys_flag(), BORN_HOST_V6 | 1);
    assert_eq!(record.born_host(), head.born_host);
    assert_eq!(record.store_host(), "10.0.0.1:5".parse().unwrap());
    assert_eq!(record.store_timestamp(), STAMP.store_timestamp);
}

/// A topic of 127 bytes makes version 1, of 128 version 2; both read back.
#[test]
fn long_topics_make_version_2() {
    for (len, magic) in [(127, MAGIC_V1), (128, MAGIC_V2)] {
        let topic = vec![b't'; len];
        let mut out = BytesMut::new();
        encode(&mut out, &golden_head(), &topic, b"", b"").unwrap();
        assert_eq!(i32_at(&out, MAGIC_AT), magic);
        let record = RecordView::parse(&out).unwrap();
        assert_eq!(record.topic(), topic);
        assert_eq!(record.body(), b"");
        record.verify_body().unwrap();
    }
}

/// A record that cannot be encoded leaves the buffer as it was.
#[test]
fn oversized_parts_are_refused() {
    let mut out = BytesMut::from(&b"before"[..]);
    let topic = vec![b't'; MAX_TOPIC + 1];
    let result = encode(&mut out, &golden_head(), &topic, b"", b"");
    assert_eq!(result, Err(EncodeError::Topic(32_768)));
    let properties = vec![b'p'; MAX_PROPERTIES + 1];
    let result = encode(&mut out, &golden_head(), b"T", b"", &properties);
    assert_eq!(result, Err(EncodeError::Properties(32_768)));
    assert_eq!(&out[..], b"before");
    assert_eq!(encode(&mut out, &golden_head(), b"T", b"", &properties[1..]), Ok(91 + 1 + 32_767));
}

/// A filler reads as one, and a filler that is smaller than itself does not.
#[test]
fn filler() {
    let mut out = BytesMut::new();
    encode_blank(&mut out, 1_000_000);
    assert!(matches!(parse(&out), Ok(Entry::Blank { size: 1_000_000 })));
    assert_eq!(RecordView::parse(&out).unwrap_err(), RecordError::Magic(MAGIC_BLANK));
    out[..4].copy_from_slice(&7_i32.to_be_bytes());
    assert!(matches!(parse(&out), Err(RecordError::Length { size: 7, .. })));
}

/// Every proper prefix of a record says how many bytes it needs.
#[test]
fn prefixes_are_truncated() {
    let bytes = golden();
    for have in 0..bytes.len() {
        let needed = if have < 8 { 8 } else { 125 };
        let error = RecordView::parse(&bytes[..have]).unwrap_err();
        assert_eq!(error, RecordError::Truncated { needed, have });
    }
}

/// Length fields that lie are refused, and named.
#[test]
fn hostile_lengths() {
    let check = |at: usize, bytes: &[u8], want: &str| {
        let mut record = golden();
        record[at..at + bytes.len()].copy_from_slice(bytes);
        let error = RecordView::parse(&record).unwrap_err();
        assert!(format!("{error:?}").contains(want), "{error:?} is not {want}");
    };
    check(0, &(-1_i32).to_be_bytes(), "totalSize");
    check(0, &90_i32.to_be_bytes(), "totalSize");
    check(0, &124_i32.to_be_bytes(), "propertiesLength");
    check(0, &i32::MAX.to_be_bytes(), "needed: 2147483647");
    check(4, &[0; 4], "Magic(0)");
    check(36, &0x30_i32.to_be_bytes(), "Length");
    check(84, &(-1_i32).to_be_bytes(), "bodyLength");
    check(84, &i32::MAX.to_be_bytes(), "bodyLength");
    check(84, &6_i32.to_be_bytes(), "Length");
    check(93, &[0xFF], "topicLength");
    check(93, &[0x7F], "topicLength");
    check(95, &[0xFF, 0xFF], "propertiesLength");
    check(95, &[0, 27], "propertiesLength");
}

/// A changed body is noticed.
#[test]
fn damaged_body() {
    let mut bytes = golden();
    bytes[90] ^= 1;
    let record = RecordView::parse(&bytes).unwrap();
    assert!(matches!(record.verify_body(), Err(RecordError::BodyCrc { stored: 0x3610_a686, .. })));
}

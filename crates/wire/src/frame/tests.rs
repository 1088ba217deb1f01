use bytes::BytesMut;

use super::*;
use crate::limits::{MAX_FIELDS, MAX_FRAME};

/// Wraps a header and a body into a frame.
fn framed(format: u8, header: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + header.len() + body.len()).unwrap();
    let word = u32::from(format) << 24 | u32::try_from(header.len()).unwrap();
    [&length.to_be_bytes()[..], &word.to_be_bytes(), header, body].concat()
}

/// What a JSON header decodes to, in the form that Java's `RemotingCommand` prints.
fn decoded(header: &str) -> String {
    let bytes = framed(0, header.as_bytes(), b"");
    match Frame::decode(&bytes) {
        Ok(frame) => {
            let ext: Vec<_> = frame.fields.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let remark = frame.remark.map_or("null".into(), |remark| remark.to_string());
            format!(
                "code={} lang={:?} ver={} opaque={} flag={} remark={remark} ext={{{}}}",
                frame.code,
                frame.language,
                frame.version,
                frame.opaque,
                frame.flag,
                ext.join(", ")
            )
        }
        Err(_) => "closed".into(),
    }
}

/// Each header and the part of the decoded command that Java 5.4.0 showed for it.
#[test]
fn tolerates_what_java_tolerates() {
    for (header, want) in [
        // Values of ext fields become text, null means absent.
        (r#"{"extFields":{"a":1,"b":true,"c":null,"f":1.50}}"#, "ext={a=1, b=true, f=1.50}"),
        (r#"{"extFields":{"d":{"x":1,"y":"}"},"e":[1,2]}}"#, r#"ext={d={"x":1,"y":"}"}, e=[1,2]}"#),
        (r#"{"extFields":{"a":-5,"b":+5,"":"1"}}"#, "ext={a=-5, b=+5, =1}"),
        (r#"{"extFields":{"a":"1","a":null}}"#, "ext={}"),
        (r#"{"extFields":{"b":1,"\u0061":"1","b":null,"a":null,"b":"2","c":3}}"#, "ext={b=2, c=3}"),
        (r#"{"extFields":{"\u0061":"\u00e4"}}"#, "ext={a=ä}"),
        (r#"{"extFields":{"a":'q"q'}}"#, "ext={a=q\"q}"),
        ("{\"extFields\":{\"a\":\"x\ty\"}}", "ext={a=x\ty}"),
        (r#"{"extFields":{"a":"1"},"extFields":{"b":"2"}}"#, "ext={b=2}"),
        (r#"{"extFields":null}"#, "ext={}"),
        (r#"{"extFields":""}"#, "ext={}"),
        // Punctuation.
        ("{}", "code=0 lang=Java ver=0 opaque=0 flag=0 remark=null ext={}"),
        ("{'code':105,'extFields':{'a':'b'}}", "code=105"),
        (r#"{"code":105,"extFields":{"a":"b",},}"#, "ext={a=b}"),
        (r#" { "code" : 3 , "flag":1 } "#, "code=3 lang=Java ver=0 opaque=0 flag=1"),
        (r#"{"code":3 "flag":1}"#, "flag=1"),
        (r#"{"unknown":{"a":[1,{"b":"}"}]},"code":3,"z":"q"}"#, "code=3"),
        (r#"{"code":1,"code":2}"#, "code=2"),
        // Numbers.
        (
            r#"{"code":"105","opaque":"-7","flag":"1","version":"493"}"#,
            "code=105 lang=Java ver=493 opaque=-7 flag=1",
        ),
        (r#"{"code":null}"#, "code=0"),
        (r#"{"code":""}"#, "code=0"),
        // Languages.
        (r#"{"language":"gO"}"#, "lang=Go"),
        (r#"{"language":"ZIG"}"#, "lang=Unknown"),
        (r#"{"language":1}"#, "lang=Cpp"),
        (r#"{"language":"9"}"#, "lang=Go"),
        (r#"{"language":null}"#, "lang=Unknown"),
        // Remarks.
        (r#"{"remark":5}"#, "remark=5"),
        (r#"{"remark":{"a":1}}"#, r#"remark={"a":1}"#),
        (r#"{"remark":null}"#, "remark=null"),
    ] {
        let got = decoded(header);
        assert!(got.contains(want), "{header} gave {got}, not {want}");
    }
}

/// Headers for which Java 5.4.0 closes the connection.
#[test]
fn closes_where_java_closes() {
    for header in [
        "{code:105}",
        r#"{"extFields":{a:1}}"#,
        r#"{"extFields":{1:2}}"#,
        "",
        "[]",
        "null",
        "5",
        r#"{"code":1"#,
        r#"{"code":1} x"#,
        r#"{"code":1}{"#,
        r#"{,"code":3}"#,
        r#"{"code":3,,"flag":1}"#,
        r#"{"opaque":3000000000}"#,
        r#"{"opaque":"3000000000"}"#,
        r#"{"version":99999999999}"#,
        r#"{"code":"x"}"#,
        r#"{"code":0x10}"#,
        r#"{"language":99}"#,
        r#"{"language":-1}"#,
        r#"{"language":{}}"#,
        r#"{"extFields":5}"#,
        r#"{"extFields":"{}"}"#,
        r#"{"extFields":[]}"#,
        r#"{"extFields":{"a":NaN}}"#,
        r#"{"extFields":{"a":undefined}}"#,
        r#"{"extFields":{"a":tru}}"#,
        r#"{"extFields":{"a":"b"#,
        r#"{"extFields":{"a":"b\"#,
        r#"{"x":[[[1]"#,
        "\u{FEFF}{}",
        "{/*c*/\"code\":3}",
    ] {
        assert_eq!(decoded(header), "closed", "{header}");
    }
}

/// Nesting and the number of fields are bounded.
#[test]
fn bounded() {
    let nested = |depth| format!(r#"{{"x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert_ne!(decoded(&nested(64)), "closed");
    assert_eq!(decoded(&nested(65)), "closed");
    let fields = |count| {
        let all: Vec<_> = (0..count).map(|n| format!("\"{n}\":\"\"")).collect();
        format!(r#"{{"extFields":{{{}}}}}"#, all.join(","))
    };
    assert_ne!(decoded(&fields(MAX_FIELDS)), "closed");
    assert_eq!(decoded(&fields(MAX_FIELDS + 1)), "closed");
}

/// The first frame that a Java client sends, from the description of the protocol.
#[test]
fn golden_json_request() {
    let header = r#"{"code":105,"extFields":{"topic":"TopicTest"},"flag":0,"language":"JAVA","opaque":0,"serializeTypeCurrentRPC":"JSON","version":479}"#;
    let bytes = framed(0, header.as_bytes(), b"");
    assert_eq!(bytes[..8], [0, 0, 0, 0x87, 0, 0, 0, 0x83]);
    let frame = Frame::decode(&bytes).unwrap();
    assert_eq!((frame.code, frame.version, frame.is_response()), (105, 479, false));
    assert_eq!(frame.fields.get("topic"), Some("TopicTest".into()));
    assert_eq!(frame.fields.get("Topic"), None);
}

const GOLDEN_BINARY: [u8; 41] = *b"\x00\x69\x00\x01\xdf\x00\x00\x00\x00\x00\x00\x00\x00\
    \x00\x00\x00\x00\x00\x00\x00\x14\x00\x05topic\x00\x00\x00\x09TopicTest";

/// The same request in the binary form, decoded and written.
#[test]
fn golden_binary_request() {
    let bytes = framed(1, &GOLDEN_BINARY, b"");
    let frame = Frame::decode(&bytes).unwrap();
    assert_eq!((frame.code, frame.version, frame.format), (105, 479, Format::Binary));
    assert_eq!(frame.fields.get("topic"), Some("TopicTest".into()));
    let mut out = BytesMut::new();
    let head = Head { version: 479, ..Head::request(105, Format::Binary) };
    let mut writer = FrameWriter::begin(&mut out, &head);
    writer.field("topic", "TopicTest");
    writer.finish(b"");
    assert_eq!(&out[..], &bytes);
}

/// Lengths in a binary header that do not fit close the connection; empty names and values are
/// absent; an unknown language is tolerated.
#[test]
fn binary_lengths() {
    let with = |at: usize, bytes: &[u8]| {
        let mut header = GOLDEN_BINARY;
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header
    };
    for (at, bytes) in [
        (13, &(-1_i32).to_be_bytes()[..]),
        (13, &100_i32.to_be_bytes()),
        (17, &21_i32.to_be_bytes()),
        (21, &(-1_i16).to_be_bytes()),
        (28, &10_i32.to_be_bytes()),
        (28, &(-1_i32).to_be_bytes()),
        (28, &8_i32.to_be_bytes()),
    ] {
        let bytes = framed(1, &with(at, bytes), b"");
        assert!(matches!(Frame::decode(&bytes), Err(FrameError::Header { .. })), "{at}");
    }
    for len in 0..GOLDEN_BINARY.len() {
        let bytes = framed(1, &GOLDEN_BINARY[..len], b"");
        assert!(Frame::decode(&bytes).is_err() || len == 21, "{len}");
    }
    let header = [
        &GOLDEN_BINARY[..17],
        b"\x00\x00\x00\x0d\x00\x00\x00\x00\x00\x01v\x00\x01n\x00\x00\x00\x00",
    ]
    .concat();
    let bytes = framed(1, &header[..header.len() - 1], b"");
    assert!(Frame::decode(&bytes).is_err());
    let bytes = framed(1, &with(2, &[99]), b"");
    assert_eq!(Frame::decode(&bytes).unwrap().language, Language::Unknown);
}

/// POP codes come back from the 16 bits that the binary form has for them.
#[test]
fn binary_codes_above_16_bits() {
    for code in [200_050, 200_056, 200_151, -1000, 32_767] {
        let mut out = BytesMut::new();
        FrameWriter::begin(&mut out, &Head::request(code, Format::Binary)).finish(b"");
        assert_eq!(Frame::decode(&out).unwrap().code, code);
    }
}

/// What is written in either format reads back the same, hostile texts included.
#[test]
fn written_frames_read_back() {
    let hostile = "quote\" slash\\ \u{1}\u{2}\n\u{1f} ä€😀 \u{7f}";
    for format in [Format::Json, Format::Binary] {
        for remark in ["", hostile] {
            let mut out = BytesMut::from(&b"before"[..]);
            let to = ReplyTo { opaque: i32::MIN, format };
            let mut writer = FrameWriter::response(&mut out, to, 19).remark(remark);
            writer.field("text", hostile);
            writer.field("number", i64::MIN);
            writer.field("flag", true);
            writer.field("absent", None::<&str>);
            writer.finish(b"body");
            let frame = Frame::decode(&out[6..]).unwrap();
            assert_eq!((frame.code, frame.opaque, frame.flag), (19, i32::MIN, 1));
            assert_eq!((frame.version, frame.language), (VERSION, Language::Java));
            assert_eq!(frame.remark.map_or(String::new(), |text| text.to_string()), remark);
            assert_eq!(frame.fields.len(), 3);
            assert_eq!(frame.fields.get("text"), Some(hostile.into()));
            assert_eq!(frame.fields.get("number").unwrap().parse_i64(), Some(i64::MIN));
            assert!(frame.fields.get("flag").unwrap().parse_bool());
            assert_eq!(frame.body, b"body");
        }
    }
}

/// The exact bytes of a JSON response without fields: strict, with an empty `extFields`.
#[test]
fn response_bytes() {
    let mut out = BytesMut::new();
    let to = ReplyTo { opaque: 7, format: Format::Json };
    FrameWriter::response(&mut out, to, 0).finish_before(100);
    let header = r#"{"code":0,"flag":1,"opaque":7,"language":"JAVA","serializeTypeCurrentRPC":"JSON","version":493,"extFields":{}}"#;
    assert_eq!(&out[8..], header.as_bytes());
    assert_eq!(out[..4], (4 + 100 + header.len() as u32).to_be_bytes());
}

/// The code of an answer is found in both formats without decoding it; a request has none.
#[test]
fn codes_of_answers() {
    for format in [Format::Json, Format::Binary] {
        for code in [0, 1, 19, 2041] {
            let mut out = BytesMut::new();
            FrameWriter::response(&mut out, ReplyTo { opaque: 1, format }, code).finish(b"x");
            assert_eq!(answer_code(&out), Some(code));
            assert_eq!(answer_code(&out[..8]), None);
        }
    }
    assert_eq!(answer_code(&framed(0, b"{\"opaque\":1}", b"x")), None);
    assert_eq!(answer_code(b""), None);
}

/// Ordinals of versions have the names that the reference gives them.
#[test]
fn names_of_versions() {
    let names = [(47, "V3_1_0"), (87, "V3_3_1"), (121, "V3_4_9"), (195, "V3_9_1"), (213, "V4_0_0")];
    let later =
        [(409, "V4_9_8"), (412, "V5_0_0_SNAPSHOT"), (VERSION, VERSION_NAME), (611, "V5_9_9")];
    for (ordinal, name) in names.into_iter().chain(later) {
        assert_eq!(version_name(ordinal), name);
    }
    assert_eq!(version_name(i32::MAX), "HIGHER_VERSION");
    assert!((-1..700).all(|ordinal| !version_name(ordinal).is_empty()));
}

/// Frames come in order, an incomplete last one is left, and says how much it needs.
#[test]
fn pipelined_frames() {
    let one = framed(0, b"{\"opaque\":1}", b"x");
    let two = framed(0, b"{\"opaque\":2}", b"");
    let all = [&one[..], &two].concat();
    for len in 0..=all.len() {
        let mut frames = Frames::new(&all[..len], MAX_FRAME);
        let mut count = 0;
        while let Some(frame) = frames.next().unwrap() {
            count += 1;
            assert_eq!(frame.opaque, count);
        }
        let want = if len < one.len() {
            0
        } else if len < all.len() {
            1
        } else {
            2
        };
        let done = [0, one.len(), all.len()][want as usize];
        assert_eq!((count, frames.consumed()), (want, done));
        let next = [one.len(), two.len(), 0][want as usize];
        assert_eq!(frames.needed(), (len - done >= 4).then_some(next));
    }
}

/// A frame that is read into again has nothing of what it held before, whatever their forms.
#[test]
fn a_frame_is_used_again() {
    let full = br#"{"code":1,"flag":2,"opaque":3,"version":4,"language":"GO","remark":"r","extFields":{"a":"b"}}"#;
    let tolerant = br#"{'code':9,"extFields":{"c":1},}"#;
    let mut binary = BytesMut::new();
    let mut writer = FrameWriter::begin(&mut binary, &Head::request(7, Format::Binary));
    writer.field("d", "e");
    writer.finish(b"body");
    let frames = [
        framed(0, full, b"x"),
        framed(0, b"{}", b""),
        binary.to_vec(),
        framed(0, tolerant, b""),
        framed(0, br#"{"code":1}"#, b"y"),
    ];
    for (first, second) in frames.iter().flat_map(|a| frames.iter().map(move |b| (a, b))) {
        let both = [&first[..], second].concat();
        let mut frames = Frames::new(&both, MAX_FRAME);
        let mut frame = Frame::default();
        assert!(frames.read(&mut frame).unwrap());
        assert!(frames.read(&mut frame).unwrap());
        let alone = Frame::decode(second).unwrap();
        assert_eq!(format!("{frame:?}"), format!("{alone:?}"));
        assert!(!frames.read(&mut frame).unwrap());
    }
}

/// Frames that no length can save.
#[test]
fn hostile_frames() {
    let error = |bytes: &[u8]| Frames::new(bytes, 1000).next().unwrap_err();
    assert_eq!(error(&(-1_i32).to_be_bytes()), FrameError::Length(-1));
    assert_eq!(error(&3_i32.to_be_bytes()), FrameError::Length(3));
    assert_eq!(error(&997_i32.to_be_bytes()), FrameError::TooLarge { size: 1001, limit: 1000 });
    assert!(Frames::new(&996_i32.to_be_bytes(), 1000).next().unwrap().is_none());
    assert_eq!(error(&framed(2, b"{}", b"")), FrameError::Format(2));
    let mut bytes = framed(0, b"{}", b"");
    bytes[7] = 3;
    assert_eq!(error(&bytes), FrameError::HeaderLength { header: 3, frame: 6 });
}

/// The header of an unfinished frame is read as soon as it is there, and refused as that of a whole one.
#[test]
fn heads_of_unfinished_frames() {
    let bytes = framed(0, br#"{"code":310,"opaque":7,"flag":2}"#, &[b'x'; 100]);
    let whole = bytes.len() - 100;
    for cut in 0..bytes.len() {
        let head = Frame::decode_head(&bytes[..cut]).unwrap();
        assert_eq!(head.is_some(), cut >= whole, "{cut}");
        if let Some(head) = head {
            assert_eq!(
                (head.code, head.opaque, head.is_oneway(), head.body.len()),
                (310, 7, true, 0)
            );
        }
    }
    let mut longer = bytes.to_vec();
    longer[6] = 0x7F;
    assert!(matches!(Frame::decode_head(&longer[..8]), Err(FrameError::HeaderLength { .. })));
    assert!(matches!(
        Frame::decode_head(&framed(0, b"nonsense", b"")),
        Err(FrameError::Header { .. })
    ));
}

/// A header as clients write it, with texts shorter and longer than the blocks of 64 bytes that are looked at.
const PLAIN: &str = r#"{"code":310,"extFields":{"a":"g\u0001\\\\","b":"Topic ä","":"","c":"\"q\"","properties":"a text of more than two blocks, so that one of them has no quote at all: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789\u0002","d":"4"},"flag":0,"language":"GO","opaque":-17,"remark":"r","serializeTypeCurrentRPC":"JSON","version":493}"#;

/// A frame with `header` that was not decoded yet.
fn empty(header: &[u8]) -> Frame<'_> {
    let mut frame = Frame::default();
    frame.begin(header);
    frame
}

/// The reader of plain headers takes what clients write.
#[test]
fn plain_headers_are_read_as_such() {
    for header in [PLAIN, r#"{"code":1,"extFields":{}}"#, r#"{"version":1}"#] {
        let mut frame = empty(header.as_bytes());
        assert!(plain::decode(header.as_bytes(), &mut frame).is_some(), "{header}");
    }
}

/// A text of any length, whatever it ends in, and a header of any length, are read as plain and as they are.
#[test]
fn plain_headers_have_any_length() {
    for (len, end) in
        (0..200).flat_map(|len| ["", r"\\", r#"\""#, r"\u0001", "ä"].map(|end| (len, end)))
    {
        let header = format!(
            r#"{{"remark":"{}{end}","extFields":{{"a":"{end}","key":""}},"code":3}}"#,
            "x".repeat(len)
        );
        let mut plain = empty(header.as_bytes());
        assert!(plain::decode(header.as_bytes(), &mut plain).is_some(), "{header}");
        let mut tolerant = empty(header.as_bytes());
        json::decode(header.as_bytes(), &mut tolerant).unwrap();
        assert_eq!(format!("{plain:?}"), format!("{tolerant:?}"));
    }
}

/// Nulls count as fields: as many as fit a header of 16 MiB, each compared with all others, would hold a thread for
/// minutes.
#[test]
fn nulls_are_fields() {
    let header = |count| format!(r#"{{"extFields":{{{}}}}}"#, r#""a":null,"#.repeat(count));
    assert_eq!(decoded(&header(MAX_FIELDS)), decoded("{}"));
    assert_eq!(decoded(&header(MAX_FIELDS + 1)), "closed");
}

proptest::proptest! {
    /// Where the reader of plain headers takes a damaged header, it reads the same as the tolerant one.
    #[test]
    fn plain_and_tolerant_agree(
        edits in proptest::collection::vec((0..PLAIN.len(), 0..4_usize, r#"["\\\\{}:,a 0'-]{0,3}"#), 0..4)
    ) {
        let mut header = PLAIN.as_bytes().to_vec();
        for (at, removed, put) in edits {
            let at = at.min(header.len());
            let end = (at + removed).min(header.len());
            header.splice(at..end, put.bytes());
        }
        let mut plain = empty(&header);
        if plain::decode(&header, &mut plain).is_some() {
            let mut tolerant = empty(&header);
            let read = json::decode(&header, &mut tolerant);
            proptest::prop_assert!(read.is_ok(), "{read:?}");
            proptest::prop_assert_eq!(format!("{plain:?}"), format!("{tolerant:?}"));
        }
    }
}

use super::*;

fn frames(len: usize, source: Option<&str>) -> Preamble {
    Preamble::Frames { len, source: source.map(|s| s.parse().unwrap()) }
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = V2_SIGNATURE.to_vec();
    bytes.extend([0x20 | command, family]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend(rest);
    bytes
}

#[test]
fn first_bytes_decide() {
    // Shows every kind of start, whole.
    let v4 = [10, 0, 0, 9, 127, 0, 0, 1, 0x1F, 0x90, 0x2A, 0x9F, 4, 0, 1, 0];
    let mut v6 = [0; 36];
    v6[15] = 1;
    v6[33] = 80;
    let cases: &[(&[u8], Preamble)] = &[
        (b"\0\0\0\x83\0\0\0\x7F{", frames(0, None)),
        (b"\x01\0\0\0", frames(0, None)),
        (b"\x16\x03\x01", Preamble::Refused(Refused::Tls)),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Preamble::Refused(Refused::Http2)),
        (b"PROXY TCP4 10.0.0.9 10.0.0.1 4000 10911\r\n\0\0", frames(41, Some("10.0.0.9:4000"))),
        (b"PROXY TCP6 ::1 ::2 4000 10911\r\n", frames(31, Some("[::1]:4000"))),
        (b"PROXY UNKNOWN\r\n", frames(15, None)),
        (b"PROXY TCP4 nonsense\r\n", broken("its source address or port is not a number")),
        (b"PROXY UDP4 1.1.1.1\r\n", broken("its protocol is not TCP4, TCP6 or UNKNOWN")),
        (b"POST / HTTP/1.1", broken("it does not continue with \"PROXY \"")),
        (&v2(1, 0x11, &v4), frames(32, Some("10.0.0.9:8080"))),
        (&v2(1, 0x21, &v6), frames(52, Some("[::1]:80"))),
        (&v2(0, 0, &[]), frames(16, None)),
        (&v2(1, 0x31, &[0; 216]), frames(232, None)),
        (&v2(1, 0x11, &[0; 11]), broken("it is too short for IPv4 addresses")),
        (&v2(7, 0x11, &v4), broken("its version or command is unknown")),
        (&v2(1, 0x11, &[0; 5000]), broken("it is longer than 4096 bytes")),
        (b"\r\nhello", broken("its signature is wrong")),
        (&[b"PROXY TCP4 ", [b'1'; 120].as_slice()].concat(), broken("its line exceeds 107 bytes")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(&read(bytes), expected, "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn a_start_that_arrives_in_pieces_is_waited_for() {
    // Shows that every proper prefix of a valid start asks for more bytes.
    let v1 = b"PROXY TCP4 10.0.0.9 10.0.0.1 4000 10911\r\n".to_vec();
    for bytes in [v1, v2(1, 0x11, &[7; 30])] {
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), Preamble::More, "{cut}");
        }
    }
}

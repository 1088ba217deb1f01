//! Request frames as the Java 5.4.0 client writes them: JSON header, keys in its order, no blanks.
//!
//! Header and field layout: remoting protocol, JSON header; SendMessageRequestHeaderV2 (`a`…`n`);
//! PullMessageRequestHeader.

/// Protocol version number of 5.4.0.
pub(crate) const VERSION: i32 = 493;

/// Request codes that the generator sends.
pub(crate) mod code {
    pub(crate) const PULL_MESSAGE: i32 = 11;
    pub(crate) const UPDATE_AND_CREATE_TOPIC: i32 = 17;
    pub(crate) const GET_MAX_OFFSET: i32 = 30;
    pub(crate) const GET_MIN_OFFSET: i32 = 31;
    pub(crate) const GET_ROUTEINFO_BY_TOPIC: i32 = 105;
    pub(crate) const SEND_MESSAGE_V2: i32 = 310;
    pub(crate) const SEND_BATCH_MESSAGE: i32 = 320;
}

/// Appends one request frame; returns where its seven-digit `opaque` stands in `out`.
///
/// `fields` are written as they are: names and values must need no escape in JSON but the two
/// property separators, which are escaped here as fastjson does.
pub(crate) fn request(
    out: &mut Vec<u8>,
    code: i32,
    opaque: u32,
    fields: &[(&str, &str)],
    body: &[u8],
) -> usize {
    let start = out.len();
    out.extend([0; 8]);
    out.extend(b"{\"code\":");
    number(out, code);
    out.extend(b",\"extFields\":{");
    for (i, (name, value)) in fields.iter().enumerate() {
        out.extend(if i == 0 { &b"\""[..] } else { b",\"" });
        out.extend(name.as_bytes());
        out.extend(b"\":\"");
        text(out, value);
        out.push(b'"');
    }
    out.extend(b"},\"flag\":0,\"language\":\"JAVA\",\"opaque\":");
    let opaque_at = out.len();
    number(out, opaque as i32);
    out.extend(b",\"serializeTypeCurrentRPC\":\"JSON\",\"version\":");
    number(out, VERSION);
    out.push(b'}');
    let header = out.len() - start - 8;
    out.extend(body);
    let len = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&(header as u32).to_be_bytes());
    opaque_at
}

fn number(out: &mut Vec<u8>, value: i32) {
    out.extend(itoa::Buffer::new().format(value).as_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    for byte in value.bytes() {
        match byte {
            1 => out.extend(b"\\u0001"),
            2 => out.extend(b"\\u0002"),
            _ => out.push(byte),
        }
    }
}

/// One pull, as a push consumer of 5.4.0 sends it with its subscription in the request.
#[derive(Debug, Clone)]
pub(crate) struct Pull<'a> {
    pub group: &'a str,
    pub topic: &'a str,
    pub broker: &'a str,
    pub queue: u32,
    pub offset: u64,
    pub max_messages: u32,
    /// Milliseconds that the broker may hold the request; 0 = answer at once.
    pub suspend_ms: u32,
}

impl Pull<'_> {
    /// Appends the frame.
    pub(crate) fn encode(&self, opaque: u32, out: &mut Vec<u8>) {
        const SUSPEND: u32 = 2;
        const SUBSCRIPTION: u32 = 4;
        let sys_flag = if self.suspend_ms > 0 { SUSPEND | SUBSCRIPTION } else { SUBSCRIPTION };
        let mut numbers: [itoa::Buffer; 5] = Default::default();
        let [queue, offset, max, flag, suspend] = &mut numbers;
        let fields = [
            ("queueId", queue.format(self.queue)),
            ("maxMsgBytes", "262144"),
            ("maxMsgNums", max.format(self.max_messages)),
            ("sysFlag", flag.format(sys_flag)),
            ("commitOffset", "0"),
            ("subscription", "*"),
            ("suspendTimeoutMillis", suspend.format(self.suspend_ms)),
            ("bname", self.broker),
            ("topic", self.topic),
            ("queueOffset", offset.format(self.offset)),
            ("expressionType", "TAG"),
            ("subVersion", "1"),
            ("consumerGroup", self.group),
        ];
        request(out, code::PULL_MESSAGE, opaque, &fields, &[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The header equals, byte for byte, what RemotingCommand.encodeHeader of 5.4.0 gave for these
    // values (code 17, CreateTopicRequestHeader).
    #[test]
    fn header_is_javas() {
        let mut out = Vec::new();
        let fields = [
            ("readQueueNums", "4"),
            ("perm", "6"),
            ("writeQueueNums", "4"),
            ("topicFilterType", "SINGLE_TAG"),
            ("topic", "t"),
            ("force", "false"),
            ("defaultTopic", "TBW102"),
            ("order", "false"),
            ("topicSysFlag", "0"),
        ];
        let at = request(&mut out, 17, 1_000_003, &fields, b"");
        assert_eq!(&out[at..at + 7], b"1000003");
        assert_eq!(
            std::str::from_utf8(&out[8..]).unwrap(),
            concat!(
                r#"{"code":17,"extFields":{"readQueueNums":"4","perm":"6","writeQueueNums":"4","#,
                r#""topicFilterType":"SINGLE_TAG","topic":"t","force":"false","#,
                r#""defaultTopic":"TBW102","order":"false","topicSysFlag":"0"},"flag":0,"#,
                r#""language":"JAVA","opaque":1000003,"serializeTypeCurrentRPC":"JSON","#,
                r#""version":493}"#
            )
        );
        assert_eq!(out[..8], [0, 0, 1, 34, 0, 0, 1, 30]);
    }
}

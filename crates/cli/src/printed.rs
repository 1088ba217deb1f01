//! Messages as they are printed.

use std::collections::BTreeMap;

use client::Received;
use serde::Serialize;

use crate::time;

/// A message as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Printed<'a> {
    topic: &'a str,
    broker: &'a str,
    queue: u32,
    offset: u64,
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<&'a str>,
    properties: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    /// The body as hexadecimal digits when it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
    born_time: String,
    store_time: String,
    reconsume_times: i32,
}

impl<'a> Printed<'a> {
    pub(crate) fn new(message: &'a Received) -> Printed<'a> {
        let body = std::str::from_utf8(message.body());
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Printed {
            topic: message.topic(),
            broker: &message.queue().broker,
            queue: message.queue().id,
            offset: message.offset(),
            message_id: message.message_id(),
            key: message.keys(),
            tag: message.tag(),
            properties: message.properties().collect(),
            body: body.ok(),
            body_hex: body.is_err().then(|| hex(message.body())),
            born_time: time::format(message.born_ms()),
            store_time: time::format(message.store_ms()),
            reconsume_times: message.reconsume_times(),
        }
    }
}

//! The body of a broker's registration (103), in its three forms.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BodyError, DataVersion, TopicConfig, TopicConfigs, TopicFilterType, read, write};
use crate::compress::Compression;
use crate::limits::MAX_REGISTRATION;

/// Version ordinal V3_0_11: since then the body is a [`RegisterBrokerBody`].
const V3_0_11: i32 = 37;
/// Version ordinal V5_0_0: since then the compressed form ends in the static topics' mapping.
const V5_0_0: i32 = 413;

/// What a broker tells the name server about itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RegisterBrokerBody {
    /// Filter servers: a feature that no longer exists.
    pub filter_server_list: Vec<String>,
    /// Its topics; all, or those that changed.
    #[serde(rename = "topicConfigSerializeWrapper")]
    pub topics: TopicConfigs,
}

impl RegisterBrokerBody {
    /// Reads the body of a request whose sender has `version`. Whether it is compressed shows in its
    /// first byte: senders of 5.x set the header field wrongly.
    ///
    /// # Errors
    /// When the body has neither form, or exceeds [`MAX_REGISTRATION`] once decompressed.
    pub fn decode(body: &[u8], version: i32) -> Result<Self, BodyError> {
        // The first byte of every zlib stream with the usual window; no JSON starts so.
        if body.first() == Some(&0x78) {
            let plain = Compression::Zlib.decompress(body, MAX_REGISTRATION);
            let plain = plain.map_err(|error| BodyError::Shape(error.to_string()))?;
            return Packed { rest: &plain, len: plain.len() }.body(version);
        }
        if version < V3_0_11 {
            return Ok(Self { topics: read(body)?, ..Self::default() });
        }
        read(body)
    }

    /// The JSON form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        write(self)
    }

    /// The compressed form, for a sender that announces 5.0 or later. It has no room for a topic's
    /// order mark and system flag, nor for spaces in attributes.
    #[must_use]
    pub fn encode_compressed(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, &write(&self.topics.data_version));
        put_count(&mut out, self.topics.topic_config_table.len());
        for topic in self.topics.topic_config_table.values() {
            put(&mut out, topic_text(topic).as_bytes());
        }
        put(&mut out, &write(&self.filter_server_list));
        put_count(&mut out, self.topics.topic_queue_mapping_info_map.len());
        for mapping in self.topics.topic_queue_mapping_info_map.values() {
            put(&mut out, &write(mapping));
        }
        Compression::Zlib.compress(&out, 9)
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = i32::try_from(count).expect("a broker has fewer topics than fit memory");
    out.extend_from_slice(&count.to_be_bytes());
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// `topicName readQueueNums writeQueueNums perm topicFilterType attributes` (`TopicConfig.encode`).
fn topic_text(topic: &TopicConfig) -> String {
    let attributes = write(&topic.attributes);
    format!(
        "{} {} {} {} {} {}",
        topic.topic_name,
        topic.read_queue_nums,
        topic.write_queue_nums,
        topic.perm,
        topic.topic_filter_type.name(),
        String::from_utf8_lossy(&attributes)
    )
}

/// Reads the text of a topic; attributes that cannot be read are none, as in the reference.
fn topic_of_text(text: &[u8]) -> Option<TopicConfig> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split(' ');
    Some(TopicConfig {
        topic_name: words.next()?.to_owned(),
        read_queue_nums: words.next()?.parse().ok()?,
        write_queue_nums: words.next()?.parse().ok()?,
        perm: words.next()?.parse().ok()?,
        topic_filter_type: TopicFilterType::from_name(words.next()?)?,
        attributes: words.next().and_then(|json| read(json.as_bytes()).ok()).unwrap_or_default(),
        ..TopicConfig::default()
    })
}

/// The decompressed form: counts and length-prefixed texts.
struct Packed<'a> {
    rest: &'a [u8],
    len: usize,
}

impl<'a> Packed<'a> {
    fn body(mut self, version: i32) -> Result<RegisterBrokerBody, BodyError> {
        let data_version: DataVersion = read(self.block()?)?;
        let mut body = RegisterBrokerBody::default();
        body.topics.data_version = data_version;
        for _ in 0..self.count()? {
            let topic = topic_of_text(self.block()?).ok_or(self.error("a topic's text"))?;
            body.topics.topic_config_table.insert(topic.topic_name.clone(), topic);
        }
        body.filter_server_list = read(self.block()?)?;
        if version >= V5_0_0 {
            for _ in 0..self.count()? {
                let mapping: Value = read(self.block()?)?;
                let topic = mapping.get("topic").and_then(Value::as_str).unwrap_or_default();
                let topic = topic.to_owned();
                body.topics.topic_queue_mapping_info_map.insert(topic, mapping);
            }
        }
        Ok(body)
    }

    /// A count, or a length. A hostile one runs out of bytes soon: nothing is reserved by it.
    fn count(&mut self) -> Result<usize, BodyError> {
        let (count, rest) = self.rest.split_first_chunk().ok_or(self.error("a length"))?;
        let count = usize::try_from(i32::from_be_bytes(*count));
        let count = count.map_err(|_| self.error("a negative length"))?;
        self.rest = rest;
        Ok(count)
    }

    fn block(&mut self) -> Result<&'a [u8], BodyError> {
        let len = self.count()?;
        let (block, rest) = self.rest.split_at_checked(len).ok_or(self.error("a length"))?;
        self.rest = rest;
        Ok(block)
    }

    fn error(&self, what: &'static str) -> BodyError {
        BodyError::Syntax { what, at: self.len - self.rest.len() }
    }
}

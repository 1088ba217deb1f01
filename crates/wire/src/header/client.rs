//! Headers of requests by which clients and groups are known: 34, 35, 38, 40, 203.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Answer to a heartbeat.
    pub struct HeartbeatResponse {
        /// Whether the broker understands heartbeats by fingerprint.
        pub supports_v2: bool = "IS_SUPPORT_HEART_BEAT_V2" or false,
        /// Whether the client must send its subscriptions in full next time.
        pub subscription_changed: bool = "IS_SUB_CHANGE" or false,
    }

    /// Header of a client's farewell (`UnregisterClientRequestHeader`).
    pub struct UnregisterClientHeader<'a> {
        /// Client id.
        pub client_id: Text<'a> = "clientID",
        /// Producer group that it leaves.
        pub producer_group: Option<Text<'a>> = "producerGroup",
        /// Consumer group that it leaves.
        pub consumer_group: Option<Text<'a>> = "consumerGroup",
    }

    /// Header of 38, 203 and of the notice 40 (`GetConsumerListByGroupRequestHeader`,
    /// `GetConsumerConnectionListRequestHeader`, `NotifyConsumerIdsChangedRequestHeader`).
    pub struct ConsumerGroupHeader<'a> {
        /// Group of the consumers.
        pub consumer_group: Text<'a> = "consumerGroup",
    }
}

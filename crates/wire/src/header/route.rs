//! Headers of requests to the name server.

use super::{FieldProblem, FieldType, Header, HeaderError, headers, set};
use crate::frame::{Frame, FrameWriter};
use crate::text::Text;

headers! {
    /// Header of a broker's registration (`RegisterBrokerRequestHeader`).
    pub struct RegisterBrokerHeader<'a> {
        /// Name shared by a master and its slaves.
        pub broker_name: Text<'a> = "brokerName",
        /// `ip:port` for clients.
        pub broker_addr: Text<'a> = "brokerAddr",
        /// Cluster.
        pub cluster_name: Text<'a> = "clusterName",
        /// `ip:port` for replication.
        pub ha_server_addr: Text<'a> = "haServerAddr",
        /// 0 is the master.
        pub broker_id: i64 = "brokerId",
        /// After how long without a sign of life the broker counts as gone, ms.
        pub heartbeat_timeout_millis: Option<i64> = "heartbeatTimeoutMillis",
        /// Whether a slave may act for its master.
        pub enable_acting_master: Option<bool> = "enableActingMaster",
        /// Whether the body is compressed.
        pub compressed: bool = "compressed" or false,
        /// CRC-32 of the body; 0 if it is not given.
        pub body_crc32: i32 = "bodyCrc32" or 0,
    }

    /// Answer to a registration (`RegisterBrokerResponseHeader`).
    pub struct RegisterBrokerResponse<'a> {
        /// Where a slave finds its master's replication.
        pub ha_server_addr: Option<Text<'a>> = "haServerAddr",
        /// Where a slave finds its master.
        pub master_addr: Option<Text<'a>> = "masterAddr",
    }

    /// Header of a broker's farewell (`UnRegisterBrokerRequestHeader`).
    pub struct UnregisterBrokerHeader<'a> {
        /// Name shared by a master and its slaves.
        pub broker_name: Text<'a> = "brokerName",
        /// `ip:port` for clients.
        pub broker_addr: Text<'a> = "brokerAddr",
        /// Cluster.
        pub cluster_name: Text<'a> = "clusterName",
        /// 0 is the master.
        pub broker_id: i64 = "brokerId",
    }

    /// Header of a query for a topic's route (`GetRouteInfoRequestHeader`). Answers are strict JSON
    /// whether asked for (`acceptStandardJsonOnly`) or not.
    pub struct GetRouteInfoHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
    }

    /// Header of a topic's removal from the routes (`DeleteTopicFromNamesrvRequestHeader`).
    pub struct DeleteTopicFromNamesrvHeader<'a> {
        /// Topic.
        pub topic: Text<'a> = "topic",
        /// Only the routes to brokers of this cluster.
        pub cluster_name: Option<Text<'a>> = "clusterName",
    }

    /// Header of the question whether a broker's topics are known
    /// (`QueryDataVersionRequestHeader`).
    pub struct QueryDataVersionHeader<'a> {
        /// Name shared by a master and its slaves.
        pub broker_name: Text<'a> = "brokerName",
        /// `ip:port` for clients.
        pub broker_addr: Text<'a> = "brokerAddr",
    }

    /// Answer to [`QueryDataVersionHeader`].
    pub struct QueryDataVersionResponse {
        /// Whether the topics are unknown, or of another version.
        pub changed: bool = "changed",
    }

    /// Header of a broker's sign of life (`BrokerHeartbeatRequestHeader`), as far as a name server
    /// reads it.
    pub struct BrokerHeartbeatHeader<'a> {
        /// Name shared by a master and its slaves.
        pub broker_name: Text<'a> = "brokerName",
        /// `ip:port` for clients.
        pub broker_addr: Text<'a> = "brokerAddr",
    }

    /// Header of a question for the members of a broker name (`GetBrokerMemberGroupRequestHeader`).
    pub struct BrokerMemberGroupHeader<'a> {
        /// Cluster.
        pub cluster_name: Text<'a> = "clusterName",
        /// Broker name.
        pub broker_name: Text<'a> = "brokerName",
    }

    /// Header of a request about all topics of a broker name: 205, 327
    /// (`WipeWritePermOfBrokerRequestHeader`, `AddWritePermOfBrokerRequestHeader`).
    pub struct BrokerNameHeader<'a> {
        /// Broker name.
        pub broker_name: Text<'a> = "brokerName",
    }

    /// Header of a request about one cluster (`GetTopicsByClusterRequestHeader`).
    pub struct ClusterHeader<'a> {
        /// Cluster.
        pub cluster: Text<'a> = "cluster",
    }

    /// Header of a change of the KV configuration (`PutKVConfigRequestHeader`).
    pub struct PutKvConfigHeader<'a> {
        /// Namespace.
        pub namespace: Text<'a> = "namespace",
        /// Key.
        pub key: Text<'a> = "key",
        /// Value.
        pub value: Text<'a> = "value",
    }

    /// Header of a request about one key of the KV configuration (`GetKVConfigRequestHeader`,
    /// `DeleteKVConfigRequestHeader`).
    pub struct KvKeyHeader<'a> {
        /// Namespace.
        pub namespace: Text<'a> = "namespace",
        /// Key.
        pub key: Text<'a> = "key",
    }

    /// Header of a request about a namespace of the KV configuration
    /// (`GetKVListByNamespaceRequestHeader`).
    pub struct KvNamespaceHeader<'a> {
        /// Namespace.
        pub namespace: Text<'a> = "namespace",
    }
}

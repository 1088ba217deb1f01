//! The broker's settings, by RocketMQ's keys.

use env::settings::Value;

/// How metrics are to leave the broker (`metricsExporterType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsExporter {
    /// By no port of their own.
    Disable,
    /// Sent to a collector.
    OtlpGrpc,
    /// On a port for Prometheus.
    Prom,
    /// Into a log file.
    Log,
}

impl MetricsExporter {
    /// By number, as the reference takes them too.
    const NAMES: [(&'static str, MetricsExporter); 4] = [
        ("DISABLE", MetricsExporter::Disable),
        ("OTLP_GRPC", MetricsExporter::OtlpGrpc),
        ("PROM", MetricsExporter::Prom),
        ("LOG", MetricsExporter::Log),
    ];
}

impl Value for MetricsExporter {
    const KIND: &'static str = "one of DISABLE OTLP_GRPC PROM LOG, or its number";

    fn parse(text: &str) -> Result<MetricsExporter, String> {
        let text = text.trim();
        let by_name = Self::NAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
        let by_number = || text.parse::<usize>().ok().and_then(|number| Self::NAMES.get(number));
        by_name.or_else(by_number).map(|(_, value)| *value).ok_or_else(|| Self::KIND.to_owned())
    }

    fn render(&self) -> String {
        Self::NAMES[*self as usize].0.to_owned()
    }
}

env::settings! {
    /// Settings of the broker role.
    pub struct BrokerSettings in "broker";
    "brokerClusterName" => cluster: String = "DefaultCluster".to_owned(), "name of the cluster";
    "brokerName" => name: String = "broker-a".to_owned(), "name of this broker, unique in its cluster";
    "brokerId" => id: i64 = 0, range 0..=0, "0 is the master";
    "brokerIP1" => host: String = String::new(), "address that clients are told, a host name or an IP address; empty: the one at which a client reached the name server in this process, and for name servers elsewhere the address of this machine";
    "listenPort" => port: u16 = 10911, "port for clients";
    "namesrvAddr" => namesrv: String = String::new(), "name servers to register with, separated by ; or ,";
    "brokerPermission" => permission: i32 = 6, range 0..=7, reload, "what this broker allows at all: 4 read, 2 write, 6 both";
    "autoCreateTopicEnable" => auto_create_topic: bool = true, reload, "whether a send to an unknown topic creates it";
    "autoCreateSubscriptionGroup" => auto_create_group: bool = true, reload, "whether an unknown group is created when a member appears";
    "defaultTopicQueueNums" => default_queues: i32 = 8, range 1..=65_536, "queues that a topic created by a send has at most";
    "maxMessageSize" => max_message_bytes: usize = 4 << 20, range 1..=8 << 20, reload, "largest body of a message or batch, in bytes";
    "regionId" => region: String = "DefaultRegion".to_owned(), "region that stored messages and answers to sends name";
    "traceOn" => trace_on: bool = true, "whether clients are told that they may trace messages";
    "longPollingEnable" => long_polling: bool = true, reload, "whether a pull that finds nothing is held as long as it asks";
    "shortPollingTimeMills" => short_polling_ms: u64 = 1000, range 1..=60_000, reload, "how long a pull is held otherwise, in ms";
    "litePullMessageEnable" => lite_pull: bool = true, reload, "whether lite pull consumers are served";
    "notifyConsumerIdsChangedEnable" => notify_members: bool = true, reload, "whether members of a group are told when it changes";
    "defaultQueryMaxNum" => query_max: u32 = 32, range 1..=1024, reload, "messages that a query by unique key answers at most";
    "registerNameServerPeriod" => register_ms: u64 = 30_000, range 10_000..=60_000, reload, "period of registration with the name servers, in ms";
    "registerBrokerTimeoutMills" => register_timeout_ms: u64 = 24_000, range 100..=120_000, reload, "how long a registration may take, in ms";
    "flushConsumerOffsetInterval" => flush_offsets_ms: u64 = 5_000, range 10..=600_000, reload, "period of writing committed offsets, in ms";
    "flushDelayOffsetInterval" => flush_delay_ms: u64 = 10_000, range 10..=600_000, reload, "period of writing the progress of delayed delivery, in ms";
    "useServerSideResetOffset" => server_side_reset: bool = true, reload, "whether a reset of a group's offsets is done here (its members hear of it with their next pull), or handed to its members";
    "storeReplyMessageEnable" => store_replies: bool = true, reload, "whether replies to requests are stored in their topic too";
    "configBlackList" => protected_keys: String = "configBlackList;brokerConfigPath".to_owned(), "keys that no request may change, separated by semicolons";
    "metricsExporterType" => metrics_exporter: MetricsExporter = MetricsExporter::Disable, "PROM opens one more port with the metrics, as the reference does; DISABLE leaves them to the HTTP port (`webPort`). OTLP_GRPC and LOG are taken for DISABLE, with a warning";
    "metricsPromExporterPort" => metrics_port: u16 = 5557, "port for the metrics with PROM";
    "metricsPromExporterHost" => metrics_host: String = String::new(), "IP address that this port is opened on; empty: that of the others";
    "metricsLabel" => metrics_label: String = String::new(), "labels that every metric of the broker gets, name:value separated by commas";
    "metricsOtelCardinalityLimit" => metrics_label_sets: usize = 50_000, range 1..=1_000_000, "topics, and pairs of topic and group, that have metrics of their own; those beyond it count together";
    "enableStatsMetrics" => stats_metrics: bool = true, reload, "whether metrics tell of what waits, and how many topics and groups there are";
    "enableRequestMetrics" => request_metrics: bool = true, reload, "whether metrics tell of messages in and out";
    "enableConnectionMetrics" => connection_metrics: bool = true, reload, "whether metrics tell of connected producers and consumers";
    "enableLagAndDlqMetrics" => lag_metrics: bool = true, reload, "whether metrics tell of how far groups are behind, and of dead letters";
    "enableRemotingMetrics" => remoting_metrics: bool = true, reload, "whether metrics tell of how long requests take";
    "enableMessageStoreMetrics" => store_metrics: bool = true, reload, "whether metrics tell of the store, by the reference's names";
    unused Durability "brokerRole" = "ASYNC_MASTER";
    unused Durability "enableControllerMode" = "false";
    unused Durability "enableSlaveActingMaster" = "false";
    unused Security "authenticationEnabled" = "false";
    unused Security "authorizationEnabled" = "false";
    unused Security "aclEnable" = "false";
}

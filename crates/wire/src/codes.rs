//! The table of request codes: the only list of them in the workspace.
//!
//! It holds every code of 5.4.0's `RequestCode`. A row of a role's section gives the code a place in
//! that role's enum of requests, whose `match` has no wildcard: a new row does not compile until it
//! is placed. A row under `waiting` is known but not served yet and answered with code 3, as is a
//! number that is no row; so are the codes that the reference itself serves nowhere
//! ([`Role::Nobody`]).
//!
//! To serve one more request, move its row to its role's section and declare its header.

use crate::frame::{Frame, FrameWriter};
use crate::header::*;

/// Who serves a request in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Broker; some of these also the proxy.
    Broker,
    /// Name server.
    Namesrv,
    /// Controller.
    Controller,
    /// A client, asked by a server.
    Client,
    /// A process that holds several brokers.
    Container,
    /// A constant without a handler.
    Nobody,
}

/// Requests of one lane are admitted under one limit, so that a flood of one kind leaves the others
/// alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Messages in.
    Send,
    /// Messages out.
    Pull,
    /// Acknowledgments of POP.
    Ack,
    /// Ends of transactions.
    Transaction,
    /// Lookups.
    Query,
    /// Heartbeats and farewells.
    Client,
    /// Coordination of consumers: offsets, members, locks.
    Consume,
    /// Everything else.
    Admin,
}

/// Why a frame is no request of a role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The role does not serve this code. The text is the reference's remark, its first space
    /// included.
    #[error(" request type {0} not supported")]
    NotSupported(i32),
    /// The header is not what the code demands.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

macro_rules! requests {
    (
        $life:lifetime
        $($(#[$doc:meta])* served by $role:ident: $request:ident {$(
            $code:literal $name:literal $variant:ident($header:ty) $lane:ident,
        )*})*
        waiting {$(
            $w_code:literal $w_name:literal $w_variant:ident $w_role:ident $w_lane:ident,
        )*}
    ) => {
        /// A request code of 5.4.0.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum RequestCode {
            $($(#[doc = $name] $variant = $code,)*)*
            $(#[doc = $w_name] $w_variant = $w_code,)*
        }

        impl RequestCode {
            /// Every code, the served ones first.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)* $(Self::$w_variant,)*];

            /// The code with this number.
            #[must_use]
            pub const fn from_code(code: i32) -> Option<Self> {
                match code {
                    $($($code => Some(Self::$variant),)*)*
                    $($w_code => Some(Self::$w_variant),)*
                    _ => None,
                }
            }

            /// The constant's name in the reference.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $($(Self::$variant => $name,)*)*
                    $(Self::$w_variant => $w_name,)*
                }
            }

            /// Who serves it.
            #[must_use]
            pub const fn role(self) -> Role {
                match self {
                    $($(Self::$variant => Role::$role,)*)*
                    $(Self::$w_variant => Role::$w_role,)*
                }
            }

            /// Under which limit it is admitted.
            #[must_use]
            pub const fn lane(self) -> Lane {
                match self {
                    $($(Self::$variant => Lane::$lane,)*)*
                    $(Self::$w_variant => Lane::$w_lane,)*
                }
            }

            /// Whether Apogee serves it.
            #[must_use]
            pub const fn is_served(self) -> bool {
                match self {
                    $($(Self::$variant => true,)*)*
                    $(Self::$w_variant => false,)*
                }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq)]
            pub enum $request<$life> {
                $(#[doc = $name] $variant($header),)*
            }

            impl<$life> $request<$life> {
                /// Reads the request that a frame holds.
                ///
                /// # Errors
                /// When the role does not serve the code, or its header is wrong.
                #[inline]
                pub fn decode(frame: &Frame<$life>) -> Result<Self, RequestError> {
                    Ok(match frame.code {
                        $($code => Self::$variant(Header::decode(frame)?),)*
                        code => return Err(RequestError::NotSupported(code)),
                    })
                }

                /// Writes its header.
                pub fn encode(&self, writer: &mut FrameWriter<'_>) {
                    match self {
                        $(Self::$variant(header) => header.encode(writer),)*
                    }
                }

                /// Its code.
                #[must_use]
                pub const fn code(&self) -> RequestCode {
                    match self {
                        $(Self::$variant(_) => RequestCode::$variant,)*
                    }
                }
            }
        )*
    };
}

requests! {
    'a
    /// What a broker serves.
    served by Broker: BrokerRequest {
        10 "SEND_MESSAGE" SendMessage(SendHeader<'a>) Send,
        11 "PULL_MESSAGE" PullMessage(PullHeader<'a>) Pull,
        12 "QUERY_MESSAGE" QueryMessage(QueryMessageHeader<'a>) Query,
        14 "QUERY_CONSUMER_OFFSET" QueryConsumerOffset(QueryConsumerOffsetHeader<'a>) Consume,
        15 "UPDATE_CONSUMER_OFFSET" UpdateConsumerOffset(UpdateConsumerOffsetHeader<'a>) Consume,
        17 "UPDATE_AND_CREATE_TOPIC" UpdateAndCreateTopic(CreateTopicHeader<'a>) Admin,
        18 "UPDATE_AND_CREATE_TOPIC_LIST" UpdateAndCreateTopicList(NoHeader) Admin,
        21 "GET_ALL_TOPIC_CONFIG" GetAllTopicConfig(GetAllTopicConfigHeader<'a>) Admin,
        25 "UPDATE_BROKER_CONFIG" UpdateBrokerConfig(NoHeader) Admin,
        26 "GET_BROKER_CONFIG" GetBrokerConfig(NoHeader) Admin,
        28 "GET_BROKER_RUNTIME_INFO" GetBrokerRuntimeInfo(NoHeader) Admin,
        29 "SEARCH_OFFSET_BY_TIMESTAMP" SearchOffsetByTimestamp(SearchOffsetHeader<'a>) Query,
        30 "GET_MAX_OFFSET" GetMaxOffset(QueueHeader<'a>) Query,
        31 "GET_MIN_OFFSET" GetMinOffset(QueueHeader<'a>) Query,
        32 "GET_EARLIEST_MSG_STORETIME" GetEarliestMsgStoretime(QueueHeader<'a>) Query,
        33 "VIEW_MESSAGE_BY_ID" ViewMessageById(ViewMessageHeader<'a>) Query,
        34 "HEART_BEAT" HeartBeat(NoHeader) Client,
        35 "UNREGISTER_CLIENT" UnregisterClient(UnregisterClientHeader<'a>) Client,
        36 "CONSUMER_SEND_MSG_BACK" ConsumerSendMsgBack(SendBackHeader<'a>) Send,
        38 "GET_CONSUMER_LIST_BY_GROUP" GetConsumerListByGroup(ConsumerGroupHeader<'a>) Consume,
        41 "LOCK_BATCH_MQ" LockBatchMq(NoHeader) Consume,
        42 "UNLOCK_BATCH_MQ" UnlockBatchMq(NoHeader) Consume,
        43 "GET_ALL_CONSUMER_OFFSET" GetAllConsumerOffset(NoHeader) Admin,
        45 "GET_ALL_DELAY_OFFSET" GetAllDelayOffset(NoHeader) Admin,
        200 "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP" UpdateAndCreateSubscriptiongroup(NoHeader) Admin,
        201 "GET_ALL_SUBSCRIPTIONGROUP_CONFIG" GetAllSubscriptiongroupConfig(GetAllGroupsHeader<'a>) Admin,
        202 "GET_TOPIC_STATS_INFO" GetTopicStatsInfo(TopicHeader<'a>) Admin,
        203 "GET_CONSUMER_CONNECTION_LIST" GetConsumerConnectionList(ConsumerGroupHeader<'a>) Admin,
        204 "GET_PRODUCER_CONNECTION_LIST" GetProducerConnectionList(ProducerGroupHeader<'a>) Admin,
        207 "DELETE_SUBSCRIPTIONGROUP" DeleteSubscriptiongroup(DeleteGroupHeader<'a>) Admin,
        208 "GET_CONSUME_STATS" GetConsumeStats(ConsumeStatsHeader<'a>) Admin,
        215 "DELETE_TOPIC_IN_BROKER" DeleteTopicInBroker(TopicHeader<'a>) Admin,
        222 "INVOKE_BROKER_TO_RESET_OFFSET" InvokeBrokerToResetOffset(ResetOffsetHeader<'a>) Admin,
        223 "INVOKE_BROKER_TO_GET_CONSUMER_STATUS" InvokeBrokerToGetConsumerStatus(ConsumerStatusHeader<'a>) Admin,
        225 "UPDATE_AND_CREATE_SUBSCRIPTIONGROUP_LIST" UpdateAndCreateSubscriptiongroupList(NoHeader) Admin,
        300 "QUERY_TOPIC_CONSUME_BY_WHO" QueryTopicConsumeByWho(TopicHeader<'a>) Admin,
        303 "QUERY_CONSUME_TIME_SPAN" QueryConsumeTimeSpan(ConsumeTimeSpanHeader<'a>) Admin,
        305 "GET_SYSTEM_TOPIC_LIST_FROM_BROKER" GetSystemTopicListFromBroker(NoHeader) Admin,
        306 "CLEAN_EXPIRED_CONSUMEQUEUE" CleanExpiredConsumequeue(NoHeader) Admin,
        307 "GET_CONSUMER_RUNNING_INFO" GetConsumerRunningInfo(RunningInfoHeader<'a>) Admin,
        308 "QUERY_CORRECTION_OFFSET" QueryCorrectionOffset(CorrectionOffsetHeader<'a>) Admin,
        309 "CONSUME_MESSAGE_DIRECTLY" ConsumeMessageDirectly(ConsumeDirectlyHeader<'a>) Admin,
        310 "SEND_MESSAGE_V2" SendMessageV2(SendHeader<'a>) Send,
        314 "CLONE_GROUP_OFFSET" CloneGroupOffset(CloneOffsetsHeader<'a>) Admin,
        315 "VIEW_BROKER_STATS_DATA" ViewBrokerStatsData(StatsHeader<'a>) Admin,
        316 "CLEAN_UNUSED_TOPIC" CleanUnusedTopic(NoHeader) Admin,
        317 "GET_BROKER_CONSUME_STATS" GetBrokerConsumeStats(BrokerConsumeStatsHeader) Admin,
        320 "SEND_BATCH_MESSAGE" SendBatchMessage(SendHeader<'a>) Send,
        321 "QUERY_CONSUME_QUEUE" QueryConsumeQueue(QueryConsumeQueueHeader<'a>) Admin,
        324 "SEND_REPLY_MESSAGE" SendReplyMessage(SendHeader<'a>) Send,
        325 "SEND_REPLY_MESSAGE_V2" SendReplyMessageV2(SendHeader<'a>) Send,
        328 "GET_ALL_PRODUCER_INFO" GetAllProducerInfo(NoHeader) Admin,
        329 "DELETE_EXPIRED_COMMITLOG" DeleteExpiredCommitlog(NoHeader) Admin,
        343 "QUERY_TOPICS_BY_CONSUMER" QueryTopicsByConsumer(GroupHeader<'a>) Admin,
        345 "QUERY_SUBSCRIPTION_BY_CONSUMER" QuerySubscriptionByConsumer(QuerySubscriptionHeader<'a>) Admin,
        351 "GET_TOPIC_CONFIG" GetTopicConfig(TopicHeader<'a>) Admin,
        352 "GET_SUBSCRIPTIONGROUP_CONFIG" GetSubscriptiongroupConfig(GroupHeader<'a>) Admin,
        361 "LITE_PULL_MESSAGE" LitePullMessage(PullHeader<'a>) Pull,
    }
    /// What a name server serves.
    served by Namesrv: NamesrvRequest {
        100 "PUT_KV_CONFIG" PutKvConfig(PutKvConfigHeader<'a>) Admin,
        101 "GET_KV_CONFIG" GetKvConfig(KvKeyHeader<'a>) Admin,
        102 "DELETE_KV_CONFIG" DeleteKvConfig(KvKeyHeader<'a>) Admin,
        103 "REGISTER_BROKER" RegisterBroker(RegisterBrokerHeader<'a>) Admin,
        104 "UNREGISTER_BROKER" UnregisterBroker(UnregisterBrokerHeader<'a>) Admin,
        105 "GET_ROUTEINFO_BY_TOPIC" GetRouteinfoByTopic(GetRouteInfoHeader<'a>) Query,
        106 "GET_BROKER_CLUSTER_INFO" GetBrokerClusterInfo(NoHeader) Admin,
        205 "WIPE_WRITE_PERM_OF_BROKER" WipeWritePermOfBroker(BrokerNameHeader<'a>) Admin,
        206 "GET_ALL_TOPIC_LIST_FROM_NAMESERVER" GetAllTopicListFromNameserver(NoHeader) Admin,
        216 "DELETE_TOPIC_IN_NAMESRV" DeleteTopicInNamesrv(DeleteTopicFromNamesrvHeader<'a>) Admin,
        217 "REGISTER_TOPIC_IN_NAMESRV" RegisterTopicInNamesrv(TopicHeader<'a>) Admin,
        219 "GET_KVLIST_BY_NAMESPACE" GetKvlistByNamespace(KvNamespaceHeader<'a>) Admin,
        224 "GET_TOPICS_BY_CLUSTER" GetTopicsByCluster(ClusterHeader<'a>) Admin,
        304 "GET_SYSTEM_TOPIC_LIST_FROM_NS" GetSystemTopicListFromNs(NoHeader) Admin,
        311 "GET_UNIT_TOPIC_LIST" GetUnitTopicList(NoHeader) Admin,
        312 "GET_HAS_UNIT_SUB_TOPIC_LIST" GetHasUnitSubTopicList(NoHeader) Admin,
        313 "GET_HAS_UNIT_SUB_UNUNIT_TOPIC_LIST" GetHasUnitSubUnunitTopicList(NoHeader) Admin,
        318 "UPDATE_NAMESRV_CONFIG" UpdateNamesrvConfig(NoHeader) Admin,
        319 "GET_NAMESRV_CONFIG" GetNamesrvConfig(NoHeader) Admin,
        322 "QUERY_DATA_VERSION" QueryDataVersion(QueryDataVersionHeader<'a>) Admin,
        327 "ADD_WRITE_PERM_OF_BROKER" AddWritePermOfBroker(BrokerNameHeader<'a>) Admin,
        901 "GET_BROKER_MEMBER_GROUP" GetBrokerMemberGroup(BrokerMemberGroupHeader<'a>) Admin,
        904 "BROKER_HEARTBEAT" BrokerHeartbeat(BrokerHeartbeatHeader<'a>) Admin,
    }
    /// What a server asks of a client.
    served by Client: ClientRequest {
        40 "NOTIFY_CONSUMER_IDS_CHANGED" NotifyConsumerIdsChanged(ConsumerGroupHeader<'a>) Admin,
        220 "RESET_CONSUMER_CLIENT_OFFSET" ResetConsumerClientOffset(ResetOffsetHeader<'a>) Admin,
        221 "GET_CONSUMER_STATUS_FROM_CLIENT" GetConsumerStatusFromClient(ConsumerStatusHeader<'a>) Admin,
        326 "PUSH_REPLY_MESSAGE_TO_CLIENT" PushReplyMessageToClient(PushReplyHeader<'a>) Admin,
    }
    waiting {
        13 "QUERY_BROKER_OFFSET" QueryBrokerOffset Nobody Admin,
        22 "GET_TOPIC_CONFIG_LIST" GetTopicConfigList Nobody Admin,
        23 "GET_TOPIC_NAME_LIST" GetTopicNameList Nobody Admin,
        27 "TRIGGER_DELETE_FILES" TriggerDeleteFiles Nobody Admin,
        37 "END_TRANSACTION" EndTransaction Broker Transaction,
        39 "CHECK_TRANSACTION_STATE" CheckTransactionState Client Admin,
        46 "CHECK_CLIENT_CONFIG" CheckClientConfig Broker Client,
        47 "GET_CLIENT_CONFIG" GetClientConfig Nobody Admin,
        60 "GET_TIMER_CHECK_POINT" GetTimerCheckPoint Broker Admin,
        61 "GET_TIMER_METRICS" GetTimerMetrics Broker Admin,
        209 "SUSPEND_CONSUMER" SuspendConsumer Nobody Admin,
        210 "RESUME_CONSUMER" ResumeConsumer Nobody Admin,
        211 "RESET_CONSUMER_OFFSET_IN_CONSUMER" ResetConsumerOffsetInConsumer Nobody Admin,
        212 "RESET_CONSUMER_OFFSET_IN_BROKER" ResetConsumerOffsetInBroker Nobody Admin,
        213 "ADJUST_CONSUMER_THREAD_POOL" AdjustConsumerThreadPool Nobody Admin,
        214 "WHO_CONSUME_THE_MESSAGE" WhoConsumeTheMessage Nobody Admin,
        301 "REGISTER_FILTER_SERVER" RegisterFilterServer Nobody Admin,
        302 "REGISTER_MESSAGE_FILTER_CLASS" RegisterMessageFilterClass Nobody Admin,
        323 "RESUME_CHECK_HALF_MESSAGE" ResumeCheckHalfMessage Broker Admin,
        353 "UPDATE_AND_GET_GROUP_FORBIDDEN" UpdateAndGetGroupForbidden Broker Admin,
        354 "CHECK_ROCKSDB_CQ_WRITE_PROGRESS" CheckRocksdbCqWriteProgress Broker Admin,
        355 "EXPORT_ROCKSDB_CONFIG_TO_JSON" ExportRocksdbConfigToJson Broker Admin,
        370 "RECALL_MESSAGE" RecallMessage Broker Admin,
        400 "QUERY_ASSIGNMENT" QueryAssignment Broker Consume,
        401 "SET_MESSAGE_REQUEST_MODE" SetMessageRequestMode Broker Consume,
        402 "GET_ALL_MESSAGE_REQUEST_MODE" GetAllMessageRequestMode Broker Admin,
        513 "UPDATE_AND_CREATE_STATIC_TOPIC" UpdateAndCreateStaticTopic Broker Admin,
        902 "ADD_BROKER" AddBroker Container Admin,
        903 "REMOVE_BROKER" RemoveBroker Container Admin,
        905 "NOTIFY_MIN_BROKER_ID_CHANGE" NotifyMinBrokerIdChange Broker Admin,
        906 "EXCHANGE_BROKER_HA_INFO" ExchangeBrokerHaInfo Broker Admin,
        907 "GET_BROKER_HA_STATUS" GetBrokerHaStatus Broker Admin,
        908 "RESET_MASTER_FLUSH_OFFSET" ResetMasterFlushOffset Broker Admin,
        1001 "CONTROLLER_ALTER_SYNC_STATE_SET" ControllerAlterSyncStateSet Controller Admin,
        1002 "CONTROLLER_ELECT_MASTER" ControllerElectMaster Controller Admin,
        1003 "CONTROLLER_REGISTER_BROKER" ControllerRegisterBroker Controller Admin,
        1004 "CONTROLLER_GET_REPLICA_INFO" ControllerGetReplicaInfo Controller Admin,
        1005 "CONTROLLER_GET_METADATA_INFO" ControllerGetMetadataInfo Controller Admin,
        1006 "CONTROLLER_GET_SYNC_STATE_DATA" ControllerGetSyncStateData Controller Admin,
        1007 "GET_BROKER_EPOCH_CACHE" GetBrokerEpochCache Broker Admin,
        1008 "NOTIFY_BROKER_ROLE_CHANGED" NotifyBrokerRoleChanged Broker Admin,
        1009 "UPDATE_CONTROLLER_CONFIG" UpdateControllerConfig Controller Admin,
        1010 "GET_CONTROLLER_CONFIG" GetControllerConfig Controller Admin,
        1011 "CLEAN_BROKER_DATA" CleanBrokerData Controller Admin,
        1012 "CONTROLLER_GET_NEXT_BROKER_ID" ControllerGetNextBrokerId Controller Admin,
        1013 "CONTROLLER_APPLY_BROKER_ID" ControllerApplyBrokerId Controller Admin,
        2001 "UPDATE_COLD_DATA_FLOW_CTR_CONFIG" UpdateColdDataFlowCtrConfig Broker Admin,
        2002 "REMOVE_COLD_DATA_FLOW_CTR_CONFIG" RemoveColdDataFlowCtrConfig Broker Admin,
        2003 "GET_COLD_DATA_FLOW_CTR_INFO" GetColdDataFlowCtrInfo Broker Admin,
        2004 "SET_COMMITLOG_READ_MODE" SetCommitlogReadMode Broker Admin,
        3001 "AUTH_CREATE_USER" AuthCreateUser Broker Admin,
        3002 "AUTH_UPDATE_USER" AuthUpdateUser Broker Admin,
        3003 "AUTH_DELETE_USER" AuthDeleteUser Broker Admin,
        3004 "AUTH_GET_USER" AuthGetUser Broker Admin,
        3005 "AUTH_LIST_USER" AuthListUser Broker Admin,
        3006 "AUTH_CREATE_ACL" AuthCreateAcl Broker Admin,
        3007 "AUTH_UPDATE_ACL" AuthUpdateAcl Broker Admin,
        3008 "AUTH_DELETE_ACL" AuthDeleteAcl Broker Admin,
        3009 "AUTH_GET_ACL" AuthGetAcl Broker Admin,
        3010 "AUTH_LIST_ACL" AuthListAcl Broker Admin,
        5001 "SWITCH_TIMER_ENGINE" SwitchTimerEngine Broker Admin,
        200050 "POP_MESSAGE" PopMessage Broker Pull,
        200051 "ACK_MESSAGE" AckMessage Broker Ack,
        200052 "PEEK_MESSAGE" PeekMessage Broker Pull,
        200053 "CHANGE_MESSAGE_INVISIBLETIME" ChangeMessageInvisibletime Broker Ack,
        200054 "NOTIFICATION" Notification Broker Pull,
        200055 "POLLING_INFO" PollingInfo Broker Pull,
        200056 "POP_ROLLBACK" PopRollback Broker Ack,
        200151 "BATCH_ACK_MESSAGE" BatchAckMessage Broker Ack,
    }
}

impl RequestCode {
    /// Its number.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The table has the 154 codes of 5.4.0, each number and name once, and reads back.
    #[test]
    fn complete() {
        let numbers: BTreeSet<_> = RequestCode::ALL.iter().map(|code| code.code()).collect();
        let names: BTreeSet<_> = RequestCode::ALL.iter().map(|code| code.name()).collect();
        assert_eq!((RequestCode::ALL.len(), numbers.len(), names.len()), (154, 154, 154));
        for code in RequestCode::ALL {
            assert_eq!(RequestCode::from_code(code.code()), Some(*code));
        }
        assert_eq!(RequestCode::from_code(9999), None);
    }

    /// A code that nobody serves says so in the reference's words.
    #[test]
    fn not_supported() {
        let frame = b"\0\0\0\x0f\0\0\0\x0b{\"code\":13}";
        let error = BrokerRequest::decode(&Frame::decode(frame).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), " request type 13 not supported");
        assert!(!RequestCode::QueryBrokerOffset.is_served());
    }
}

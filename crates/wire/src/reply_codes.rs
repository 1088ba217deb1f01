//! Response codes (`ResponseCode` and `RemotingSysResponseCode` of 5.4.0).

macro_rules! reply_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal;)*) => {
        $($(#[$doc])* pub const $name: i32 = $code;)*

        /// The constant's name, for logs and metrics.
        #[must_use]
        pub fn name(code: i32) -> Option<&'static str> {
            match code {
                $($code => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

reply_codes! {
    /// Done.
    SUCCESS = 0;
    /// Any failure without a code of its own.
    SYSTEM_ERROR = 1;
    /// Overload: try again, elsewhere or later.
    SYSTEM_BUSY = 2;
    /// No handler for this request code.
    REQUEST_CODE_NOT_SUPPORTED = 3;
    /// Transaction failed.
    TRANSACTION_FAILED = 4;
    /// Stored, but the flush was not confirmed in time.
    FLUSH_DISK_TIMEOUT = 10;
    /// Stored, but no replica took it. Also: this broker is a slave.
    SLAVE_NOT_AVAILABLE = 11;
    /// Stored, but replication was not confirmed in time.
    FLUSH_SLAVE_TIMEOUT = 12;
    /// The message breaks a rule of size or kind.
    MESSAGE_ILLEGAL = 13;
    /// The store does not take writes.
    SERVICE_NOT_AVAILABLE = 14;
    /// The request needs another version.
    VERSION_NOT_SUPPORTED = 15;
    /// Forbidden by permission, configuration or access control.
    NO_PERMISSION = 16;
    /// Unknown topic.
    TOPIC_NOT_EXIST = 17;
    /// The topic exists.
    TOPIC_EXIST_ALREADY = 18;
    /// No message yet.
    PULL_NOT_FOUND = 19;
    /// Nothing matched: pull again at once from the next offset.
    PULL_RETRY_IMMEDIATELY = 20;
    /// The offset is outside the queue.
    PULL_OFFSET_MOVED = 21;
    /// Nothing found.
    QUERY_NOT_FOUND = 22;
    /// The subscription expression cannot be parsed.
    SUBSCRIPTION_PARSE_FAILED = 23;
    /// The group has no such subscription here.
    SUBSCRIPTION_NOT_EXIST = 24;
    /// The broker knows an older subscription.
    SUBSCRIPTION_NOT_LATEST = 25;
    /// Unknown group.
    SUBSCRIPTION_GROUP_NOT_EXIST = 26;
    /// No filter data for this subscription.
    FILTER_DATA_NOT_EXIST = 27;
    /// Older filter data than the subscription.
    FILTER_DATA_NOT_LATEST = 28;
    /// A field's value is not allowed.
    INVALID_PARAMETER = 29;
    /// Transaction: should be committed.
    TRANSACTION_SHOULD_COMMIT = 200;
    /// Transaction: should be rolled back.
    TRANSACTION_SHOULD_ROLLBACK = 201;
    /// Transaction: undecided.
    TRANSACTION_STATE_UNKNOW = 202;
    /// Transaction: wrong group.
    TRANSACTION_STATE_GROUP_WRONG = 203;
    /// No buyer id.
    NO_BUYER_ID = 204;
    /// Not in this unit.
    NOT_IN_CURRENT_UNIT = 205;
    /// No consumer of the group is connected.
    CONSUMER_NOT_ONLINE = 206;
    /// The consumer did not answer in time.
    CONSUME_MSG_TIMEOUT = 207;
    /// No message.
    NO_MESSAGE = 208;
    /// Too many requests are waiting.
    POLLING_FULL = 209;
    /// Nothing arrived while waiting.
    POLLING_TIMEOUT = 210;
    /// Unknown broker.
    BROKER_NOT_EXIST = 211;
    /// Dispatch lags behind.
    BROKER_DISPATCH_NOT_COMPLETE = 212;
    /// The group consumes by broadcast.
    BROADCAST_CONSUMPTION = 213;
    /// Flow control.
    FLOW_CONTROL = 215;
    /// Another broker leads this logical queue.
    NOT_LEADER_FOR_QUEUE = 501;
    /// Not allowed in this state.
    ILLEGAL_OPERATION = 604;
    /// The server is shutting down: reconnect and send again.
    GO_AWAY = 1500;
    /// Controller: old master epoch.
    CONTROLLER_FENCED_MASTER_EPOCH = 2000;
    /// Controller: old epoch of the set of replicas in sync.
    CONTROLLER_FENCED_SYNC_STATE_SET_EPOCH = 2001;
    /// Controller: not the master.
    CONTROLLER_INVALID_MASTER = 2002;
    /// Controller: unknown replicas.
    CONTROLLER_INVALID_REPLICAS = 2003;
    /// Controller: no master.
    CONTROLLER_MASTER_NOT_AVAILABLE = 2004;
    /// Controller: bad request.
    CONTROLLER_INVALID_REQUEST = 2005;
    /// Controller: the broker is not alive.
    CONTROLLER_BROKER_NOT_ALIVE = 2006;
    /// Controller: another node leads.
    CONTROLLER_NOT_LEADER = 2007;
    /// Controller: unknown broker.
    CONTROLLER_BROKER_METADATA_NOT_EXIST = 2008;
    /// Controller: bad cleaning request.
    CONTROLLER_INVALID_CLEAN_BROKER_METADATA = 2009;
    /// Controller: register first.
    CONTROLLER_BROKER_NEED_TO_BE_REGISTERED = 2010;
    /// Controller: there is a master.
    CONTROLLER_MASTER_STILL_EXIST = 2011;
    /// Controller: no broker could be elected.
    CONTROLLER_ELECT_MASTER_FAILED = 2012;
    /// Controller: the set of replicas in sync was not changed.
    CONTROLLER_ALTER_SYNC_STATE_SET_FAILED = 2013;
    /// Controller: the broker id is taken.
    CONTROLLER_BROKER_ID_INVALID = 2014;
    /// Controller: consensus failed.
    CONTROLLER_JRAFT_INTERNAL_ERROR = 2015;
    /// Controller: no heartbeat of this broker is known.
    CONTROLLER_BROKER_LIVE_INFO_NOT_EXISTS = 2016;
    /// Unknown user.
    USER_NOT_EXIST = 3001;
    /// Unknown policy.
    POLICY_NOT_EXIST = 3002;
}

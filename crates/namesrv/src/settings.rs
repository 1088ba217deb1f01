//! Settings of the name server.

env::settings! {
    /// Settings of the name server (`NamesrvConfig`).
    pub struct NamesrvSettings in "namesrv";
    "listenPort" => port: u16 = 9876, "port for clients and brokers";
    "kvConfigPath" => kv_config_path: String = String::new(), "file of the KV configuration; empty: kvConfig.json in the directory of the role";
    "orderMessageEnable" => order_topics: bool = false, reload, "tell the order configuration of a topic with its route";
    "returnOrderTopicConfigToBroker" => order_topics_to_brokers: bool = true, reload, "answer a registration with the order configuration of all topics";
    "scanNotActiveBrokerInterval" => expire_interval_ms: u64 = 5_000, range 100..=3_600_000, "milliseconds between two looks for brokers that fell silent";
    "supportActingMaster" => acting_master: bool = false, reload, "show the smallest id of a group without a master as its master";
    "enableAllTopicList" => all_topic_list: bool = true, reload, "answer the list of all topics";
    "enableTopicList" => topic_list: bool = true, reload, "answer the lists of topics by cluster and by unit";
    "needWaitForService" => wait_for_service: bool = false, reload, "answer no route until waitSecondsForService have passed since the start";
    "waitSecondsForService" => wait_for_service_s: u64 = 45, range 0..=3_600, reload, "seconds after the start in which brokers register again";
    "deleteTopicWithBrokerRegistration" => delete_missing_topics: bool = false, reload, "a registration takes away the topics that it does not list";
    "configBlackList" => protected_keys: String = "configBlackList;configStorePath;kvConfigPath".to_owned(), "keys that no request may change, separated by semicolons";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_reference() {
        // Shows which keys differ from RocketMQ 5.4.0 on purpose: the path is relative to our own directory.
        let differences = env::settings::java::differences::<NamesrvSettings>(&[
            "NamesrvConfig",
            "NettyServerConfig",
        ]);
        assert_eq!(
            differences,
            [
                "listenPort: 9876 (RocketMQ: 0)",
                "kvConfigPath:  (RocketMQ: (below the home directory))"
            ]
        );
    }
}

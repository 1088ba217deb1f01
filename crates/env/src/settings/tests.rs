use super::*;

crate::choice! {
    enum Flush { Async = "ASYNC_FLUSH", Sync = "SYNC_FLUSH" }
}

crate::settings! {
    struct Store in "store";
    "fileReservedTime" => retention_hours: u32 = 72, range 1..=87_600, reload, "hours a file is kept";
    "maxMessageSize" => max_message_bytes: i32 = 4 << 20, range 1.., "largest body";
    "flushDiskType" => flush: Flush = Flush::Async, "what a send waits for";
    "storePathRootDir" => root: String = "store".to_owned(), "where it is";
    unused Durability "transientStorePoolEnable" = "false";
    unused Security "aclEnable" = "false";
}

crate::settings! {
    struct Broker in "broker";
    "listenPort" => port: u16 = 10911, "port";
    "maxMessageSize" => max_message_bytes: i32 = 4 << 20, "largest body";
}

crate::settings! {
    struct Namesrv in "namesrv";
    "listenPort" => port: u16 = 9876, "port";
}

fn load(properties: &str) -> Result<(Store, Broker, Loaded), String> {
    let mut loader = Loader::default();
    loader.properties("broker.conf", properties).map_err(|error| error.to_string())?;
    let (store, broker) = (loader.take(), loader.take());
    Ok((store, broker, loader.finish().map_err(|error| error.to_string())?))
}

// Two blocks take what they know from one file: a shared key reaches both, others keep defaults.
#[test]
fn blocks_share_a_file() {
    let text =
        "maxMessageSize=1000\nfileReservedTime: 48\nflushDiskType SYNC_FLUSH\nlistenPort = 1 \n";
    let (store, broker, loaded) = load(text).unwrap();
    assert_eq!((store.max_message_bytes, broker.max_message_bytes), (1000, 1000));
    assert_eq!((store.retention_hours, store.flush), (48, Flush::Sync));
    assert_eq!((store.root.as_str(), broker.port), ("store", 1));
    assert!(loaded.is_default("storePathRootDir") && !loaded.is_default("listenPort"));
    assert_eq!(
        loaded.dump(),
        "# broker.conf:2\nstore.fileReservedTime=48\n# broker.conf:1\nstore.maxMessageSize=1000\n\
         # broker.conf:3\nstore.flushDiskType=SYNC_FLUSH\n# default\nstore.storePathRootDir=store\n\
         # broker.conf:4\nbroker.listenPort=1\n# broker.conf:1\nbroker.maxMessageSize=1000\n"
    );
}

// A block that takes the keys of its section only is dumped, also when its plain keys are accepted.
#[test]
fn scoped_settings_are_dumped() {
    let mut loader = Loader::default();
    loader.properties("broker.conf", "listenPort=1\nnamesrv.listenPort=2\n").unwrap();
    let (broker, namesrv): (Broker, Namesrv) = (loader.take(), loader.take_scoped());
    loader.know::<Namesrv>();
    assert_eq!((broker.port, namesrv.port), (1, 2));
    let dump = loader.finish().unwrap().dump();
    assert!(dump.ends_with("# broker.conf:2\nnamesrv.listenPort=2\n"), "{dump}");
}

// What `dump` writes is read back to the same settings.
#[test]
fn dump_can_be_loaded() {
    let (store, _, loaded) =
        load("fileReservedTime=48\nstorePathRootDir=/a b\\\\c\\n\\rd").unwrap();
    let (again, _, _) = load(&loaded.dump()).unwrap();
    assert_eq!((store.root.as_str(), &store), ("/a b\\c\n\rd", &again));
}

// Every problem is reported, each with its place, value, and what is allowed.
#[test]
fn problems_say_what_is_allowed() {
    let text = "fileReservedTime=0\nmaxMessageSize=many\nflushDiskType=MAYBE\nlistenPort=70000\nmaxMesageSize=1\nfoo=1\nstroe.flushDiskType=SYNC_FLUSH\ntransientStorePoolEnable=true\naclEnable=true\n";
    assert_eq!(
        load(text).unwrap_err(),
        "broker.conf:1: fileReservedTime = 0: expected a value in 1..=87600\n\
         broker.conf:2: maxMessageSize = many: expected an integer in -2147483648..=2147483647\n\
         broker.conf:3: flushDiskType = MAYBE: expected one of ASYNC_FLUSH SYNC_FLUSH\n\
         broker.conf:4: listenPort = 70000: expected an integer in 0..=65535\n\
         broker.conf:5: unknown key maxMesageSize; did you mean maxMessageSize?\n\
         broker.conf:6: unknown key foo\n\
         broker.conf:7: unknown key stroe.flushDiskType; did you mean store.flushDiskType?\n\
         broker.conf:8: transientStorePoolEnable = true: durability would not be what it asks for, as this key is not supported; remove it or set it to false\n\
         broker.conf:9: aclEnable = true: security would not be what it asks for, as this key is not supported; remove it or set it to false"
    );
}

// A key of RocketMQ without effect here is warned of; a dangerous one at its default is not.
#[test]
fn known_but_unused_keys() {
    let (_, _, loaded) =
        load("sendMessageThreadPoolNums=9\ntransientStorePoolEnable=FALSE\n").unwrap();
    assert_eq!(loaded.warnings, ["broker.conf:1: sendMessageThreadPoolNums has no effect here"]);

    load("rejectPullConsumerEnable=false\nenableLmq = False \n").unwrap();
    assert_eq!(
        load("readOnlyCommitLogStorePaths=/a\nenableLmq=true\nuseTLS=true\n").unwrap_err(),
        "broker.conf:1: readOnlyCommitLogStorePaths = /a: durability would not be what it asks for, as this key is not supported; remove it\n\
         broker.conf:2: enableLmq = true: durability would not be what it asks for, as this key is not supported; remove it or set it to false\n\
         broker.conf:3: useTLS = true: security would not be what it asks for, as this key is not supported; remove it or set it to false"
    );
}

// Keys that guides have spread, and that RocketMQ itself ignores, are warned of and nothing more.
#[test]
fn keys_that_nobody_honors() {
    let (_, _, loaded) = load("storePathConsumeQueue=/a\nmapedFileSizeCommitLog=1\n").unwrap();
    assert_eq!(
        loaded.warnings,
        [
            "broker.conf:1: storePathConsumeQueue has no effect here, nor in RocketMQ 5.4.0",
            "broker.conf:2: mapedFileSizeCommitLog has no effect here, nor in RocketMQ 5.4.0",
        ]
    );
}

// Later kinds of sources win; a section's own key wins over a plain one in the same source.
#[test]
fn sources_are_layered() {
    let mut loader = Loader::default();
    loader.properties("a.conf", "listenPort=1\nnamesrv.listenPort=2\nlistenPort=3\n").unwrap();
    assert_eq!((loader.take::<Broker>().port, loader.take::<Namesrv>().port), (3, 2));

    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    loader.env([
        variable("APOGEE_LISTEN_PORT", "4"),
        variable("APOGEE_BROKER_PORT", "5"),
        variable("APOGEE_LISTEN_PROT", "6"),
        variable("PATH", "/bin"),
    ]);
    assert_eq!((loader.take::<Broker>().port, loader.take::<Namesrv>().port), (5, 4));
    assert_eq!(loader.take_scoped::<Namesrv>().port, 2);

    loader.flag("broker.listenPort", "7");
    assert_eq!((loader.take::<Broker>().port, loader.take::<Namesrv>().port), (7, 4));
    let warning = "environment variable APOGEE_LISTEN_PROT: not a setting, has no effect; \
                   did you mean APOGEE_LISTEN_PORT?";
    assert_eq!(loader.finish().unwrap().warnings, [warning]);
}

// A TOML file takes our names and RocketMQ's in tables, and RocketMQ's outside.
#[test]
fn toml_tables() {
    let mut loader = Loader::default();
    let text = "maxMessageSize = 7\n[store]\nretention_hours = 0x10\nflush = \"SYNC_FLUSH\"\n[broker]\nlistenPort = 5\n";
    loader.toml("a.toml", text).unwrap();
    let (store, broker): (Store, Broker) = (loader.take(), loader.take());
    loader.finish().unwrap();
    assert_eq!((store.retention_hours, store.flush, store.max_message_bytes), (16, Flush::Sync, 7));
    assert_eq!(broker.port, 5);

    let mut loader = Loader::default();
    let error = loader.toml("a.toml", "[store]\nflush = [1]\n").unwrap_err();
    let expected = "a.toml:2: flush: expected text, a number or a boolean, not a array";
    assert_eq!(error.to_string(), expected);
    assert_eq!(
        loader.toml("a.toml", "a = 1\nb = \n").unwrap_err().problems[0].0.to_string(),
        "a.toml:2"
    );
}

// Keys of a block that is off are accepted.
#[test]
fn known_blocks_are_accepted() {
    let mut loader = Loader::default();
    loader.properties("a.conf", "namesrv.listenPort=2\n").unwrap();
    loader.know::<Namesrv>();
    assert!(loader.finish().unwrap().effective.is_empty());
}

// Live changes: only where the block allows them, checked as at start, told whether they change anything.
#[test]
fn update_follows_the_block() {
    let mut store = Store::default();
    assert_eq!(store.update("fileReservedTime", "5"), Ok(true));
    assert_eq!(store.update("fileReservedTime", " 5"), Ok(false));
    let error = |result: Result<bool, Problem>| result.unwrap_err().to_string();
    assert_eq!(
        error(store.update("fileReservedTime", "0")),
        "fileReservedTime = 0: expected a value in 1..=87600"
    );
    assert_eq!(
        error(store.update("flushDiskType", "SYNC_FLUSH")),
        "flushDiskType can't change while running; set it in the configuration file and restart"
    );
    assert_eq!(
        error(store.update("fileReservdTime", "5")),
        "unknown key fileReservdTime; did you mean fileReservedTime?"
    );
    assert_eq!(store.retention_hours, 5);
}

// The reference page and the comparison with RocketMQ come from the same block.
#[test]
fn docs_and_differences() {
    assert!(
        docs_rows::<Store>().ends_with(
            "| `storePathRootDir` | `store.root` | text | `store` |  |  | where it is |\n"
        )
    );
    assert!(docs_rows::<Store>().contains(
        "| `fileReservedTime` | `store.retention_hours` | an integer | `72` | 1..=87600 | yes | hours a file is kept |\n"
    ));
    assert_eq!(
        java::differences::<Namesrv>(&["NettyServerConfig"]),
        ["listenPort: 9876 (RocketMQ: 0)"]
    );
    assert!(java::all().count() > 600);
}

// The `.properties` format as `java.util.Properties.load` defines it.
#[test]
fn properties_format() {
    let check = |text: &str, expected: &[(&str, &str)]| {
        let parsed = properties::parse(text).unwrap();
        let parsed: Vec<_> = parsed.iter().map(|p| (p.key.as_str(), p.value.as_str())).collect();
        assert_eq!(parsed, expected, "{text:?}");
    };
    check("a=1\r\nb:2\rc 3\n\n  # x\n!y\n", &[("a", "1"), ("b", "2"), ("c", "3")]);
    check("  a  =  1 \n", &[("a", "1 ")]);
    check("a = b = c : d\n", &[("a", "b = c : d")]);
    check("a = 1,\\\n    2,\\\r\n\t3\nb=\\\\\nc", &[("a", "1,2,3"), ("b", "\\"), ("c", "")]);
    check("a\\ b\\=c = \\u00e9\\ud83d\\uDE00\\t\\q", &[("a b=c", "é😀\tq")]);
    check("# a \\\nb=1\n", &[("b", "1")]);
    check("a=1\\", &[("a", "1")]);
    check("", &[]);
    for bad in ["a=\\u12", "a=\\u+123", "a=\\ud83d"] {
        assert_eq!(properties::parse(&format!("\n{bad}")).unwrap_err().0, 2, "{bad}");
    }
}

// Every key that must not be ignored is one of RocketMQ's; the lists are sorted, as their search needs.
#[test]
fn risky_keys_exist() {
    let risky = java::all().filter(|java| java::risk(java.key).is_some());
    let keys: std::collections::BTreeSet<&str> = risky.map(|java| java.key).collect();
    assert_eq!(keys.len(), java::risky_keys().count());
    assert!(java::risky_keys().all(|key| keys.contains(key) && java::risk(key).is_some()));
    assert!(java::all().all(|java| !java::is_ignored(java.key)));
    assert!(java::is_ignored("abortFile") && java::is_ignored("storePathIndex"));
}

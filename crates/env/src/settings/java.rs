//! Every setting of RocketMQ 5.4.0, as generated from its configuration classes.

/// One field of a configuration class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JavaSetting {
    /// Class without package: `BrokerConfig`, `MessageStoreConfig`, `NettyServerConfig`, …
    pub class: &'static str,
    /// The key in a configuration file.
    pub key: &'static str,
    /// Java's type of the field.
    pub kind: &'static str,
    /// The default as text. `(host)` and the like stand for values that depend on the machine.
    pub default: &'static str,
}

/// All of them, in the order of the classes.
pub fn all() -> impl Iterator<Item = JavaSetting> {
    include_str!("java-5.4.0.tsv").lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let mut column = || columns.next();
        let (class, key, kind) = (column()?, column()?, column()?);
        Some(JavaSetting { class, key, kind, default: column().unwrap_or_default() })
    })
}

/// How the settings of `S` differ from RocketMQ's in `classes`: keys it does not have, and other
/// defaults. For a test that lists the intended differences.
pub fn differences<S: super::Settings>(classes: &[&str]) -> Vec<String> {
    let ours = S::default();
    let mut found = Vec::new();
    for (key, default) in ours.entries() {
        let mut java = all().filter(|java| classes.contains(&java.class) && java.key == key);
        match java.next() {
            None => found.push(format!("{key}: not in RocketMQ")),
            Some(java) if java.default != default => {
                found.push(format!("{key}: {default} (RocketMQ: {})", java.default));
            }
            Some(_) => {}
        }
    }
    found
}

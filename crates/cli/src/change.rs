//! What a change would alter, before it is made.

use serde::Serialize;
use serde_json::Value;

use crate::output::{Format, Output};

/// One value that changes at one broker.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    pub(crate) broker: String,
    pub(crate) key: String,
    pub(crate) old: String,
    pub(crate) new: String,
}

impl Change {
    /// The fields of two records that differ.
    pub(crate) fn between(
        broker: &str,
        old: &impl Serialize,
        new: &impl Serialize,
    ) -> anyhow::Result<Vec<Change>> {
        let (old, new) = (serde_json::to_value(old)?, serde_json::to_value(new)?);
        let mut changes = Vec::new();
        if let (Value::Object(old), Value::Object(new)) = (old, new) {
            for key in old.keys().chain(new.keys().filter(|key| !old.contains_key(*key))) {
                let show = |value: Option<&Value>| match value {
                    None => String::new(),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                let (old, new) = (old.get(key), new.get(key));
                if old != new {
                    changes.push(Change {
                        broker: broker.to_owned(),
                        key: key.clone(),
                        old: show(old),
                        new: show(new),
                    });
                }
            }
        }
        Ok(changes)
    }

    /// Shows changes as a table, or one per line.
    pub(crate) fn print(
        changes: &[Change],
        format: Format,
        output: &mut Output,
    ) -> std::io::Result<()> {
        if format == Format::Json {
            return changes.iter().try_for_each(|change| output.json(change));
        }
        let rows = changes.iter().map(|change| {
            [&change.broker, &change.key, &change.old, &change.new].map(String::clone).to_vec()
        });
        output.table(&["BROKER", "KEY", "OLD", "NEW"], &rows.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // Only what differs is shown, fields that come or go too, texts without quotes.
    #[test]
    fn differences() {
        let (old, new) = (json!({"a": 1, "b": "x", "c": 1}), json!({"a": 1, "b": "y", "d": {}}));
        let changes = Change::between("broker-a", &old, &new).unwrap();
        let change = |key: &str, old: &str, new: &str| Change {
            broker: "broker-a".to_owned(),
            key: key.to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        };
        assert_eq!(changes, [change("b", "x", "y"), change("c", "1", ""), change("d", "", "{}")]);
    }
}

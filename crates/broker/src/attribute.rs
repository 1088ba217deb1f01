//! Attributes of topics and groups: which there are, and the changes that administrators ask for (broker-semantics
//! §1.5). A change is `+key=value` or `-key`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Attributes by key.
pub type Attributes = BTreeMap<String, String>;

/// Whose attributes are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// A topic's.
    Topic,
    /// A group's.
    Group,
}

/// Why a change of attributes is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AttributeError {
    /// It is not in the language, or there is no such attribute or value.
    #[error("{0}")]
    Bad(String),
    /// Messages of all types in one topic: the reference has a setting for it, which is off (`enableMixedMessageType`).
    #[error("MIXED message type is not supported.")]
    Mixed,
}

/// What an attribute may be.
enum Values {
    OneOf(&'static [&'static str]),
    Number(RangeInclusive<i64>),
}

/// An attribute that there is.
struct Attribute {
    values: Values,
    /// Whether it may change once its topic or group exists.
    changeable: bool,
}

/// Makes changes that come as a text, separated by commas.
///
/// # Errors
/// When one of them is refused; some may have been made then.
pub fn modify_by_text(
    of: Of,
    current: &mut Attributes,
    text: &str,
    creating: bool,
) -> Result<(), AttributeError> {
    for change in text.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        let (key, value) = match change.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (change, None),
        };
        modify(of, current, key, value, creating)?;
    }
    Ok(())
}

/// The attributes that come of `current` by changes whose keys have the sign; of a new topic or group if there are none.
///
/// # Errors
/// When one of them is refused.
pub fn merged(
    of: Of,
    current: Option<&Attributes>,
    changes: &Attributes,
) -> Result<Attributes, AttributeError> {
    let mut attributes = current.cloned().unwrap_or_default();
    for (key, value) in changes {
        modify(of, &mut attributes, key, Some(value), current.is_none())?;
    }
    Ok(attributes)
}

fn modify(
    of: Of,
    current: &mut Attributes,
    change: &str,
    value: Option<&str>,
    creating: bool,
) -> Result<(), AttributeError> {
    let bad = |message: String| Err(AttributeError::Bad(message));
    if let Some(key) = change.strip_prefix('+') {
        let Some(value) = value else {
            return bad(format!("attribute [{change}] is not of the form +key=value"));
        };
        if (of, key, value) == (Of::Topic, "message.type", "MIXED") {
            return Err(AttributeError::Mixed);
        }
        let attribute = find(of, key)?;
        attribute.values.check(key, value)?;
        let changes = !creating && current.get(key).is_none_or(|old| old != value);
        if changes && !attribute.changeable {
            return bad(format!("attempt to update an unchangeable attribute. key: {key}"));
        }
        current.insert(key.to_owned(), value.to_owned());
        return Ok(());
    }
    let Some(key) = change.strip_prefix('-') else {
        return bad(format!("attribute [{change}] starts with neither + nor -"));
    };
    if creating {
        return bad(format!("only add attribute is supported while creating topic. key: {key}"));
    }
    if current.remove(key).is_none() {
        return bad(format!("attempt to delete a nonexistent key: {key}"));
    }
    Ok(())
}

fn find(of: Of, key: &str) -> Result<Attribute, AttributeError> {
    let attribute = |values, changeable| Ok(Attribute { values, changeable });
    match (of, key) {
        (Of::Topic, "queue.type") => attribute(Values::OneOf(&["SimpleCQ"]), false),
        (Of::Topic, "cleanup.policy") => attribute(Values::OneOf(&["DELETE"]), false),
        (Of::Topic, "message.type") => {
            let types: &[&str] =
                &["UNSPECIFIED", "NORMAL", "FIFO", "DELAY", "TRANSACTION", "PRIORITY"];
            attribute(Values::OneOf(types), true)
        }
        // Hours; -1 is the broker's own retention.
        (Of::Topic, "reserve.time") => attribute(Values::Number(-1..=i64::MAX), true),
        (Of::Group, "priority.factor") => attribute(Values::Number(0..=100), true),
        _ => Err(AttributeError::Bad(format!("unsupported key: {key}"))),
    }
}

impl Values {
    fn check(&self, key: &str, value: &str) -> Result<(), AttributeError> {
        let allowed = match self {
            Values::OneOf(values) if values.contains(&value) => return Ok(()),
            Values::OneOf(values) => values.join(", "),
            Values::Number(range) if value.parse().is_ok_and(|n| range.contains(&n)) => {
                return Ok(());
            }
            Values::Number(range) => format!("{} to {}", range.start(), range.end()),
        };
        Err(AttributeError::Bad(format!("{key}={value} is not supported; allowed: {allowed}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the attribute language: add, change, remove, and what may not change.
    #[test]
    fn attributes_are_modified_by_text() {
        let mut attributes = Attributes::new();
        let mut modify = |text, creating| {
            let modified = modify_by_text(Of::Topic, &mut attributes, text, creating);
            (modified.is_ok(), attributes.len())
        };
        assert_eq!(modify("+message.type=FIFO, +cleanup.policy=DELETE,", true), (true, 2));
        assert_eq!(modify("+queue.type=SimpleCQ", false), (false, 2));
        assert_eq!(modify("+cleanup.policy=DELETE,+reserve.time=-1", false), (true, 3));
        assert_eq!(modify("-message.type", false), (true, 2));
        for refused in ["-message.type", "message.type=FIFO", "+message.type", "+reserve.time=-2"] {
            assert_eq!(modify(refused, false), (false, 2), "{refused}");
        }
        assert_eq!(modify("+nonsense=1", true), (false, 2));
        assert_eq!(modify("+message.type=MIXED", false), (false, 2));
        assert_eq!(modify("-cleanup.policy", true), (false, 2));
    }

    /// Shows that a group has attributes of its own, and that no changes leave it those that it has.
    #[test]
    fn groups_have_their_own() {
        let changes =
            |key: &str, value: &str| Attributes::from([(key.to_owned(), value.to_owned())]);
        let merged = |current: Option<&Attributes>, changes| merged(Of::Group, current, &changes);
        let one = merged(None, changes("+priority.factor", "0")).unwrap();
        assert_eq!(one, changes("priority.factor", "0"));
        assert_eq!(merged(Some(&one), Attributes::new()).unwrap(), one);
        assert_eq!(merged(Some(&one), changes("-priority.factor", "")).unwrap(), Attributes::new());
        for (key, value) in [
            ("+priority.factor", "101"),
            ("priority.factor", "1"),
            ("+message.type", "FIFO"),
            ("-priority.factor", ""),
        ] {
            assert!(merged(None, changes(key, value)).is_err(), "{key}={value}");
        }
    }
}

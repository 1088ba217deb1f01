//! What can be wrong with settings.

use std::fmt;

use super::{Origin, Risk};

/// Everything that is wrong with the given settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SettingsError {
    /// At least one problem, in the order of the sources, each with the place it was found at.
    pub problems: Vec<(Origin, Problem)>,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (origin, problem)) in self.problems.iter().enumerate() {
            let line = if index == 0 { "" } else { "\n" };
            write!(f, "{line}{origin}: {problem}")?;
        }
        Ok(())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The value does not fit the setting.
    #[error("{key} = {value}: expected {expected}")]
    Value {
        /// The setting.
        key: String,
        /// What it was given.
        value: String,
        /// What it takes.
        expected: String,
    },
    /// Nobody knows the key.
    #[error("unknown key {key}{}", did_you_mean(.suggestion.as_deref()))]
    Unknown {
        /// The key.
        key: String,
        /// A known one that looks like it.
        suggestion: Option<String>,
    },
    /// RocketMQ honors the key, this system does not, and it is not harmless.
    #[error(
        "{key} = {value}: {risk} would not be what it asks for, as this key is not supported; remove it{}", or_set_to(.default))]
    Unsupported {
        /// The setting.
        key: String,
        /// What it was given.
        value: String,
        /// The value that describes what this system does.
        default: String,
        /// What the key is about.
        risk: Risk,
    },
    /// The setting can't change while running.
    #[error("{key} can't change while running; set it in the configuration file and restart")]
    NotReloadable {
        /// The setting.
        key: String,
    },
    /// The source can't be read as what it should be.
    #[error("{0}")]
    Syntax(String),
}

impl Problem {
    pub(super) fn value(key: &str, value: &str, expected: String) -> Problem {
        Problem::Value { key: key.to_owned(), value: value.to_owned(), expected }
    }

    /// An unknown key, with the known one that it may be a slip of.
    pub fn unknown<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Problem {
        Problem::Unknown { key: key.to_owned(), suggestion: nearest(key, known) }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Risk::Durability => "durability",
            Risk::Security => "security",
        })
    }
}

fn or_set_to(default: &str) -> String {
    match default {
        // In the list of RocketMQ's settings: nothing, or what depends on the machine.
        "" | "null" => String::new(),
        default if default.starts_with('(') => String::new(),
        default => format!(" or set it to {default}"),
    }
}

pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// The known name nearest to `key`, if a slip of the keys can explain the difference.
pub(super) fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    /// No known key is longer; it bounds the work for a hostile one.
    const MAX_KEY: usize = 80;
    if key.len() > MAX_KEY {
        return None;
    }
    let allowed = (key.len() / 4).max(1);
    let (distance, name) =
        known.map(|name| (edit_distance(key, name), name)).min_by_key(|(distance, _)| *distance)?;
    (distance <= allowed).then(|| name.to_owned())
}

/// Levenshtein's distance, with upper and lower case equal.
fn edit_distance(a: &str, b: &str) -> usize {
    let b = b.to_ascii_lowercase().into_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.to_ascii_lowercase().bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

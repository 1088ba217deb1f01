//! Settings: one [`settings!`](crate::settings!) block per crate, and what follows from it.
//!
//! A block names each setting once: RocketMQ's key, our field, type, default, range, whether it may
//! change while running, and what it means. From that come the typed struct with its defaults, the
//! [`Loader`] that fills several such structs from one file, the environment and flags, the answer to
//! get-config requests ([`Settings::entries`]), live changes ([`Settings::update`]) and the reference
//! page ([`docs_rows`]).
//!
//! A key may be known without being used: all keys of RocketMQ 5.4.0 are ([`java`]). Using one of
//! those has no effect and is warned of once; but the start fails if it would have changed durability
//! or security ([`java::risk`]; a block can state its own with `unused`).
//!
//! ```
//! env::settings! {
//!     /// Settings of the store.
//!     pub struct StoreSettings in "store";
//!     "fileReservedTime" => retention_hours: u32 = 72, range 1..=87_600, reload, "hours after which a file may go";
//!     "flushDiskType" => flush: FlushDiskType = FlushDiskType::AsyncFlush, "what an answer to a send waits for";
//!     unused Durability "transientStorePoolEnable" = "false";
//! }
//! env::choice! {
//!     /// What an answer to a send waits for.
//!     pub enum FlushDiskType {
//!         /// Nothing.
//!         AsyncFlush = "ASYNC_FLUSH",
//!         /// The device.
//!         SyncFlush = "SYNC_FLUSH",
//!     }
//! }
//!
//! let mut loader = env::settings::Loader::default();
//! loader.properties("broker.conf", "fileReservedTime = 48\n")?;
//! let store: StoreSettings = loader.take();
//! let loaded = loader.finish()?;
//! assert_eq!(store.retention_hours, 48);
//! assert!(loaded.warnings.is_empty());
//! # Ok::<(), env::settings::SettingsError>(())
//! ```

mod error;
mod file;
pub mod java;
mod loader;
mod macros;
mod properties;
#[cfg(test)]
mod tests;
mod toml_text;
mod value;

use std::ops::{Bound, RangeBounds};

pub use error::{Problem, SettingsError};
pub use file::{Change, SettingsFile};
pub use loader::{Effective, Loaded, Loader, Origin};
pub use value::Value;

/// A struct made by [`settings!`](crate::settings!).
pub trait Settings: Clone + Default + Send + Sync + Sized + 'static {
    /// Its table in a TOML file, and the prefix (`section.key`) that addresses it alone elsewhere.
    const SECTION: &'static str;
    /// Its settings, in the order of the block.
    const ROWS: &'static [Row<Self>];
    /// Keys that it does not honor and whose change must not go unnoticed.
    const UNUSED: &'static [Unused];

    /// The row of a RocketMQ key.
    fn row(key: &str) -> Option<&'static Row<Self>> {
        Self::ROWS.iter().find(|row| row.key == key)
    }

    /// All keys with their present values, in the order of the block.
    fn entries(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        Self::ROWS.iter().map(|row| (row.key, (row.get)(self)))
    }

    /// Changes a setting of a running process. Returns whether the value is another than before.
    fn update(&mut self, key: &str, text: &str) -> Result<bool, Problem> {
        let Some(row) = Self::row(key) else {
            return Err(Problem::unknown(key, Self::ROWS.iter().map(|row| row.key)));
        };
        if !row.reload {
            return Err(Problem::NotReloadable { key: key.to_owned() });
        }
        let before = (row.get)(self);
        (row.set)(self, text).map_err(|expected| Problem::value(key, text, expected))?;
        Ok((row.get)(self) != before)
    }
}

/// One setting of the struct `S`.
#[derive(Debug)]
pub struct Row<S> {
    /// RocketMQ's name of it.
    pub key: &'static str,
    /// Our name: the field, and the key in TOML.
    pub field: &'static str,
    /// What kind of value it takes, for a reader.
    pub kind: &'static str,
    /// The allowed values, for a reader; absent when the kind says it all.
    pub range: Option<fn() -> String>,
    /// Whether it may change while running.
    pub reload: bool,
    /// What it means, with the unit.
    pub doc: &'static str,
    /// The present value as text.
    pub get: fn(&S) -> String,
    /// Parses and sets the value. An error says what is expected instead.
    pub set: fn(&mut S, &str) -> Result<(), String>,
}

/// A RocketMQ key that is not honored.
#[derive(Debug)]
pub struct Unused {
    /// RocketMQ's name of it.
    pub key: &'static str,
    /// The value that describes what this system does.
    pub default: &'static str,
    /// What a change of it would have changed.
    pub risk: Risk,
}

/// Why an ignored key would be dangerous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Risk {
    /// Which answered messages survive what, or what is stored.
    Durability,
    /// Who may do what, or who can read along.
    Security,
}

/// The pairs of a text in the format of `java.util.Properties.load`, in order: what an update-config
/// request carries.
///
/// # Errors
/// [`Problem::Syntax`] with the line.
pub fn properties(text: &str) -> Result<Vec<(String, String)>, Problem> {
    let malformed = |(line, what): (usize, String)| Problem::Syntax(format!("line {line}: {what}"));
    let pairs = properties::parse(text).map_err(malformed)?;
    Ok(pairs.into_iter().map(|property| (property.key, property.value)).collect())
}

/// Rows of the reference page of `S`, as a Markdown table with its head.
pub fn docs_rows<S: Settings>() -> String {
    let defaults = S::default();
    let mut page = String::from(
        "| key | in `[section]` of TOML | type | default | range | live | meaning |\n|---|---|---|---|---|---|---|\n",
    );
    for row in S::ROWS {
        let default = (row.get)(&defaults);
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        let range = row.range.map_or_else(String::new, |range| range());
        let live = if row.reload { "yes" } else { "" };
        let (section, Row { key, field, kind, doc, .. }) = (S::SECTION, row);
        page += &format!(
            "| `{key}` | `{section}.{field}` | {kind} | {default} | {range} | {live} | {doc} |\n"
        );
    }
    page
}

/// For the macro: sets `field` to the value of `text`, if it lies in `range`.
#[doc(hidden)]
pub fn set_in_range<T: Value + PartialOrd>(
    field: &mut T,
    text: &str,
    range: &impl RangeBounds<T>,
) -> Result<(), String> {
    let value = T::parse(text)?;
    if !range.contains(&value) {
        return Err(format!("a value in {}", range_text(range)));
    }
    *field = value;
    Ok(())
}

/// For the macro: a range as a reader expects it.
#[doc(hidden)]
pub fn range_text<T: Value>(range: &impl RangeBounds<T>) -> String {
    let text = |bound: Bound<&T>| match bound {
        Bound::Included(value) | Bound::Excluded(value) => value.render(),
        Bound::Unbounded => String::new(),
    };
    let dots = if matches!(range.end_bound(), Bound::Included(_)) { "..=" } else { ".." };
    format!("{}{dots}{}", text(range.start_bound()), text(range.end_bound()))
}

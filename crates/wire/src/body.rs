//! JSON bodies: what they mean, how they are read, and how they are written.
//!
//! Read leniently, written strictly. Peers write fastjson's dialect (unquoted and object keys,
//! references) and freely exchange numbers, booleans, enums and their texts; [`read`] takes all of
//! it, and null for missing. What [`write()`] gives is compact strict JSON that every client parses:
//! keys in alphabetical order, integer keys quoted, nothing null. Fields are declared in that order.
//! Only tables with queues as keys have no strict form that Java reads ([`write_tables`]).

mod coerce;
mod group;
mod heartbeat;
mod inspect;
pub mod lenient;
mod lock;
mod offsets;
mod register;
mod route;
mod running;
mod topic;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use group::*;
pub use heartbeat::*;
pub use inspect::*;
pub use lock::*;
pub use offsets::*;
pub use register::*;
pub use route::*;
pub use running::*;
pub use topic::*;

/// Why a body cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is no JSON, even leniently, or exceeds a limit.
    #[error("{what} at byte {at} of the body")]
    Syntax {
        /// What is wrong.
        what: &'static str,
        /// Position in the body.
        at: usize,
    },
    /// It does not have the type's shape.
    #[error("the body does not fit: {0}")]
    Shape(String),
}

/// Reads a body of type `T`.
///
/// # Errors
/// When the body is no JSON even leniently, or does not have the shape of `T`.
pub fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    coerce::from_value(lenient::parse(body)?)
}

/// Writes a body.
///
/// # Panics
/// If `T` has map keys that are neither texts nor numbers; no type of this module has.
#[must_use]
pub fn write<T: Serialize>(body: &T) -> Vec<u8> {
    serde_json::to_vec(body).expect("bodies are texts, numbers, lists and maps of them")
}

/// Version of a table, bumped with each change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DataVersion {
    /// Number of changes.
    pub counter: i64,
    /// Set from outside; 0 unless a controller is used.
    pub state_version: i64,
    /// Time of the last change, ms since the epoch.
    pub timestamp: i64,
}

/// A table of texts: answers to 28, 103 and 219.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KVTable {
    /// The table.
    pub table: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;

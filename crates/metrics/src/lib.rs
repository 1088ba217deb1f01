//! What is counted, and how monitoring systems are told.
//!
//! Owns: [`Counter`] and [`Histogram`], a few relaxed atomics each, and [`Page`], the text format of Prometheus. Who
//! counts something keeps its counters where it counts and writes them onto a page when somebody asks: there is no
//! registry, no look-up and no lock on the way of a message.
//!
//! Invariants: a family's head stands once, before its samples; a label's value is escaped; a histogram's buckets are
//! cumulative and end with the count. Absent: sockets, clocks, names of families.
//!
//! Start at [`Page`].

mod counter;
mod histogram;
mod page;

pub use counter::Counter;
pub use histogram::{Bounds, Histogram, Tally};
pub use page::{Family, Kind, Page, PageLabels};

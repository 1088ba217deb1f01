//! The crash-loss table.

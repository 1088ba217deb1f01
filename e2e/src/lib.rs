//! End-to-end tests: the built binary and the reference, driven by foreign clients.

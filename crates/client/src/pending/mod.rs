//! Parts of the wire format that the client encodes itself.

pub(crate) mod batch;
pub(crate) mod compress;

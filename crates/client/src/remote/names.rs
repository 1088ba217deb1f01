//! The name servers: one is asked until it fails, then the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wire::FrameWriter;
use wire::codes::RequestCode;
use wire::header::Header;

use super::{Answer, Remote};
use crate::error::{CallError, StartError};
use crate::limits;

/// Addresses of the name servers, never none.
pub(super) struct NameServers {
    addresses: Vec<Arc<str>>,
    current: AtomicUsize,
}

impl NameServers {
    /// `start` should be random, so that clients spread over the servers.
    pub(super) fn new(addresses: &[String], start: u64) -> Result<NameServers, StartError> {
        let addresses: Vec<Arc<str>> = addresses.iter().map(|text| text.as_str().into()).collect();
        let count = u64::try_from(addresses.len()).unwrap_or(u64::MAX);
        let current = start.checked_rem(count).ok_or(StartError::NoNameServer)?;
        Ok(NameServers { addresses, current: AtomicUsize::new(current as usize) })
    }

    pub(super) fn all(&self) -> &[Arc<str>] {
        &self.addresses
    }

    fn index(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.addresses.len()
    }
}

impl Remote {
    /// The name server that is asked now.
    pub(crate) fn name_server(&self) -> Arc<str> {
        self.names.all()[self.names.index()].clone()
    }

    /// Every name server.
    pub(crate) fn name_servers(&self) -> &[Arc<str>] {
        self.names.all()
    }

    /// The error of a route that did not come in time.
    pub(crate) fn no_route_within(&self, after: Duration) -> CallError {
        let request = RequestCode::GetRouteinfoByTopic.name();
        CallError::Timeout { request, address: self.name_server(), after }
    }

    /// Asks a name server; the next one when there is no answer.
    pub(super) async fn ask_names<'a>(
        &self,
        request: RequestCode,
        header: &impl Header<'a>,
    ) -> Result<Answer, CallError> {
        let mut index = self.names.index();
        let mut tries = self.names.all().len();
        loop {
            let address = &self.names.all()[index];
            let write = |out: &mut FrameWriter<'_>| header.encode(out);
            let error = match self.call(address, request, write, &[], limits::CALL_TIMEOUT).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries -= 1;
            if tries == 0 {
                return Err(error);
            }
            tracing::warn!(%error, "asking another name server");
            index = (index + 1) % self.names.all().len();
            self.names.current.store(index, Ordering::Relaxed);
        }
    }
}

//! Requests of administrators about a broker itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use wire::body::KVTable;
use wire::codes::RequestCode;
use wire::header::NoHeader;

use super::Remote;
use crate::error::CallError;
use crate::limits;

impl Remote {
    /// What a broker says of itself (`getRuntimeInfo`).
    pub(crate) async fn runtime(
        &self,
        address: &Arc<str>,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let request = RequestCode::GetBrokerRuntimeInfo;
        Ok(self.administer(address, request, &NoHeader).await?.json::<KVTable>()?.table)
    }

    /// The settings in effect.
    pub(crate) async fn settings(
        &self,
        address: &Arc<str>,
    ) -> Result<BTreeMap<String, String>, CallError> {
        let answer = self.administer(address, RequestCode::GetBrokerConfig, &NoHeader).await?;
        let body = answer.body();
        let text = std::str::from_utf8(&body).map_err(|error| answer.malformed(error))?;
        // Brokers write the values as they are, without the escapes of a properties file.
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        Ok(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    /// Changes settings of a running broker; `properties` is the text of a properties file.
    pub(crate) async fn change_settings(
        &self,
        address: &Arc<str>,
        properties: &str,
    ) -> Result<(), CallError> {
        let (request, body) = (RequestCode::UpdateBrokerConfig, properties.as_bytes());
        let answer = self.call(address, request, |_| {}, body, limits::ADMIN_TIMEOUT).await?;
        answer.success().map(drop)
    }
}

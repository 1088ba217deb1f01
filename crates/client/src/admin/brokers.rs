//! Brokers themselves: what they say of themselves, and their settings.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Admin, At};
use crate::error::AdminError;

/// Names with their values.
type Table = BTreeMap<String, String>;

impl Admin {
    /// What a broker says of itself: versions, rates, positions, disk use, under the names that
    /// RocketMQ gives them (`msgPutTotalTodayNow`, `commitLogDiskRatio`, …). `broker` is a name, which
    /// means its master, or an address.
    ///
    /// # Errors
    /// When there is no such broker, or it does not answer.
    pub async fn broker_status(&self, broker: &str) -> Result<At<Table>, AdminError> {
        let At { broker, address, .. } = self.broker(broker).await?;
        let value = self.client.remote().runtime(&address).await?;
        Ok(At { broker, address, value })
    }

    /// The settings in effect at a broker.
    ///
    /// # Errors
    /// As [`Admin::broker_status`].
    pub async fn broker_settings(&self, broker: &str) -> Result<At<Table>, AdminError> {
        let At { broker, address, .. } = self.broker(broker).await?;
        let value = self.client.remote().settings(&address).await?;
        Ok(At { broker, address, value })
    }

    /// Changes settings of a running broker and of its file, all or none, and returns those in
    /// effect afterwards. Java brokers ignore keys that they do not know: compare.
    ///
    /// # Errors
    /// When a pair cannot be written, there is no such broker, or it refuses.
    pub async fn change_broker_settings(
        &self,
        broker: &str,
        changes: &[(String, String)],
    ) -> Result<At<Table>, AdminError> {
        let text = properties(changes)?;
        let At { broker, address, .. } = self.broker(broker).await?;
        self.client.remote().change_settings(&address, &text).await?;
        let value = self.client.remote().settings(&address).await?;
        Ok(At { broker, address, value })
    }
}

/// The text of a properties file, in which a backslash escapes.
fn properties(changes: &[(String, String)]) -> Result<String, AdminError> {
    let mut text = String::new();
    for (key, value) in changes {
        let bad_key = key.trim().is_empty() || key.contains(['\n', '\r', '=', ':', ' ', '\\']);
        if bad_key || value.contains(['\n', '\r']) {
            return Err(AdminError::InvalidSetting { key: key.clone() });
        }
        let value = value.replace('\\', "\\\\");
        writeln!(text, "{key}={value}").expect("a string takes all text");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Values survive the way through a properties file; what would be read as another key does not
    // get that far.
    #[test]
    fn settings_are_written_as_properties() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let text = properties(&[pair("a", "1"), pair("b", "c:\\d = e")]).unwrap();
        assert_eq!(text, "a=1\nb=c:\\\\d = e\n");
        for (key, value) in [("", "1"), ("a=b", "1"), ("a\nb", "1"), ("a", "1\nb=2"), ("a b", "1")]
        {
            let error = properties(&[pair(key, value)]).unwrap_err();
            assert!(matches!(error, AdminError::InvalidSetting { .. }), "{error}");
        }
    }
}

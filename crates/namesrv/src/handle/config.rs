//! The name server's own settings: 318, 319.

use std::fmt::Write;

use env::settings::{Problem, Settings};
use wire::Frame;

use crate::reply::{Answer, Refused};
use crate::serve::Namesrv;

/// UPDATE_NAMESRV_CONFIG (318): changes settings of the running process; all pairs or none. Settings
/// that name files, and those of `configBlackList`, are never changed this way. Keys that are not
/// ours are ignored, as the reference does.
pub(crate) fn update(namesrv: &Namesrv, frame: &Frame<'_>) -> Result<Answer, Refused> {
    let text = std::str::from_utf8(frame.body)?;
    let mut pairs = env::settings::properties(text)?;
    let settings = namesrv.settings();
    let protected = |key: &str| {
        let path = ["kvConfigPath", "configStorePath", "configBlackList", "rocketmqHome"];
        path.contains(&key) || settings.protected_keys.split(';').any(|k| k.trim() == key)
    };
    if pairs.iter().any(|(key, _)| protected(key)) {
        return Err(Refused::Protected);
    }
    pairs.retain(|(key, _)| crate::NamesrvSettings::row(key).is_some());
    namesrv.update_settings(&pairs)?;
    tracing::info!(?pairs, "settings changed by request");
    Ok(Answer::default())
}

/// GET_NAMESRV_CONFIG (319).
pub(crate) fn get(namesrv: &Namesrv) -> Result<Answer, Refused> {
    let mut text = String::new();
    for (key, value) in namesrv.settings().entries() {
        writeln!(text, "{key}={value}").map_err(|e| Problem::Syntax(e.to_string()))?;
    }
    Ok(Answer::body(text))
}

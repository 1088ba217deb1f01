//! What must hold for any text as a settings file. `crates/server/tests/corpus.rs` runs the same check
//! over the corpus on every test run.

use broker::BrokerSettings;
use env::settings::{Loaded, Loader, SettingsError};
use namesrv::NamesrvSettings;
use store::StoreSettings;

type Blocks = (BrokerSettings, StoreSettings, NamesrvSettings);

/// As TOML and as `broker.conf`, a text is read or refused with reasons; what is read is the same once
/// it is dumped and read again.
pub fn configuration(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    check(|loader| loader.toml("apogee.toml", text));
    check(|loader| loader.properties("broker.conf", text));
}

fn check(add: impl Fn(&mut Loader) -> Result<(), SettingsError>) {
    match load(add) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok((blocks, loaded)) => {
            let _ = blocks.1.delays();
            let dump = loaded.dump();
            let again = load(|loader| loader.properties("dump", &dump));
            let (again, _) = again.unwrap_or_else(|error| panic!("{error}\nin\n{dump}"));
            assert_eq!(again, blocks, "{dump}");
        }
    }
}

/// Fills the blocks as a server with both roles does.
fn load(
    add: impl Fn(&mut Loader) -> Result<(), SettingsError>,
) -> Result<(Blocks, Loaded), SettingsError> {
    let mut loader = Loader::default();
    add(&mut loader)?;
    let blocks = (loader.take(), loader.take(), loader.take_scoped());
    loader.know::<NamesrvSettings>();
    Ok((blocks, loader.finish()?))
}

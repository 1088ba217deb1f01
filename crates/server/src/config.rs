//! What the server is told: command line, file and environment, in that order of precedence, over the defaults.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use broker::BrokerSettings;
use clap::Args;
use env::settings::{Loaded, Loader};
use namesrv::{ByNetwork, NamesrvSettings};
use store::StoreSettings;

use crate::logging::LogFormat;

/// Variables with our prefix that are for the log and for the client commands, not settings of the server.
const NO_SETTINGS: [&str; 2] = ["APOGEE_LOG", "APOGEE_NAMESRV"];

/// Arguments of `apogee server`.
#[derive(Args, Debug, Default)]
pub(crate) struct ServerArgs {
    /// Roles of this process, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "namesrv,broker")]
    roles: Vec<Role>,
    /// Settings file: TOML (`*.toml`), or RocketMQ's `broker.conf`/`namesrv.conf` as they are.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name servers to register with, `host:port` separated by `;` or `,`; by default the one in this process.
    #[arg(short, long, value_name = "ADDRESSES")]
    namesrv: Option<String>,
    /// Directory of everything that is kept [default: ./apogee-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// One setting, as a line of the settings file; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Print every setting in effect with where it comes from, and exit.
    #[arg(long)]
    dump_config: bool,
    /// Send a message through the running server, consume it, show both, and go on serving.
    #[arg(long = "try")]
    trial: bool,
}

/// A part of the process that may be switched on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Knows which broker has which topic.
    Namesrv,
    /// Stores and delivers messages.
    Broker,
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        match text {
            "namesrv" => Ok(Role::Namesrv),
            "broker" => Ok(Role::Broker),
            _ => Err(format!("`{text}` is no role; there are: namesrv, broker")),
        }
    }
}

env::settings! {
    /// Settings of the process.
    pub struct ServerSettings in "server";
    "bindAddress" => bind: String = "0.0.0.0".to_owned(), "IP address that the ports are opened on";
    "advertisedAddresses" => advertised: ByNetwork = ByNetwork::default(), "addresses of the broker that clients of some networks are told by the name server in this process: NETWORK/BITS=HOST:PORT, separated by semicolons; the first network that holds the client counts";
    "webEnable" => web: bool = true, "whether the HTTP port is opened: /metrics, /health";
    "webPort" => web_port: u16 = 8088, "the HTTP port";
    "logFormat" => log_format: LogFormat = LogFormat::Text, "form of the log's lines";
}

/// Everything that decides how the server runs.
pub(crate) struct Config {
    /// Settings of the process itself.
    pub server: ServerSettings,
    /// Whether this process is a name server.
    pub namesrv: Option<NamesrvSettings>,
    /// Whether it is a broker.
    pub broker: Option<(BrokerSettings, StoreSettings)>,
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// Every setting in effect, and warnings to be logged once.
    pub loaded: Loaded,
    /// Print the settings and exit.
    pub dump: bool,
    /// Show a message going through.
    pub trial: bool,
    /// Directory of everything that is kept, unless a setting says otherwise.
    pub data: PathBuf,
}

impl Config {
    /// Reads file and environment.
    pub(crate) fn load(arguments: ServerArgs) -> anyhow::Result<Config> {
        let roles = if arguments.roles.is_empty() {
            vec![Role::Namesrv, Role::Broker]
        } else {
            arguments.roles
        };
        let mut loader = Loader::default();
        if let Some(path) = &arguments.config {
            read_file(&mut loader, path)?;
        }
        loader.env(std::env::vars().filter(|(name, _)| !NO_SETTINGS.contains(&name.as_str())));
        if let Some(namesrv) = &arguments.namesrv {
            loader.flag("namesrvAddr", namesrv);
        }
        if let Some(data) = &arguments.data {
            loader.flag("storePathRootDir", &data.join("store").to_string_lossy());
        }
        for setting in &arguments.settings {
            let (key, value) = setting
                .split_once('=')
                .with_context(|| format!("--set {setting}: expected KEY=VALUE"))?;
            loader.flag(key.trim(), value.trim());
        }
        let has = |role| roles.contains(&role);
        let broker = has(Role::Broker)
            .then(|| (loader.take::<BrokerSettings>(), loader.take::<StoreSettings>()));
        if broker.is_none() {
            loader.know::<BrokerSettings>();
            loader.know::<StoreSettings>();
        }
        // A file of both roles has one `listenPort`, and it is the broker's; the name server's is `namesrv.listenPort`.
        let namesrv = has(Role::Namesrv).then(|| match broker {
            Some(_) => loader.take_scoped::<NamesrvSettings>(),
            None => loader.take::<NamesrvSettings>(),
        });
        if namesrv.is_none() || broker.is_some() {
            loader.know::<NamesrvSettings>();
        }
        let server = loader.take::<ServerSettings>();
        let loaded = loader.finish()?;
        let (dump, trial) = (arguments.dump_config, arguments.trial);
        let data = arguments.data.unwrap_or_else(|| PathBuf::from("./apogee-data"));
        let file = arguments.config;
        Ok(Config { server, namesrv, broker, file, loaded, dump, trial, data })
    }
}

fn read_file(loader: &mut Loader, path: &Path) -> anyhow::Result<()> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the settings file {name}"))?;
    if path.extension().is_some_and(|extension| extension == "toml") {
        loader.toml(&name, &text)?;
    } else {
        loader.properties(&name, &text)?;
    }
    Ok(())
}

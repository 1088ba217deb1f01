//! `apogee broker`: single brokers.

use std::collections::BTreeMap;

use client::{At, Client};
use env::Env;
use serde_json::json;

use crate::Common;
use crate::change::Change;
use crate::confirm::Confirm;
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Arguments of `apogee broker`.
#[derive(Debug, clap::Args)]
pub struct BrokerArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: BrokerCommand,
}

/// An operation on brokers. A broker is meant by its name (its master) or its address HOST:PORT.
#[derive(Debug, clap::Subcommand)]
enum BrokerCommand {
    /// List the brokers
    List,
    /// Show what a broker says of itself
    Status {
        /// Name or address HOST:PORT
        broker: String,
    },
    /// Show or change a broker's settings
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// An operation on a broker's settings.
#[derive(Debug, clap::Subcommand)]
enum ConfigCommand {
    /// Show the settings in effect
    Get {
        /// Name or address HOST:PORT
        broker: String,
        /// Only these keys
        keys: Vec<String>,
    },
    /// Change settings of a running broker, all or none, and of its file
    Set(SetArgs),
}

/// Arguments of `apogee broker config set`.
#[derive(Debug, clap::Args)]
struct SetArgs {
    /// Name or address HOST:PORT
    broker: String,
    /// Settings and their new values
    #[arg(required = true, value_name = "KEY=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: Confirm,
}

type Table = BTreeMap<String, String>;

pub(crate) async fn run(env: &Env, args: BrokerArgs, output: &mut Output) -> anyhow::Result<()> {
    let format = args.common.output;
    let client = args.common.connect(env)?;
    let result = match &args.command {
        BrokerCommand::List => list(&client, format, output).await,
        BrokerCommand::Status { broker } => {
            let status = client.admin().broker_status(broker).await;
            status.map_err(Into::into).and_then(|one| Ok(print(&one, format, output)?))
        }
        BrokerCommand::Config(ConfigCommand::Get { broker, keys }) => {
            get(&client, format, (broker, keys), output).await
        }
        BrokerCommand::Config(ConfigCommand::Set(args)) => set(&client, format, args, output).await,
    };
    client.close().await;
    result
}

async fn list(client: &Client, format: Format, output: &mut Output) -> anyhow::Result<()> {
    let known = client.admin().cluster().await?;
    let mut rows = Vec::new();
    for (broker, members) in &known.brokers {
        let of = known.clusters.iter().find(|(_, brokers)| brokers.contains(broker));
        let cluster = of.map_or("", |(name, _)| name);
        for (id, address) in members {
            match format {
                Format::Json => output.json(&json!({
                    "broker": &**broker, "cluster": cluster, "brokerId": id, "address": &**address,
                }))?,
                Format::Text => {
                    let [broker, cluster] = [broker, cluster].map(ToString::to_string);
                    rows.push(vec![broker, cluster, id.to_string(), address.to_string()]);
                }
            }
        }
    }
    if format == Format::Text {
        output.table(&["BROKER", "CLUSTER", "ID", "ADDRESS"], &rows)?;
    }
    Ok(())
}

/// Prints a table: one object, or one line per key.
fn print(one: &At<Table>, format: Format, output: &mut Output) -> std::io::Result<()> {
    match format {
        Format::Json => output.json(&one.value),
        Format::Text => {
            let rows = one.value.iter().map(|(key, value)| vec![key.clone(), value.clone()]);
            output.table(&["KEY", "VALUE"], &rows.collect::<Vec<_>>())
        }
    }
}

async fn get(
    client: &Client,
    format: Format,
    (broker, keys): (&str, &[String]),
    output: &mut Output,
) -> anyhow::Result<()> {
    let mut found = client.admin().broker_settings(broker).await?;
    if let Some(key) = keys.iter().find(|key| !found.value.contains_key(*key)) {
        return Err(unknown(key, &found.broker));
    }
    if !keys.is_empty() {
        found.value.retain(|key, _| keys.contains(key));
    }
    Ok(print(&found, format, output)?)
}

async fn set(
    client: &Client,
    format: Format,
    args: &SetArgs,
    output: &mut Output,
) -> anyhow::Result<()> {
    let admin = client.admin();
    let At { broker, value: before, .. } = admin.broker_settings(&args.broker).await?;
    // A Java broker would ignore a key that it does not know.
    if let Some((key, _)) = args.settings.iter().find(|(key, _)| !before.contains_key(key)) {
        return Err(unknown(key, &broker));
    }
    let mut wanted = before.clone();
    wanted.extend(args.settings.iter().cloned());
    let changes = Change::between(&broker, &before, &wanted)?;
    if changes.is_empty() {
        output.note(format_args!("nothing changes: broker {broker} has these settings"));
        return Ok(());
    }
    Change::print(&changes, format, output)?;
    if !args
        .confirm
        .go_ahead(args.dry_run, output, format_args!("changes the settings of broker {broker}"))
        .await?
    {
        return Ok(());
    }
    let after = admin.change_broker_settings(&args.broker, &args.settings).await?.value;
    if let Some((key, value)) =
        args.settings.iter().find(|(key, value)| after.get(key) != Some(value))
    {
        let now = after.get(key).map_or("unset", String::as_str);
        anyhow::bail!("broker {broker} took the change, but {key} is {now}, not {value}");
    }
    Ok(())
}

fn unknown(key: &str, broker: &str) -> anyhow::Error {
    Failure::NotFound(format!("broker {broker} has no setting {key}")).into()
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

//! `apogee cluster`: brokers and name servers together.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::{Admin, AdminError, At, Client, Cluster};
use env::Env;
use futures_util::future::join_all;
use serde_json::json;

use crate::Common;
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Disk use from which a Java broker is about to refuse messages (`diskSpaceWarningLevelRatio`).
const DISK_FULL: f64 = 0.90;
/// Why an Apogee broker refuses messages; empty while it takes them. Java brokers do not tell.
const SENDS_REFUSED: &str = "sendsRefused";

/// Arguments of `apogee cluster`.
#[derive(Debug, clap::Args)]
pub struct ClusterArgs {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: ClusterCommand,
}

/// An operation on clusters.
#[derive(Debug, clap::Subcommand)]
enum ClusterCommand {
    /// List the clusters with their brokers
    List,
    /// Show the brokers of all clusters or of one: versions, rates, disk use
    Describe {
        /// Name of the cluster
        cluster: Option<String>,
    },
    /// Check that every name server and broker answers, that every broker group has a master, and
    /// that brokers take messages (of Java brokers: that there is room on the disks); fails if
    /// something is not well
    Health,
}

/// A broker process of a cluster.
struct Member {
    cluster: String,
    broker: Arc<str>,
    id: u64,
    address: Arc<str>,
}

pub(crate) async fn run(env: &Env, args: ClusterArgs, output: &mut Output) -> anyhow::Result<()> {
    let format = args.common.output;
    let client = args.common.connect(env)?;
    let result = match &args.command {
        ClusterCommand::List => list(&client, format, output).await,
        ClusterCommand::Describe { cluster } => {
            describe(&client, format, cluster.as_deref(), output).await
        }
        ClusterCommand::Health => health(&client, format, output).await,
    };
    client.close().await;
    result
}

async fn list(client: &Client, format: Format, output: &mut Output) -> anyhow::Result<()> {
    let known = client.admin().cluster().await?;
    let mut rows = Vec::new();
    for (cluster, brokers) in &known.clusters {
        let brokers: Vec<&str> = brokers.iter().map(|name| &**name).collect();
        match format {
            Format::Json => output.json(&json!({ "cluster": cluster, "brokers": brokers }))?,
            Format::Text => rows.push(vec![cluster.clone(), brokers.join(" ")]),
        }
    }
    if format == Format::Text {
        output.table(&["CLUSTER", "BROKERS"], &rows)?;
    }
    Ok(())
}

/// The processes of all clusters or of one, in order.
fn members(known: &Cluster, only: Option<&str>) -> anyhow::Result<Vec<Member>> {
    if let Some(name) = only.filter(|name| !known.clusters.contains_key(*name)) {
        let known = known.clusters.keys().cloned().collect::<Vec<_>>().join(", ");
        return Err(AdminError::NoCluster { cluster: name.to_owned(), known }.into());
    }
    let chosen = known.clusters.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
    let mut members = Vec::new();
    for (cluster, brokers) in chosen {
        for broker in brokers {
            for (id, address) in known.brokers.get(broker).into_iter().flatten() {
                let (cluster, broker, address) = (cluster.clone(), broker.clone(), address.clone());
                members.push(Member { cluster, broker, id: *id, address });
            }
        }
    }
    Ok(members)
}

type Status = Result<BTreeMap<String, String>, AdminError>;

/// What every process says of itself; each is asked, whatever the others do.
async fn ask_all(admin: &Admin, members: &[Member]) -> Vec<Status> {
    let calls = members
        .iter()
        .map(async |one| admin.broker_status(&one.address).await.map(|At { value, .. }| value));
    join_all(calls).await
}

/// The first of several rates in one text: that of the last ten seconds.
fn rate(status: &BTreeMap<String, String>, key: &str) -> Option<f64> {
    status.get(key)?.split(' ').next()?.parse().ok()
}

fn disk_ratio(status: &BTreeMap<String, String>) -> Option<f64> {
    status.get("commitLogDiskRatio")?.parse().ok()
}

async fn describe(
    client: &Client,
    format: Format,
    only: Option<&str>,
    output: &mut Output,
) -> anyhow::Result<()> {
    let members = members(&client.admin().cluster().await?, only)?;
    let answers = ask_all(&client.admin(), &members).await;
    let mut rows = Vec::new();
    let mut failed = None;
    for (one, answer) in members.iter().zip(answers) {
        let (status, error) = match answer {
            Ok(status) => (status, None),
            Err(error) => (BTreeMap::new(), Some(error)),
        };
        let version = status.get("brokerVersionDesc").cloned();
        let (puts, gets) = (rate(&status, "putTps"), rate(&status, "getTransferredTps"));
        let disk = disk_ratio(&status);
        if format == Format::Json {
            output.json(&json!({
                "cluster": one.cluster, "broker": &*one.broker, "brokerId": one.id,
                "address": &*one.address, "version": version, "putTps": puts,
                "getTransferredTps": gets, "commitLogDiskRatio": disk,
                "error": error.as_ref().map(ToString::to_string),
            }))?;
        } else {
            let missing = || "-".to_owned();
            rows.push(vec![
                one.cluster.clone(),
                one.broker.to_string(),
                one.id.to_string(),
                one.address.to_string(),
                version.unwrap_or_else(missing),
                puts.map_or_else(missing, |rate| format!("{rate:.1}")),
                gets.map_or_else(missing, |rate| format!("{rate:.1}")),
                disk.map_or_else(missing, |ratio| format!("{:.0} %", ratio * 100.0)),
            ]);
        }
        failed = failed.or(error);
    }
    if format == Format::Text {
        let header = ["CLUSTER", "BROKER", "ID", "ADDRESS", "VERSION", "IN/S", "OUT/S", "DISK"];
        output.table(&header, &rows)?;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

/// One thing that was looked at.
struct Check {
    what: &'static str,
    of: String,
    /// What is not well.
    problem: Option<String>,
}

async fn health(client: &Client, format: Format, output: &mut Output) -> anyhow::Result<()> {
    let checks = checks(&client.admin()).await?;
    let bad = checks.iter().filter(|check| check.problem.is_some()).count();
    let state = |check: &Check| if check.problem.is_some() { "bad" } else { "ok" };
    if format == Format::Json {
        for check in &checks {
            let (what, of, problem) = (check.what, &check.of, &check.problem);
            output.json(
                &json!({ "check": what, "of": of, "state": state(check), "problem": problem }),
            )?;
        }
    } else {
        let rows = checks.iter().map(|check| {
            let problem = check.problem.clone().unwrap_or_default();
            vec![check.what.to_owned(), check.of.clone(), state(check).to_owned(), problem]
        });
        output.table(&["CHECK", "OF", "STATE", "PROBLEM"], &rows.collect::<Vec<_>>())?;
    }
    if bad > 0 {
        let all = checks.len();
        anyhow::bail!("{bad} of {all} checks are bad");
    }
    Ok(())
}

async fn checks(admin: &Admin) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for name_server in admin.name_servers() {
        let problem = admin.cluster_at(&name_server).await.err().map(|error| error.to_string());
        checks.push(Check { what: "name server answers", of: name_server.to_string(), problem });
    }
    let known = admin.cluster().await?;
    if known.brokers.is_empty() {
        return Err(Failure::NotFound("no broker is registered".to_owned()).into());
    }
    for (broker, members) in &known.brokers {
        let problem = (!members.contains_key(&0)).then(|| "no master is registered".to_owned());
        checks.push(Check { what: "broker has a master", of: broker.to_string(), problem });
    }
    let members = members(&known, None)?;
    for (one, answer) in members.iter().zip(ask_all(admin, &members).await) {
        let of = format!("{} {}", one.broker, one.address);
        let takes_sends = answer.as_ref().ok().and_then(|status| takes_sends(&of, status));
        let problem = answer.err().map(|error| error.to_string());
        checks.push(Check { what: "broker answers", of, problem });
        checks.extend(takes_sends);
    }
    Ok(checks)
}

/// Whether a broker takes messages, by its own word; the used share of the disk says it of those that
/// keep a share free, which Java brokers do and Apogee does not.
fn takes_sends(of: &str, status: &BTreeMap<String, String>) -> Option<Check> {
    let of = of.to_owned();
    if let Some(refusal) = status.get(SENDS_REFUSED) {
        let problem = (!refusal.is_empty()).then(|| refusal.clone());
        return Some(Check { what: "sends are taken", of, problem });
    }
    let ratio = disk_ratio(status)?;
    let problem = (ratio > DISK_FULL).then(|| {
        format!("{:.0} % full, messages are refused soon (fileReservedTime)", ratio * 100.0)
    });
    Some(Check { what: "disk has room", of, problem })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A broker that says whether it refuses messages is believed, however full its disk is; one that
    // does not is judged by the share of the disk that is in use.
    #[test]
    fn a_broker_is_judged_by_its_own_word() {
        for (refused, ratio, what, problem) in [
            (Some(""), "0.96", "sends are taken", None),
            (Some("the disk is full"), "0.5", "sends are taken", Some("the disk is full")),
            (None, "0.9", "disk has room", None),
            (
                None,
                "0.91",
                "disk has room",
                Some("91 % full, messages are refused soon (fileReservedTime)"),
            ),
        ] {
            let rows = [("commitLogDiskRatio", Some(ratio)), (SENDS_REFUSED, refused)];
            let rows =
                rows.into_iter().filter_map(|(key, value)| Some((key.into(), value?.into())));
            let check = takes_sends("b", &rows.collect()).unwrap();
            assert_eq!((check.what, check.problem.as_deref()), (what, problem));
        }
        assert!(takes_sends("b", &BTreeMap::new()).is_none());
    }
}

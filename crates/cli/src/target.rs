//! Which brokers a command is for.

use client::Target;

/// Options that choose brokers.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Where {
    /// Only in this cluster
    #[arg(long, short, value_name = "NAME")]
    cluster: Option<String>,
    /// Only at this broker: its name, or its address HOST:PORT
    #[arg(long, short, value_name = "BROKER", conflicts_with = "cluster")]
    broker: Option<String>,
}

impl Where {
    pub(crate) fn target(&self) -> Target {
        match (&self.cluster, &self.broker) {
            (_, Some(broker)) => Target::Broker(broker.clone()),
            (Some(cluster), None) => Target::Cluster(cluster.clone()),
            (None, None) => Target::All,
        }
    }
}

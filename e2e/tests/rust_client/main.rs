//! What a user of the Rust client sees, against the reference and against the binary.
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

mod administering;
mod cluster;
mod consuming;
mod examples;
mod managing;
mod measuring;
mod sending;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use apogee_e2e::cases::{Cases, Shared};
use apogee_e2e::peer::Peer;
use client::{Client, MessageQueue, Received, TopicSpec};
use futures_util::future::LocalBoxFuture;
use parking_lot::Mutex;

/// One second for each of the 18 levels: retries come quickly.
const DELAY_LEVELS: &str = "1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s";
/// Far above what any wait takes, which is 20 s for a pull that the reference holds; a wait that reaches
/// it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

type Case = for<'a> fn(&'a Context) -> LocalBoxFuture<'a, Result<()>>;

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        [$((stringify!($name), (|context| Box::pin($module::$name(context))) as Case)),*]
    };
}

fn main() -> Result<ExitCode> {
    // RUST_LOG=client=debug shows what the clients do.
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let steady: [(&str, Case); 25] = cases![
        sending::messages_arrive_as_sent,
        sending::batches_and_oneway,
        sending::invalid_messages_are_refused,
        sending::unknown_name_server,
        consuming::two_members_share_a_topic,
        consuming::a_group_is_shared_with_java,
        consuming::progress_is_committed_on_close,
        consuming::tags_are_filtered,
        consuming::failed_messages_come_again_then_die,
        consuming::ordered_messages_keep_their_order,
        consuming::a_suspended_queue_repeats_the_message,
        consuming::broadcast_reaches_everyone,
        consuming::pulling_seeks_and_commits,
        managing::topics_are_created_described_deleted,
        managing::commands_print_json_lines,
        administering::topics_by_command,
        administering::groups_by_command,
        administering::offsets_by_command,
        administering::brokers_by_command,
        administering::messages_by_command,
        administering::useless_command_lines_end_with_2,
        examples::examples_run,
        measuring::bench_through_the_sdk,
        cluster::delayed_messages_wait,
        cluster::one_of_two_name_servers_is_killed,
    ];
    // These end and start their server, one at a time.
    let restarting: [(&str, Case); 2] =
        cases![sending::sends_survive_a_restart, consuming::consumers_survive_a_restart];
    let mut cases = Cases::default();
    for peer in Peer::selected() {
        for (group, restarts) in [(&steady[..], false), (&restarting[..], true)] {
            let shared = Arc::new(Shared::new(peer, &[("messageDelayLevel", DELAY_LEVELS)])?);
            for &(name, case) in group {
                let context = Context { name, restarts, shared: shared.clone() };
                cases.add(format!("{peer}::{name}"), peer.missing(), move || context.run(case));
            }
        }
    }
    Ok(cases.run())
}

/// What a case works with.
pub(crate) struct Context {
    name: &'static str,
    /// Ends its server: no other case may run beside it.
    restarts: bool,
    pub(crate) shared: Arc<Shared>,
}

impl Context {
    fn run(&self, case: Case) -> Result<()> {
        let _alone = self.restarts.then(|| self.shared.alone());
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build()?.block_on(case(self))
    }

    fn namesrv(&self) -> Result<SocketAddr> {
        Ok(self.shared.cluster()?.namesrv())
    }

    /// A client of its own.
    pub(crate) fn client(&self) -> Result<Client> {
        Ok(Client::new(&self.namesrv()?.to_string())?)
    }

    /// A name that no other case uses, for topics and groups.
    pub(crate) fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.name)
    }

    /// A fresh topic with this many queues.
    pub(crate) async fn topic(&self, client: &Client, queues: u32) -> Result<String> {
        let name = self.name("topic");
        let spec = TopicSpec { read_queues: queues, write_queues: queues, ..TopicSpec::new(&name) };
        client.admin().create_topic(&spec, None).await?;
        Ok(name)
    }
}

/// Messages that a listener saw.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Received>>>);

impl Seen {
    pub(crate) fn add(&self, messages: Vec<Received>) {
        self.0.lock().extend(messages);
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.0.lock().iter().map(body).collect()
    }

    pub(crate) fn all(&self) -> Vec<Received> {
        self.0.lock().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    pub(crate) fn by_queue(&self) -> BTreeMap<MessageQueue, Vec<Received>> {
        let mut queues: BTreeMap<MessageQueue, Vec<Received>> = BTreeMap::new();
        for message in self.all() {
            queues.entry(message.queue().clone()).or_default().push(message);
        }
        queues
    }
}

pub(crate) fn body(message: &Received) -> String {
    String::from_utf8_lossy(message.body()).into_owned()
}

/// Waits for a condition; says what was waited for when it does not come.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !condition() {
        ensure!(start.elapsed() < PATIENCE, "{what}: not after {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

/// `count` texts.
pub(crate) fn texts(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{prefix}{n:03}")).collect()
}

pub(crate) fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_unstable();
    texts
}

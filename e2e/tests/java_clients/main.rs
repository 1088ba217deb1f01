//! What a user of the Java client sees, for the last 4.x client and the reference's, against the
//! reference and against the binary.
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

mod consuming;
mod managing;
mod old_topic;
mod restarts;
mod results;
mod sending;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use apogee_e2e::cases::{Cases, Shared};
use apogee_e2e::client::{Arg, Client, VERSIONS};
use apogee_e2e::java;
use apogee_e2e::peer::Peer;
use serde_json::Value;

/// One second for each of the 18 levels: retries come quickly.
const DELAY_LEVELS: &str = "1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s";

type Case = fn(&Context) -> Result<()>;

/// Cases that share a running server and a few at a time.
const STEADY: [(&str, Case); 22] = [
    ("sync_send", sending::sync_send),
    ("async_send", sending::async_send),
    ("oneway_send", sending::oneway_send),
    ("batch_send", sending::batch_send),
    ("vip_channel", sending::vip_channel),
    ("largest_messages", sending::largest_messages),
    ("compression", sending::compression),
    ("created_topic_and_template_route", sending::created_topic_and_template_route),
    ("refused_topic_names", sending::refused_topic_names),
    ("query_by_key_and_id", sending::query_by_key_and_id),
    ("push_concurrently", consuming::push_concurrently),
    ("push_orderly", consuming::push_orderly),
    ("tag_filter", consuming::tag_filter),
    ("retry_then_dead_letter", consuming::retry_then_dead_letter),
    ("rebalance_on_join_and_kill", consuming::rebalance_on_join_and_kill),
    ("lite_pull", consuming::lite_pull),
    ("consume_from_first", consuming::consume_from_first),
    ("young_topic_is_read_from_zero", consuming::young_topic_is_read_from_zero),
    ("offsets_of_a_queue", sending::offsets_of_a_queue),
    ("request_reply", managing::request_reply),
    ("reset_offset_while_running", managing::reset_offset_while_running),
    ("delete_group", managing::delete_group),
];

/// Cases that end and start their server, one at a time.
const RESTARTING: [(&str, Case); 3] = [
    ("stopped_under_load", restarts::stopped_under_load),
    ("killed_under_load", restarts::killed_under_load),
    ("consumer_offset_survives_restart", restarts::consumer_offset_survives_restart),
];

/// Cases whose server loses its oldest messages; each has it to itself.
const FORGETTING: [(&str, Case); 1] = [("start_of_a_new_group", old_topic::start_of_a_new_group)];

/// What a case works with: one client version against one server.
pub(crate) struct Context {
    name: &'static str,
    version: &'static str,
    shared: Arc<Shared>,
}

impl Context {
    /// Topic of this case alone.
    fn topic(&self) -> String {
        format!("{}-{}", self.name, self.version.replace('.', "_"))
    }

    fn client(&self) -> Result<Client> {
        Client::build(self.version)
    }

    fn namesrv(&self) -> Result<SocketAddr> {
        Ok(self.shared.cluster()?.namesrv())
    }

    fn broker(&self) -> Result<SocketAddr> {
        Ok(self.shared.cluster()?.broker())
    }

    /// Runs a client program with this case's topic and group, and `args`.
    fn run(&self, main: &str, args: &[Arg<'_>]) -> Result<Value> {
        self.run_with(main, &[], args)
    }

    /// As [`Context::run`], with system properties for the client library.
    fn run_with(&self, main: &str, properties: &[&str], args: &[Arg<'_>]) -> Result<Value> {
        apogee_e2e::client::finish(self.start(main, main, properties, args)?)
    }

    /// Starts a client program under `name`, with this case's topic and group, and `args`.
    fn start(
        &self,
        name: &str,
        main: &str,
        properties: &[&str],
        args: &[Arg<'_>],
    ) -> Result<apogee_e2e::process::Process> {
        let topic = self.topic();
        let group = format!("group-{topic}");
        let namesrv = self.namesrv()?.to_string();
        let mut all = vec![("namesrv", &*namesrv), ("topic", &*topic), ("group", &*group)];
        all.extend(args);
        let dir = self.shared.case_dir(&topic)?;
        self.client()?.start_with(name, main, &dir, properties, &all)
    }
}

fn main() -> Result<ExitCode> {
    let mut cases = Cases::default();
    for peer in Peer::selected() {
        let steady = Shared::new(peer, &[("messageDelayLevel", DELAY_LEVELS)])?;
        add(&mut cases, Arc::new(steady), &VERSIONS, &STEADY);
        let restarting = Shared::new(peer, &[])?;
        add(&mut cases, Arc::new(restarting), &VERSIONS, &RESTARTING);
        for version in VERSIONS {
            let forgetting = Shared::new(peer, &old_topic::SETTINGS)?;
            add(&mut cases, Arc::new(forgetting), &[version], &FORGETTING);
        }
    }
    Ok(cases.run())
}

fn add(
    cases: &mut Cases,
    shared: Arc<Shared>,
    versions: &[&'static str],
    list: &[(&'static str, Case)],
) {
    cases.watch(&shared);
    for &version in versions {
        for &(name, case) in list {
            let missing = shared
                .peer()
                .missing()
                .or_else(|| java::missing_tool().map(|tool| format!("{tool} is not installed")));
            let context = Context { name, version, shared: Arc::clone(&shared) };
            let title = format!("{}::client_{version}::{name}", shared.peer());
            cases.add(title, missing, move || case(&context));
        }
    }
}

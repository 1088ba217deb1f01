//! What users of the unmodified clients see, in each language, against the reference and against the
//! binary.
#![allow(clippy::disallowed_methods, reason = "drives real processes and clocks")]

mod consuming;
mod managing;
mod name_servers;
mod old_topic;
mod rebalancing;
mod restarts;
mod results;
mod sending;
mod topics;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use apogee_e2e::cases::{Cases, Shared};
use apogee_e2e::client::{Arg, Client, Library};
use apogee_e2e::java;
use apogee_e2e::peer::Peer;
use apogee_e2e::process::Process;
use serde_json::Value;

/// One second for each of the 18 levels but the last: retries come quickly.
const DELAY_LEVELS: &str = "1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 1s 3s";

/// Most cases wait for timers of the clients, so more than one per processor may run.
const AT_ONCE: usize = 6;

const ALL: &[Library] = &Library::ALL;
/// The others lack the feature.
const JAVA: &[Library] = &[Library::Java("4.9.8"), Library::Java(java::REFERENCE)];
const JAVA_AND_GO: &[Library] =
    &[Library::Java("4.9.8"), Library::Java(java::REFERENCE), Library::Go];

type Case = fn(&Context) -> Result<()>;

/// Cases that share a running server and a few at a time.
const STEADY: [(&str, Case, &[Library]); 25] = [
    ("sync_send", sending::sync_send, ALL),
    ("async_send", sending::async_send, ALL),
    ("oneway_send", sending::oneway_send, JAVA_AND_GO),
    ("batch_send", sending::batch_send, JAVA_AND_GO),
    ("vip_channel", sending::vip_channel, JAVA),
    ("largest_messages", sending::largest_messages, JAVA),
    ("compression", sending::compression, JAVA),
    ("created_topic_and_template_route", sending::created_topic_and_template_route, JAVA),
    ("refused_topic_names", sending::refused_topic_names, JAVA),
    ("query_by_key_and_id", sending::query_by_key_and_id, JAVA),
    ("push_concurrently", consuming::push_concurrently, ALL),
    ("push_orderly", consuming::push_orderly, JAVA_AND_GO),
    ("tag_filter", consuming::tag_filter, ALL),
    ("retry_then_dead_letter", consuming::retry_then_dead_letter, ALL),
    ("rebalance_on_join_and_kill", rebalancing::on_join_and_kill, ALL),
    ("lite_pull", consuming::lite_pull, JAVA_AND_GO),
    ("broadcast_reaches_everyone", consuming::broadcast_reaches_everyone, ALL),
    ("delay_levels", consuming::delay_levels, ALL),
    ("consume_from_first", consuming::consume_from_first, ALL),
    ("young_topic_is_read_from_zero", consuming::young_topic_is_read_from_zero, ALL),
    ("offsets_of_a_queue", sending::offsets_of_a_queue, JAVA),
    ("request_reply", managing::request_reply, JAVA_AND_GO),
    ("reset_offset_while_running", managing::reset_offset_while_running, JAVA_AND_GO),
    ("delete_group", managing::delete_group, JAVA),
    ("two_name_servers_one_killed", name_servers::one_killed, ALL),
];

/// Groups whose members speak different languages: the case, who is there first, who joins.
const MIXED: [(&str, Library, Library); 3] = [
    ("group_of_java_and_go", Library::Java(java::REFERENCE), Library::Go),
    ("group_of_go_and_node", Library::Go, Library::Node),
    ("group_of_node_and_java", Library::Node, Library::Java(java::REFERENCE)),
];

/// Cases that end and start their server, one at a time.
const RESTARTING: [(&str, Case, &[Library]); 3] = [
    ("stopped_under_load", restarts::stopped_under_load, ALL),
    ("killed_under_load", restarts::killed_under_load, ALL),
    ("consumer_offset_survives_restart", restarts::consumer_offset_survives_restart, ALL),
];

/// Cases whose server loses its oldest messages.
const FORGETTING: [(&str, Case, &[Library]); 1] =
    [("start_of_a_new_group", old_topic::start_of_a_new_group, ALL)];

/// What a case works with: a client library, or two, and a server.
pub(crate) struct Context {
    name: &'static str,
    library: Library,
    /// Who joins a group that the first is in.
    joining: Library,
    shared: Arc<Shared>,
}

impl Context {
    /// Topic of this case alone.
    fn topic(&self) -> String {
        format!("{}-{}", self.name, self.library.tag())
    }

    /// The group that client programs of this case consume with.
    fn group(&self) -> String {
        format!("group-{}", self.topic())
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
    ) -> Result<Process> {
        self.start_of(self.library, self.broker()?, (name, main), properties, args)
    }

    /// As [`Context::start`], for another library, or with another broker; name and program are a pair.
    fn start_of(
        &self,
        library: Library,
        at: SocketAddr,
        (name, main): (&str, &str),
        properties: &[&str],
        args: &[Arg<'_>],
    ) -> Result<Process> {
        let (topic, group, namesrv) = (self.topic(), self.group(), self.namesrv()?.to_string());
        let mut all = vec![("namesrv", &*namesrv), ("topic", &*topic), ("group", &*group)];
        all.extend(args);
        if !matches!(library, Library::Java(_)) {
            topics::create_for(at, &all)?;
        }
        let dir = self.shared.case_dir(&topic)?;
        Client::of(library)?.start_with(name, main, &dir, properties, &all)
    }
}

fn main() -> Result<ExitCode> {
    let mut cases = Cases::at_once(AT_ONCE);
    for peer in Peer::selected() {
        let steady = Arc::new(Shared::new(peer, &[("messageDelayLevel", DELAY_LEVELS)])?);
        for (name, library, joining) in MIXED {
            let context = Context { name, library, joining, shared: Arc::clone(&steady) };
            add(&mut cases, context, rebalancing::on_join_and_kill);
        }
        for library in Library::ALL {
            add_all(&mut cases, &steady, library, &STEADY);
            let restarting = Arc::new(Shared::new(peer, &[])?);
            add_all(&mut cases, &restarting, library, &RESTARTING);
            let forgetting = Arc::new(Shared::new(peer, &old_topic::SETTINGS)?);
            add_all(&mut cases, &forgetting, library, &FORGETTING);
        }
    }
    Ok(cases.run())
}

/// Adds the cases that this library has the feature for.
fn add_all(
    cases: &mut Cases,
    shared: &Arc<Shared>,
    library: Library,
    list: &[(&'static str, Case, &[Library])],
) {
    cases.watch(shared);
    for &(name, case, libraries) in list {
        if libraries.contains(&library) {
            let shared = Arc::clone(shared);
            add(cases, Context { name, library, joining: library, shared }, case);
        }
    }
}

fn add(cases: &mut Cases, context: Context, case: Case) {
    let peer = context.shared.peer();
    let missing =
        peer.missing().or_else(|| context.library.missing()).or_else(|| context.joining.missing());
    let title = format!("{peer}::{}::{}", context.library, context.name);
    cases.add(title, missing, move || case(&context));
}

//! A client: what its producers and consumers share.
//!
//! Owns the route cache, one connection per address (in [`Remote`]), the groups
//! ([`crate::groups`]), and the task that refreshes routes and sends heartbeats.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Weak};

use env::Env;
use env::tasks::TaskHandle;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use wire::ids::UniqKeys;

use crate::admin::Admin;
use crate::consumer::{PullConsumer, PushConsumerBuilder};
use crate::error::{CallError, StartError};
use crate::groups::{Departures, Groups, INNER_PRODUCER};
use crate::inbox::Inbox;
use crate::limits;
use crate::message::is_valid_name;
use crate::producer::{Producer, ProducerSettings};
use crate::remote::Remote;
use crate::reply::Reply;
use crate::route::{self, Brokers};
use crate::routes::KnownRoute;

/// What a client needs to know.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// Addresses of the name servers, `host:port`.
    pub name_servers: Vec<String>,
    /// What to call this client; it must be unique among the members of a group. The default is made
    /// of host name, process id and a random number.
    pub id: Option<String>,
}

impl ClientSettings {
    /// Reads a list of name servers separated by `,` or `;`.
    ///
    /// # Errors
    /// [`StartError::NoNameServer`] when the list is empty. Nothing is connected yet: a server that is
    /// away is an error of the first operation that needs it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(name_servers: &str) -> ClientSettings {
        let names = name_servers.split([',', ';']).map(str::trim).filter(|name| !name.is_empty());
        ClientSettings { name_servers: names.map(str::to_owned).collect(), id: None }
    }
}

/// A client of a cluster. Clones are the same client.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let client = client::Client::new("127.0.0.1:9876")?;
/// let producer = client.producer("my-producers")?;
/// producer.send(client::Message::new("orders", "hello")).await?;
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    id: Arc<str>,
    remote: Remote,
    keys: UniqKeys,
    state: Arc<Mutex<State>>,
    departures: Arc<Departures>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) routes: HashMap<Arc<str>, KnownRoute>,
    pub(crate) brokers: Brokers,
    pub(crate) groups: Groups,
    /// Requests that wait, by correlation id.
    pub(crate) requests: HashMap<String, oneshot::Sender<Reply>>,
}

impl Drop for Shared {
    /// Nobody holds the client any more: ends its connections and tasks, which are its own.
    fn drop(&mut self) {
        self.env.tasks.stop_token().stop();
    }
}

impl Client {
    /// Starts a client on the machine's clock and network. Must be called inside a tokio runtime.
    ///
    /// `name_servers` are separated by `,` or `;`.
    pub fn new(name_servers: &str) -> Result<Client, StartError> {
        Client::start(&Env::real(), ClientSettings::new(name_servers))
    }

    /// Starts a client in an environment, with a task group of its own.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn start(env: &Env, settings: ClientSettings) -> Result<Client, StartError> {
        let env = env.with_own_tasks();
        let salt = env.rng.u64();
        let id = settings.id.unwrap_or_else(|| default_id(&env, salt)).into();
        let process = (std::process::id() % 65_536) as u16;
        let state = Arc::<Mutex<State>>::default();
        let remote = Remote::new(&env, &settings.name_servers, Inbox::new(&state))?;
        // The loopback address: tools try to reach the address in a key, and must not reach another
        // host by it. The random salt makes the key unique.
        let keys = UniqKeys::new([127, 0, 0, 1].into(), process, (salt >> 32) as u32);
        let departures = Arc::<Departures>::default();
        let shared = Shared { env, id, remote, keys, state, departures: departures.clone() };
        let client = Client { shared: Arc::new(shared) };
        let upkeep = upkeep(Arc::downgrade(&client.shared), client.env().clone(), departures);
        client.spawn("client-upkeep", upkeep);
        Ok(client)
    }

    /// A producer of `group` with the default settings.
    ///
    /// # Errors
    /// As [`Client::producer_with`].
    pub fn producer(&self, group: &str) -> Result<Producer, StartError> {
        self.producer_with(group, ProducerSettings::default())
    }

    /// A producer of `group`.
    ///
    /// # Errors
    /// When the name is not valid (1 to [`limits::GROUP_BYTES`] of `%|a-zA-Z0-9_-`), or this client has
    /// [`limits::GROUPS`] groups already.
    pub fn producer_with(
        &self,
        group: &str,
        settings: ProducerSettings,
    ) -> Result<Producer, StartError> {
        check_group(group)?;
        let name: Arc<str> = group.into();
        self.add_producer(&name)?;
        Ok(Producer::new(self.clone(), name, settings))
    }

    /// Starts to describe a consumer to which messages are pushed.
    pub fn push_consumer(&self, group: &str) -> PushConsumerBuilder {
        PushConsumerBuilder::new(self.clone(), group)
    }

    /// A consumer that reads the queues it is told to. `group` is the one whose offsets it commits.
    ///
    /// # Errors
    /// When the name is not valid.
    pub fn pull_consumer(&self, group: &str) -> Result<PullConsumer, StartError> {
        check_group(group)?;
        Ok(PullConsumer::new(self.clone(), group.into()))
    }

    /// Administrative operations.
    pub fn admin(&self) -> Admin {
        Admin::new(self.clone())
    }

    /// What this client calls itself.
    pub fn id(&self) -> &str {
        &self.shared.id
    }

    /// Ends the client: leaves every group and closes every connection. Consumers should be closed
    /// before, so that they commit.
    pub async fn close(&self) {
        self.leave_all();
        self.tell_departures().await;
        self.shared.env.tasks.shutdown(limits::CALL_TIMEOUT).await;
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
    }

    pub(crate) fn departures(&self) -> &Departures {
        &self.shared.departures
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.shared.remote
    }

    pub(crate) fn next_key(&self) -> wire::ids::Id {
        self.shared.keys.next(self.shared.env.clock.wall_ms())
    }

    pub(crate) fn spawn(
        &self,
        name: &'static str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> TaskHandle {
        self.shared.env.tasks.spawn(name, future)
    }

    /// Sends copies of messages that could not be sent back. Heartbeats always announce it.
    pub(crate) fn inner_producer(&self) -> Producer {
        Producer::new(self.clone(), INNER_PRODUCER.into(), ProducerSettings::default())
    }

    pub(crate) fn address_of_master(&self, broker: &str) -> Option<Arc<str>> {
        route::address_of_master(&self.shared.state.lock().brokers, broker)
    }

    pub(crate) fn address_to_read(&self, broker: &str, suggested: u64) -> Option<Arc<str>> {
        route::address_to_read(&self.shared.state.lock().brokers, broker, suggested)
    }

    /// The failure of a request that has no address to go to.
    pub(crate) fn unknown_broker(&self, request: &'static str, broker: &str) -> CallError {
        let reason = "no address is known for this broker".to_owned();
        CallError::Unreachable { request, address: broker.into(), reason }
    }
}

/// Keeps routes fresh and brokers informed, for as long as anyone holds the client.
async fn upkeep(client: Weak<Shared>, env: Env, departures: Arc<Departures>) {
    let stop = env.tasks.stop_token();
    let mut ticks = env.clock.every(limits::HEARTBEAT);
    loop {
        let is_time = tokio::select! {
            () = stop.stopped() => return,
            () = ticks.tick() => true,
            () = departures.due.notified() => false,
        };
        let Some(shared) = client.upgrade() else { return };
        let client = Client { shared };
        client.tell_departures().await;
        if is_time {
            // Before the routes, which may take long to come: brokers must not wait for the name servers.
            client.heartbeat().await;
            client.refresh_routes().await;
        }
    }
}

fn check_group(group: &str) -> Result<(), StartError> {
    if is_valid_name(group, limits::GROUP_BYTES) {
        return Ok(());
    }
    Err(StartError::InvalidGroup { group: group.to_owned(), limit: limits::GROUP_BYTES })
}

/// Host name, process id and a random number: unique also where containers share addresses and
/// process ids.
fn default_id(env: &Env, salt: u64) -> String {
    let host = host_name(env).unwrap_or_else(|| "localhost".to_owned());
    format!("{host}@{}#{salt:016x}", std::process::id())
}

fn host_name(env: &Env) -> Option<String> {
    let file = env.disk.open(std::path::Path::new("/proc/sys/kernel/hostname")).ok()?;
    let mut bytes = [0; 64];
    let len = file.read_at(&mut bytes, 0).ok()?;
    let name = std::str::from_utf8(&bytes[..len]).ok()?.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

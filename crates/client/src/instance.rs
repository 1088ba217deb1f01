//! A client: what its producers and consumers share.
//!
//! Owns the route cache, one connection per address (in [`Remote`]), the list of groups that
//! heartbeats announce, and the task that refreshes routes and sends heartbeats.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::Duration;

use env::Env;
use env::tasks::TaskHandle;
use futures_util::future::join_all;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;
use wire::ids::UniqKeys;

use crate::admin::Admin;
use crate::consumer::group::Group;
use crate::consumer::member::Member;
use crate::consumer::{PullConsumer, PushConsumerBuilder};
use crate::error::{CallError, StartError};
use crate::inbox::Inbox;
use crate::limits;
use crate::message::is_valid_name;
use crate::producer::{Producer, ProducerSettings};
use crate::remote::{self, Remote};
use crate::reply::Reply;
use crate::route::{self, Brokers};
use crate::routes::KnownRoute;

/// The group that sends copies of messages which could not be sent back (`CLIENT_INNER_PRODUCER_GROUP`).
const INNER_PRODUCER: &str = "CLIENT_INNER_PRODUCER";

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
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) routes: HashMap<Arc<str>, KnownRoute>,
    pub(crate) brokers: Brokers,
    /// Producer groups, each with the number of its producers.
    producers: BTreeMap<Arc<str>, usize>,
    pub(crate) consumers: BTreeMap<Arc<str>, Joined>,
    /// Requests that wait, by correlation id.
    pub(crate) requests: HashMap<String, oneshot::Sender<Reply>>,
    /// When a heartbeat was last sent before its time.
    heartbeat_again: Option<Duration>,
}

/// A consumer group that this client takes part in.
pub(crate) struct Joined {
    group: Arc<Group>,
    /// Its consumer, which holds this client.
    pub(crate) member: Weak<Member>,
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
        let client = Client { shared: Arc::new(Shared { env, id, remote, keys, state }) };
        client.spawn("client-upkeep", upkeep(Arc::downgrade(&client.shared), client.env().clone()));
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
        let mut state = self.shared.state.lock();
        check_group_count(&state)?;
        let name: Arc<str> = group.into();
        *state.producers.entry(name.clone()).or_default() += 1;
        drop(state);
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
        let (producers, consumers) = {
            let mut state = self.shared.state.lock();
            (std::mem::take(&mut state.producers), std::mem::take(&mut state.consumers))
        };
        for group in producers.keys() {
            self.unregister(Some(group), None).await;
        }
        for group in consumers.keys() {
            self.unregister(None, Some(group)).await;
        }
        self.shared.env.tasks.shutdown(limits::CALL_TIMEOUT).await;
    }

    pub(crate) fn env(&self) -> &Env {
        &self.shared.env
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock()
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

    /// Makes a consumer group known: heartbeats announce it, pushed requests reach it.
    pub(crate) fn join(&self, member: &Arc<Member>) -> Result<(), StartError> {
        let group = member.group.clone();
        let mut state = self.shared.state.lock();
        check_group_count(&state)?;
        if state.consumers.contains_key(&group.name) {
            return Err(StartError::GroupInUse { group: group.name.to_string() });
        }
        let joined = Joined { group: group.clone(), member: Arc::downgrade(member) };
        state.consumers.insert(group.name.clone(), joined);
        Ok(())
    }

    /// Ends a consumer group's part in this client.
    pub(crate) async fn leave(&self, group: &str) {
        if self.shared.state.lock().consumers.remove(group).is_some() {
            self.unregister(None, Some(group)).await;
        }
    }

    /// Counts one producer of a group less. Returns whether it was the last one.
    pub(crate) fn forget_producer(&self, group: &str) -> bool {
        let mut state = self.shared.state.lock();
        let Some(count) = state.producers.get_mut(group) else { return false };
        *count -= 1;
        *count == 0 && state.producers.remove(group).is_some()
    }

    pub(crate) async fn unregister(&self, producer: Option<&str>, consumer: Option<&str>) {
        let calls = self.addresses(true).into_iter().map(async |address| {
            let remote = self.remote();
            if let Err(error) = remote.unregister(&address, self.id(), producer, consumer).await {
                tracing::debug!(%error, "not unregistered, the broker forgets in two minutes");
            }
        });
        join_all(calls).await;
    }

    /// Tells every known broker who this client is.
    pub(crate) async fn heartbeat(&self) {
        let (body, consumes) = {
            let state = self.shared.state.lock();
            let inner = Arc::<str>::from(INNER_PRODUCER);
            let producers = state.producers.keys().chain([&inner]);
            let groups = state.consumers.values().map(|joined| &joined.group);
            let body = remote::heartbeat_body(self.id(), producers, groups);
            (body, !state.consumers.is_empty())
        };
        let calls = self.addresses(consumes).into_iter().map(async |address| {
            if let Err(error) = self.remote().heartbeat(&address, &body).await {
                tracing::warn!(%error, "heartbeat failed");
            }
        });
        join_all(calls).await;
    }

    /// A heartbeat because a broker seems not to know this client, at most one per second.
    pub(crate) async fn heartbeat_again(&self) {
        let now = self.env().clock.mono();
        {
            let mut state = self.shared.state.lock();
            if state.heartbeat_again.is_some_and(|last| now < last + limits::HEARTBEAT_AGAIN) {
                return;
            }
            state.heartbeat_again = Some(now);
        }
        self.heartbeat().await;
    }

    /// Addresses of all known brokers, or of their masters only: a slave has nothing to tell a
    /// producer.
    fn addresses(&self, slaves: bool) -> Vec<Arc<str>> {
        let state = self.shared.state.lock();
        let members = state.brokers.values().flatten();
        members.filter(|(id, _)| slaves || **id == 0).map(|(_, address)| address.clone()).collect()
    }
}

/// Keeps routes fresh and brokers informed, for as long as anyone holds the client.
async fn upkeep(client: Weak<Shared>, env: Env) {
    let stop = env.tasks.stop_token();
    let mut ticks = env.clock.every(limits::HEARTBEAT);
    loop {
        tokio::select! {
            () = stop.stopped() => return,
            () = ticks.tick() => {}
        }
        let Some(shared) = client.upgrade() else { return };
        let client = Client { shared };
        client.refresh_routes().await;
        client.heartbeat().await;
    }
}

fn check_group(group: &str) -> Result<(), StartError> {
    if is_valid_name(group, limits::GROUP_BYTES) {
        return Ok(());
    }
    Err(StartError::InvalidGroup { group: group.to_owned(), limit: limits::GROUP_BYTES })
}

fn check_group_count(state: &State) -> Result<(), StartError> {
    if state.producers.len() + state.consumers.len() < limits::GROUPS {
        return Ok(());
    }
    Err(StartError::TooManyGroups { limit: limits::GROUPS })
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

//! One random history of a store.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use env::{Clock, Env, FaultPlan, Rng};
use store::{
    AppendError, Appended, Batch, Durability, FlushDiskType, Get, GotStatus, Keys, NewRecord,
    OpenError, Queue, Store, StoreSettings, Tags, Want,
};
use tokio::runtime::Runtime;
use wire::record::{PropertyCrc, RecordHead, RecordView, RecordWriter};

use crate::oracle::{Found, Loss, Oracle, QueueId, Sent};

/// Longest that anything may take, in real time.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the keeper's next look is waited for, in real time; it comes every 50 ms.
const LOOK: Duration = Duration::from_millis(70);
const QUEUES: [QueueId; 5] = [("a", 0), ("a", 1), ("b", 0), ("%RETRY%c", 0), ("d", 7)];
const TAGS: [&str; 3] = ["red", "blue", "a tag of more words"];

/// What may go wrong besides kills and power cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    Calm,
    /// Slow syncs, cold pages.
    Slow,
    /// Failing writes, syncs and names.
    Failing,
    /// A disk that runs full.
    Full,
    /// A disk that has no space in the middle of a write now and then: that of a mark stops the store.
    NoSpace,
}

struct History {
    rng: Rng,
    env: Env,
    settings: StoreSettings,
    weather: Weather,
    runtime: Runtime,
    /// Absent while it is being opened.
    store: Option<Store>,
    oracle: Oracle,
}

/// Runs the history of a seed; `failing` says whether its disk may be a failing one.
pub(crate) fn run(seed: u64, failing: bool) {
    let rng = Rng::seeded(seed).child("history");
    let env = Env::fault(seed, FaultPlan::default());
    env.disk.create_dir_all("/data".as_ref()).expect("the disk does not fail yet");
    env.disk.sync_dir("/".as_ref()).expect("the disk does not fail yet");
    let settings = StoreSettings {
        segment_bytes: 4096 << rng.below(3),
        flush: if rng.one_in(2) { FlushDiskType::Sync } else { FlushDiskType::Async },
        property_crc: rng.one_in(4),
        flush_interval_ms: 1 + rng.below(20),
        clean_forcibly: false,
        ..StoreSettings::test_min("/data")
    };
    let weather = [Weather::Calm, Weather::Calm, Weather::Slow, Weather::Full, Weather::Failing];
    let kinds = if failing { weather.len() } else { weather.len() - 1 };
    let weather = match weather[rng.below(kinds as u64) as usize] {
        Weather::Full if rng.one_in(2) => Weather::NoSpace,
        other => other,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let oracle = Oracle::default();
    let mut history = History { rng, env, settings, weather, runtime, store: None, oracle };
    history.open(Loss::Nothing);
    for _ in 0..10 + history.rng.below(60) {
        history.step();
    }
    history.kill();
    history.close();
}

impl History {
    fn step(&mut self) {
        match self.rng.below(100) {
            0..60 => self.send(),
            60..70 => self.send_from_threads(),
            70..85 => self.check(),
            85..90 => self.env.clock.advance(Duration::from_millis(self.rng.below(50))),
            90..93 => self.kill(),
            93..98 => self.cut_power(),
            _ => self.close(),
        }
    }

    /// Sends a batch; with synchronous flush, mostly waits until it is durable.
    fn send(&mut self) {
        let store = self.store().clone();
        let (batch, ids) = self.batch(&store);
        let result = self.wait(store.append(batch));
        let end = self.answered(&ids, result);
        if let Some(end) = end
            && self.sync()
            && !self.rng.one_in(4)
            && self.wait(store.durable(end)) == Durability::Durable
        {
            self.oracle.durable(end);
        }
        self.restart_if_stopped();
    }

    /// Sends batches from several threads at once.
    fn send_from_threads(&mut self) {
        let store = self.store().clone();
        let batches: Vec<_> = (0..2 + self.rng.below(4)).map(|_| self.batch(&store)).collect();
        let runtime = &self.runtime;
        let results: Vec<_> = std::thread::scope(|scope| {
            let send = |(batch, ids)| {
                let store = &store;
                (scope.spawn(move || store.append(batch)), ids)
            };
            let sends: Vec<_> = batches.into_iter().map(send).collect();
            let join = |(send, ids): (std::thread::ScopedJoinHandle<'_, store::Append>, _)| {
                let append = send.join().expect("appending does not panic");
                (runtime.block_on(in_time(append)), ids)
            };
            sends.into_iter().map(join).collect()
        });
        for (result, ids) in results {
            self.answered(&ids, result);
        }
        self.restart_if_stopped();
    }

    /// Tells the oracle how a send went. Returns the end of the batch in the log.
    fn answered(&mut self, ids: &[u64], result: Result<Appended, AppendError>) -> Option<u64> {
        match result {
            Ok(appended) => {
                assert_eq!(appended.offsets().len(), ids.len());
                for (id, (queue_offset, physical)) in ids.iter().zip(appended.offsets()) {
                    self.oracle.appended(*id, queue_offset, physical);
                }
                Some(appended.end)
            }
            Err(error) => {
                let expected = match error {
                    AppendError::DiskFull(_) => {
                        self.try_again();
                        matches!(self.weather, Weather::Full | Weather::NoSpace)
                    }
                    AppendError::Stopped(_) => self.may_stop(),
                    AppendError::TooLarge { .. }
                    | AppendError::Busy { .. }
                    | AppendError::Behind { .. } => false,
                };
                assert!(expected, "{:?}: {error}", self.weather);
                None
            }
        }
    }

    /// Lets the store look at its full disk again, mostly until it has.
    fn try_again(&mut self) {
        self.env.clock.advance(Duration::from_secs(1));
        let end = std::time::Instant::now() + LOOK;
        while self.store().refusal().is_some() && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
    }

    /// A batch of new messages, told to the oracle.
    fn batch(&mut self, store: &Store) -> (Batch, Vec<u64>) {
        let mut batch = Batch::new();
        let mut ids = Vec::new();
        let mut bytes = 0;
        for index in 0..1 + self.rng.below(5) {
            let queue = QUEUES[self.rng.below(QUEUES.len() as u64) as usize];
            let tag = match self.rng.one_in(3) {
                true => None,
                false => Some(TAGS[self.rng.below(TAGS.len() as u64) as usize]),
            };
            let most = if self.rng.one_in(8) { 1200 } else { 150 };
            let mut body = vec![0; 8 + self.rng.below(most) as usize];
            self.rng.fill(&mut body);
            let id = self.oracle.next_id();
            body[..8].copy_from_slice(&id.to_be_bytes());
            // A group has to fit into one segment.
            bytes += body.len() + 300;
            let with_previous = index > 0 && bytes < 3000 && self.rng.one_in(3);
            if !with_previous {
                bytes = body.len() + 300;
            }
            let tags_code = tag.map_or(0, |tag| wire::java_hash::tags_code(tag.as_bytes()));
            let key = format!("key{}", id % 16);
            let place = store.queue(queue.0, queue.1);
            let new = NewRecord {
                queue: &place,
                tags: Tags::Code(tags_code),
                keys: Keys {
                    keys: Some(key.as_bytes()),
                    tag: tag.map(str::as_bytes),
                    unique: None,
                },
                with_previous,
            };
            let encoded = batch
                .push(new, |out| Ok::<_, Infallible>(self.encode(out, queue, &body, &key, tag)));
            encoded.expect("it cannot fail");
            self.oracle.sending(Sent { id, queue, body, tags_code });
            ids.push(id);
        }
        (batch, ids)
    }

    fn encode(
        &self,
        out: &mut BytesMut,
        queue: QueueId,
        body: &[u8],
        key: &str,
        tag: Option<&str>,
    ) -> usize {
        let host = SocketAddr::from(([127, 0, 0, 1], 10911));
        let head = RecordHead {
            queue_id: queue.1 as i32,
            flag: 0,
            sys_flag: 0,
            born_timestamp: self.env.clock.wall_ms(),
            born_host: host,
            store_host: host,
            reconsume_times: 0,
            prepared_transaction_offset: 0,
        };
        let writer = RecordWriter::begin(out, &head, queue.0.as_bytes(), body);
        let mut writer = writer.expect("it is small");
        writer.properties().append(wire::props::names::KEYS, key.as_bytes());
        if let Some(tag) = tag {
            writer.properties().append(wire::props::names::TAGS, tag.as_bytes());
        }
        let crc =
            if self.settings.property_crc { PropertyCrc::Reserved } else { PropertyCrc::Absent };
        writer.finish(crc).expect("it is small")
    }

    /// Compares everything that the store shows with the oracle.
    fn check(&mut self) {
        let store = self.store().clone();
        let appended = store.watermarks().appended;
        let all = !self.sync() || self.wait(store.durable(appended)) == Durability::Durable;
        if all && self.sync() {
            self.oracle.durable(appended);
        }
        let found = self.dump();
        self.oracle.check_running(&found, all);
        self.restart_if_stopped();
    }

    /// The process ends without a warning; nothing that was answered is lost.
    fn kill(&mut self) {
        self.env = self.env.kill();
        self.end_store();
        self.open(Loss::Nothing);
    }

    /// The machine loses power.
    fn cut_power(&mut self) {
        self.env = self.env.crash();
        self.end_store();
        self.open(Loss::Tail);
    }

    /// The process ends in order.
    fn close(&mut self) {
        self.store.take().expect("the store is open").close();
        if !self.may_stop() {
            self.oracle.all_durable();
        }
        self.env = self.env.kill();
        self.open(Loss::Nothing);
    }

    /// A store that met a failing disk has stopped for good: then its process ends.
    fn restart_if_stopped(&mut self) {
        if matches!(self.store().refusal(), Some(AppendError::Stopped(_))) {
            assert!(self.may_stop(), "{:?}", self.weather);
            if self.rng.one_in(2) { self.kill() } else { self.cut_power() }
        }
    }

    /// Opens the store and checks what it holds; then opens it once more, which must change nothing.
    fn open(&mut self, mut loss: Loss) {
        self.set_weather(if self.rng.one_in(4) { self.weather } else { Weather::Calm });
        let store = loop {
            match Store::open(self.env.clone(), self.settings.clone()) {
                Ok(store) => break store,
                Err(error) => {
                    let known = matches!(error, OpenError::Io { .. });
                    assert!(known && self.weather != Weather::Calm, "{:?}: {error}", self.weather);
                }
            }
            // Opening was cut short; it must be possible to begin again.
            let power_cut = self.rng.one_in(2);
            self.env = if power_cut { self.env.crash() } else { self.env.kill() };
            loss = if power_cut { Loss::Tail } else { loss };
            self.set_weather(Weather::Calm);
        };
        self.store = Some(store);
        self.set_weather(Weather::Calm);
        let found = self.dump();
        self.oracle.check_opened(&found, loss);
        if self.sync() && !self.may_stop() {
            // What is shown is durable, also after a recovery.
            self.oracle.all_durable();
        }
        let again = self.rng.below(3);
        if again > 0 {
            self.env = self.env.kill();
            self.end_store();
            let store = Store::open(self.env.clone(), self.settings.clone());
            self.store = Some(store.expect("what opened once opens again"));
            assert_eq!(self.dump(), found, "a second recovery changes nothing");
        }
        self.set_weather(self.weather);
    }

    /// Ends the threads of a store whose disk is gone.
    fn end_store(&mut self) {
        drop(self.store.take());
    }

    fn set_weather(&self, weather: Weather) {
        let calm = FaultPlan::default();
        self.env.disk.set_plan(match weather {
            Weather::Calm => calm,
            Weather::Slow => FaultPlan { slow_sync: 4, cold: 4, ..calm },
            Weather::Failing => {
                FaultPlan { write_error: 40, sync_error: 40, name_error: 40, ..calm }
            }
            Weather::Full => FaultPlan { capacity: 64 << 10, ..calm },
            Weather::NoSpace => FaultPlan { no_space: 40, ..calm },
        });
    }

    /// Everything that a consumer finds, queue by queue.
    fn dump(&self) -> Vec<Found> {
        let mut found = Vec::new();
        for id in QUEUES {
            if let Some(queue) = self.store().find_queue(id.0, id.1) {
                self.dump_queue(id, &queue, &mut found);
            }
        }
        found
    }

    fn dump_queue(&self, id: QueueId, queue: &Arc<Queue>, found: &mut Vec<Found>) {
        let mut offset = queue.min_offset();
        loop {
            let (max_messages, max_bytes) =
                (1 + self.rng.below(8) as u32, 200 + self.rng.below(4000) as u32);
            let codes = RefCell::new(Vec::new());
            let take_all = |code| {
                codes.borrow_mut().push(code);
                true
            };
            let get = self.store().get(queue, offset, Want { max_messages, max_bytes }, &take_all);
            let got = match get.expect("reading does not fail") {
                Get::Ready(got) => got,
                Get::Cold(cold) => self.wait(cold).expect("reading does not fail"),
            };
            match got.status {
                GotStatus::Found => {}
                GotStatus::Again => continue,
                GotStatus::OffsetOverflowOne | GotStatus::NoMessageInQueue => return,
                other => panic!("{other:?} at {offset} of {id:?}, {got:?}"),
            }
            let mut codes = codes.into_inner().into_iter();
            for slice in &got.slices {
                let mut rest = slice.clone();
                while !rest.is_empty() {
                    let view = RecordView::parse(&rest).expect("slices hold whole records");
                    let size = view.size();
                    let record = rest.split_to(size);
                    let tags_code = codes.next().expect("each message was asked for");
                    found.push(Found { queue: id, queue_offset: offset, tags_code, record });
                    offset += 1;
                }
            }
            assert_eq!(got.next, offset, "the next offset follows the last message");
        }
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("the store is open")
    }

    /// Whether a sync may fail, which stops the store.
    fn may_stop(&self) -> bool {
        matches!(self.weather, Weather::Failing | Weather::NoSpace)
    }

    fn sync(&self) -> bool {
        self.settings.flush == FlushDiskType::Sync
    }

    fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(in_time(future))
    }
}

async fn in_time<F: Future>(future: F) -> F::Output {
    let result = Clock::real().timeout(PATIENCE, future).await;
    result.unwrap_or_else(|_| panic!("it takes longer than {PATIENCE:?}"))
}

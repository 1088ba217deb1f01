//! A broker over a store in memory, called as a connection would call it.

mod admin;
mod disk;
mod memory;
mod page;
mod register;
mod reply_message;
mod reset;
mod schedule;
mod send;
mod settings;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use env::settings::SettingsFile;
use env::{Disk, Env};
use store::{Store, StoreSettings};
use wire::body::{ConsumerData, HeartbeatData, ProducerData, SubscriptionData};
use wire::frame::{Head, OwnedFrame};
use wire::header::{Header, NoHeader, SendHeader};
use wire::limits::MAX_FRAME;
use wire::{Call, Format, Frame, FrameWriter, Frames, Peer, Replies, RequestCode};

use crate::{Broker, BrokerSettings, Deps};

const SETTINGS_FILE: &str = "/broker.conf";

struct Fixture {
    env: Env,
    store: Store,
    broker: Broker,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(BrokerSettings::default())
    }

    fn with(settings: BrokerSettings) -> Fixture {
        let env = Env { disk: Disk::mem(), ..Env::real() };
        Fixture::over(env, StoreSettings::test_min("/store"), settings, "")
    }

    fn over(env: Env, store: StoreSettings, settings: BrokerSettings, namesrv: &str) -> Fixture {
        let path = Path::new(SETTINGS_FILE);
        env.disk.create(path).unwrap().write_at(b"# mine\n", 0).unwrap();
        let store = Store::open(env.clone(), store).unwrap();
        let (handler, limits) = (Arc::new(net::AnswersOnly), net::Limits::default());
        let deps = Deps {
            store: store.clone(),
            client: net::Client::new(env.clone(), "test", handler, limits),
            namesrv: namesrv.to_owned(),
            advertised: SocketAddr::from(([127, 0, 0, 1], 10911)),
            settings_file: Some(SettingsFile::new(env.disk.clone(), path.to_owned())),
        };
        let broker = Broker::open(env.clone(), settings, deps).unwrap();
        Fixture { env, store, broker }
    }

    /// Ends the broker's tasks and its store.
    async fn end(self) {
        let late = self.env.tasks.shutdown(Duration::from_secs(10)).await;
        assert!(late.is_empty(), "{late:?} did not end");
        self.store.close();
    }

    /// The answer to a request.
    async fn call<'a>(
        &self,
        peer: &Arc<Peer>,
        code: RequestCode,
        header: &impl Header<'a>,
        body: &[u8],
    ) -> OwnedFrame {
        let mut bytes = BytesMut::new();
        let head = Head { opaque: 7, ..Head::request(code.code(), Format::Json) };
        let mut writer = FrameWriter::begin(&mut bytes, &head);
        header.encode(&mut writer);
        writer.finish(body);
        let mut replies = Replies::default();
        self.broker.call_batch(peer, &mut Frames::new(&bytes, MAX_FRAME), &mut replies).unwrap();
        let later: Vec<_> = replies.take_later().collect();
        for later in later {
            replies.append(later.later.await);
        }
        let mut answers = frames(&replies);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    }

    /// A client with a producer and a consumer group of the topic `T`.
    async fn client(&self, id: u64, client_id: &str, group: &str) -> Arc<Peer> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1000 + id as u16));
        let peer = Peer::new(id, addr, addr);
        let subscription = SubscriptionData {
            topic: "T".to_owned(),
            sub_string: "*".to_owned(),
            ..SubscriptionData::default()
        };
        let heartbeat = HeartbeatData {
            client_id: client_id.to_owned(),
            producer_data_set: vec![ProducerData { group_name: "producers".to_owned() }],
            consumer_data_set: vec![ConsumerData {
                group_name: group.to_owned(),
                subscription_data_set: vec![subscription],
                ..ConsumerData::default()
            }],
            ..HeartbeatData::default()
        };
        let body = wire::body::write(&heartbeat);
        let answer = self.call(&peer, RequestCode::HeartBeat, &NoHeader, &body).await;
        assert_eq!(answer.frame().code, 0);
        sent_to(&peer);
        peer
    }

    /// Sends messages to queue 0 of a topic, which the first creates.
    async fn send(&self, peer: &Arc<Peer>, topic: &str, count: usize) {
        for _ in 0..count {
            let header = SendHeader {
                topic: topic.into(),
                default_topic: "TBW102".into(),
                default_topic_queue_nums: 2,
                ..SendHeader::default()
            };
            let answer = self.call(peer, RequestCode::SendMessage, &header, b"body").await;
            assert_eq!(answer.frame().code, 0, "{:?}", answer.frame().remark);
        }
    }
}

/// Frames that were pushed to a client.
fn sent_to(peer: &Peer) -> Vec<OwnedFrame> {
    let mut replies = Replies::default();
    peer.drain(&mut replies);
    frames(&replies)
}

fn frames(replies: &Replies) -> Vec<OwnedFrame> {
    let mut slices = [IoSlice::new(&[]); 64];
    let used = replies.io_slices(&mut slices);
    let bytes: Vec<u8> = slices[..used].iter().flat_map(|slice| slice.to_vec()).collect();
    let mut frames = Frames::new(&bytes, MAX_FRAME);
    let mut all = Vec::new();
    while let Some(frame) = frames.next().unwrap() {
        all.push(OwnedFrame::new(Bytes::copy_from_slice(frame.bytes)).unwrap());
    }
    all
}

/// Waits for the next request that is pushed to a client, and has it answered with this code and body.
async fn answer_pushed(peer: &Peer, code: i32, body: &[u8]) -> OwnedFrame {
    loop {
        if let Some(pushed) = sent_to(peer).pop() {
            let mut bytes = BytesMut::new();
            let to = pushed.frame().reply_to();
            FrameWriter::response(&mut bytes, to, code).finish(body);
            assert!(peer.accept(&Frame::decode(&bytes).unwrap()));
            return pushed;
        }
        tokio::task::yield_now().await;
    }
}

fn field(frame: &OwnedFrame, name: &str) -> Option<String> {
    frame.frame().fields.get(name).map(|text| text.to_str().into_owned())
}

fn remark(frame: &OwnedFrame) -> String {
    frame.frame().remark.map(|text| text.to_str().into_owned()).unwrap_or_default()
}

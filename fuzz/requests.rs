//! What must hold for any request to a broker and to a name server, from its header to its body and what
//! is done with it. `crates/server/tests/corpus.rs` runs the same check over the corpus on every test run.

use std::cell::RefCell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerSettings, Deps};
use bytes::BytesMut;
use env::{Disk, Env};
use namesrv::{Namesrv, NamesrvSettings};
use store::{Store, StoreSettings};
use tokio::runtime::Runtime;
use wire::{Call, Frames, Peer, Replies};

/// Requests after which both start anew: what earlier ones changed is neither lost at once nor kept forever.
const REQUESTS: usize = 64;
/// How long an answer is waited for that is not there at once; a pull may be held for long.
const WAIT: Duration = Duration::from_millis(20);
const MAX_FRAME: usize = 16 << 20;

/// A broker and a name server over a disk in memory.
struct World {
    runtime: Runtime,
    env: Env,
    store: Store,
    roles: [Arc<dyn Call>; 2],
    peer: Arc<Peer>,
    requests: usize,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// `code:int16 | size of the ext fields:int16 | ext fields as JSON | body`. Each request is answered once, at once or
/// later, and a one-way one never.
pub fn requests(data: &[u8]) {
    let Some((&[a, b, c, d], rest)) = data.split_first_chunk() else { return };
    let (code, size) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let Some((fields, body)) = rest.split_at_checked(size.into()) else { return };
    WORLD.with_borrow_mut(|world| {
        if let Some(old) = world.take_if(|world| world.requests >= REQUESTS) {
            old.end();
        }
        let world = world.get_or_insert_with(World::new);
        world.requests += 1;
        for flag in [0, 2] {
            let start =
                format!(r#"{{"code":{code},"opaque":7,"flag":{flag},"version":493,"extFields":"#);
            let header = [start.as_bytes(), fields, b"}"].concat();
            world.serve(&frame(&header, body), flag == 2);
        }
    });
}

fn frame(header: &[u8], body: &[u8]) -> Vec<u8> {
    let size = |len: usize| u32::try_from(len).expect("inputs are small").to_be_bytes();
    let total = size(4 + header.len() + body.len());
    [&total[..], &size(header.len()), header, body].concat()
}

impl World {
    fn new() -> World {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime can be built");
        let entered = runtime.enter();
        let env = Env { disk: Disk::mem(), ..Env::real() };
        let store =
            Store::open(env.clone(), StoreSettings::test_min("/store")).expect("it is empty");
        let (handler, limits) = (Arc::new(net::AnswersOnly), net::Limits::default());
        let deps = Deps {
            store: store.clone(),
            client: net::Client::new(env.clone(), "fuzz", handler, limits),
            namesrv: String::new(),
            advertised: SocketAddr::from(([127, 0, 0, 1], 10911)),
            settings_file: None,
        };
        let broker =
            Broker::open(env.clone(), BrokerSettings::default(), deps).expect("it is empty");
        let namesrv =
            Namesrv::start(env.clone(), NamesrvSettings::default(), Path::new("/namesrv"));
        let roles: [Arc<dyn Call>; 2] =
            [Arc::new(broker), Arc::new(namesrv.expect("it has no file"))];
        let addr = SocketAddr::from(([127, 0, 0, 1], 1000));
        let peer = Peer::new(1, addr, addr);
        drop(entered);
        World { runtime, env, store, roles, peer, requests: 0 }
    }

    fn serve(&self, frame: &[u8], oneway: bool) {
        let _entered = self.runtime.enter();
        for role in &self.roles {
            let mut out = Replies::default();
            // A header that is none ends the connection.
            let served = role.call_batch(&self.peer, &mut Frames::new(frame, MAX_FRAME), &mut out);
            let later: Vec<_> = out.take_later().collect();
            let expected = usize::from(served.is_ok() && !oneway);
            if later.is_empty() {
                assert_eq!(answers(&out), expected);
            }
            for waiting in later {
                let wait = async { tokio::time::timeout(WAIT, waiting.later).await };
                if let Ok(more) = self.runtime.block_on(wait) {
                    out.append(more);
                }
            }
            assert!(answers(&out) <= expected);
            self.peer.drain(&mut Replies::default());
        }
    }

    fn end(self) {
        let late = self.runtime.block_on(self.env.tasks.shutdown(Duration::from_secs(10)));
        assert!(late.is_empty(), "{late:?} did not end");
        self.store.close();
    }
}

/// How many answers there are; each must be one to the request.
fn answers(out: &Replies) -> usize {
    let mut slices = vec![IoSlice::new(&[]); 1024];
    let used = out.io_slices(&mut slices);
    let mut bytes = BytesMut::new();
    slices[..used].iter().for_each(|slice| bytes.extend_from_slice(slice));
    let mut frames = Frames::new(&bytes, MAX_FRAME);
    let mut count = 0;
    while let Some(frame) = frames.next().expect("an answer is a frame") {
        assert!(frame.is_response() && frame.opaque == 7, "{frame}");
        count += 1;
    }
    assert_eq!(frames.consumed(), bytes.len());
    count
}

//! Consumers whose queues are taken from them, or begin anew, while something waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::{Bytes, BytesMut};
use client::{
    CallError, Client, ClientSettings, ConsumeFrom, Consumed, MessageQueue, Ordered, Position,
    PullError, PushConsumer, PushConsumerBuilder, Received, limits,
};
use env::Env;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use wire::codes::RequestCode;
use wire::reply_codes as code;

use crate::PATIENCE;
use crate::server::{Answer, Asked, Script, Server, broker, names};

/// Topics with two queues each, so that two queues wait while every listener is held up.
const TOPICS: usize = limits::LISTENERS / 2 + 1;

/// A queue as requests name it.
type Queue = (String, u32);

fn queue_of(asked: &Asked) -> Queue {
    (asked.field("topic"), asked.field("queueId").parse().unwrap_or(u32::MAX))
}

/// An answer to a pull.
fn pulled(code: i32, next: u64, body: Bytes) -> Answer {
    let names = ["suggestWhichBrokerId", "nextBeginOffset", "minOffset", "maxOffset"];
    let fields = names.into_iter().zip([0, next, 0, next].map(|value| value.to_string()));
    Answer::With(code, String::new(), fields.collect(), body)
}

/// What listeners were called with, and what holds them up.
#[derive(Clone)]
struct Listeners {
    seen: Arc<Mutex<Vec<Vec<Received>>>>,
    gate: Arc<Semaphore>,
}

impl Listeners {
    fn new() -> Listeners {
        Listeners { seen: Arc::default(), gate: Arc::new(Semaphore::new(0)) }
    }

    async fn listen(self, messages: Vec<Received>) {
        self.seen.lock().push(messages);
        self.gate.acquire().await.expect("the gate is never closed").forget();
    }

    fn calls(&self) -> usize {
        self.seen.lock().len()
    }

    /// The queues of the messages that they were called with.
    fn queues(&self) -> BTreeSet<Queue> {
        let seen = self.seen.lock();
        let queues = seen.iter().flatten().map(Received::queue);
        queues.map(|queue| (queue.topic.to_string(), queue.id)).collect()
    }
}

/// A broker with a message in each of too many queues.
struct Busy {
    env: Env,
    simulated: Env,
    broker: Server,
    _names: Server,
    client: Client,
    listeners: Listeners,
}

impl Busy {
    async fn new(listeners: Listeners, script: Script) -> Result<Busy> {
        let (env, simulated) = (Env::real(), Env::sim(1));
        let broker = Server::start(&env, script).await?;
        for topic in 0..TOPICS {
            (0..2).for_each(|queue| broker.deliver(&format!("T{topic}"), queue, ""));
        }
        let names = names(&env, vec![("a", broker.address())]).await?;
        let client = Client::start(&simulated, ClientSettings::new(&names.address()))?;
        Ok(Busy { env, simulated, broker, _names: names, client, listeners })
    }

    fn builder(&self) -> PushConsumerBuilder {
        let builder = self.client.push_consumer("g").from(ConsumeFrom::First);
        (0..TOPICS).fold(builder, |builder, topic| builder.subscribe(&format!("T{topic}"), "*"))
    }

    async fn until(&self, condition: impl Fn() -> bool) -> Result<()> {
        let holds = async {
            while !condition() {
                tokio::task::yield_now().await;
            }
        };
        Ok(self.env.clock.timeout(PATIENCE, holds).await?)
    }

    fn pulls(&self) -> Vec<Asked> {
        let mut pulls = self.broker.asked(RequestCode::PullMessage);
        pulls.retain(|asked| !asked.field("topic").starts_with('%'));
        pulls
    }

    /// Waits until every listener runs, and every queue has its message and asks for the next.
    async fn filled(&self) -> Result<()> {
        let has_message = |asked: &Asked| asked.field("queueOffset") == "1";
        let filled = || {
            let pulls = self.pulls();
            pulls.iter().filter(|asked| has_message(asked)).map(queue_of).collect::<BTreeSet<_>>()
        };
        self.until(|| self.listeners.calls() == limits::LISTENERS && filled().len() == 2 * TOPICS)
            .await
    }

    /// Lets every listener that is held up return, one after the other.
    async fn let_go(&self, consumer: &PushConsumer) -> Result<()> {
        let done = || consumer.assigned().iter().filter(|(_, next)| *next == 1).count();
        for count in 1..=limits::LISTENERS {
            self.listeners.gate.add_permits(1);
            self.until(|| done() == count).await?;
        }
        Ok(())
    }
}

// An ordered listener is not called for a queue whose lock was lost while it waited for its turn, but when
// the lock is granted again. Meanwhile pulls commit nothing.
#[tokio::test]
async fn a_lock_that_is_lost_in_the_wait_is_missed() -> Result<()> {
    let denied = Arc::new(AtomicBool::new(false));
    let denies = denied.clone();
    let script = broker(move |asked| match asked.code {
        RequestCode::LockBatchMq if denies.load(Ordering::SeqCst) => {
            Answer::body(r#"{"lockOKMQSet":[]}"#)
        }
        // Held.
        RequestCode::PullMessage if asked.field("queueOffset") == "1" => Answer::Nothing,
        _ => Answer::Default,
    });
    let busy = Busy::new(Listeners::new(), script).await?;
    let listeners = busy.listeners.clone();
    let consumer = busy.builder().in_order(move |messages| {
        let call = listeners.clone().listen(messages);
        async {
            call.await;
            Ordered::Success
        }
    });
    let consumer = consumer.await?;
    busy.filled().await?;
    denied.store(true, Ordering::SeqCst);
    busy.simulated.clock.advance(limits::LOCK_LOST);
    busy.let_go(&consumer).await?;
    ensure!(busy.listeners.calls() == limits::LISTENERS, "the lock is lost");

    let before = busy.pulls().len();
    busy.simulated.clock.advance(limits::PULL_RETRY);
    busy.until(|| busy.pulls().len() >= before + limits::LISTENERS).await?;
    let commits = |asked: &Asked| asked.field("sysFlag").parse::<i32>().is_ok_and(|f| f & 1 == 1);
    ensure!(!busy.pulls()[before..].iter().any(commits), "another member may be further on");

    denied.store(false, Ordering::SeqCst);
    busy.listeners.gate.add_permits(2);
    busy.simulated.clock.advance(limits::LOCK_RENEWAL);
    busy.until(|| busy.listeners.calls() == limits::LISTENERS + 2).await?;
    consumer.close().await;
    Ok(())
}

// A listener is not called without messages, when its queue begins anew at another offset while it waits for
// its turn.
#[tokio::test]
async fn a_queue_that_begins_anew_calls_nobody() -> Result<()> {
    let moved = Arc::new(AtomicBool::new(false));
    let listeners = Listeners::new();
    let (moves, called) = (moved.clone(), listeners.clone());
    let script = broker(move |asked| match asked.code {
        RequestCode::PullMessage
            if moves.load(Ordering::SeqCst) && !called.queues().contains(&queue_of(asked)) =>
        {
            pulled(code::PULL_OFFSET_MOVED, 5, Bytes::new())
        }
        // The queue does not end before its commit is answered.
        RequestCode::UpdateConsumerOffset if asked.field("commitOffset") == "5" => Answer::Nothing,
        _ => Answer::Default,
    });
    let busy = Busy::new(listeners, script).await?;
    let listeners = busy.listeners.clone();
    let consumer = busy.builder().concurrently(move |messages| {
        let call = listeners.clone().listen(messages);
        async {
            call.await;
            Consumed::Success
        }
    });
    let consumer = consumer.await?;
    busy.filled().await?;
    moved.store(true, Ordering::SeqCst);
    let of_topics = |asked: &Asked| !asked.field("topic").starts_with('%');
    let restarted = || {
        let commits = busy.broker.asked(RequestCode::UpdateConsumerOffset);
        commits.iter().filter(|asked| of_topics(asked)).count()
    };
    busy.until(|| restarted() == 2).await?;
    busy.let_go(&consumer).await?;
    ensure!(busy.listeners.calls() == limits::LISTENERS, "{:?}", busy.listeners.seen.lock().last());
    Ok(())
}

// A lock is given up when its queue cannot be started after all, and when the consumer is closed before it
// is.
#[tokio::test]
async fn a_queue_that_is_not_started_is_unlocked() -> Result<()> {
    for closed_before in [false, true] {
        let env = Env::real();
        let script = broker(move |asked| match asked.code {
            RequestCode::QueryConsumerOffset if closed_before => Answer::Nothing,
            RequestCode::QueryConsumerOffset => Answer::refuse(code::SYSTEM_ERROR, "no"),
            _ => Answer::Default,
        });
        let a = Server::start(&env, script).await?;
        let names = names(&env, vec![("a", a.address())]).await?;
        let client = Client::start(&env, ClientSettings::new(&names.address()))?;
        let builder = client.push_consumer("g").subscribe("T", "*");
        let consumer = builder.in_order(|_| async { Ordered::Success }).await?;
        let queried = || a.asked(RequestCode::QueryConsumerOffset).len();
        let unlocked = || a.asked(RequestCode::UnlockBatchMq).len();
        if !closed_before {
            env.clock.timeout(PATIENCE, a.until(|| unlocked() > 0)).await?;
        }
        env.clock.timeout(PATIENCE, a.until(|| queried() > 0)).await?;
        consumer.close().await;
        ensure!(unlocked() > 0);
        client.close().await;
    }
    Ok(())
}

// A pull consumer may wait for as long as it likes, and refuses an offset that no broker can have given.
#[tokio::test]
async fn a_pull_has_no_limits_but_those_of_offsets() -> Result<()> {
    let env = Env::real();
    let a = Server::start(&env, broker(|_| Answer::Default)).await?;
    a.deliver("T", 0, "");
    let mut beyond = BytesMut::from(&a.record("T", 0, 0)[..]);
    beyond[20..28].copy_from_slice(&u64::MAX.to_be_bytes());
    let beyond = beyond.freeze();
    let b = Server::start(
        &env,
        broker(move |asked| match asked.code {
            RequestCode::PullMessage => pulled(code::SUCCESS, 1, beyond.clone()),
            _ => Answer::Default,
        }),
    )
    .await?;
    let names = names(&env, vec![("a", a.address()), ("b", b.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&names.address()))?;
    for (broker, is_valid) in [("a", true), ("b", false)] {
        let mut consumer = client.pull_consumer("g")?;
        let queues = consumer.queues("T").await?;
        ensure!(queues.contains(&MessageQueue::new("T", broker, 0)));
        consumer.assign(MessageQueue::new("T", broker, 0), Position::Offset(0)).await?;
        match consumer.poll(Duration::MAX).await {
            Ok(Some(messages)) => ensure!(is_valid && messages.len() == 1),
            Err(PullError::Call(CallError::Malformed { reason, .. })) => {
                ensure!(!is_valid && reason == format!("{} is no offset", u64::MAX), "{reason}");
            }
            other => anyhow::bail!("{other:?}"),
        }
    }
    client.close().await;
    Ok(())
}

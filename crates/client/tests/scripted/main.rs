//! The client against servers that answer by a script, over real sockets: failures that a healthy
//! cluster does not show.

mod administered;
mod asked;
mod consuming;
mod leaving;
mod names;
mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::{
    CallError, Client, ClientSettings, ConsumeFrom, Consumed, Message, Ordered, ProducerSettings,
    SendError,
};
use env::Env;
use server::{Answer, Asked, Script, Server, broker, names};
use wire::codes::RequestCode;
use wire::reply_codes as code;

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of a name server that knows two brokers, each with two queues of every topic.
async fn two_brokers(a: Script, b: Script) -> Result<(Client, Server, Server, Env)> {
    let env = Env::real();
    let a = Server::start(&env, a).await?;
    let b = Server::start(&env, b).await?;
    let name_server = names(&env, vec![("a", a.address()), ("b", b.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    Ok((client, a, b, env))
}

fn sends(server: &Server) -> Vec<Asked> {
    server.asked(RequestCode::SendMessageV2)
}

// A code that says "not here, not now" sends the message to the other broker, with the same unique
// key, so that a duplicate could be recognized.
#[tokio::test]
async fn retryable_answers_go_to_another_broker() -> Result<()> {
    let busy = broker(|_| Answer::refuse(code::SERVICE_NOT_AVAILABLE, "disk full"));
    let (client, a, b, _env) = two_brokers(busy, broker(|_| Answer::stored(3))).await?;
    let producer = client.producer("g")?;
    for _ in 0..4 {
        let receipt = producer.send(Message::new("T", "x")).await?;
        ensure!(&*receipt.queue.broker == "b" && receipt.offset == 3, "{receipt:?}");
    }
    let keys = |server: &Server| sends(server).iter().map(Asked::unique_key).collect::<Vec<_>>();
    ensure!(keys(&b).len() == 4);
    // The broker that failed is avoided afterwards: it was tried at most once.
    ensure!(keys(&a).len() <= 1 && keys(&a).iter().all(|key| keys(&b).contains(key)));
    client.close().await;
    Ok(())
}

// An answer that refuses the message itself ends the send at once, and the error names request,
// address, code and remark.
#[tokio::test]
async fn final_answers_are_reported() -> Result<()> {
    let illegal = || broker(|_| Answer::refuse(code::MESSAGE_ILLEGAL, "the message is illegal"));
    let (client, a, b, _env) = two_brokers(illegal(), illegal()).await?;
    let error = client.producer("g")?.send(Message::new("T", "x")).await;
    let error = error.err().context("the send was refused")?;
    let SendError::Failed { attempts: 1, source: CallError::Refused { code: 13, .. }, .. } = &error
    else {
        anyhow::bail!("{error:?}");
    };
    let text = error.to_string();
    let named = ["SEND_MESSAGE_V2", "127.0.0.1:", "13", "the message is illegal", "topic T"];
    ensure!(named.iter().all(|part| text.contains(part)), "{text}");
    ensure!(sends(&a).len() + sends(&b).len() == 1);
    client.close().await;
    Ok(())
}

// All attempts together last no longer than the producer's timeout.
#[tokio::test]
async fn a_silent_broker_costs_one_timeout() -> Result<()> {
    let silent = || broker(|_| Answer::Nothing);
    let (client, _a, _b, env) = two_brokers(silent(), silent()).await?;
    let timeout = Duration::from_millis(300);
    let settings = ProducerSettings { timeout, ..ProducerSettings::default() };
    let producer = client.producer_with("g", settings)?;
    let start = env.clock.mono();
    let error = producer.send(Message::new("T", "x")).await;
    let timed_out =
        matches!(error, Err(SendError::Failed { source: CallError::Timeout { .. }, .. }));
    ensure!(timed_out, "{error:?}");
    let spent = env.clock.mono() - start;
    ensure!(spent >= timeout && spent < timeout * 5, "{spent:?}");
    client.close().await;
    Ok(())
}

// Name servers that do not answer cost a message no more than the producer's timeout, whether it waits for
// an answer or not, and the error names what was asked of whom.
#[tokio::test]
async fn silent_name_servers_cost_one_timeout() -> Result<()> {
    let env = Env::real();
    let silent = Server::start(&env, broker(|_| Answer::Nothing)).await?;
    let client = Client::start(&env, ClientSettings::new(&silent.address()))?;
    let timeout = Duration::from_millis(300);
    let settings = ProducerSettings { timeout, ..ProducerSettings::default() };
    let producer = client.producer_with("g", settings)?;
    let message = || Message::new("T", "x");
    let start = env.clock.mono();
    let sent = producer.send(message()).await.map(drop);
    let middle = env.clock.mono();
    let oneway = producer.send_oneway(message()).await;
    for (result, spent) in [(sent, middle - start), (oneway, env.clock.mono() - middle)] {
        let text = result.err().context("nobody took it")?.to_string();
        ensure!(text.contains(&silent.address()) && text.contains("300ms"), "{text}");
        ensure!(spent >= timeout && spent < timeout * 5, "{spent:?}");
    }
    client.close().await;
    Ok(())
}

// A topic that does not exist is sent to by the route of the template, with at most four queues, and
// the request says which template and how many.
#[tokio::test]
async fn an_unknown_topic_is_sent_by_the_template() -> Result<()> {
    let (client, a, b, _env) =
        two_brokers(broker(|_| Answer::stored(0)), broker(|_| Answer::stored(0))).await?;
    let producer = client.producer("g")?;
    for _ in 0..16 {
        producer.send(Message::new("unknown", "x")).await?;
    }
    let all = [sends(&a), sends(&b)].concat();
    ensure!(all.iter().all(|one| one.field("c") == "TBW102" && one.field("d") == "4"));
    let highest = all.iter().map(|one| one.field("e")).max();
    ensure!(highest.as_deref() == Some("3"), "{highest:?}");
    client.close().await;
    Ok(())
}

// A name server that does not answer is passed over for the next one in the list.
#[tokio::test]
async fn the_next_name_server_is_asked() -> Result<()> {
    let env = Env::real();
    let a = Server::start(&env, broker(|_| Answer::stored(0))).await?;
    let name_server = names(&env, vec![("a", a.address())]).await?;
    for list in ["127.0.0.1:1, {}", "{};127.0.0.1:1"] {
        let list = list.replace("{}", &name_server.address());
        let client = Client::start(&env, ClientSettings::new(&list))?;
        client.producer("g")?.send(Message::new("T", "x")).await?;
        client.close().await;
    }
    Ok(())
}

// A message that cannot be sent back is sent as a copy to the retry topic, with everything that the
// next delivery needs.
#[tokio::test]
async fn a_refused_send_back_becomes_a_copy() -> Result<()> {
    let env = Env::real();
    let a = Server::start(
        &env,
        broker(|asked| match asked.code {
            RequestCode::ConsumerSendMsgBack => Answer::refuse(code::SYSTEM_ERROR, "no"),
            RequestCode::SendMessageV2 => Answer::stored(0),
            _ => Answer::Default,
        }),
    )
    .await?;
    a.deliver("T", 0, "TAGS\u{1}t\u{2}UNIQ_KEY\u{1}first\u{2}");
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    let builder = client.push_consumer("g").subscribe("T", "t").from(ConsumeFrom::First);
    let consumer = builder.concurrently(|_| async { Consumed::Later }).await?;
    let copies = || sends(&a);
    env.clock.timeout(PATIENCE, a.until(|| !copies().is_empty())).await?;
    let copy = copies().remove(0);
    ensure!(copy.field("b") == "%RETRY%g" && copy.field("j") == "1", "{copy:?}");
    ensure!(copy.field("l") == "16" && copy.unique_key() == "first", "{copy:?}");
    for property in
        ["RETRY_TOPIC\u{1}T\u{2}", "ORIGIN_MESSAGE_ID\u{1}first\u{2}", "DELAY\u{1}3\u{2}"]
    {
        ensure!(copy.field("i").contains(property), "{copy:?}");
    }
    let back = a.asked(RequestCode::ConsumerSendMsgBack).remove(0);
    ensure!(back.field("originTopic") == "T" && back.field("group") == "g", "{back:?}");
    consumer.close().await;
    client.close().await;
    Ok(())
}

// An ordered consumer does not pull a queue whose lock another member holds, and starts when it is
// granted.
#[tokio::test]
async fn a_locked_queue_is_not_read() -> Result<()> {
    let env = Env::real();
    let a = Server::start(
        &env,
        broker(|asked| match asked.code {
            RequestCode::LockBatchMq if asked.count <= 2 => Answer::body(r#"{"lockOKMQSet":[]}"#),
            _ => Answer::Default,
        }),
    )
    .await?;
    a.deliver("T", 0, "TAGS\u{1}t\u{2}");
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    let builder = client.push_consumer("g").subscribe("T", "*").from(ConsumeFrom::First);
    let consumer = builder.in_order(|_| async { Ordered::Success }).await?;
    env.clock.timeout(PATIENCE, a.until(|| !a.asked(RequestCode::PullMessage).is_empty())).await?;
    ensure!(a.asked(RequestCode::LockBatchMq).len() > 2);
    consumer.close().await;
    ensure!(!a.asked(RequestCode::UnlockBatchMq).is_empty(), "the lock is given up");
    client.close().await;
    Ok(())
}

// A broker that lost what it knew of the group gets a heartbeat long before the next one is due.
#[tokio::test]
async fn a_forgotten_subscription_is_announced_again() -> Result<()> {
    let env = Env::real();
    let a = Server::start(
        &env,
        broker(|asked| match asked.code {
            RequestCode::PullMessage if asked.count <= 1 => {
                Answer::refuse(code::SUBSCRIPTION_NOT_EXIST, "the consumer's group info not exist")
            }
            _ => Answer::Default,
        }),
    )
    .await?;
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    let builder = client.push_consumer("g").subscribe("T", "a || b").from(ConsumeFrom::First);
    let consumer = builder.concurrently(|_| async { Consumed::Success }).await?;
    env.clock.timeout(PATIENCE, a.until(|| a.asked(RequestCode::PullMessage).len() > 3)).await?;
    let beats = a.asked(RequestCode::HeartBeat);
    ensure!(beats.len() >= 3, "{} heartbeats", beats.len());
    let body = String::from_utf8_lossy(&beats[0].body).into_owned();
    for part in [r#""groupName":"g""#, r#""subString":"a || b""#, r#""topic":"%RETRY%g""#] {
        ensure!(body.contains(part), "{body}");
    }
    consumer.close().await;
    let left = a.asked(RequestCode::UnregisterClient);
    ensure!(left.iter().any(|one| one.field("consumerGroup") == "g"), "{left:?}");
    client.close().await;
    Ok(())
}

// A consumer that could start only one of its two queues says that it is not settled, however long
// it has been done with that one, and that it is when the other has been started too.
#[tokio::test]
async fn a_consumer_without_all_its_queues_is_not_settled() -> Result<()> {
    let env = Env::real();
    let answers = Arc::new(AtomicBool::new(false));
    let open = answers.clone();
    let a = Server::start(
        &env,
        broker(move |asked| {
            let second = asked.field("topic") == "T" && asked.field("queueId") == "1";
            match asked.code {
                RequestCode::QueryConsumerOffset if second && !open.load(Ordering::Acquire) => {
                    Answer::refuse(code::SYSTEM_ERROR, "later")
                }
                _ => Answer::Default,
            }
        }),
    )
    .await?;
    a.deliver("T", 0, "TAGS\u{1}t\u{2}");
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    let builder = client.push_consumer("g").subscribe("T", "*").from(ConsumeFrom::First);
    let consumer = builder.concurrently(|_| async { Consumed::Success }).await?;
    let positions = || {
        let assigned = consumer.assigned();
        let of_topic = assigned.into_iter().filter(|(queue, _)| &*queue.topic == "T");
        of_topic.map(|(queue, next)| (queue.id, next)).collect::<Vec<_>>()
    };
    env.clock.timeout(PATIENCE, a.until(|| positions() == [(0, 1)])).await?;
    ensure!(!consumer.is_settled(), "queue 1 is missing");
    answers.store(true, Ordering::Release);
    env.clock.timeout(PATIENCE, a.until(|| consumer.is_settled())).await?;
    ensure!(positions() == [(0, 1), (1, 0)], "{:?}", positions());
    consumer.close().await;
    client.close().await;
    Ok(())
}

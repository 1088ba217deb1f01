//! What brokers ask of a client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use client::{Client, ClientSettings, ConsumeFrom, Consumed, Message, RequestError};
use env::Env;
use parking_lot::Mutex;
use wire::body::{
    ConsumeDirectlyResult, ConsumerRunningInfo, ConsumerStatus, MessageQueue, QueueOffsets,
    ResetOffsets,
};
use wire::codes::RequestCode;
use wire::frame::OwnedFrame;
use wire::header::{
    ConsumeDirectlyHeader, ConsumerStatusHeader, Header, ResetOffsetHeader, RunningInfoHeader,
};
use wire::{FrameWriter, reply_codes as code};

use crate::PATIENCE;
use crate::server::{Answer, Server, broker, names};

/// Asks a client and returns what it answers.
async fn ask<'a>(
    (env, server): (&Env, &Server),
    request: RequestCode,
    header: &impl Header<'a>,
    body: &[u8],
) -> Result<OwnedFrame> {
    let fields = |out: &mut FrameWriter<'_>| header.encode(out);
    let answer = server.client().call(request as i32, fields, body);
    Ok(env.clock.timeout(PATIENCE, answer).await??)
}

// A consumer says what it reads and where it is, consumes a message that it is handed, and goes on
// from where an administrator moves it; of a group that the client does not have, it says so.
#[tokio::test]
async fn a_consumer_answers_its_broker() -> Result<()> {
    let env = Env::real();
    let committed = Arc::new(AtomicU64::new(1));
    let offsets = committed.clone();
    let a = broker(move |asked| match asked.code {
        RequestCode::QueryConsumerOffset if asked.field("topic") == "T" => {
            let offset = match &*asked.field("queueId") {
                "0" => offsets.load(Ordering::SeqCst),
                _ => 0,
            };
            let fields = vec![("offset", offset.to_string())];
            Answer::With(code::SUCCESS, String::new(), fields, bytes::Bytes::new())
        }
        RequestCode::UpdateConsumerOffset
            if asked.field("topic") == "T" && asked.field("queueId") == "0" =>
        {
            let offset = asked.field("commitOffset").parse().unwrap_or(u64::MAX);
            offsets.store(offset, Ordering::SeqCst);
            Answer::Default
        }
        _ => Answer::Default,
    });
    let a = Server::start(&env, a).await?;
    for key in ["k0", "k1", "k2"] {
        a.deliver("T", 0, &format!("UNIQ_KEY\u{1}{key}\u{2}"));
    }
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = seen.clone();
    let builder = client.push_consumer("g").subscribe("T", "*").from(ConsumeFrom::First);
    let consumer = builder.concurrently(move |messages| {
        sink.lock().extend(messages.iter().map(client::Received::message_id));
        async { Consumed::Success }
    });
    let consumer = consumer.await?;
    let has_seen = async |count: usize| {
        env.clock.timeout(PATIENCE, a.until(|| seen.lock().len() >= count)).await
    };
    has_seen(2).await?;

    let header = RunningInfoHeader {
        consumer_group: "g".into(),
        client_id: client.id().into(),
        jstack_enable: false,
    };
    let answer = ask((&env, &a), RequestCode::GetConsumerRunningInfo, &header, &[]).await?;
    let info: ConsumerRunningInfo = wire::body::read(&answer.body())?;
    ensure!(info.properties["PROP_CONSUME_TYPE"] == "CONSUME_PASSIVELY", "{info:?}");
    ensure!(info.properties["PROP_CONSUMEORDERLY"] == "false", "{info:?}");
    let topics: Vec<&str> = info.subscription_set.iter().map(|one| &*one.topic).collect();
    ensure!(topics == ["%RETRY%g", "T"], "{info:?}");
    let queue = MessageQueue { broker_name: "a".into(), queue_id: 0, topic: "T".into() };
    let held = info.mq_table.get(&wire::body::queue_key(&queue)).context("queue 0 is read")?;
    ensure!(held.last_pull_timestamp > 0 && held.last_consume_timestamp > 0, "{held:?}");

    let header = ConsumerStatusHeader { topic: "T".into(), group: "g".into(), client_addr: None };
    let positions = async || -> Result<QueueOffsets> {
        let request = RequestCode::GetConsumerStatusFromClient;
        let answer = ask((&env, &a), request, &header, &[]).await?;
        Ok(wire::body::read::<ConsumerStatus>(&answer.body())?.message_queue_table)
    };
    ensure!(positions().await?.0.keys().any(|one| *one == queue));

    let header = ConsumeDirectlyHeader {
        consumer_group: "g".into(),
        client_id: None,
        msg_id: None,
        broker_name: Some("a".into()),
        topic: None,
        topic_sys_flag: None,
        group_sys_flag: None,
    };
    let request = RequestCode::ConsumeMessageDirectly;
    let answer = ask((&env, &a), request, &header, &a.record("T", 0, 0)).await?;
    let result: ConsumeDirectlyResult = wire::body::read(&answer.body())?;
    ensure!(result.consume_result == "CR_SUCCESS" && !result.order, "{result:?}");
    ensure!(seen.lock()[2] == "k0", "{:?}", seen.lock());
    let answer = ask((&env, &a), request, &header, b"no record").await?;
    ensure!(answer.frame().code == code::SYSTEM_ERROR);
    let stranger = ConsumeDirectlyHeader { consumer_group: "other".into(), ..header };
    let answer = ask((&env, &a), request, &stranger, &[]).await?;
    ensure!(answer.frame().code == code::SYSTEM_ERROR);

    let header = ResetOffsetHeader {
        group: "g".into(),
        topic: "T".into(),
        queue_id: -1,
        offset: None,
        timestamp: 0,
        force: true,
    };
    let body = ResetOffsets { offset_table: QueueOffsets([(queue, 0)].into()) }.encode();
    let request = RequestCode::ResetConsumerClientOffset as i32;
    a.client().oneway(request, |out| header.encode(out), &body);
    has_seen(2 + 1 + 3).await?;
    let again = seen.lock()[3..].iter().cloned().collect::<BTreeSet<_>>();
    ensure!(again.iter().eq(["k0", "k1", "k2"]), "{again:?}");
    consumer.close().await;
    client.close().await;
    Ok(())
}

// A request that nobody answers ends with its time, and leaves nothing behind; what it asked says who
// waits for the reply and for how long.
#[tokio::test]
async fn a_request_without_a_reply_ends() -> Result<()> {
    let env = Env::real();
    let a = Server::start(
        &env,
        broker(|asked| match asked.code {
            RequestCode::SendMessageV2 => Answer::stored(0),
            _ => Answer::Default,
        }),
    )
    .await?;
    let name_server = names(&env, vec![("a", a.address())]).await?;
    let client = Client::start(&env, ClientSettings::new(&name_server.address()))?;
    let producer = client.producer("p")?;
    let wait = std::time::Duration::from_millis(200);
    let error = producer.request(Message::new("T", "?"), wait).await;
    ensure!(matches!(error, Err(RequestError::NoReply { .. })), "{error:?}");
    let sent = a.asked(RequestCode::SendMessageV2).remove(0).field("i");
    let id = format!("REPLY_TO_CLIENT\u{1}{}\u{2}", client.id());
    for property in ["CORRELATION_ID\u{1}", &id, "TTL\u{1}200\u{2}"] {
        ensure!(sent.contains(property), "{sent:?}");
    }
    // The broker must know the producer before its request: else it could not hand the reply over.
    ensure!(!a.asked(RequestCode::HeartBeat).is_empty());
    client.close().await;
    Ok(())
}

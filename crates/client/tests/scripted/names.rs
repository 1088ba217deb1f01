//! Name servers that know less than before, or do not answer. The client's clock is moved by the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use client::{Client, ClientSettings, Message, RouteError, SendError, limits};
use env::Env;
use wire::codes::RequestCode;
use wire::reply_codes as code;

use crate::PATIENCE;
use crate::server::{Answer, Server, broker, routes};

/// What a name server does once `flag` is set.
type Failing = fn() -> Answer;

struct Setup {
    env: Env,
    simulated: Env,
    broker: Server,
    names: Server,
    client: Client,
    flag: Arc<AtomicBool>,
}

impl Setup {
    async fn new(failing: Failing) -> Result<Setup> {
        let (env, simulated) = (Env::real(), Env::sim(1));
        let broker_script = broker(|asked| match asked.code {
            RequestCode::SendMessageV2 => Answer::stored(0),
            _ => Answer::Default,
        });
        let a = Server::start(&env, broker_script).await?;
        let (healthy, flag) = (routes(vec![("a", a.address())]), Arc::new(AtomicBool::new(false)));
        let fails = flag.clone();
        let script = broker(
            move |asked| {
                if fails.load(Ordering::SeqCst) { failing() } else { healthy(asked) }
            },
        );
        let names = Server::start(&env, script).await?;
        let client = Client::start(&simulated, ClientSettings::new(&names.address()))?;
        Ok(Setup { env, simulated, broker: a, names, client, flag })
    }

    fn asked(&self) -> usize {
        self.names.asked(RequestCode::GetRouteinfoByTopic).len()
    }

    fn beats(&self) -> usize {
        self.broker.asked(RequestCode::HeartBeat).len()
    }

    /// Lets time pass, and waits until the broker has got a heartbeat and the name server a question.
    async fn pass(&self, time: Duration) -> Result<()> {
        let (asked, beats) = (self.asked(), self.beats());
        self.simulated.clock.advance(time);
        let clock = &self.env.clock;
        clock.timeout(PATIENCE, self.broker.until(|| self.beats() > beats)).await?;
        Ok(clock.timeout(PATIENCE, self.names.until(|| self.asked() > asked)).await?)
    }
}

// A name server that was restarted knows no topics until brokers register again: what is known is used for
// two minutes more. A topic that is missing for longer is gone.
#[tokio::test]
async fn a_route_outlives_a_restart_of_the_name_server() -> Result<()> {
    let forgets = || Answer::refuse(code::TOPIC_NOT_EXIST, "no route");
    let setup = Setup::new(forgets).await?;
    let producer = setup.client.producer("p")?;
    let send = async || producer.send(Message::new("T", "x")).await;
    send().await?;
    setup.flag.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        setup.pass(limits::ROUTE_REFRESH).await?;
        send().await?;
    }
    setup.pass(limits::ROUTE_MISSING + limits::ROUTE_REFRESH).await?;
    // The answer that ends it may be on its way still.
    let gone = async {
        loop {
            if let Err(error) = send().await {
                return error;
            }
        }
    };
    let error = setup.env.clock.timeout(PATIENCE, gone).await?;
    ensure!(matches!(error, SendError::Route(RouteError::NoTopic { .. })), "{error:?}");
    Ok(())
}

// While name servers do not answer, brokers hear from the client all the same, and a round of questions
// costs one timeout, not one per topic.
#[tokio::test]
async fn silent_name_servers_do_not_hold_heartbeats_up() -> Result<()> {
    let setup = Setup::new(|| Answer::Nothing).await?;
    let producer = setup.client.producer("p")?;
    for topic in ["T1", "T2", "T3"] {
        producer.send(Message::new(topic, "x")).await?;
    }
    setup.flag.store(true, Ordering::SeqCst);
    let before = setup.asked();
    setup.pass(limits::HEARTBEAT).await?;
    setup.simulated.clock.advance(limits::CALL_TIMEOUT);
    setup.pass(limits::HEARTBEAT).await?;
    ensure!(setup.asked() == before + 2, "{} questions", setup.asked() - before);
    Ok(())
}

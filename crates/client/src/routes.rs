//! The route cache of a client.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{CallError, RouteError};
use crate::instance::Client;
use crate::limits;
use crate::queue::MessageQueue;
use crate::route::Route;

/// The topic whose route new topics get (`AUTO_CREATE_TOPIC_KEY_TOPIC`).
pub(crate) const TEMPLATE_TOPIC: &str = "TBW102";

/// A route with the lists made from it once.
#[derive(Clone)]
pub(crate) struct KnownRoute {
    pub(crate) route: Arc<Route>,
    pub(crate) write_queues: Arc<[MessageQueue]>,
    /// The topic does not exist; this is where it would be created.
    made_up: bool,
    /// Since when name servers do not know the topic any more.
    missing: Option<Duration>,
}

impl Client {
    /// The route of an existing topic, from the cache or from a name server.
    pub(crate) async fn route(&self, topic: &str) -> Result<Arc<Route>, RouteError> {
        if let Some(known) = self.known(topic)
            && !known.made_up
        {
            return Ok(known.route);
        }
        Ok(self.fetch_route(topic).await?.route)
    }

    /// The route to send by: of the topic, or of the template when the topic does not exist yet.
    pub(crate) async fn send_route(&self, topic: &str) -> Result<KnownRoute, RouteError> {
        if let Some(known) = self.known(topic) {
            return Ok(known);
        }
        match self.fetch_route(topic).await {
            Err(RouteError::NoTopic { topic, address }) => {
                match self.remote().route(TEMPLATE_TOPIC).await {
                    Err(RouteError::NoTopic { .. }) => Err(RouteError::NoTopic { topic, address }),
                    Err(error) => Err(error),
                    Ok(route) => self.keep(
                        &topic,
                        route.of_template(limits::DEFAULT_QUEUES.unsigned_abs()),
                        true,
                    ),
                }
            }
            other => other,
        }
    }

    /// Asks a name server, whatever the cache says.
    pub(crate) async fn fetch_route(&self, topic: &str) -> Result<KnownRoute, RouteError> {
        let route = self.remote().route(topic).await?;
        self.keep(topic, route, false)
    }

    fn known(&self, topic: &str) -> Option<KnownRoute> {
        self.state().routes.get(topic).cloned()
    }

    fn keep(&self, topic: &str, route: Route, made_up: bool) -> Result<KnownRoute, RouteError> {
        let mut state = self.state();
        let full = state.routes.len() >= limits::TOPICS;
        if full && !state.routes.contains_key(topic) {
            return Err(RouteError::TooManyTopics { limit: limits::TOPICS });
        }
        let topic: Arc<str> = topic.into();
        let known = KnownRoute {
            write_queues: route.write_queues(&topic).into(),
            route: Arc::new(route),
            made_up,
            missing: None,
        };
        for (broker, members) in &known.route.brokers {
            state.brokers.insert(broker.clone(), members.clone());
        }
        state.routes.insert(topic, known.clone());
        Ok(known)
    }

    /// Asks for the routes of all known topics again and forgets brokers that no route names. Ends early
    /// when no name server answers: asking for every topic would take too long.
    pub(crate) async fn refresh_routes(&self) {
        let topics: Vec<Arc<str>> = self.state().routes.keys().cloned().collect();
        for topic in topics {
            match self.fetch_route(&topic).await {
                Ok(_) => {}
                Err(RouteError::NoTopic { .. }) => self.miss(&topic),
                Err(error) => {
                    tracing::warn!(%topic, %error, "route not refreshed");
                    if is_silence(&error) {
                        break;
                    }
                }
            }
        }
        let mut state = self.state();
        let routes = state.routes.values();
        state.brokers = routes.flat_map(|known| known.route.brokers.clone()).collect();
    }

    /// Forgets a topic that is not there, or not yet: the next use asks again. One that was there is kept for
    /// a while: a name server that was restarted knows nothing until brokers register again.
    fn miss(&self, topic: &Arc<str>) {
        let now = self.env().clock.mono();
        let mut state = self.state();
        let Some(known) = state.routes.get_mut(topic) else { return };
        let since = *known.missing.get_or_insert(now);
        if known.made_up || now - since > limits::ROUTE_MISSING {
            state.routes.remove(topic);
        }
    }
}

fn is_silence(error: &RouteError) -> bool {
    matches!(error, RouteError::Call(CallError::Unreachable { .. } | CallError::Timeout { .. }))
}

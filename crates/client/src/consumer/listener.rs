//! What handles messages that are pushed.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;

use crate::received::Received;

/// How a listener that runs concurrently ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumed {
    /// The messages are done with.
    Success,
    /// Deliver them again later (10 s, 30 s, 1 m, … by the broker's delay levels), and after 16
    /// deliveries move them to the dead letter queue.
    Later,
}

/// How a listener that runs in order ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// The messages are done with.
    Success,
    /// Stop this queue for a moment, then deliver the same messages again.
    Suspend,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Handler<T> = Arc<dyn Fn(Vec<Received>) -> BoxFuture<T> + Send + Sync>;

/// The application's code.
#[derive(Clone)]
pub(crate) enum Listener {
    Concurrent(Handler<Consumed>),
    Ordered(Handler<Ordered>),
}

impl Listener {
    pub(crate) fn concurrent<F, R>(listener: F) -> Listener
    where
        F: Fn(Vec<Received>) -> R + Send + Sync + 'static,
        R: Future<Output = Consumed> + Send + 'static,
    {
        Listener::Concurrent(Arc::new(move |messages| Box::pin(listener(messages))))
    }

    pub(crate) fn ordered<F, R>(listener: F) -> Listener
    where
        F: Fn(Vec<Received>) -> R + Send + Sync + 'static,
        R: Future<Output = Ordered> + Send + 'static,
    {
        Listener::Ordered(Arc::new(move |messages| Box::pin(listener(messages))))
    }

    pub(crate) fn is_ordered(&self) -> bool {
        matches!(self, Listener::Ordered(_))
    }
}

/// Runs a listener; one that panics counts as failed, so that its messages come again.
pub(crate) async fn call<T>(handler: &Handler<T>, messages: Vec<Received>, failed: T) -> T {
    // The messages are moved in; nothing that the panic may have left half done is looked at again.
    let guarded = AssertUnwindSafe(async { handler(messages).await }).catch_unwind();
    guarded.await.unwrap_or_else(|_| {
        tracing::error!("message listener panicked");
        failed
    })
}

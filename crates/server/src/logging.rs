//! Logs: structured, quiet, to standard error, as text or JSON. `APOGEE_LOG` filters them as `RUST_LOG` does elsewhere.
//!
//! No place in the code writes more than [`LINES`] lines a second, whatever peers do: what is more is counted and left
//! out, and a line every ten seconds says so.

use std::collections::HashMap;
use std::env::VarError;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use env::{Clock, Env, Stop};
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt};

/// Lines that one place in the code may write in a second.
const LINES: u32 = 20;
/// How often it is told that lines were left out.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Lines left out since the start.
static SUPPRESSED: AtomicU64 = AtomicU64::new(0);

env::choice! {
    /// Form of the log's lines (`logFormat`).
    pub enum LogFormat {
        /// For people: `key=value` behind a sentence.
        Text = "TEXT",
        /// One JSON object per line.
        Json = "JSON",
    }
}

/// Starts logging; INFO and above unless `APOGEE_LOG` says otherwise.
pub(crate) fn start(format: LogFormat) -> anyhow::Result<()> {
    let filter = match std::env::var("APOGEE_LOG") {
        Ok(text) => filter(&text)?,
        Err(VarError::NotPresent) => EnvFilter::new("info"),
        Err(VarError::NotUnicode(value)) => bail!("APOGEE_LOG={} is no text", value.display()),
    };
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let limit = Limit { clock: Clock::real(), places: Mutex::default() };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(ansi).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(limit).with(lines).init();
    Ok(())
}

/// What `APOGEE_LOG` asks for. A word alone must be a level: `inof` would else be the name of a place in the code, and
/// all others silent.
fn filter(text: &str) -> anyhow::Result<EnvFilter> {
    const FORM: &str = "expected a level (trace, debug, info, warn, error, off) and exceptions, as in warn,broker=debug";
    for part in text.split(',').map(str::trim) {
        let is_alone = !part.contains(['=', '[']);
        ensure!(
            !is_alone || part.parse::<LevelFilter>().is_ok(),
            "APOGEE_LOG={text}: {part} is no level; {FORM}"
        );
    }
    EnvFilter::try_new(text).with_context(|| format!("APOGEE_LOG={text} cannot be read; {FORM}"))
}

/// Lines left out since the start.
pub(crate) fn suppressed() -> u64 {
    SUPPRESSED.load(Ordering::Relaxed)
}

/// The task: tells every ten seconds how many lines were left out, if any were.
pub(crate) async fn watch(env: Env, stop: Stop) {
    let mut told = suppressed();
    while !stop.is_stopped() {
        tokio::select! {
            () = env.clock.sleep(TOLD_EVERY) => {}
            () = stop.stopped() => return,
        }
        let now = suppressed();
        if now > told {
            tracing::info!(
                lines = now - told,
                "log lines were left out: more than {LINES} a second of one kind"
            );
        }
        told = now;
    }
}

/// Leaves out what is too much.
struct Limit {
    clock: Clock,
    /// By place in the code, of which there is a fixed number.
    places: Mutex<HashMap<Identifier, Place>>,
}

/// Lines of one place in the second that began then.
#[derive(Default)]
struct Place {
    since: Duration,
    lines: u32,
}

impl Place {
    fn may_write(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= Duration::from_secs(1) {
            *self = Place { since: now, lines: 0 };
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= LINES
    }
}

impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let place = event.metadata().callsite();
        let may = self.places.lock().entry(place).or_default().may_write(self.clock.mono());
        if !may {
            SUPPRESSED.fetch_add(1, Ordering::Relaxed);
        }
        may
    }
}

/// Prints a line for the person at the terminal, where logs go.
pub(crate) fn complain(line: &str) {
    // Nothing is left to be done if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints a line for the person or script that started us.
pub(crate) fn say(line: &str) {
    // As above: a closed standard output is no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows that what names levels is taken, and that a mistyped one is refused with the value instead of being
    /// taken for something else.
    #[test]
    fn a_mistyped_filter_is_refused() {
        for good in ["warn", "DEBUG", "off", "warn,broker=debug", "info,store::flush=trace", ""] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["inof", "warn,broker", "warn,broker=debgu", "info, broker=debug"] {
            let error = format!("{:#}", filter(bad).err().unwrap_or_else(|| panic!("{bad}")));
            assert!(error.starts_with(&format!("APOGEE_LOG={bad}")), "{error}");
        }
    }

    /// Shows that a place that floods the log is held back, that another one is not, and that it may write again in
    /// the next second.
    #[test]
    fn floods_are_held_back() {
        let at = Duration::from_millis;
        let mut place = Place::default();
        let written = |place: &mut Place, now| (0..1000).filter(|_| place.may_write(now)).count();
        assert_eq!(written(&mut place, at(5)), LINES as usize);
        assert_eq!(written(&mut place, at(999)), 0);
        assert_eq!(written(&mut Place::default(), at(999)), LINES as usize);
        assert_eq!(written(&mut place, at(1000)), LINES as usize);
    }

    /// Shows that what is left out reaches no layer behind, and is counted.
    #[test]
    fn what_is_left_out_is_counted() {
        let seen = std::sync::Arc::new(AtomicU64::new(0));
        struct Count(std::sync::Arc<AtomicU64>);
        impl<S: Subscriber> Layer<S> for Count {
            fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let limit = Limit { clock: Clock::sim(), places: Mutex::default() };
        let layers = tracing_subscriber::registry().with(limit).with(Count(seen.clone()));
        let before = suppressed();
        tracing::subscriber::with_default(layers, || {
            for _ in 0..100 {
                tracing::warn!("a peer does something");
            }
            tracing::warn!("something else");
        });
        assert_eq!(seen.load(Ordering::Relaxed), u64::from(LINES) + 1);
        assert_eq!(suppressed() - before, 100 - u64::from(LINES));
    }
}

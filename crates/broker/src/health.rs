//! Whether a broker can do its work, and what stands in the way.

use std::time::Duration;

use store::AppendError;

use crate::Broker;

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is, in one word of a fixed set.
    pub reason: &'static str,
    /// The measured value, the limit, and the key that moves it.
    pub detail: String,
    /// Whether only a restart can help.
    pub is_fatal: bool,
}

impl Broker {
    /// What stands in the way of this broker's work; nothing when it can do all of it.
    pub fn problems(&self) -> Vec<Problem> {
        let found = [
            self.store_problem(),
            self.slow_problem(),
            self.tables_problem(),
            self.registration_problem(),
        ];
        found.into_iter().flatten().collect()
    }

    fn store_problem(&self) -> Option<Problem> {
        let refusal = self.store.refusal()?;
        let (reason, is_fatal) = match refusal {
            AppendError::DiskFull { .. } => ("disk_full", false),
            AppendError::Stopped(_) => ("store_stopped", true),
            AppendError::Busy { .. }
            | AppendError::Behind { .. }
            | AppendError::TooLarge { .. } => ("store_busy", false),
        };
        Some(Problem { reason, detail: refusal.to_string(), is_fatal })
    }

    /// Sends wait for the device, and will be refused when they have waited for their time.
    fn slow_problem(&self) -> Option<Problem> {
        let waiting = self.store.waiting();
        let limit = Duration::from_millis(self.store.settings().append_timeout_ms);
        (waiting.append_age >= half(limit)).then(|| Problem {
            reason: "log_behind",
            detail: format!(
                "sends have waited for the log for {} ms, the limit is {} ms (osPageCacheBusyTimeOutMills)",
                waiting.append_age.as_millis(),
                limit.as_millis()
            ),
            is_fatal: false,
        })
    }

    /// New topics are refused, and changes of topics and groups.
    fn tables_problem(&self) -> Option<Problem> {
        self.persister.failing().map(|file| Problem {
            reason: "tables_not_written",
            detail: format!("the file config/{file} cannot be written"),
            is_fatal: false,
        })
    }

    fn registration_problem(&self) -> Option<Problem> {
        let state = self.registrar.state();
        (state.configured > 0 && state.accepted == 0).then(|| Problem {
            reason: "not_registered",
            detail: format!(
                "none of {} name servers took the last registration (namesrvAddr)",
                state.configured
            ),
            is_fatal: false,
        })
    }
}

fn half(limit: Duration) -> Duration {
    limit / 2
}

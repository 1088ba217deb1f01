//! How a command fails, and the exit code that says so.

use client::{AdminError, CallError, OffsetError, PullError, RouteError, SendError};

/// What no other crate knows as an error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line asks for something that cannot be done so; nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A change was made at some brokers and not at others.
    #[error("done at {}; failed: {}", done.join(", "), failed.join("; "))]
    Partly {
        /// Where it was made.
        done: Vec<String>,
        /// What went wrong elsewhere.
        failed: Vec<String>,
    },
}

/// Changes at several brokers, each of which is tried.
#[derive(Default)]
pub(crate) struct Tally {
    done: Vec<String>,
    failed: Vec<AdminError>,
}

impl Tally {
    /// Counts one change; whether it was made.
    pub(crate) fn add<T>(&mut self, broker: &str, result: Result<T, AdminError>) -> bool {
        match result {
            Ok(_) => self.done.push(broker.to_owned()),
            Err(error) => {
                self.failed.push(error);
                return false;
            }
        }
        true
    }

    /// Fails if a change did.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        if self.done.is_empty() && self.failed.len() == 1 {
            return Err(self.failed.remove(0).into());
        }
        if self.failed.is_empty() {
            return Ok(());
        }
        let failed = self.failed.iter().map(AdminError::to_string).collect();
        Err(Failure::Partly { done: self.done, failed }.into())
    }
}

/// The command failed.
const FAILED: u8 = 1;
/// The command line is wrong, or a deletion was not confirmed.
const USAGE: u8 = 2;
/// Done at some brokers only.
const PARTLY: u8 = 3;
/// There is no such topic, group, cluster, broker or message.
const NOT_FOUND: u8 = 4;
/// The server refuses for want of permission.
const FORBIDDEN: u8 = 5;
/// No connection, or no answer in time.
const UNREACHABLE: u8 = 6;

/// The exit code of a failed command.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<Failure>() {
            return match error {
                Failure::Usage(_) => USAGE,
                Failure::NotFound(_) => NOT_FOUND,
                Failure::Partly { done, .. } if done.is_empty() => FAILED,
                Failure::Partly { .. } => PARTLY,
            };
        }
        if let Some(error) = cause.downcast_ref() {
            return of_admin(error);
        }
        if let Some(error) = cause.downcast_ref() {
            return of_route(error);
        }
        if let Some(error) = cause.downcast_ref() {
            return of_call(error);
        }
        match cause.downcast_ref() {
            Some(SendError::Route(error)) => return of_route(error),
            Some(SendError::Failed { source, .. }) => return of_call(source),
            _ => {}
        }
        match cause.downcast_ref() {
            Some(PullError::Route(error)) => return of_route(error),
            Some(PullError::Call(error)) => return of_call(error),
            _ => {}
        }
        if let Some(OffsetError::Call(error)) = cause.downcast_ref() {
            return of_call(error);
        }
    }
    FAILED
}

fn of_admin(error: &AdminError) -> u8 {
    match error {
        AdminError::Route(error) => of_route(error),
        AdminError::Call(error) | AdminError::Offset(OffsetError::Call(error)) => of_call(error),
        AdminError::NoCluster { .. } | AdminError::NoBroker { .. } => NOT_FOUND,
        AdminError::Partly { done, .. } if done.is_empty() => FAILED,
        AdminError::Partly { .. } => PARTLY,
        _ => FAILED,
    }
}

fn of_route(error: &RouteError) -> u8 {
    match error {
        RouteError::NoTopic { .. } => NOT_FOUND,
        RouteError::Call(error) => of_call(error),
        _ => FAILED,
    }
}

fn of_call(error: &CallError) -> u8 {
    match error {
        CallError::Unreachable { .. } | CallError::Timeout { .. } => UNREACHABLE,
        // NO_PERMISSION; TOPIC_NOT_EXIST, QUERY_NOT_FOUND, SUBSCRIPTION_GROUP_NOT_EXIST.
        CallError::Refused { code: 16, .. } => FORBIDDEN,
        CallError::Refused { code: 17 | 22 | 26, .. } => NOT_FOUND,
        _ => FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Scripts tell apart what is missing, forbidden, out of reach and half done, however deep the
    // cause lies.
    #[test]
    fn exit_codes() {
        let refused = |code| CallError::Refused {
            request: "R",
            address: "a:1".into(),
            code,
            remark: String::new(),
        };
        let unreachable = CallError::Unreachable {
            request: "R",
            address: "a:1".into(),
            reason: "refused".to_owned(),
        };
        let partly = |done: &[&str]| AdminError::Partly {
            done: done.iter().map(|address| (*address).into()).collect(),
            failed: vec![refused(1)],
        };
        let no_topic = RouteError::NoTopic { topic: "T".to_owned(), address: "a:1".into() };
        for (error, code) in [
            (AdminError::from(refused(1)), 1),
            (refused(16).into(), 5),
            (refused(17).into(), 4),
            (refused(26).into(), 4),
            (unreachable.clone().into(), 6),
            (partly(&[]), 1),
            (partly(&["b:1"]), 3),
            (no_topic.clone().into(), 4),
            (RouteError::Call(unreachable.clone()).into(), 6),
        ] {
            let error = anyhow::Error::from(error).context("doing something");
            assert_eq!(exit_code(&error), code, "{error:#}");
        }
        let failed = SendError::Failed { topic: "T".to_owned(), attempts: 3, source: unreachable };
        assert_eq!(exit_code(&failed.into()), 6);
        assert_eq!(exit_code(&PullError::Route(no_topic).into()), 4);
        assert_eq!(exit_code(&Failure::Usage("no".to_owned()).into()), 2);
        assert_eq!(exit_code(&anyhow::anyhow!("anything else")), 1);
    }
}

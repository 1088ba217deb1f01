//! Which failures of a send are tried again at another broker.

use wire::reply_codes as code;

use crate::error::CallError;

/// Answers that another broker may give differently (`DefaultMQProducer.retryResponseCodes`).
const RETRYABLE: [i32; 8] = [
    code::TOPIC_NOT_EXIST,
    code::SERVICE_NOT_AVAILABLE,
    code::SYSTEM_ERROR,
    code::SYSTEM_BUSY,
    code::NO_PERMISSION,
    code::NO_BUYER_ID,
    code::NOT_IN_CURRENT_UNIT,
    code::GO_AWAY,
];

/// Whether a send that failed like this is worth another attempt. A network error or a timeout is:
/// the message keeps its unique key, so that a duplicate can be recognized.
pub(crate) fn is_retryable(error: &CallError) -> bool {
    match error {
        CallError::Unreachable { .. } | CallError::Timeout { .. } => true,
        CallError::Refused { code, .. } => RETRYABLE.contains(code),
        CallError::Malformed { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i32) -> CallError {
        CallError::Refused { request: "r", address: "a".into(), code, remark: String::new() }
    }

    // The documented codes are retried, refusals of the message itself are not.
    #[test]
    fn the_documented_codes_are_retried() {
        for code in [17, 14, 1, 2, 16, 204, 205, 1500] {
            assert!(is_retryable(&refused(code)), "{code}");
        }
        for code in [13, 29, 26, 3, 24] {
            assert!(!is_retryable(&refused(code)), "{code}");
        }
    }
}

//! Places in a queue as people write them.

use std::time::Duration;

use client::Position;

use crate::time;

/// Where to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    At(Position),
    Ago(Duration),
}

impl Start {
    pub(crate) fn position(self, now_ms: i64) -> Position {
        match self {
            Start::At(position) => position,
            Start::Ago(age) => {
                Position::TimeMs(now_ms - i64::try_from(age.as_millis()).unwrap_or(now_ms))
            }
        }
    }
}

pub(crate) fn parse_start(text: &str) -> Result<Start, String> {
    match text {
        "first" => return Ok(Start::At(Position::First)),
        "last" => return Ok(Start::At(Position::Last)),
        _ => {}
    }
    if let Ok(offset) = text.parse() {
        return Ok(Start::At(Position::Offset(offset)));
    }
    if let Some(age) = time::parse_duration(text) {
        return Ok(Start::Ago(age));
    }
    let time = time::parse(text).map(|ms| Start::At(Position::TimeMs(ms)));
    time.ok_or_else(|| {
        "expected first, last, an offset, a UTC time such as 2024-05-01T12:00:00, or an age such as 15m"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every form of a start is told apart.
    #[test]
    fn starts() {
        assert_eq!(parse_start("first"), Ok(Start::At(Position::First)));
        assert_eq!(parse_start("last"), Ok(Start::At(Position::Last)));
        assert_eq!(parse_start("42"), Ok(Start::At(Position::Offset(42))));
        assert_eq!(parse_start("15m"), Ok(Start::Ago(Duration::from_secs(900))));
        let time = Start::At(Position::TimeMs(1_700_000_000_000));
        assert_eq!(parse_start("2023-11-14T22:13:20"), Ok(time));
        assert!(parse_start("yesterday").is_err());
    }

    // An age is counted from now.
    #[test]
    fn ages_count_from_now() {
        let start = Start::Ago(Duration::from_secs(1));
        assert_eq!(start.position(5000), Position::TimeMs(4000));
    }
}

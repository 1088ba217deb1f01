//! Delay levels: `SCHEDULE_TOPIC_XXXX` holds each message until its level's delay has passed.
//!
//! The consume queue unit of such a message carries its delivery time where others have the hash of
//! their tag (store format §4, §13).

/// Topic of messages that wait for a delay level; its queue id is the level minus one.
pub const SCHEDULE_TOPIC: &str = "SCHEDULE_TOPIC_XXXX";

/// The delays of the levels 1, 2, … in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayLevels(Box<[i64]>);

impl DelayLevels {
    /// Reads the value of `messageDelayLevel`: words of a number and one of `s m h d`.
    ///
    /// # Errors
    /// Says which word is not a delay.
    pub fn parse(text: &str) -> Result<DelayLevels, String> {
        let delay = |word: &str| {
            let bad = || format!("`{word}` is not a delay such as 10s, 5m, 2h or 1d");
            let unit = match word.bytes().last() {
                Some(b's') => 1000,
                Some(b'm') => 60_000,
                Some(b'h') => 3_600_000,
                Some(b'd') => 86_400_000,
                _ => return Err(bad()),
            };
            let number: u32 = word[..word.len() - 1].parse().map_err(|_| bad())?;
            Ok(i64::from(number) * unit)
        };
        let levels: Box<[i64]> = text.split_whitespace().map(delay).collect::<Result<_, _>>()?;
        if levels.is_empty() {
            return Err("at least one delay level is needed".to_owned());
        }
        Ok(DelayLevels(levels))
    }

    /// Number of levels.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The level that a message of `level` waits on: at most the highest.
    pub fn clamp(&self, level: i32) -> i32 {
        level.min(i32::try_from(self.0.len()).unwrap_or(i32::MAX))
    }

    /// When a message of `level` that was stored at `stored_ms` is due. A level below 1 has no delay of
    /// its own and gets one second, as in the reference.
    pub fn due_ms(&self, level: i32, stored_ms: i64) -> i64 {
        let level = usize::try_from(self.clamp(level)).unwrap_or(0);
        let delay = level.checked_sub(1).and_then(|index| self.0.get(index)).copied();
        stored_ms.saturating_add(delay.unwrap_or(1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parsing, clamping and the delay of levels that do not exist.
    #[test]
    fn levels() {
        let levels = DelayLevels::parse("1s 5m 2h 1d").unwrap();
        assert_eq!(levels.count(), 4);
        let due: Vec<_> = [0, 1, 2, 3, 4, 99, -5].map(|level| levels.due_ms(level, 7)).to_vec();
        assert_eq!(due, [1007, 1007, 300_007, 7_200_007, 86_400_007, 86_400_007, 1007]);
        assert!(DelayLevels::parse("").is_err());
        assert!(DelayLevels::parse("1s x").unwrap_err().contains("`x`"));
        assert!(DelayLevels::parse("ä").is_err());
    }
}

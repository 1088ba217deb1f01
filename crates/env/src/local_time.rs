//! The machine's time zone: the one question about it that RocketMQ's settings ask.
#![allow(unsafe_code, reason = "rustix and the standard library know no time zones")]

use std::mem::MaybeUninit;

/// Hour of the day, 0 to 23, at so many seconds since 1970; `None` where the system cannot say.
pub(crate) fn hour(seconds: i64) -> Option<u32> {
    let seconds = libc::time_t::from(seconds);
    let mut parts = MaybeUninit::<libc::tm>::uninit();
    // SAFETY: both pointers are valid for the call, which keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const seconds, parts.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: a result that is not null says that the structure was filled.
    let hour = unsafe { parts.assume_init() }.tm_hour;
    u32::try_from(hour).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Hours follow each other, whatever the zone of the machine is.
    #[test]
    fn an_hour_later_is_the_next_hour() {
        let start = hour(1_700_000_000).unwrap();
        assert_eq!(hour(1_700_003_600).unwrap(), (start + 1) % 24);
        assert_eq!(hour(i64::MAX), None, "a year that does not fit");
    }
}

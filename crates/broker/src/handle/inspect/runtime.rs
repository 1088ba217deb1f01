//! The broker's state as a table of texts (28): `mqadmin brokerStatus` and `clusterList`, dashboards and exporters read
//! it by the reference's names. What there is no measurement of here has no row: times and distributions of single
//! appends, the timer wheel, pools of threads that do not exist.

use std::collections::BTreeMap;

use env::disk::Space;
use store::{SCHEDULE_TOPIC, Spaces, Waiting};
use wire::body::KVTable;
use wire::frame::{VERSION, VERSION_NAME};
use wire::record::RecordView;
use wire::{Frame, Replies};

use super::{answer, find_queue};
use crate::Broker;
use crate::reply::Refusal;

/// 28: the state of this broker.
pub(crate) fn info(broker: &Broker, frame: &Frame<'_>, out: &mut Replies) -> Result<(), Refusal> {
    answer(broker, frame, out, |broker| {
        let mut rows = Rows::default();
        process(broker, &mut rows);
        messages(broker, &mut rows);
        log(broker, &mut rows)?;
        space(broker, &mut rows)?;
        waiting(&broker.store.waiting(), &mut rows);
        refusal(broker, &mut rows);
        delays(broker, &mut rows);
        Ok(KVTable { table: rows.0 })
    })
}

#[derive(Default)]
struct Rows(BTreeMap<String, String>);

impl Rows {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.insert(name.to_owned(), value.to_string());
    }
}

fn process(broker: &Broker, rows: &mut Rows) {
    rows.put("bootTimestamp", broker.opened_ms);
    rows.put("runtime", duration(broker.env.clock.wall_ms() - broker.opened_ms));
    rows.put("brokerActive", true);
    rows.put("brokerVersion", VERSION);
    rows.put("brokerVersionDesc", VERSION_NAME);
}

/// What came in and went out since the start.
fn messages(broker: &Broker, rows: &mut Rows) {
    let (stored, stats) = (broker.store.counters(), &broker.stats);
    rows.put("putMessageTimesTotal", stored.records);
    rows.put("putMessageFailedTimes", stats.refusals());
    rows.put("putMessageSizeTotal", stored.bytes);
    rows.put("putMessageAverageSize", float(stored.bytes as f64 / stored.records.max(1) as f64));
    rows.put("putTps", stats.rates(|sample| sample.appended));
    rows.put("getFoundTps", stats.rates(|sample| sample.found));
    rows.put("getMissTps", stats.rates(|sample| sample.missed));
    rows.put("getTotalTps", stats.rates(|sample| sample.found + sample.missed));
    rows.put("getTransferredTps", stats.rates(|sample| sample.transferred));
    let days = stats.days();
    rows.put("msgPutTotalYesterdayMorning", days.yesterday.sent);
    rows.put("msgPutTotalTodayMorning", days.today.sent);
    rows.put("msgPutTotalTodayNow", days.now.sent);
    rows.put("msgGetTotalYesterdayMorning", days.yesterday.fetched);
    rows.put("msgGetTotalTodayMorning", days.today.fetched);
    rows.put("msgGetTotalTodayNow", days.now.fetched);
}

fn log(broker: &Broker, rows: &mut Rows) -> Result<(), Refusal> {
    let marks = broker.store.watermarks();
    rows.put("commitLogMinOffset", marks.min);
    rows.put("commitLogMaxOffset", marks.appended);
    // What consumers do not see yet.
    rows.put("dispatchBehindBytes", marks.appended.saturating_sub(marks.visible));
    let unsynced = marks.appended.saturating_sub(marks.durable);
    rows.put("remainHowManyDataToFlush", human_bytes(unsynced));
    let first = broker.store.record(marks.min)?;
    let first = first.and_then(|record| Some(RecordView::parse(&record).ok()?.store_timestamp()));
    rows.put("earliestMessageTimeStamp", first.unwrap_or(-1));
    Ok(())
}

fn space(broker: &Broker, rows: &mut Rows) -> Result<(), Refusal> {
    let Spaces { log, root } = broker.store.spaces().map_err(Refusal::Disk)?;
    let log_dir = broker.store.settings().log_dir();
    rows.put("commitLogDiskRatio", used_ratio(log));
    rows.put(&format!("commitLogDiskRatio_{}", log_dir.display()), used_ratio(log));
    rows.put("consumeQueueDiskRatio", used_ratio(root));
    let free = root.total.saturating_sub(root.used);
    let capacity = format!("Total : {}, Free : {}.", human_bytes(root.total), human_bytes(free));
    rows.put("commitLogDirCapacity", capacity);
    Ok(())
}

/// The two queues that there are: sends in front of the log, reads in front of the device.
fn waiting(waiting: &Waiting, rows: &mut Rows) {
    let append_ms = waiting.append_age.as_millis();
    rows.put("sendThreadPoolQueueSize", waiting.appends);
    rows.put("sendThreadPoolQueueCapacity", waiting.appends_max);
    rows.put("sendThreadPoolQueueHeadWaitTimeMills", append_ms);
    // Nothing else makes them wait.
    rows.put("pageCacheLockTimeMills", append_ms);
    rows.put("pullThreadPoolQueueSize", waiting.reads);
    rows.put("pullThreadPoolQueueCapacity", waiting.reads_max);
    rows.put("pullThreadPoolQueueHeadWaitTimeMills", waiting.read_age.as_millis());
}

/// Why sends are refused now; empty while they are taken. The reference has no such row: its tools compare the used
/// share of the disk with a limit, which says nothing about the free bytes that are asked for here.
fn refusal(broker: &Broker, rows: &mut Rows) {
    let refusal = broker.store.refusal();
    rows.put("sendsRefused", refusal.map_or_else(String::new, |refusal| refusal.to_string()));
}

/// How far the levels are delivered that were ever delivered from.
fn delays(broker: &Broker, rows: &mut Rows) {
    for (level, next) in broker.delays.all() {
        let queue = find_queue(broker, SCHEDULE_TOPIC, level - 1);
        let max = queue.map_or(0, |queue| queue.max_offset());
        rows.put(&format!("scheduleMessageOffset_{level}"), format!("{next},{max}"));
    }
}

fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours) = (seconds / 86_400, seconds / 3600 % 24);
    let (minutes, seconds) = (seconds / 60 % 60, seconds % 60);
    format!("[ {days} days, {hours} hours, {minutes} minutes, {seconds} seconds ]")
}

/// Used share of a file system, to the next percent, as `df` counts it.
fn used_ratio(space: Space) -> String {
    let all = u128::from(space.used) + u128::from(space.free);
    let percent = (u128::from(space.used) * 100).div_ceil(all.max(1));
    float(percent as f64 / 100.0)
}

/// A number that always has a point, as tools expect it.
fn float(value: f64) -> String {
    format!("{value:?}")
}

fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let exponent = bytes.ilog2() / 10;
    let value = bytes as f64 / 1024_f64.powi(exponent as i32);
    format!("{value:.1} {}", UNITS[exponent as usize - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows the forms that tools take apart: a duration, sizes with a unit, ratios that are rounded up.
    #[test]
    fn texts_are_as_tools_expect_them() {
        assert_eq!(duration(90_061_999), "[ 1 days, 1 hours, 1 minutes, 1 seconds ]");
        assert_eq!(duration(-5), "[ 0 days, 0 hours, 0 minutes, 0 seconds ]");
        let sizes = [0, 1023, 1024, 1536, 1 << 20, 104_500_000_000, u64::MAX].map(human_bytes);
        let want = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "97.3 GiB", "16.0 EiB"];
        assert_eq!(sizes, want);
        let ratio = |used, free| used_ratio(Space { total: 1000, used, free });
        assert_eq!(
            [ratio(0, 100), ratio(1, 999), ratio(500, 500), ratio(5, 0)],
            ["0.0", "0.01", "0.5", "1.0"]
        );
    }
}

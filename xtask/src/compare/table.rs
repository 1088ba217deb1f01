//! What the turns found: medians, ratios, goals; as Markdown for people and JSON with every sample.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::Result;
use bench::DiskReport;
use serde::Serialize;

use super::goal::Medians;
use super::rows::{ASYNC_ROW, Figure, Goal, Line, Row};
use super::side::{Sample, Side};

/// All samples of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    commit: String,
    samples: BTreeMap<&'static str, BTreeMap<Side, Vec<Sample>>>,
    disk: BTreeMap<&'static str, Vec<DiskReport>>,
}

/// Others' share of the machine above which a sample is marked.
const NOISY_CORES: f64 = 0.15;

impl Table {
    pub(crate) fn new(commit: &str) -> Table {
        Table { commit: commit.to_owned(), samples: BTreeMap::new(), disk: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, row: &Row, side: Side, sample: Sample) {
        self.samples.entry(row.name).or_default().entry(side).or_default().push(sample);
    }

    pub(crate) fn add_disk(&mut self, row: &Row, report: DiskReport) {
        self.disk.entry(row.name).or_default().push(report);
    }

    fn of(&self, row: &str, side: Side) -> &[Sample] {
        self.samples.get(row).and_then(|sides| sides.get(&side)).map_or(&[], Vec::as_slice)
    }

    fn median_of(&self, row: &str, side: Side, figure: Figure) -> Option<f64> {
        median(self.of(row, side).iter().filter_map(|sample| sample.figure(figure)))
    }

    fn medians(&self, row: &Row, figure: Figure) -> Medians {
        let disk = self.disk.get(row.name).map_or(&[][..], Vec::as_slice);
        Medians {
            apogee: self.median_of(row.name, Side::Apogee, figure),
            java: self.median_of(row.name, Side::Java, figure),
            null: self.median_of(row.name, Side::Null, figure),
            own_async: self.median_of(ASYNC_ROW, Side::Apogee, figure),
            fdatasync_us: median(disk.iter().map(|report| report.fdatasync_us.p50)),
            disk_mb_per_s: median(disk.iter().map(|report| report.buffered_bytes_per_s / 1e6)),
        }
    }

    /// The table.
    pub(crate) fn markdown(&self, rows: &[&Row]) -> String {
        let mut out = format!("Commit {}; {}.\n\n", self.commit, self.machine());
        out +=
            "| work | figure | Java | Apogee | ratio | stores nothing | at least | | stretch | |\n";
        out += "|---|---|---|---|---|---|---|---|---|---|\n";
        for row in rows {
            for (i, line) in row.lines.iter().enumerate() {
                let title = if i == 0 { self.title(row) } else { String::new() };
                out += &self.line(row, line, &title);
            }
        }
        out +=
            "\nMedians over the rounds; ratio = Apogee to Java, or Java to Apogee where less is ";
        out +=
            "better. ~ = more than 0.15 cores were busy with other work, kernel threads included, ";
        out += "in some turn.\n";
        for (row, reports) in &self.disk {
            let us = median(reports.iter().map(|report| report.fdatasync_us.p50)).unwrap_or(0.0);
            let mb = median(reports.iter().map(|report| report.buffered_bytes_per_s / 1e6));
            let _ = write!(out, "Disk beside {row}: fdatasync p50 {us:.0} µs");
            let _ = match mb {
                Some(mb) if mb > 0.0 => writeln!(out, ", buffered writes {mb:.0} MB/s."),
                _ => writeln!(out, "."),
            };
        }
        out + &self.against_earlier(rows) + &self.failures()
    }

    /// The figures of the earlier binary beside those of this one, where it took its turns.
    fn against_earlier(&self, rows: &[&Row]) -> String {
        let mut out = String::new();
        for row in rows {
            for Line { figure, .. } in row.lines {
                let [earlier, now] = [Side::Earlier, Side::Apogee]
                    .map(|side| self.median_of(row.name, side, *figure));
                let (Some(earlier), Some(now)) = (earlier, now) else { continue };
                let (title, label) = (self.title(row), figure.label());
                let change = 100.0 * (now / earlier - 1.0);
                let (earlier, now) = (number(earlier), number(now));
                let _ = writeln!(out, "| {title} | {label} | {earlier} | {now} | {change:+.0} % |");
            }
        }
        if out.is_empty() {
            return out;
        }
        format!(
            "\n| work | figure | earlier Apogee | Apogee | change |\n|---|---|---|---|---|\n{out}\n"
        )
    }

    fn title(&self, row: &Row) -> String {
        let sides = self.samples.get(row.name).into_iter().flatten();
        let mut samples = sides.flat_map(|(_, samples)| samples);
        let noisy = samples.any(|sample| sample.others_cores().is_some_and(|c| c > NOISY_CORES));
        format!("{}{}", row.title, if noisy { " ~" } else { "" })
    }

    fn line(&self, row: &Row, line: &Line, title: &str) -> String {
        let figure = line.figure;
        let medians = self.medians(row, figure);
        let ratio = medians
            .java
            .zip(medians.apogee)
            .map(|(java, own)| if figure.more_is_better() { own / java } else { java / own });
        let goal = |goal: Goal| {
            let sign = if figure.more_is_better() { "≥" } else { "≤" };
            let value = goal.value(&medians).map(|v| format!("{sign} {}", number(v)));
            let mark = match goal.reached(figure, &medians) {
                Some(true) => "yes",
                Some(false) => "no",
                None => "",
            };
            format!("{} | {mark}", value.unwrap_or_default())
        };
        let cell = |value: Option<f64>| value.map(number).unwrap_or_default();
        format!(
            "| {title} | {} | {} | {} | {} | {} | {} | {} |\n",
            figure.label(),
            cell(medians.java),
            cell(medians.apogee),
            ratio.map(|r| format!("{r:.1} ×")).unwrap_or_default(),
            cell(medians.null),
            goal(line.least),
            goal(line.stretch),
        )
    }

    /// Failed answers, which make a rate look better or worse than it is.
    fn failures(&self) -> String {
        let mut out = String::new();
        for (row, sides) in &self.samples {
            for (side, samples) in sides {
                for sample in samples {
                    let Sample::Load(report) = sample else { continue };
                    for error in &report.errors {
                        let (count, code) = (error.count, error.code);
                        let _ = writeln!(
                            out,
                            "{row}, {side}: {count} × code {code} ({}).",
                            error.remark
                        );
                    }
                    if report.unanswered > 0 {
                        let _ = writeln!(out, "{row}, {side}: {} missing.", report.unanswered);
                    }
                }
            }
        }
        out
    }

    fn machine(&self) -> String {
        let samples = self.samples.values().flat_map(BTreeMap::values).flatten();
        let mut machines = samples.filter_map(|sample| match sample {
            Sample::Load(report) => Some(report.machine.clone()),
            _ => None,
        });
        machines.next().unwrap_or_else(|| "no load was run".into())
    }

    /// Writes `<name>.md` and `<name>.json` into `dir`.
    pub(crate) fn save(&self, dir: &Path, name: &str, markdown: &str) -> Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join(format!("{name}.md")), markdown)?;
        fs::write(dir.join(format!("{name}.json")), serde_json::to_vec_pretty(self)?)?;
        println!("saved as {}/{name}.{{md,json}}", dir.display());
        Ok(())
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

/// Three significant digits, thousands shortened.
fn number(value: f64) -> String {
    match value {
        v if v >= 999_500.0 => format!("{:.2} M", v / 1e6),
        v if v >= 9_995.0 => format!("{:.0} k", v / 1e3),
        v if v >= 999.5 => format!("{:.1} k", v / 1e3),
        v if v >= 10.0 => format!("{v:.0}"),
        v => format!("{v:.2}"),
    }
}

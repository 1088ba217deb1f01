//! A page of metrics, as Prometheus would read it: fetched over HTTP, and checked against the rules of the text format
//! (version 0.0.4) while it is taken apart.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

const LIMIT: Duration = Duration::from_secs(30);

/// Labels of a sample.
pub type Labels = BTreeMap<String, String>;

/// An answer of an HTTP server.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Head, in lower case.
    pub head: String,
    /// Body.
    pub body: String,
}

/// GETs one page.
pub fn get(addr: SocketAddr, path: &str) -> Result<Response> {
    let mut socket = TcpStream::connect_timeout(&addr, LIMIT)?;
    socket.set_read_timeout(Some(LIMIT))?;
    write!(socket, "GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("an answer that is no text")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without a head")?;
    let status = head.split(' ').nth(1).context("no status")?.parse()?;
    Ok(Response { status, head: head.to_ascii_lowercase(), body: body.to_owned() })
}

/// All samples of one name.
#[derive(Debug, Default)]
pub struct Family {
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Samples that are no bucket: by suffix (`_sum`, `_count` or nothing) and labels.
    pub samples: BTreeMap<(String, Labels), f64>,
    /// Buckets of a histogram by labels, in order of their bounds.
    pub buckets: BTreeMap<Labels, Vec<(String, f64)>>,
}

/// A page.
#[derive(Debug)]
pub struct Scrape {
    /// Families by name.
    pub families: BTreeMap<String, Family>,
}

impl Scrape {
    /// Fetches and checks the page at `path`.
    pub fn fetch(addr: SocketAddr, path: &str) -> Result<Scrape> {
        let response = get(addr, path)?;
        ensure!(response.status == 200, "{response:?}");
        let is_text =
            response.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8");
        ensure!(is_text, "{}", response.head);
        Scrape::parse(&response.body)
    }

    /// Takes a page apart.
    pub fn parse(page: &str) -> Result<Scrape> {
        ensure!(page.ends_with('\n'), "the last line has no end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let (mut current, mut helped) = (String::new(), BTreeSet::new());
        for line in page.lines() {
            let parsed = (|| -> Result<()> {
                if let Some(help) = line.strip_prefix("# HELP ") {
                    let (name, _) = help.split_once(' ').context("a HELP without a text")?;
                    ensure!(helped.insert(name.to_owned()), "a second HELP of {name}");
                } else if let Some(head) = line.strip_prefix("# TYPE ") {
                    let (name, kind) = head.split_once(' ').context("a TYPE without a type")?;
                    ensure!(is_name(name), "{name} is no name");
                    ensure!(matches!(kind, "counter" | "gauge" | "histogram"), "type {kind}");
                    let counts = name.ends_with("_total") || kind != "counter";
                    ensure!(counts, "the name of a counter without _total");
                    let family = Family { kind: kind.to_owned(), ..Family::default() };
                    ensure!(
                        families.insert(name.to_owned(), family).is_none(),
                        "{name} comes twice"
                    );
                    name.clone_into(&mut current);
                } else {
                    let family = families.get_mut(&current).context("a sample before any TYPE")?;
                    family.add(&current, line)?;
                }
                Ok(())
            })();
            parsed.with_context(|| format!("in the line {line:?}"))?;
        }
        families.iter().try_for_each(|(name, family)| {
            family.check().with_context(|| format!("in the family {name}"))
        })?;
        Ok(Scrape { families })
    }

    /// The value of the sample that has at least these labels; there must be one at most.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Result<Option<f64>> {
        let (family, suffix) = match self.families.get(name) {
            Some(family) => (family, ""),
            None => {
                let split = ["_count", "_sum"].iter().find_map(|suffix| {
                    Some((self.families.get(name.strip_suffix(suffix)?)?, *suffix))
                });
                let Some(split) = split else { return Ok(None) };
                split
            }
        };
        let has = |of: &Labels| {
            labels.iter().all(|(name, value)| of.get(*name).is_some_and(|v| v == value))
        };
        let mut found = family.samples.iter().filter(|((s, of), _)| s == suffix && has(of));
        let (first, second) = (found.next(), found.next());
        ensure!(
            second.is_none(),
            "several samples of {name} have {labels:?}: {first:?}, {second:?}"
        );
        Ok(first.map(|(_, value)| *value))
    }
}

impl Family {
    fn add(&mut self, name: &str, line: &str) -> Result<()> {
        let end = line.find(['{', ' ']).context("no value")?;
        let suffix = line[..end].strip_prefix(name).context("it belongs to another family")?;
        let rest = &line[end..];
        let (mut labels, rest) = match rest.strip_prefix('{') {
            Some(inner) => labels(inner)?,
            None => (Labels::new(), rest),
        };
        let value = rest.strip_prefix(' ').context("no space before the value")?;
        let value: f64 = value.parse().with_context(|| format!("the value {value:?}"))?;
        let is_histogram = self.kind == "histogram";
        match suffix {
            "_bucket" if is_histogram => {
                let bound = labels.remove("le").context("a bucket without a bound")?;
                self.buckets.entry(labels).or_default().push((bound, value));
                return Ok(());
            }
            "_sum" | "_count" if is_histogram => {}
            "" if !is_histogram => {}
            _ => bail!("the suffix {suffix:?} of a {}", self.kind),
        }
        ensure!(!labels.contains_key("le"), "a bound outside of a bucket");
        let twice = self.samples.insert((suffix.to_owned(), labels), value);
        ensure!(twice.is_none(), "the sample comes twice");
        ensure!(self.kind != "counter" || value >= 0.0, "a negative counter");
        Ok(())
    }

    fn check(&self) -> Result<()> {
        for (labels, buckets) in &self.buckets {
            let of = |suffix: &str| self.samples.get(&(suffix.to_owned(), labels.clone())).copied();
            let bounds =
                buckets.iter().map(|(bound, _)| bound.replace("+Inf", "inf").parse::<f64>());
            let bounds: Vec<f64> = bounds.collect::<Result<_, _>>()?;
            ensure!(bounds.is_sorted_by(|a, b| a < b), "bounds that do not rise: {buckets:?}");
            ensure!(bounds.last() == Some(&f64::INFINITY), "no bucket for all: {buckets:?}");
            ensure!(buckets.is_sorted_by(|a, b| a.1 <= b.1), "counts that fall: {buckets:?}");
            let all = buckets.last().map(|(_, count)| *count);
            ensure!(of("_count") == all, "the count is not that of the last bucket: {labels:?}");
            ensure!(of("_sum").is_some(), "no sum: {labels:?}");
        }
        let is_whole = self.kind != "histogram" || self.samples.len() == 2 * self.buckets.len();
        ensure!(is_whole, "counts or sums without buckets");
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// The labels up to the closing brace, and what follows it.
fn labels(text: &str) -> Result<(Labels, &str)> {
    let (mut labels, mut rest) = (Labels::new(), text);
    loop {
        let (name, after) = rest.split_once("=\"").context("a label without a value")?;
        ensure!(is_name(name) && !name.contains(':'), "{name:?} is no label");
        let (mut value, mut chars) = (String::new(), after.char_indices());
        let end = loop {
            match chars.next().context("a value without an end")? {
                (at, '"') => break at,
                (_, '\\') => value.push(match chars.next().context("an unfinished escape")?.1 {
                    'n' => '\n',
                    c @ ('\\' | '"') => c,
                    c => bail!("the escape \\{c}"),
                }),
                (_, c) => value.push(c),
            }
        };
        ensure!(labels.insert(name.to_owned(), value).is_none(), "the label {name} comes twice");
        rest = &after[end + 1..];
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => return Ok((labels, rest.strip_prefix('}').context("no closing brace")?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a A.\n# TYPE a gauge\na{x=\"1\\\"\"} 5\na{x=\"2\"} 1e3\n# TYPE h histogram\n\
        h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 3.5\n";

    /// Shows that a good page is taken apart, and that each rule of the format is enforced.
    #[test]
    fn rules_are_enforced() {
        let page = Scrape::parse(GOOD).unwrap();
        assert_eq!(page.value("a", &[("x", "1\"")]).unwrap(), Some(5.0));
        assert_eq!(page.value("h_sum", &[]).unwrap(), Some(3.5));
        assert!(page.value("a", &[]).is_err());
        for (from, to) in [
            ("a{x=\"2\"}", "a{x=\"1\\\"\"}"),
            ("a{x=\"2\"}", "b{x=\"2\"}"),
            ("1e3", "many"),
            ("a gauge", "a counter"),
            ("a gauge", "a thing"),
            ("+Inf", "9"),
            ("le=\"1.0\"} 1", "le=\"1.0\"} 3"),
            ("h_count 2", "h_count 3"),
            ("h_sum 3.5\n", ""),
            ("# TYPE h histogram\n", ""),
            ("x=\"2\"", "1x=\"2\""),
            ("x=\"2\"", "x=\"2"),
            ("h_sum 3.5\n", "h_sum 3.5"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            assert!(Scrape::parse(&GOOD.replacen(from, to, 1)).is_err(), "{from} → {to}");
        }
    }
}

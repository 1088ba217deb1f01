//! How long requests take, by request, answer and whether they were held (`rocketmq_rpc_latency_milliseconds`).

use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use metrics::{Bounds, Family, Histogram};
use wire::{RequestCode, reply_codes};

/// Bounds of the family, recorded in microseconds and told in milliseconds.
static LATENCY: Bounds<9> = Bounds {
    upper: [1_000, 3_000, 5_000, 7_000, 10_000, 100_000, 1_000_000, 2_000_000, 3_000_000],
    scale: 0.001,
};
/// Label of what is no code of the reference.
const OTHER: &str = "__other__";
/// Codes of answers are below this.
const RESPONSE_CODES: i32 = 8192;

/// What is answered, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answered {
    /// Request code, whatever the client sent.
    pub request: i32,
    /// Response code.
    pub response: i32,
    /// Whether a pull was held.
    pub held: bool,
    /// Whether nothing is sent.
    pub oneway: bool,
}

/// The dense numbers of the codes that there are: label by number, number by code. Number 0 is everything else.
struct Numbers {
    names: Vec<String>,
    /// Numbers by code, up to the highest.
    codes: Vec<u16>,
}

impl Numbers {
    fn new(codes: impl Iterator<Item = (i32, &'static str)>) -> Numbers {
        let mut numbers = Numbers { names: vec![OTHER.to_owned()], codes: Vec::new() };
        for (code, name) in codes {
            let code = usize::try_from(code).expect("codes of the reference are not negative");
            if numbers.codes.len() <= code {
                numbers.codes.resize(code + 1, 0);
            }
            numbers.codes[code] = u16::try_from(numbers.names.len()).expect("they are few");
            numbers.names.push(name.to_ascii_lowercase());
        }
        numbers
    }

    fn of(&self, code: i32) -> usize {
        let number = usize::try_from(code).ok().and_then(|code| self.codes.get(code));
        number.map_or(0, |number| usize::from(*number))
    }
}

static REQUESTS: LazyLock<Numbers> =
    LazyLock::new(|| Numbers::new(RequestCode::ALL.iter().map(|code| (*code as i32, code.name()))));
static RESPONSES: LazyLock<Numbers> = LazyLock::new(|| {
    let codes = 0..RESPONSE_CODES;
    Numbers::new(codes.filter_map(|code| Some((code, reply_codes::name(code)?))))
});

/// Held or not, one-way or not.
const WAYS: usize = 4;
type Series = OnceLock<Box<Histogram<9>>>;

/// The latencies. What was never answered takes no room.
pub(crate) struct Rpc {
    requests: Box<[OnceLock<Box<[Series]>>]>,
}

impl Rpc {
    pub(crate) fn new() -> Rpc {
        Rpc { requests: REQUESTS.names.iter().map(|_| OnceLock::new()).collect() }
    }

    /// So many requests were answered after so long.
    pub(crate) fn record(&self, answered: Answered, took: Duration, times: u64) {
        let Answered { request, response, held, oneway } = answered;
        let responses = self.requests[REQUESTS.of(request)]
            .get_or_init(|| (0..RESPONSES.names.len() * WAYS).map(|_| OnceLock::new()).collect());
        let way = usize::from(held) + 2 * usize::from(oneway);
        let series = responses[RESPONSES.of(response) * WAYS + way]
            .get_or_init(|| Box::new(Histogram::new(&LATENCY)));
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        series.record_many(micros, times);
    }

    /// Writes all that there are.
    pub(crate) fn write(&self, family: &mut Family<'_>) {
        for (request, responses) in REQUESTS.names.iter().zip(&self.requests) {
            let all = responses.get().into_iter().flat_map(|series| series.iter().enumerate());
            for (at, histogram) in all.filter_map(|(at, series)| Some((at, series.get()?))) {
                let way = at % WAYS;
                let labels = [
                    ("protocol_type", "remoting"),
                    ("request_code", request.as_str()),
                    ("response_code", RESPONSES.names[at / WAYS].as_str()),
                    ("is_long_polling", if way % 2 == 1 { "true" } else { "false" }),
                    ("result", if way / 2 == 1 { "oneway" } else { "success" }),
                ];
                family.histogram(&labels, histogram);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Kind, Page};

    use super::*;

    /// Shows the labels of an answer, that codes a hostile client makes up share one series, and that all codes of
    /// the reference have their own.
    #[test]
    fn unknown_codes_share_a_series() {
        let rpc = Rpc::new();
        let took = Duration::from_micros(1500);
        let answered = Answered { request: 11, response: 19, held: true, oneway: false };
        rpc.record(answered, took, 3);
        for request in [-1, 9, 8191, 8192, i32::MIN, i32::MAX] {
            rpc.record(Answered { request, response: request, ..answered }, took, 1);
        }
        let mut page = Page::new();
        rpc.write(&mut page.family("latency", Kind::Histogram, "L."));
        let text = page.into_text();
        let counts: Vec<&str> = text.lines().filter(|line| line.contains("_count")).collect();
        let want = [
            r#"latency_count{protocol_type="remoting",request_code="__other__",response_code="__other__",is_long_polling="true",result="success"} 6"#,
            r#"latency_count{protocol_type="remoting",request_code="pull_message",response_code="pull_not_found",is_long_polling="true",result="success"} 3"#,
        ];
        assert_eq!(counts, want);
        assert!(text.contains(r#"result="success",le="1.0"} 0"#), "{text}");
        assert!(text.contains("latency_sum{") && text.contains("} 4.5\n"), "{text}");
        let mut numbers: Vec<usize> =
            RequestCode::ALL.iter().map(|code| REQUESTS.of(*code as i32)).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=RequestCode::ALL.len()).collect::<Vec<_>>());
    }
}

use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::{
    Error, Labels, Limits, MatchOp, Matcher, Pause, Query, Range, Sample, Series, Value, evaluate,
};

const LIMITS: Limits = Limits { samples_max: 1_000, series_max: 20 };

/// Counts the work, and waits at each call.
#[derive(Default)]
struct Counter {
    units: Cell<u64>,
    largest: Cell<u64>,
}

impl Pause for Counter {
    async fn work(&self, units: u64) {
        self.units.set(self.units.get() + units);
        self.largest.set(self.largest.get().max(units));
        let mut has_waited = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn series(count: usize, samples: i64) -> Vec<Series> {
    let labels = |i: usize| {
        let labels = [("__name__", "m".to_owned()), ("i", i.to_string())];
        Labels::new(labels.map(|(name, value)| (name.to_owned(), value)).to_vec())
    };
    let sample = |i: i64| Sample { time_ms: i * 1000, value: i as f64 };
    let samples: Vec<_> = (0..samples).map(sample).collect();
    (0..count).map(|i| Series { labels: labels(i), samples: samples.clone() }).collect()
}

fn run(
    query: &str,
    range: Range,
    data: Vec<Series>,
    limits: &Limits,
    pause: &Counter,
) -> (Result<Value, Error>, usize) {
    let query = Query::parse(query).unwrap();
    let data = vec![data; query.selectors(&range).len()];
    let mut future = pin!(evaluate(&query, &range, data, limits, pause));
    let mut pauses = 0;
    loop {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => return (value, pauses),
            Poll::Pending => pauses += 1,
        }
    }
}

fn error(query: &str, range: Range, data: Vec<Series>) -> String {
    match run(query, range, data, &LIMITS, &Counter::default()).0 {
        Err(Error::TooMuch(text)) => text,
        other => panic!("{query}: {other:?}"),
    }
}

const AT_END: Range = Range { start_ms: 99_000, end_ms: 99_000, step_ms: 0 };
const MINUTES: Range = Range { start_ms: 0, end_ms: 99_000, step_ms: 1000 };

#[test]
fn selectors_need_the_samples_of_their_ranges() {
    let range = Range { start_ms: 1_000_000, end_ms: 2_000_000, step_ms: 1000 };
    let cases: [(&str, &[(i64, i64)]); 10] = [
        ("m", &[(700_000, 2_000_000)]),
        ("m offset 1m", &[(640_000, 1_940_000)]),
        ("m offset -1m", &[(760_000, 2_060_000)]),
        ("rate(m[10m])", &[(400_000, 2_000_000)]),
        ("rate(m[10m] @ 5000 offset 1m)", &[(4_340_000, 4_940_000)]),
        ("m @ start() + n @ end()", &[(700_000, 1_000_000), (1_700_000, 2_000_000)]),
        ("sum_over_time(m[10m:1m] offset 1m)", &[(40_000, 1_940_000)]),
        ("sum_over_time(rate(m[1m])[10m:1m] @ 5000)", &[(4_340_000, 5_000_000)]),
        ("sum_over_time((m @ 3000)[10m:1m])", &[(2_700_000, 3_000_000)]),
        (
            "m[2562047h] offset -2562047h",
            &[(-9_223_368_200_000 + 9_223_369_200_000, 9_223_371_200_000)],
        ),
    ];
    for (query, expected) in cases {
        let query_text = query;
        let query = Query::parse(query).unwrap();
        let found: Vec<_> =
            query.selectors(&range).iter().map(|s| (s.start_ms, s.end_ms)).collect();
        assert_eq!(found, expected, "{query_text}");
    }
}

#[test]
fn times_at_the_ends_of_the_range_do_not_overflow() {
    let ends = [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX];
    for query in ["m", "m offset 5y", "rate(m[5y] offset -5y)", "sum_over_time(m[5m:1m])", "time()"]
    {
        for time_ms in ends {
            let range = Range { start_ms: time_ms, end_ms: time_ms, step_ms: 0 };
            let _ = run(query, range, series(1, 5), &LIMITS, &Counter::default());
        }
        let range = Range { start_ms: i64::MIN, end_ms: i64::MAX, step_ms: 1 };
        assert!(error(query, range, series(1, 5)).contains("too many steps"));
    }
}

#[test]
fn evaluation_stops_at_its_limits() {
    // 10 series at 100 steps have as many values as the limit permits.
    assert!(run("m", MINUTES, series(10, 100), &LIMITS, &Counter::default()).0.is_ok());
    let cases = ["m", "m + 1", "abs(m)", "rate(m[1m])", "m[1m:1s]", "sum(m) by (i)", "m or m"];
    for query in cases {
        let range = if query.contains(':') { AT_END } else { MINUTES };
        let text = error(query, range, series(11, 100));
        assert!(text.contains("too many samples"), "{query}: {text}");
    }
    for query in ["m", "rate(m[1m])", "last_over_time(m[1m:1s])"] {
        let range = Range { start_ms: 5000, end_ms: 5000, step_ms: 0 };
        let text = error(query, range, series(21, 10));
        assert!(text.contains("too many series: limit 20"), "{query}: {text}");
    }
    let distinct = "count_values(\"v\", m)";
    assert!(error(distinct, MINUTES, series(1, 100)).contains("too many series"));
    let huge = "m[10y:1ms]";
    let range = Range { start_ms: 0, end_ms: 0, step_ms: 0 };
    assert!(error(huge, range, series(1, 1)).contains("too many steps"));
}

#[test]
fn long_evaluations_pause_after_a_few_thousand_values() {
    let queries = [
        "m",
        "sum(m)",
        "quantile(0.5, m)",
        "topk(2, m)",
        "sum_over_time(m[50s])",
        "m + m",
        "m and m",
        "abs(m)",
        "rate(m[50s:1s])",
        "count_values(\"i\", m * 0)",
    ];
    for query in queries {
        let pause = Counter::default();
        let limits = Limits { samples_max: 100_000, series_max: 10_000 };
        let (value, pauses) = run(query, MINUTES, series(20, 100), &limits, &pause);
        assert!(value.is_ok(), "{query}: {value:?}");
        assert!(pauses > 0, "{query}");
        assert!(pause.largest.get() < 2_000, "{query}: {}", pause.largest.get());
    }
}

#[test]
fn regexes_match_whole_values_with_line_breaks() {
    let matcher = |op, value: &str| Matcher::new("a".to_owned(), op, value.to_owned()).unwrap();
    let regex = matcher(MatchOp::Regex, "a|b.c");
    assert!(regex.matches("a") && regex.matches("b\nc"));
    assert!(!regex.matches("aa") && !regex.matches(""));
    assert!(matcher(MatchOp::NotRegex, "a.*").matches("ba"));
    assert!(matcher(MatchOp::NotEqual, "a").matches(""));
    assert!(Matcher::new("a".to_owned(), MatchOp::Regex, "[".to_owned()).is_err());
}

#[test]
fn labels_are_sorted_and_unique() {
    let pairs = [("b", "2"), ("a", "1"), ("c", ""), ("a", "3"), ("__name__", "m")];
    let labels = Labels::new(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec());
    assert_eq!(labels.to_string(), r#"{__name__="m", a="3", b="2"}"#);
    assert_eq!((labels.name(), labels.get("a"), labels.get("c")), ("m", "3", ""));
}

#[test]
fn queries_are_formatted_as_in_prometheus() {
    let cases = [
        ("up", "up"),
        (" sum( up )by(job , \"a.b\") ", "sum by (job, \"a.b\") (up)"),
        ("sum without () (up)", "sum without () (up)"),
        ("up{b=\"x\",a!~'y'}", "up{a!~\"y\",b=\"x\"}"),
        ("{\"a.b\",c=\"d\"}", "{__name__=\"a.b\",c=\"d\"}"),
        ("rate(up[90s] offset -1w)", "rate(up[1m30s] offset -1w)"),
        ("up @ 1.5 offset 1d", "up @ 1.500 offset 1d"),
        ("max_over_time(up[1h:5m] @ end())", "max_over_time(up[1h:5m] @ end())"),
        ("a*on(x)group_left(y)b", "a * on (x) group_left (y) b"),
        ("a>bool 1e6", "a > bool 1000000"),
        ("-(1+2)^-3", "-(1 + 2) ^ -3"),
        ("a and ignoring(b) c", "a and ignoring (b) c"),
        ("topk(3, up)", "topk(3, up)"),
        ("\"a\\n\"", "\"a\\n\""),
        ("holt_winters(a[1m],.5,.5)", "double_exponential_smoothing(a[1m], 0.5, 0.5)"),
        (
            "sum(rate(a_very_long_metric_name{label=\"value\"}[5m])) by (label) / sum(rate(another_long_metric_name[5m])) by (label)",
            "  sum by (label) (rate(a_very_long_metric_name{label=\"value\"}[5m]))\n/\n  sum by (label) (rate(another_long_metric_name[5m]))",
        ),
    ];
    for (query, expected) in cases {
        let formatted = Query::parse(query).unwrap().format();
        assert_eq!(formatted, expected);
        assert_eq!(Query::parse(&formatted).unwrap().format(), expected);
    }
}

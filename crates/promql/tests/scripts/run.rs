//! Runs the commands of a script.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tidemark_model::regex::{Pattern, RegexWork};
use tidemark_promql::{
    Error, Labels, Limits, Pause, Query, Range, Sample, Selector, Series, Value, evaluate,
};

use super::case::{Outcome, is_almost_equal};
use super::script::{Command, Description, Eval};

#[derive(Default)]
struct Storage {
    series: Vec<Series>,
    /// The labels of series with native histograms.
    unsupported: Vec<Labels>,
}

struct NoPause;

impl Pause for NoPause {
    async fn work(&self, _: u64) {}
}

const LIMITS: Limits = Limits { samples_max: 50_000_000, series_max: 1_000_000 };

/// Runs the commands. Returns the line and the outcome of each query.
pub(crate) fn run(commands: &[Command]) -> Vec<(usize, Outcome)> {
    let (mut storage, mut outcomes) = (Storage::default(), vec![]);
    for command in commands {
        match command {
            Command::Clear => storage = Storage::default(),
            Command::Load { interval_ms, series } => storage.load(*interval_ms, series),
            Command::Eval(eval) => outcomes.push((eval.line, outcome(eval, &storage))),
        }
    }
    outcomes
}

impl Storage {
    fn load(&mut self, interval_ms: i64, descriptions: &[Description]) {
        for description in descriptions {
            if description.is_unsupported {
                self.unsupported.push(description.labels.clone());
                continue;
            }
            let times = (0..).map(|i| i * interval_ms);
            let values = times.zip(&description.values);
            let samples =
                values.filter_map(|(time_ms, value)| Some(Sample { time_ms, value: (*value)? }));
            let known = self.series.iter_mut().find(|known| known.labels == description.labels);
            match known {
                None => self.series.push(Series {
                    labels: description.labels.clone(),
                    samples: samples.collect(),
                }),
                Some(known) => {
                    known.samples.extend(samples);
                    known.samples.sort_by_key(|sample| sample.time_ms);
                }
            }
        }
    }

    /// Returns the samples that the selector permits, so that a selector with wrong times fails.
    fn select(&self, selector: &Selector) -> Vec<Series> {
        let found = self.series.iter().filter(|series| matches(selector, &series.labels));
        let is_inside = |s: &&Sample| selector.start_ms < s.time_ms && s.time_ms <= selector.end_ms;
        let select = |series: &Series| Series {
            labels: series.labels.clone(),
            samples: series.samples.iter().filter(is_inside).copied().collect(),
        };
        found.map(select).filter(|series| !series.samples.is_empty()).collect()
    }
}

fn matches(selector: &Selector, labels: &Labels) -> bool {
    selector.matchers.iter().all(|matcher| matcher.matches(labels.get(&matcher.label)))
}

fn outcome(eval: &Eval, storage: &Storage) -> Outcome {
    let trims_buckets = [">/", "</"].iter().any(|op| eval.query.contains(op));
    if trims_buckets || eval.series.iter().any(|series| series.is_unsupported) {
        return Outcome::Skipped("native histograms".to_owned());
    }
    let query = match Query::parse(&eval.query) {
        Ok(query) => query,
        Err(error) => return failure(eval, &error),
    };
    let range = Range { start_ms: eval.start_ms, end_ms: eval.end_ms, step_ms: eval.step_ms };
    for selector in query.selectors(&range) {
        if storage.unsupported.iter().any(|labels| matches(&selector, labels)) {
            return Outcome::Skipped("native histograms".to_owned());
        }
    }
    let value = match run_query(&query, range, storage) {
        Ok(value) => value,
        Err(error) => return failure(eval, &error),
    };
    if eval.fails {
        return Outcome::Failed(format!("{}: expected an error, got {value:?}", eval.query));
    }
    let checked = check(eval, &value).and_then(|()| match &value {
        Value::Vector(_) if !eval.is_ordered => check_middle_step(eval, &query, storage),
        _ => Ok(()),
    });
    match checked {
        Ok(()) => Outcome::Passed,
        Err(message) => Outcome::Failed(format!("{}: {message}", eval.query)),
    }
}

fn run_query(query: &Query, range: Range, storage: &Storage) -> Result<Value, Error> {
    let data = query.selectors(&range).iter().map(|selector| storage.select(selector)).collect();
    let mut future = pin!(evaluate(query, &range, data, &LIMITS, &NoPause));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("NoPause never waits"),
    }
}

fn failure(eval: &Eval, error: &Error) -> Outcome {
    let text = error.to_string();
    let is_expected = |(message, is_regex): &(String, bool)| match is_regex {
        true => Pattern::new(message, &RegexWork::unlimited()).unwrap().is_match(&text),
        false => text == *message,
    };
    if eval.fails && eval.messages.iter().all(is_expected) {
        return Outcome::Passed;
    }
    if text.contains("experimental") {
        return Outcome::Skipped(text);
    }
    match eval.messages.first() {
        Some((message, _)) => {
            Outcome::Failed(format!("{}: expected {message}, got {text}", eval.query))
        }
        None => Outcome::Failed(format!("{}: {text}", eval.query)),
    }
}

type Expected<'a> = Vec<(&'a Labels, Vec<(i64, f64)>)>;

/// Returns the expected series and their samples.
fn expected(eval: &Eval) -> Expected<'_> {
    let [start_ms, _, step_ms] =
        eval.range_vector.unwrap_or([eval.start_ms, eval.end_ms, eval.step_ms]);
    let samples = |description: &Description| {
        let times = (0..).map(|i| start_ms + i * step_ms).zip(&description.values);
        times.filter_map(|(time_ms, value)| Some((time_ms, (*value)?))).collect()
    };
    let series = eval.series.iter().map(|series| (&series.labels, samples(series)));
    series.filter(|(_, samples): &(_, Vec<_>)| !samples.is_empty()).collect()
}

fn check(eval: &Eval, value: &Value) -> Result<(), String> {
    let mut expected = expected(eval);
    let mut got: Expected<'_> = match value {
        Value::String { text, .. } => {
            return check_that(eval.string.as_ref() == Some(text), || format!("got {text:?}"));
        }
        Value::Scalar { value, .. } => {
            let is_equal = eval.scalar.is_some_and(|scalar| is_almost_equal(scalar, *value));
            return check_that(is_equal, || format!("expected {:?}, got {value}", eval.scalar));
        }
        Value::Vector(samples) => {
            let series = samples.iter().map(|(labels, s)| (labels, vec![(s.time_ms, s.value)]));
            series.collect()
        }
        Value::Matrix(series) => {
            let samples = |s: &Series| s.samples.iter().map(|s| (s.time_ms, s.value)).collect();
            series.iter().map(|series| (&series.labels, samples(series))).collect()
        }
    };
    if !eval.is_ordered {
        expected.sort_by_key(|(labels, _)| *labels);
        got.sort_by_key(|(labels, _)| *labels);
    }
    let is_sample = |((a_ms, a), (b_ms, b)): (&(i64, f64), &(i64, f64))| {
        a_ms == b_ms && is_almost_equal(*a, *b)
    };
    let is_series = |(a, b): (&(&Labels, Vec<_>), &(&Labels, Vec<_>))| {
        a.0 == b.0 && a.1.len() == b.1.len() && a.1.iter().zip(&b.1).all(is_sample)
    };
    let is_equal = expected.len() == got.len() && expected.iter().zip(&got).all(is_series);
    check_that(is_equal, || format!("expected\n  {}\n got\n  {}", shown(&expected), shown(&got)))
}

fn shown(series: &Expected<'_>) -> String {
    let shown = series.iter().map(|(labels, samples)| format!("{labels} {samples:?}"));
    shown.collect::<Vec<_>>().join("\n  ")
}

fn check_that(is_true: bool, message: impl Fn() -> String) -> Result<(), String> {
    if is_true { Ok(()) } else { Err(message()) }
}

/// Checks that a range query has the same result at its middle step.
fn check_middle_step(eval: &Eval, query: &Query, storage: &Storage) -> Result<(), String> {
    let time_ms = eval.start_ms;
    let uses_range = ["start()", "end()"].iter().any(|at| eval.query.contains(at));
    if uses_range {
        return Ok(());
    }
    let range = Range { start_ms: time_ms - 60_000, end_ms: time_ms + 60_000, step_ms: 60_000 };
    let value = match run_query(query, range, storage) {
        Ok(Value::Matrix(series)) => series,
        // Another step may have duplicates.
        Err(_) => return Ok(()),
        Ok(value) => return Err(format!("the range query returned {value:?}")),
    };
    let samples = value.iter().filter_map(|series| {
        let sample = series.samples.iter().find(|sample| sample.time_ms == time_ms);
        Some((series.labels.clone(), *sample?))
    });
    let vector = Value::Vector(samples.collect());
    check(eval, &vector).map_err(|message| format!("in a range query: {message}"))
}

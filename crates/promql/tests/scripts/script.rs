//! Parses scripts. The language is described in `promql/promqltest/README.md` of Prometheus.

use tidemark_promql::{Labels, STALE_BITS};

#[derive(Debug)]
pub(crate) enum Command {
    Clear,
    Load { interval_ms: i64, series: Vec<Description> },
    Eval(Eval),
}

/// A series and its values, one for each interval.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) labels: Labels,
    pub(crate) values: Vec<Option<f64>>,
    /// Whether the series has native histograms or start times, which this crate does not support.
    pub(crate) is_unsupported: bool,
}

#[derive(Debug)]
pub(crate) struct Eval {
    pub(crate) line: usize,
    pub(crate) query: String,
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    /// 0 for an instant query.
    pub(crate) step_ms: i64,
    pub(crate) is_ordered: bool,
    pub(crate) fails: bool,
    /// Texts of the error, and whether each is a regex.
    pub(crate) messages: Vec<(String, bool)>,
    pub(crate) string: Option<String>,
    /// Start, end and step of the samples of an expected range vector.
    pub(crate) range_vector: Option<[i64; 3]>,
    pub(crate) scalar: Option<f64>,
    pub(crate) series: Vec<Description>,
}

pub(crate) fn parse(text: &str) -> Vec<Command> {
    let mut lines = text.lines().enumerate().map(|(i, line)| {
        let line = line.trim();
        (i + 1, if line.starts_with('#') { "" } else { line })
    });
    let mut commands = vec![];
    while let Some((number, line)) = lines.next() {
        // A command ends with an empty line.
        let mut body = || -> Vec<_> {
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.is_empty()).collect()
        };
        if line.is_empty() {
        } else if line == "clear" {
            commands.push(Command::Clear);
        } else if let Some(rest) = line.strip_prefix("load") {
            let with_histograms = rest.starts_with("_with_nhcb");
            let interval = rest.split_whitespace().last().unwrap();
            let mut series: Vec<_> = body().into_iter().map(description).collect();
            if with_histograms {
                // The histograms have the name of the buckets without the suffix.
                let histograms: Vec<_> = series.iter().map(histogram_of).collect();
                series.extend(histograms);
            }
            commands.push(Command::Load { interval_ms: duration_ms(interval), series });
        } else if line.starts_with("eval") {
            commands.push(Command::Eval(eval(number, line, body())));
        } else {
            panic!("line {number}: unknown command: {line}");
        }
    }
    commands
}

fn histogram_of(buckets: &Description) -> Description {
    let name = buckets.labels.name();
    let name = name.strip_suffix("_bucket").unwrap_or(name);
    let labels = buckets.labels.iter().map(|(label, value)| {
        let value = if label == "__name__" { name } else { value };
        (label.to_owned(), value.to_owned())
    });
    let labels = labels.filter(|(label, _)| label != "le").collect();
    Description { labels: Labels::new(labels), values: vec![], is_unsupported: true }
}

fn eval(line: usize, text: &str, body: Vec<&str>) -> Eval {
    let (command, rest) = text.split_once(' ').unwrap();
    let mut words = rest.trim_start();
    let mut word = || {
        let (first, after) = words.trim_start().split_once(char::is_whitespace).unwrap();
        words = after;
        first
    };
    let (start_ms, end_ms, step_ms) = match word() {
        "instant" => {
            assert_eq!(word(), "at");
            let time_ms = duration_ms(word());
            (time_ms, time_ms, 0)
        }
        _ => {
            assert_eq!(word(), "from");
            let start_ms = duration_ms(word());
            assert_eq!(word(), "to");
            let end_ms = duration_ms(word());
            assert_eq!(word(), "step");
            (start_ms, end_ms, duration_ms(word()))
        }
    };
    let mut eval = Eval {
        line,
        query: words.trim().to_owned(),
        start_ms,
        end_ms,
        step_ms,
        is_ordered: command == "eval_ordered",
        fails: command == "eval_fail",
        messages: vec![],
        string: None,
        range_vector: None,
        scalar: None,
        series: vec![],
    };
    for line in body {
        expectation(&mut eval, line);
    }
    eval
}

fn expectation(eval: &mut Eval, line: &str) {
    if let Some(message) = line.strip_prefix("expected_fail_message ") {
        eval.messages.push((message.trim().to_owned(), false));
    } else if let Some(message) = line.strip_prefix("expected_fail_regexp ") {
        eval.messages.push((message.trim().to_owned(), true));
    } else if let Some(expected) = line.strip_prefix("expect ") {
        let (kind, rest) = expected.split_once(char::is_whitespace).unwrap_or((expected, ""));
        let rest = rest.trim();
        match kind {
            "ordered" => eval.is_ordered = true,
            "fail" => {
                eval.fails = true;
                if let Some((how, message)) = rest.split_once(':') {
                    eval.messages.push((unquoted(message.trim()), how.trim() == "regex"));
                }
            }
            "string" => eval.string = Some(unquoted(rest)),
            "range" => {
                let words: Vec<_> = rest.split_whitespace().collect();
                let [_, _, start, _, end, _, step] = words[..] else {
                    panic!("invalid: {line}");
                };
                eval.range_vector = Some([start, end, step].map(duration_ms));
            }
            // Annotations are not part of this crate.
            _ => {}
        }
    } else if let Some(value) = number(line) {
        eval.scalar = Some(value);
    } else {
        eval.series.push(description(line));
    }
}

fn unquoted(text: &str) -> String {
    let quotes = ['"', '`', '\''];
    let inner = text.strip_prefix(quotes).and_then(|text| text.strip_suffix(quotes));
    match inner {
        Some(inner) if text.starts_with('"') => {
            inner.replace("\\\"", "\"").replace("\\\\", "\\").replace("\\n", "\n")
        }
        Some(inner) => inner.to_owned(),
        None => text.to_owned(),
    }
}

/// Parses `metric{label="value"} 1 2+3x4 _ stale`.
fn description(line: &str) -> Description {
    let name_len = line.find(['{', ' ', '\t']).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_len);
    let mut labels = vec![];
    if !name.is_empty() {
        let name = name.split('@').next().unwrap();
        labels.push(("__name__".to_owned(), name.to_owned()));
    }
    if let Some(inner) = rest.strip_prefix('{') {
        rest = parse_labels(inner, &mut labels);
    }
    let is_unsupported = line.contains("{{") || line.contains('@');
    let values = if is_unsupported { vec![] } else { values(rest) };
    Description { labels: Labels::new(labels), values, is_unsupported }
}

fn parse_labels<'a>(mut rest: &'a str, labels: &mut Vec<(String, String)>) -> &'a str {
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let (name, after) = match rest.starts_with(['"', '\'', '`']) {
            true => quoted(rest),
            false => {
                let (name, after) = rest.split_at(rest.find(['=', ' ']).unwrap());
                (name.to_owned(), after)
            }
        };
        match after.trim_start().strip_prefix('=') {
            Some(after) => {
                let (value, after) = quoted(after.trim_start());
                labels.push((name, value));
                rest = after;
            }
            // A quoted name of a metric.
            None => {
                labels.push(("__name__".to_owned(), name));
                rest = after;
            }
        }
    }
}

/// Parses a quoted text. Returns the text and the rest.
fn quoted(text: &str) -> (String, &str) {
    let mark = text.chars().next().unwrap();
    let mut end = 1;
    while !text[end..].starts_with(mark) {
        let is_escape = mark != '`' && text[end..].starts_with('\\');
        end += if is_escape { 2 } else { text[end..].chars().next().unwrap().len_utf8() };
    }
    (unquoted(&text[..=end]), &text[end + 1..])
}

fn values(text: &str) -> Vec<Option<f64>> {
    let mut values = vec![];
    for word in text.split_whitespace() {
        if let Some(count) = word.strip_prefix('_') {
            let count = count.strip_prefix('x').map_or(1, |count| count.parse().unwrap());
            values.extend(std::iter::repeat_n(None, count));
        } else if let Ok(value) = word.parse() {
            values.push(Some(value));
        } else if word == "stale" {
            values.push(Some(f64::from_bits(STALE_BITS)));
        } else {
            let (series, count) = word.rsplit_once('x').unwrap();
            // A sign that follows `e` belongs to an exponent.
            let is_sign = |(i, c): &(usize, char)| {
                *i > 0 && matches!(c, '+' | '-') && !series[..*i].ends_with(['e', 'E'])
            };
            let split = series.char_indices().find(is_sign).map_or(series.len(), |(i, _)| i);
            let (first, delta) = series.split_at(split);
            let first = number(first).unwrap();
            let delta = if delta.is_empty() { 0.0 } else { number(delta).unwrap() };
            let mut value = first;
            for _ in 0..=count.parse::<usize>().unwrap() {
                values.push(Some(value));
                value += delta;
            }
        }
    }
    values
}

/// Parses a number, which may be hexadecimal. Among the values of a series, `0x2` means three zeros.
fn number(text: &str) -> Option<f64> {
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(|value| value as f64);
    }
    text.parse().ok()
}

/// Parses a duration or a number of seconds.
pub(crate) fn duration_ms(text: &str) -> i64 {
    if let Some(text) = text.strip_prefix('-') {
        return -duration_ms(text);
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds * 1000.0) as i64;
    }
    let (mut rest, mut total) = (text, 0);
    while !rest.is_empty() {
        let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap());
        let units = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(units);
        total += digits.parse::<i64>().unwrap()
            * match unit {
                "ms" => 1,
                "s" => 1000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 7 * 86_400_000,
                "y" => 365 * 86_400_000,
                _ => panic!("invalid duration: {text}"),
            };
        rest = after;
    }
    total
}

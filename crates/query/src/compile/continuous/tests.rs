use super::*;
use tidemark_influxql::ast::Statement;
use tidemark_influxql::bound_params::Params;
use tidemark_model::limits::WINDOWS_PER_RUN_MAX;
use tidemark_model::time::S_NS;

const M: i64 = 60;
const H: i64 = 60 * M;

/// Returns the time range and the watermark, in seconds.
fn run(head: &str, group: &str, last: Option<i64>, now: i64) -> Option<(Option<(i64, i64)>, i64)> {
    limited(WINDOWS_PER_RUN_MAX, head, group, last, now)
}

fn limited(
    windows_max: i64,
    head: &str,
    group: &str,
    last: Option<i64>,
    now: i64,
) -> Option<(Option<(i64, i64)>, i64)> {
    let run = full(windows_max, head, group, last, now)?;
    let range = run.select.map(|select| {
        let (_, range) = split_time(select.condition.as_ref(), 0).expect("a range");
        (range.start_ns / S_NS, range.end_ns / S_NS)
    });
    Some((range, run.last_run_ns / S_NS))
}

fn full(
    windows_max: i64,
    head: &str,
    group: &str,
    last: Option<i64>,
    now: i64,
) -> Option<ContinuousRun> {
    let text = format!(
        "CREATE CONTINUOUS QUERY c ON d {head} BEGIN SELECT mean(v) INTO t FROM m \
         WHERE time > now() - 5s GROUP BY time({group} END"
    );
    let mut statements = tidemark_influxql::parse(&text, &Params::default()).expect("parses");
    let Statement::CreateContinuousQuery(create) = statements.remove(0) else {
        panic!("another statement")
    };
    let last = last.map(|seconds| seconds * S_NS);
    next_run(*create, last, windows_max, now * S_NS).expect("runs")
}

#[test]
fn continuous_run_covers_elapsed_windows() {
    let (half, quarter) = (30 * M, 15 * M);
    let (every, wide, rare) = ("RESAMPLE EVERY 30m", "RESAMPLE FOR 3h", "RESAMPLE EVERY 2h");
    let range = |start, end, last| Some((Some((start, end)), last));
    for (head, group, last, now, expected) in [
        // The first run only sets the watermark.
        ("", "1h)", None, 10 * H + 5, Some((None, 10 * H))),
        ("", "1h)", Some(10 * H), 11 * H - 1, None),
        ("", "1h)", Some(10 * H), 11 * H, range(10 * H, 11 * H, 11 * H)),
        // After hours of downtime, the run includes every missed window.
        ("", "1h)", Some(10 * H), 15 * H + 7, range(10 * H, 15 * H, 15 * H)),
        (
            "",
            "1h, 15m)",
            Some(9 * H + quarter),
            10 * H + quarter,
            range(9 * H + quarter, 10 * H + quarter, 10 * H + quarter),
        ),
        // Each half-hourly run includes the unfinished window.
        (every, "1h)", Some(10 * H), 10 * H + half, range(10 * H, 11 * H, 10 * H + half)),
        (every, "1h)", Some(10 * H + half), 11 * H, range(10 * H, 11 * H, 11 * H)),
        (wide, "1h)", None, 10 * H + 5, range(8 * H, 10 * H, 10 * H)),
        (wide, "1h)", Some(10 * H), 11 * H, range(8 * H, 11 * H, 11 * H)),
        (rare, "1h)", Some(10 * H), 12 * H, range(10 * H, 12 * H, 12 * H)),
    ] {
        assert_eq!(run(head, group, last, now), expected, "{head} {group} {last:?} {now}");
    }
}

#[test]
fn long_downtime_catches_up_in_steps() {
    let now = 5_000 * M;
    let (mut last, mut runs, mut end) = (0, 0, 0);
    while let Some((Some(range), next)) = run("", "1m)", Some(last), now) {
        assert_eq!(range.0, end, "starts where the one before ended");
        (end, last, runs) = (range.1, next, runs + 1);
    }
    assert_eq!((end, last, runs), (now, now, 5));
}

#[test]
fn continuous_days_follow_time_zone() {
    // In Berlin, 2023-03-26 has 23 hours and starts at 1679785200.
    let midnight = 1_679_785_200;
    let tz = "1d) tz('Europe/Berlin')";
    let next = midnight + 23 * H;
    assert_eq!(run("", tz, Some(midnight), next - 1), None);
    assert_eq!(run("", tz, Some(midnight), next), Some((Some((midnight, next)), next)));
    let due = |last: i64, now: i64| {
        let run = full(WINDOWS_PER_RUN_MAX, "", tz, Some(last), now).expect("a run");
        run.next_run_ns / S_NS
    };
    assert_eq!(due(midnight - 24 * H, midnight), next, "23 hours after the run");
    // 2023-10-29 has 25 hours and starts at 1698530400.
    let midnight = 1_698_530_400;
    assert_eq!(due(midnight - 24 * H, midnight), midnight + 25 * H);
}

#[test]
fn reduced_runs_cover_every_window() {
    let hourly = "RESAMPLE EVERY 1h";
    for (head, windows_max, last) in
        [(hourly, 30, 0), (hourly, 1, 59), ("RESAMPLE EVERY 1h FOR 1d", 12, 0)]
    {
        let mut last = last * M;
        let mut end = None;
        for hour in 1..200 {
            let Some((Some((from, to)), mark)) =
                limited(windows_max, head, "1m)", Some(last), hour * H)
            else {
                continue;
            };
            assert!((to - from) / M <= windows_max, "{head}: {from}..{to}");
            assert_eq!(
                end.unwrap_or(from),
                from,
                "{head}: a run starts at the end of the run before"
            );
            (end, last) = (Some(to), mark);
        }
        assert!(end.is_some_and(|end| end > 50 * M), "{head}: {end:?}");
    }
    let first = limited(30, hourly, "1m)", None, 10 * H);
    assert_eq!(first, Some((Some((9 * H, 9 * H + 30 * M)), 9 * H + 30 * M)));
}

use super::*;
use crate::influxql::ast::Statement;
use crate::influxql::bound_params::Params;
use crate::model::limits::WINDOWS_PER_RUN_MAX;
use crate::model::time::S_NS;

const M: i64 = 60;
const H: i64 = 60 * M;

/// Returns the range and the watermark of a run, in seconds.
fn run(head: &str, group: &str, last: Option<i64>, now: i64) -> Option<(Option<(i64, i64)>, i64)> {
    let text = format!(
        "CREATE CONTINUOUS QUERY c ON d {head} BEGIN SELECT mean(v) INTO t FROM m \
         WHERE time > now() - 5s GROUP BY time({group} END"
    );
    let mut statements = crate::influxql::parse(&text, &Params::default()).expect("parses");
    let Statement::CreateContinuousQuery(create) = statements.remove(0) else {
        panic!("another statement")
    };
    let last = last.map(|seconds| seconds * S_NS);
    let run = next_run(*create, last, WINDOWS_PER_RUN_MAX, now * S_NS).expect("runs")?;
    let range = run.select.map(|select| {
        let (_, range) = split_time(select.condition.as_ref(), 0).expect("a range");
        (range.start_ns / S_NS, range.end_ns / S_NS)
    });
    Some((range, run.last_run_ns / S_NS))
}

#[test]
fn a_run_covers_the_windows_since_the_last_one() {
    // The first run only sets the watermark.
    assert_eq!(run("", "1h)", None, 10 * H + 5), Some((None, 10 * H)));
    assert_eq!(run("", "1h)", Some(10 * H), 11 * H - 1), None);
    assert_eq!(run("", "1h)", Some(10 * H), 11 * H), Some((Some((10 * H, 11 * H)), 11 * H)));
    // After hours of downtime, the run includes all missed windows.
    assert_eq!(run("", "1h)", Some(10 * H), 15 * H + 7), Some((Some((10 * H, 15 * H)), 15 * H)));
    let quarter = 15 * M;
    let offset = Some((Some((9 * H + quarter, 10 * H + quarter)), 10 * H + quarter));
    assert_eq!(run("", "1h, 15m)", Some(9 * H + quarter), 10 * H + quarter), offset);
}

#[test]
fn resample_says_how_often_and_how_far() {
    let every = "RESAMPLE EVERY 30m";
    let half = H / 2;
    // Every half hour, the run includes the unfinished window.
    assert_eq!(
        run(every, "1h)", Some(10 * H), 10 * H + half),
        Some((Some((10 * H, 11 * H)), 10 * H + half))
    );
    assert_eq!(
        run(every, "1h)", Some(10 * H + half), 11 * H),
        Some((Some((10 * H, 11 * H)), 11 * H))
    );
    let wide = "RESAMPLE FOR 3h";
    assert_eq!(run(wide, "1h)", None, 10 * H + 5), Some((Some((8 * H, 10 * H)), 10 * H)));
    assert_eq!(run(wide, "1h)", Some(10 * H), 11 * H), Some((Some((8 * H, 11 * H)), 11 * H)));
    let rare = "RESAMPLE EVERY 2h";
    assert_eq!(run(rare, "1h)", Some(10 * H), 12 * H), Some((Some((10 * H, 12 * H)), 12 * H)));
}

#[test]
fn a_long_downtime_is_caught_up_in_steps_that_meet() {
    let now = 5_000 * M;
    let (mut last, mut runs, mut end) = (0, 0, 0);
    while let Some((Some(range), next)) = run("", "1m)", Some(last), now) {
        assert_eq!(range.0, end, "starts where the one before ended");
        (end, last, runs) = (range.1, next, runs + 1);
    }
    assert_eq!((end, last, runs), (now, now, 5));
}

#[test]
fn days_follow_the_clocks_of_their_zone() {
    // In Berlin, 2023-03-26 is a day of 23 hours. It starts at 1679785200.
    let midnight = 1_679_785_200;
    let tz = "1d) tz('Europe/Berlin')";
    let next = midnight + 23 * H;
    assert_eq!(run("", tz, Some(midnight), next - 1), None);
    assert_eq!(run("", tz, Some(midnight), next), Some((Some((midnight, next)), next)));
}

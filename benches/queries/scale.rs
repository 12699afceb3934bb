//! Benchmarks of one shard with growing data, and of queries over a growing history.

use std::fmt::Write as _;
use std::time::Duration;

use crate::allocator::{live, peak_since};
use crate::{Tidemark, ms};

const START_S: i64 = 1_451_606_400;
const LINES: usize = 5_000;
const REPEATS: usize = 9;

/// First the number of points grows in a thousand series, and then the number of series grows.
/// Memory is an operation's peak, without the stored data.
pub(crate) fn scale() {
    println!(
        "{:<24}  batch ms  query ms   SHOW ms  count ms  stored MB  batch MB  query MB   SHOW MB",
        "one shard"
    );
    for points in [10_000, 100_000, 1_000_000, 10_000_000] {
        row(&format!("{points} points"), points, 1_000);
    }
    for series in [1_000, 10_000, 100_000, 1_000_000] {
        row(&format!("{series} series"), series, series);
    }
}

fn row(name: &str, points: usize, series: usize) {
    let base = live();
    let mut tidemark = Tidemark::empty();
    let mut batches = Vec::new();
    let mut written = 0.0_f64;
    for from in (0..points).step_by(LINES) {
        let mut body = String::new();
        for point in from..(from + LINES).min(points) {
            let (number, time) = (point % series, START_S + (point / series * 10) as i64);
            let value = (number * 7 + point / series) % 100;
            let _ = writeln!(
                body,
                "m,id=device-{number:07},site=s{} v={value}i {time}000000000",
                number % 50
            );
        }
        let (time, held) = held(&mut tidemark, base, |tidemark| tidemark.write(body));
        batches.push(time);
        written = written.max(held);
    }
    tidemark.rest();
    let mut ask = |q: &str| held(&mut tidemark, base, |tidemark| ms(median(tidemark, q)));
    let (query, queried) = ask("SELECT mean(v) FROM m WHERE id = 'device-0000777'");
    let (show, shown) = ask("SHOW TAG VALUES FROM m WITH KEY = site");
    let (count, counted) = ask("SHOW SERIES CARDINALITY");
    batches.sort();
    let batch = ms(batches[batches.len() / 2]);
    let stored = tidemark.stored_bytes() as f64 / 1e6;
    println!(
        "{name:<24}  {batch:>8.2}  {query:>8.2}  {show:>8.2}  {count:>8.2}  {stored:>9.2}  \
         {written:>8.1}  {queried:>8.1}  {:>8.1}",
        shown.max(counted)
    );
}

/// Returns the peak memory of an operation in megabytes, without the stored data.
fn held<T>(
    tidemark: &mut Tidemark,
    base: isize,
    event: impl FnOnce(&mut Tidemark) -> T,
) -> (T, f64) {
    let base = base + tidemark.stored_bytes() as isize;
    live();
    let answer = event(tidemark);
    (answer, (peak_since() - base).max(0) as f64 / 1e6)
}

/// Queries one hour of a hundred series after a history of 3 days and of 30 days.
pub(crate) fn history() {
    println!("{:<60} {:>11} {:>11}", "one hour after", "3 days ms", "30 days ms");
    let mut both: Vec<Tidemark> = [3, 30]
        .into_iter()
        .map(|days| {
            let mut tidemark = Tidemark::empty();
            for hour in (30 - days) * 24..30 * 24 {
                let mut body = String::new();
                for line in 0..100 * 60 {
                    let (host, time) = (line % 100, START_S + hour * 3_600 + line / 100 * 60);
                    let _ = writeln!(
                        body,
                        "m,host=h{host} v={}i,w={}i {time}000000000",
                        time % 101,
                        time % 97
                    );
                }
                tidemark.write(body);
            }
            tidemark.rest();
            tidemark
        })
        .collect();
    let from = START_S + 30 * 86_400 - 3_600;
    for query in [
        format!("SELECT max(v) FROM m WHERE host = 'h7' AND time >= {from}s GROUP BY time(1m)"),
        format!("SELECT mean(w) FROM m WHERE time >= {from}s GROUP BY host"),
        "SELECT * FROM m GROUP BY host ORDER BY time DESC LIMIT 1".to_owned(),
    ] {
        let times: Vec<Duration> = both.iter_mut().map(|one| median(one, &query)).collect();
        println!("{query:<60.60} {:>11.3} {:>11.3}", ms(times[0]), ms(times[1]));
    }
}

/// Compares a month of random floats with the last day alone. `MONTH` in the environment is the
/// number of points; the default is 30 million.
pub(crate) fn month() {
    let points = std::env::var("MONTH").ok().and_then(|text| text.parse().ok());
    let points: i64 = points.unwrap_or(30_000_000);
    println!(
        "{:<60} {:>9} {:>9} {:>9} {:>9}",
        "a day, and a month", "first ms", "cold ms", "warm ms", "rows read"
    );
    for days in [1, 30] {
        let mut tidemark = one_month(points, days);
        println!("{days} days, {:.0} MB:", tidemark.stored_bytes() as f64 / 1e6);
        let end = START_S + 30 * 86_400;
        for q in [
            format!("SELECT v FROM m WHERE host = 'h7' AND time >= {}s", end - 3_600),
            format!("SELECT mean(v) FROM m WHERE time >= {}s GROUP BY host", end - 43_200),
            "SELECT * FROM m GROUP BY * ORDER BY time DESC LIMIT 1".to_owned(),
            "SELECT last(v) FROM m GROUP BY host".to_owned(),
            "SHOW TAG VALUES FROM m WITH KEY = site".to_owned(),
            "SELECT count(*) FROM m".to_owned(),
            format!("SELECT * FROM m WHERE time >= {}s", end - 43_200),
        ] {
            let [first, cold] = [(); 2].map(|()| {
                tidemark.inner.sleep();
                tidemark.query(&q).0
            });
            let warm = median(&mut tidemark, &q);
            let before = tidemark.rows_read();
            tidemark.query(&q);
            let rows = tidemark.rows_read() - before;
            let [first, cold, warm] = [first, cold, warm].map(ms);
            println!("{q:<60.60} {first:>9.2} {cold:>9.2} {warm:>9.2} {rows:>9}");
        }
    }
}

fn one_month(points: i64, days: i64) -> Tidemark {
    const SERIES: i64 = 1_000;
    let mut tidemark = Tidemark::empty();
    let duration = "q=ALTER RETENTION POLICY autogen ON benchmark SHARD DURATION 1000d";
    tidemark.request("POST", "/query", &duration.replace(' ', "%20"), Vec::new());
    let mut random = fastrand::Rng::with_seed(1);
    let steps = points / SERIES;
    let step_ms = 30 * 86_400_000 / steps;
    for first in ((steps - steps * days / 30)..steps).step_by(10) {
        let mut body = String::new();
        for (step, series) in (first..first + 10).flat_map(|s| (0..SERIES).map(move |n| (s, n))) {
            let (value, time) = (random.f64() * 100.0, START_S * 1_000 + step * step_ms);
            let site = series % 10;
            let _ = writeln!(body, "m,host=h{series},site=t{site} v={value} {time}000000");
        }
        tidemark.write(body);
    }
    tidemark.rest();
    tidemark
}

fn median(tidemark: &mut Tidemark, query: &str) -> Duration {
    let mut times: Vec<Duration> = (0..REPEATS).map(|_| tidemark.query(query).0).collect();
    times.sort();
    times[times.len() / 2]
}

/// The flushes of 200,000 series overlap in time. Measures after 3 and after 30 rounds.
pub(crate) fn rounds() {
    const SERIES: usize = 200_000;
    let mut tidemark = Tidemark::empty();
    println!("{:<60} {:>9} {:>9}", "200,000 series", "cold ms", "warm ms");
    for round in 0..30 {
        for from in (0..SERIES).step_by(LINES) {
            let mut body = String::new();
            for series in from..from + LINES {
                let (site, value) = (series % 10, (series * 7 + round) % 100);
                let time = START_S + (round * 100 + series % 97) as i64;
                let _ = writeln!(body, "m,id=s{series},site=s{site} v={value}i {time}000000000");
            }
            tidemark.write(body);
        }
        if round != 2 && round != 29 {
            continue;
        }
        tidemark.rest();
        println!("{} rounds:", round + 1);
        for q in [
            "SELECT v FROM m WHERE id = 's1234'",
            "SELECT count(v) FROM m GROUP BY site",
            "SHOW SERIES FROM m LIMIT 10",
            "SHOW SERIES CARDINALITY",
            "SHOW SERIES EXACT CARDINALITY",
            "SHOW TAG VALUES FROM m WITH KEY = site",
        ] {
            cold_and_warm(&mut tidemark, q);
        }
    }
}

/// Each flush contains some rows of every measurement.
pub(crate) fn names() {
    const MEASUREMENTS: usize = 10_000;
    let mut tidemark = Tidemark::empty();
    println!("{:<60} {:>9} {:>9}", "10,000 measurements, 20 flushes", "cold ms", "warm ms");
    for flush in 0..20 {
        for from in (0..MEASUREMENTS).step_by(LINES) {
            let mut body = String::new();
            for number in from..from + LINES {
                let time = START_S + flush * 60;
                let _ = writeln!(body, "m{number},host=h{} v={flush}i {time}000000000", number % 7);
            }
            tidemark.write(body);
        }
        tidemark.pause();
    }
    for q in [
        "SHOW MEASUREMENTS",
        "SHOW TAG KEYS",
        "SHOW FIELD KEYS",
        "SHOW TAG VALUES WITH KEY = host",
        "SELECT * FROM /m1.*/ LIMIT 1",
    ] {
        cold_and_warm(&mut tidemark, q);
    }
}

/// Measures queries after each delete of a single series. A million points are in 10,000 series.
pub(crate) fn deletes() {
    const SERIES: usize = 10_000;
    const DELETES: usize = 60;
    let mut tidemark = Tidemark::empty();
    let mut random = fastrand::Rng::with_seed(1);
    for step in 0..100 {
        for from in (0..SERIES).step_by(LINES) {
            let mut body = String::new();
            for series in from..from + LINES {
                let (value, time) = (random.f64() * 100.0, START_S + step * 26_000);
                let site = series % 10;
                let _ = writeln!(body, "m,host=h{series},site=t{site} v={value} {time}000000000");
            }
            tidemark.write(body);
        }
    }
    tidemark.rest();
    let questions =
        ["SELECT mean(v) FROM m WHERE host = 'h7'", "SELECT mean(v) FROM m GROUP BY site"];
    println!("{:<60} {:>9} {:>9}", "1,000,000 points of 10,000 series", "before ms", "beside ms");
    let before = questions.map(|q| median(&mut tidemark, q));
    let mut times = [const { Vec::new() }; 3];
    for series in 0..DELETES {
        let delete = format!("DELETE FROM m WHERE host = 'h{}'", SERIES - 1 - series);
        times[0].push(tidemark.query(&delete).0);
        for (q, times) in questions.iter().zip(&mut times[1..]) {
            times.push(tidemark.query(q).0);
        }
    }
    let [delete, aux @ ..] = times.map(|mut times| {
        times.sort();
        ms(times[times.len() / 2])
    });
    println!("{:<60} {:>9} {delete:>9.2}", "DELETE of one series", "");
    for ((q, before), aux) in questions.iter().zip(before).zip(aux) {
        println!("{q:<60} {:>9.2} {aux:>9.2}", ms(before));
    }
}

/// Prints the time of a query after the object restarts, and the median time of repeated queries.
fn cold_and_warm(tidemark: &mut Tidemark, q: &str) {
    tidemark.inner.sleep();
    let cold = ms(tidemark.query(q).0);
    println!("{q:<60} {cold:>9.1} {:>9.1}", ms(median(tidemark, q)));
}

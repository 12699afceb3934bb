//! Native benchmark of a growing shard over the in-memory store. Each load is ten times larger than
//! the previous load. Run `cargo bench --bench shard_scale [-- word…]`. A word is a shape, an
//! order, a number of points such as `1e7`, or one of `columns`, `alter` and `unloaded`. With
//! `JOBS` in the environment, the program also prints the writes of each job.
//!
//! Rows are per million points. `+rest` counts the rows written after the load, until no work is
//! due. For values, the ratio is bytes written to bytes still in use. Times are the CPU time of the
//! shard's thread, in ms. Every due alarm runs immediately, so a real load without pauses has more
//! parts that wait for a merge.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark stops at the first surprise"
)]

#[path = "../../tests/it/allocator.rs"]
mod allocator;
mod counting_store;
mod load;
mod scenarios;
mod shapes;

use std::time::Duration;

use cpu_time::ThreadTime;

use load::{Job, Load};
use shapes::{Order, Shape};
use tidemark::store::Table;

const BATCH_ROWS: u64 = 5_000;
/// A longer load stops, and the program prints its results so far.
const TIME_MAX: Duration = Duration::from_secs(240);
const S_NS: i64 = 1_000_000_000;

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let has = |names: &[&str]| only.iter().any(|only| names.contains(&only.as_str()));
    let asked = |names: &[&str], name: &str| !has(names) || only.iter().any(|only| only == name);
    let shapes = Shape::ALL.map(Shape::name);
    let orders = Order::ALL.map(Order::name);
    let sizes = ["1e6", "1e7", "1e8"];
    let rests = ["columns", "alter", "unloaded"];
    let is_load = !has(&rests) || has(&shapes) || has(&orders) || has(&sizes);
    if is_load {
        head();
    }
    for (size, points) in sizes.into_iter().zip([1_000_000, 10_000_000, 100_000_000]) {
        for shape in Shape::ALL {
            for order in Order::ALL {
                let is_run = shape.is_run(order, points);
                let names = [(&shapes[..], shape.name()), (&orders, order.name()), (&sizes, size)];
                if is_load && is_run && names.iter().all(|(all, name)| asked(all, name)) {
                    run(shape, order, points);
                }
            }
        }
    }
    let runs_rest = |name: &str| has(&[name]) || only.is_empty();
    if runs_rest("columns") {
        scenarios::columns();
    }
    if runs_rest("alter") {
        scenarios::alter();
    }
    if runs_rest("unloaded") {
        scenarios::unloaded();
    }
}

fn run(shape: Shape, order: Order, points: u64) {
    let (started, mut load) = (ThreadTime::now(), Load::new(shape.window_ns()));
    let mut frames = shape.frames(order, points);
    let mut written = 0;
    while written < points && started.elapsed() < TIME_MAX {
        load.append(&frames.next());
        written += BATCH_ROWS;
    }
    let stopped = if written < points { ", stopped" } else { "" };
    let name = format!("{}, {}, {written:e}{stopped}", shape.name(), order.name());
    let cells = cells(&mut load, written as f64 / 1e6, written * shape.fields());
    let cells = cells.iter().map(|(width, cell)| format!(" {cell:>width$}"));
    println!("{name:<26}{}", cells.collect::<String>());
    if std::env::var_os("JOBS").is_some() {
        load.print_jobs(written as f64 / 1e6);
    }
}

const HEAD: [(&str, usize); 22] = [
    ("rows/M", 7),
    ("wal", 5),
    ("value", 5),
    ("state", 5),
    ("alarm", 5),
    ("other", 5),
    ("+rest", 6),
    ("B/B", 5),
    ("rest", 5),
    ("B/val", 6),
    ("dead MB", 8),
    ("parts", 5),
    ("most", 5),
    ("man KB", 6),
    ("merges", 6),
    ("p99 ms", 6),
    ("append", 6),
    ("flush", 6),
    ("merge", 6),
    ("tidy", 6),
    ("wake ms, rows", 13),
    ("held MB", 7),
];

fn head() {
    let names = HEAD.map(|(name, width)| format!(" {name:>width$}"));
    println!("{:<26}{}", "shape, order, points", names.concat());
}

/// Runs the remaining work of a finished load. `million` is the number of points in millions.
fn cells(load: &mut Load, million: f64, values: u64) -> Vec<(usize, String)> {
    let under_load = load.written();
    let (written, live) = (load.value_bytes_written(), load.live_value_bytes());
    load.rest();
    let rest = load.written().since(&under_load);
    let kept = load.live_value_bytes();
    let per_million = |rows: u64| format!("{:.1}", rows as f64 / million);
    let of = |table| per_million(under_load.rows(table));
    let others = [Table::Tombstone, Table::Job, Table::Entry, Table::Schema];
    let ratio = |bytes: u64, of: u64| format!("{:.2}", bytes as f64 / of.max(1) as f64);
    let longest = |job: Job| format!("{:.1}", load.percentile_ms(job, 100));
    let mut cells = vec![
        per_million(under_load.all()),
        of(Table::Wal),
        of(Table::Value),
        of(Table::State),
        per_million(under_load.alarms),
        per_million(others.map(|table| under_load.rows(table)).iter().sum()),
        per_million(rest.all()),
        ratio(written, live),
        ratio(load.value_bytes_written(), kept),
        format!("{:.3}", kept as f64 / values as f64),
        format!("{:.1}", load.dead_value_bytes() as f64 / 1e6),
        load.manifest().parts().len().to_string(),
        load.parts_most.to_string(),
        format!("{:.1}", load.manifest_bytes() as f64 / 1e3),
        load.merges.to_string(),
        format!("{:.2}", load.percentile_ms(Job::Append, 99)),
    ];
    cells.extend([Job::Append, Job::Flush, Job::Merge, Job::Tidy].map(longest));
    let (wake_ms, wake_rows) = load.wake();
    cells.push(format!("{wake_ms:.2}, {wake_rows}"));
    cells.push(format!("{:.1}", load.held_mb()));
    HEAD.iter().map(|(_, width)| *width).zip(cells).collect()
}

//! Scenarios of past defects: a wide row next to many narrow rows, overwritten rows after a change
//! of the shard duration, and frequent unloading of the object.

use cpu_time::ThreadTime;
use tidemark::batch::column::{Column, Values};
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::limits::PIECE_BYTES_MAX;
use tidemark::model::time::TimeRange;
use tidemark::model::value::FieldType;
use tidemark::scan::page::GroupData;
use tidemark::scan::request::{Input, Output, Resume, ScanRequest};

use crate::allocator::{live, peak_since};
use crate::load::{Job, Load};
use crate::shapes::{DAY_NS, Order, START_NS, STEP_NS, Shape, encode};

pub(crate) fn columns() {
    let mut load = Load::new(7 * DAY_NS);
    let wide = (0..1_000).map(|value| Column::full(Values::Integer(vec![value]))).collect();
    load.append(&encode(&[(0, START_NS)], wide));
    let started = ThreadTime::now();
    for batch in 0..60 {
        let rows = batch * 5_000 + 1..(batch + 1) * 5_000 + 1;
        let points: Vec<_> =
            rows.map(|row| (row % 100, START_NS + (row / 100) as i64 * STEP_NS)).collect();
        let values = points.iter().map(|(series, _)| *series as i64).collect();
        load.append(&encode(&points, vec![Column::full(Values::Integer(values))]));
    }
    let all_ms = started.elapsed().as_secs_f64() * 1e3;
    println!(
        "one row of 1,000 fields, 300,000 of one: writes {all_ms:.1} ms (longest {:.1} ms)",
        load.percentile_ms(Job::Append, 100),
    );
    timed_scan(&mut load, "under load");
    load.rest();
    timed_scan(&mut load, "at rest");
    load.reopen();
    timed_scan(&mut load, "loaded again");
    load.print_jobs(0.3);
}

fn timed_scan(load: &mut Load, when: &str) {
    let (held, started) = (live(), ThreadTime::now());
    let rows = scan(load, TimeRange::ALL).len();
    println!(
        "  scan {when}: {rows} rows, {:.1} ms, {:.1} MB with its answer",
        started.elapsed().as_secs_f64() * 1e3,
        (peak_since() - held) as f64 / 1e6
    );
}

/// The shard duration changes from a day to a week. An hour is then overwritten and merged.
pub(crate) fn alter() {
    let mut load = Load::new(DAY_NS);
    let points = |from_ns: i64, count: i64, value: i64| {
        let points: Vec<_> = (0..count).map(|at| (0, from_ns + at * STEP_NS)).collect();
        let values = Values::Integer(vec![value; points.len()]);
        encode(&points, vec![Column::full(values)])
    };
    for day in 0..8 {
        load.append(&points(START_NS + day * DAY_NS, DAY_NS / STEP_NS, 1));
        load.rest();
    }
    let before = load.manifest().parts().len();
    load.alter(7 * DAY_NS);
    // Half of the overwritten hour is after a day boundary.
    let border_ns = (START_NS / DAY_NS + 4) * DAY_NS;
    let from_ns = border_ns - (border_ns - START_NS) % STEP_NS - 180 * STEP_NS;
    let time = TimeRange::new(from_ns, from_ns + 360 * STEP_NS);
    load.append(&points(from_ns, 360, 2));
    let report = |when: &str, load: &mut Load| {
        let values = scan(load, time);
        let new = values.iter().filter(|&&value| value == 2).count();
        let all = scan(load, TimeRange::ALL).len();
        println!(
            "1d to 7d, {when}: {new} of 360 new among {}, {all} rows, {} parts, {} merges",
            values.len(),
            load.manifest().parts().len(),
            load.merges
        );
    };
    println!("1d to 7d, eight days in {before} parts");
    report("overwritten", &mut load);
    load.rest();
    report("merged", &mut load);
    for hour in 1..9 {
        load.append(&points(START_NS + 8 * DAY_NS + hour * 360 * STEP_NS, 360, 1));
        load.rest();
    }
    report("merged with later parts", &mut load);
    load.reopen();
    report("loaded again", &mut load);
}

/// Writes two million points of ten integers, and unloads the object after every `every` frames.
pub(crate) fn unloaded() {
    for every in [400, 100, 20, 5] {
        let shape = Shape::Integers;
        let mut load = Load::new(shape.window_ns());
        let mut frames = shape.frames(Order::Ordered, 2_000_000);
        for frame in 1..=400 {
            load.append(&frames.next());
            if frame % every == 0 {
                load.reopen();
            }
        }
        let (rows, written) = (load.written().all(), load.value_bytes_written());
        println!(
            "unloaded every {every} frames: {} rows/M, {:.2} bytes written per byte, {} merges, \
             longest {:.1} ms",
            rows / 2,
            written as f64 / load.live_value_bytes() as f64,
            load.merges,
            load.percentile_ms(Job::Merge, 100)
        );
    }
}

fn scan(load: &mut Load, time: TimeRange) -> Vec<i64> {
    let field = Input { column: ColumnId(10), field_type: FieldType::Integer, cast: None };
    let request = ScanRequest {
        measurement: MeasurementId(1),
        time,
        predicate: None,
        group_by: Vec::new(),
        descending: false,
        output: Output::Rows {
            fields: vec![field],
            tags: Vec::new(),
            limit: None,
            every_row: false,
        },
        resume: Resume::default(),
        piece_bytes: PIECE_BYTES_MAX,
        groups_max: None,
    };
    let (mut values, mut resume) = (Vec::new(), Resume::default());
    loop {
        let stamp = load.stamp();
        let page = load
            .shard
            .scan(&ScanRequest { resume: resume.clone(), ..request.clone() }, &stamp)
            .unwrap();
        for group in page.groups {
            let GroupData::Rows { fields, .. } = group.data else { continue };
            if let Some(Column { values: Values::Integer(of_page), .. }) = fields.into_iter().next()
            {
                values.extend(of_page);
            }
        }
        match resume.after(page.until, page.position) {
            None => return values,
            Some(next) => resume = next,
        }
    }
}

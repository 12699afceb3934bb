//! Native benchmark of parsing line protocol to columns, and of encoding and decoding a frame.
//!
//! `cargo bench --bench line_protocol` prints a table. With the argument `turns`, the program reads
//! shape numbers from its input, and prints the bytes and each parser's CPU time in nanoseconds.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first surprise")]

mod bodies;
mod parsers;

use std::hint::black_box;
use std::io::Write as _;
use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_engine::batch::Batch;
use tidemark_engine::batch::frame::{self, TableRef};
use tidemark_engine::batch::selection::Selection;
use tidemark_model::ids::{ColumnId, MeasurementId};

const ROUNDS: usize = 9;

fn main() {
    if std::env::args().any(|argument| argument == "turns") {
        return take_turns();
    }
    println!(
        "{:<14} {:>9} {:>9} {:>6} {:>11} {:>10} {:>10}",
        "shape", "ours MB/s", "v3 MB/s", "ratio", "frame B/row", "encode ms", "decode ms"
    );
    for (name, bodies) in bodies::SHAPES {
        print_row(name, &bodies());
    }
}

fn take_turns() {
    let mut prepared = (usize::MAX, Vec::new());
    for line in std::io::stdin().lines() {
        let shape = line.unwrap().parse().unwrap();
        if prepared.0 != shape {
            prepared = (shape, bodies::SHAPES.get(shape).unwrap().1());
        }
        let bytes: usize = prepared.1.iter().map(String::len).sum();
        let [ours, theirs] = one_turn(&prepared.1).map(|time| time.as_nanos());
        println!("{bytes} {ours} {theirs}");
        std::io::stdout().flush().unwrap();
    }
}

fn one_turn(bodies: &[String]) -> [Duration; 2] {
    [
        time(|| bodies.iter().for_each(|body| _ = black_box(parsers::parse(body.as_bytes())))),
        time(|| bodies.iter().for_each(|body| parsers::parse_v3(body.as_bytes()))),
    ]
}

fn print_row(name: &str, bodies: &[String]) {
    let bytes: usize = bodies.iter().map(String::len).sum();
    let turns: Vec<[Duration; 2]> = (0..ROUNDS).map(|_| one_turn(bodies)).collect();
    let rate = |whose: usize| {
        let mut times: Vec<Duration> = turns.iter().map(|turn| turn[whose]).collect();
        bytes as f64 / 1e6 / median(&mut times).as_secs_f64()
    };
    let (ours, theirs) = (rate(0), rate(1));
    let mut encoded = Vec::new();
    let batch = parsers::parse(bodies.last().unwrap().as_bytes());
    let (mut encode, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 5 {
        encode.push(time(|| {
            encoded.clear();
            encode_frame(&batch, &mut encoded);
        }));
        decode.push(time(|| _ = black_box(frame::decode(&encoded).unwrap())));
    }
    println!(
        "{name:<14} {ours:>9.0} {theirs:>9.0} {:>6.1} {:>11.1} {:>10.3} {:>10.3}",
        ours / theirs,
        encoded.len() as f64 / bodies::LINES as f64,
        median(&mut encode).as_secs_f64() * 1e3,
        median(&mut decode).as_secs_f64() * 1e3,
    );
}

fn encode_frame(batch: &Batch, out: &mut Vec<u8>) {
    let ids: Vec<ColumnId> = (0..64).map(ColumnId).collect();
    let tables: Vec<TableRef<'_>> = batch
        .measurements
        .iter()
        .zip(0..)
        .map(|(table, id)| TableRef {
            measurement: MeasurementId(id),
            tag_ids: &ids,
            field_ids: &ids,
            block: &table.block,
            rows: &Selection::All,
        })
        .collect();
    frame::encode(&tables, out);
}

fn time(work: impl FnOnce()) -> Duration {
    let start = ThreadTime::now();
    work();
    start.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap()
}

//! Line protocol to columns, and columns to a frame and back: MB per second beside InfluxDB 3's
//! parser, taken by turns. `cargo bench --bench line_protocol`
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a benchmark reads the clock and stops at the first surprise"
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use tidemark::batch::frame::{self, TableRef};
use tidemark::batch::from_lines::from_lines;
use tidemark::batch::selection::Selection;
use tidemark::line_protocol::{Options, TimestampUnit};
use tidemark::model::ids::{ColumnId, MeasurementId};
use tidemark::model::time::Precision;

/// Lines of one request, and requests of one file.
const LINES: usize = 5_000;
const BATCHES: usize = 8;
/// Times that each side has its turn.
const ROUNDS: usize = 9;

fn main() {
    println!(
        "{:<14} {:>9} {:>9} {:>6} {:>11} {:>10} {:>10}",
        "shape", "ours MB/s", "v3 MB/s", "ratio", "frame B/row", "encode ms", "decode ms"
    );
    for (name, batches) in [
        ("cpu integers", cpu(|random| format!("{}i", random.u8(0..100)))),
        ("two decimals", cpu(|random| format!("{:.2}", random.f64() * 100.0))),
        ("full floats", cpu(|random| format!("{}", random.f64() * 100.0))),
        ("iot mix", iot()),
        ("new series", million()),
    ] {
        run(name, &batches);
    }
}

fn run(name: &str, batches: &[String]) {
    let bytes: usize = batches.iter().map(String::len).sum();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(|| batches.iter().for_each(|body| _ = black_box(parse(body)))));
        theirs.push(time(|| batches.iter().for_each(|body| parse_v3(body))));
    }
    let rate = |times: &mut Vec<Duration>| bytes as f64 / 1e6 / median(times).as_secs_f64();
    let (ours, theirs) = (rate(&mut ours), rate(&mut theirs));
    let body = batches.last().unwrap();
    let mut encoded = Vec::new();
    let batch = parse(body);
    let mut encode = Vec::new();
    let mut decode = Vec::new();
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
        encoded.len() as f64 / LINES as f64,
        median(&mut encode).as_secs_f64() * 1e3,
        median(&mut decode).as_secs_f64() * 1e3,
    );
}

fn parse(body: &str) -> tidemark::batch::Batch {
    let options = Options::new(TimestampUnit::Fixed(Precision::Nanosecond), 0);
    let (batch, rejected) = from_lines(body.as_bytes(), options, 7).unwrap();
    assert_eq!(rejected.count, 0);
    batch
}

/// InfluxDB 3's parser converts every value but builds no columns.
fn parse_v3(body: &str) {
    for line in influxdb_line_protocol::parse_lines(std::str::from_utf8(body.as_bytes()).unwrap()) {
        black_box(line.unwrap());
    }
}

fn encode_frame(batch: &tidemark::batch::Batch, out: &mut Vec<u8>) {
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
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap()
}

/// TSBS cpu-only: 100 hosts in turn every 10 s, ten tags, ten fields.
fn cpu(value: impl Fn(&mut fastrand::Rng) -> String) -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(1);
    let fields = [
        "user",
        "system",
        "idle",
        "nice",
        "iowait",
        "irq",
        "softirq",
        "steal",
        "guest",
        "guest_nice",
    ];
    let mut body = |batch: usize| {
        let mut body = String::new();
        for line in 0..LINES {
            let (host, step) = (line % 100, (batch * LINES + line) / 100);
            let _ = write!(
                body,
                "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},\
                 os=Ubuntu16.10,arch=x86,team=SF,service={},service_version=1,\
                 service_environment=test ",
                host * 7 % 100,
                host % 20,
            );
            for (at, field) in fields.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                let _ = write!(body, "{comma}usage_{field}={}", value(&mut random));
            }
            let _ =
                writeln!(body, " {}", 1_451_606_400_000_000_000_u64 + step as u64 * 10_000_000_000);
        }
        body
    };
    (0..BATCHES).map(&mut body).collect()
}

/// Two measurements in turn, strings and booleans, absent fields.
fn iot() -> Vec<String> {
    let mut random = fastrand::Rng::with_seed(2);
    let mut body = |batch: usize| {
        let mut body = String::new();
        for line in 0..LINES {
            let truck = line / 2 % 200;
            let time = 1_451_606_400_000_000_000_u64 + (batch * LINES + line) as u64 * 25_000_000;
            let tags = format!("name=truck_{truck},fleet=South,driver=Trish,model=H-2");
            let float = random.f64() * 100.0;
            let _ = match line % 2 {
                0 => writeln!(
                    body,
                    "readings,{tags} latitude={float:.5},longitude={:.5},velocity={}i,heading=\"NNE\" {time}",
                    float / 2.0,
                    random.u8(..)
                ),
                _ if random.u8(..) < 60 => {
                    writeln!(body, "diagnostics,{tags} fuel={float:.1} {time}")
                }
                _ => writeln!(
                    body,
                    "diagnostics,{tags} fuel={float:.1},load={}i,on={},status=\"running\" {time}",
                    random.u8(..),
                    random.bool()
                ),
            };
        }
        body
    };
    (0..BATCHES).map(&mut body).collect()
}

/// Every line a series of its own.
fn million() -> Vec<String> {
    let body = |batch: usize| {
        let mut body = String::new();
        for line in 0..LINES {
            let number = batch * LINES + line;
            let _ = writeln!(
                body,
                "m,id=device-{number},site=s{} v={}i 1451606400000000000",
                number % 50,
                number % 90
            );
        }
        body
    };
    (0..BATCHES).map(body).collect()
}

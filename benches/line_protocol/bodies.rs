//! Creates the benchmark's bodies with a generator that has a fixed seed, so that native and WASM
//! builds get the same bytes.

use std::fmt::Write as _;

/// The number of lines in a request. `BATCHES` is the number of requests per shape.
pub(crate) const LINES: usize = 5_000;
const BATCHES: usize = 8;

type Shape = (&'static str, fn() -> Vec<String>);

pub(crate) const SHAPES: [Shape; 5] = [
    ("cpu integers", || cpu(|random| format!("{}i", random.u8(0..100)))),
    ("two decimals", || cpu(|random| format!("{:.2}", random.f64() * 100.0))),
    ("full floats", || cpu(|random| format!("{}", random.f64() * 100.0))),
    ("iot mix", iot),
    ("new series", million),
];

/// TSBS cpu-only: 100 hosts in rotation with a point every 10 s, ten tags and ten fields.
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

/// Two alternating measurements have strings, booleans and missing fields.
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

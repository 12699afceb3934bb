//! TSBS cpu-only: seeded data, the fifteen query types as InfluxQL, and the panels of a dashboard.

use std::fmt::Write as _;

const START_S: i64 = 1_451_606_400;
const STEP_S: i64 = 10;
const LINES: usize = 5_000;
const HOUR_S: i64 = 3_600;

const FIELDS: [&str; 10] = [
    "usage_user",
    "usage_system",
    "usage_idle",
    "usage_nice",
    "usage_iowait",
    "usage_irq",
    "usage_softirq",
    "usage_steal",
    "usage_guest",
    "usage_guest_nice",
];

pub(crate) type Type = (&'static str, fn(&mut fastrand::Rng, usize, i64) -> String);

pub(crate) const TYPES: [Type; 19] = [
    ("single-groupby-1-1-1", |r, n, h| single(r, (n, h), (1, 1, 1))),
    ("single-groupby-1-1-12", |r, n, h| single(r, (n, h), (1, 1, 12))),
    ("single-groupby-1-8-1", |r, n, h| single(r, (n, h), (1, 8, 1))),
    ("single-groupby-5-1-1", |r, n, h| single(r, (n, h), (5, 1, 1))),
    ("single-groupby-5-1-12", |r, n, h| single(r, (n, h), (5, 1, 12))),
    ("single-groupby-5-8-1", |r, n, h| single(r, (n, h), (5, 8, 1))),
    ("cpu-max-all-1", |r, n, h| cpu_max_all(r, (n, h), 1)),
    ("cpu-max-all-8", |r, n, h| cpu_max_all(r, (n, h), 8)),
    ("double-groupby-1", |r, _, h| double(r, h, 1)),
    ("double-groupby-5", |r, _, h| double(r, h, 5)),
    ("double-groupby-all", |r, _, h| double(r, h, 10)),
    ("high-cpu-1", |r, n, h| high_cpu(r, (n, h), 1)),
    ("high-cpu-all", |r, n, h| high_cpu(r, (n, h), 0)),
    ("lastpoint", |_, _, _| {
        "SELECT * FROM cpu GROUP BY hostname ORDER BY time DESC LIMIT 1".into()
    }),
    ("groupby-orderby-limit", |r, _, h| {
        let (_, end) = window(r, h, 1);
        format!(
            "SELECT max(usage_user) FROM cpu WHERE time < {end} \
             GROUP BY time(1m) ORDER BY time DESC LIMIT 5"
        )
    }),
    ("panel", |r, _, _| panel(r.i64(0..HOUR_S), "mean", "time(1m)")),
    ("panel-by-host", |r, _, _| panel(r.i64(0..HOUR_S), "max", "time(5m), hostname")),
    ("panel-again", |_, _, _| panel(7, "mean", "time(1m)")),
    ("panel-by-host-again", |_, _, _| panel(7, "max", "time(5m), hostname")),
];

/// Returns the query of a dashboard's panel. Each refresh changes `second`, and all viewers of the
/// same second send the same query.
fn panel(second: i64, call: &str, by: &str) -> String {
    let end_s = START_S + 22 * HOUR_S + second;
    let start_s = end_s - 6 * HOUR_S;
    format!(
        "SELECT {call}(usage_user) FROM cpu WHERE time >= {start_s}s AND time < {end_s}s \
         GROUP BY {by}"
    )
}

fn single(
    random: &mut fastrand::Rng,
    (of, hours): (usize, i64),
    (metrics, hosts, length): (usize, usize, i64),
) -> String {
    let (start, end) = window(random, hours, length);
    let hosts = some_hosts(random, of, hosts);
    format!(
        "SELECT {} FROM cpu WHERE {hosts} AND time >= {start} AND time < {end} GROUP BY time(1m)",
        calls("max", metrics)
    )
}

fn cpu_max_all(random: &mut fastrand::Rng, (of, hours): (usize, i64), hosts: usize) -> String {
    let (start, end) = window(random, hours, 8);
    let hosts = some_hosts(random, of, hosts);
    format!(
        "SELECT {} FROM cpu WHERE {hosts} AND time >= {start} AND time < {end} GROUP BY time(1h)",
        calls("max", FIELDS.len())
    )
}

fn double(random: &mut fastrand::Rng, hours: i64, metrics: usize) -> String {
    let (start, end) = window(random, hours, 12);
    format!(
        "SELECT {} FROM cpu WHERE time >= {start} AND time < {end} GROUP BY time(1h), hostname",
        calls("mean", metrics)
    )
}

fn high_cpu(random: &mut fastrand::Rng, (of, hours): (usize, i64), hosts: usize) -> String {
    let (start, end) = window(random, hours, 12);
    let hosts = match hosts {
        0 => String::new(),
        some => format!(" AND {}", some_hosts(random, of, some)),
    };
    format!("SELECT * FROM cpu WHERE usage_user > 90.0{hosts} AND time >= {start} AND time < {end}")
}

fn calls(function: &str, metrics: usize) -> String {
    let calls: Vec<String> =
        FIELDS.iter().take(metrics).map(|field| format!("{function}({field})")).collect();
    calls.join(",")
}

/// Returns a random time range of `length` hours, or the range of all data if it has fewer hours.
fn window(random: &mut fastrand::Rng, hours: i64, length: i64) -> (String, String) {
    let length = length.min(hours) * HOUR_S;
    let start = START_S + random.i64(0..=hours * HOUR_S - length);
    (time(start), time(start + length))
}

fn time(seconds: i64) -> String {
    let of_day = seconds - START_S;
    let (day, of_day) = (1 + of_day / 86_400, of_day % 86_400);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("'2016-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z'")
}

fn some_hosts(random: &mut fastrand::Rng, of: usize, count: usize) -> String {
    let chosen = random.choose_multiple(0..of, count.min(of));
    let terms: Vec<String> =
        chosen.iter().map(|host| format!("hostname = 'host_{host}'")).collect();
    format!("({})", terms.join(" OR "))
}

/// Returns request bodies in which every host has ten integers every ten seconds. The integers are
/// random walks in 0..=100.
pub(crate) fn bodies(hosts: usize, hours: usize) -> impl Iterator<Item = String> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut walks = vec![[0.0_f64; 10]; hosts];
    walks.iter_mut().flatten().for_each(|value| *value = random.f64() * 100.0);
    let regions = ["us-east-1", "us-west-1", "eu-west-1", "ap-south-1"];
    let tags: Vec<String> = (0..hosts)
        .map(|host| {
            let region = random.choice(regions).unwrap_or_default();
            format!(
                "cpu,hostname=host_{host},region={region},datacenter={region}a,rack={},\
                 os=Ubuntu16.10,arch=x{},team=SF,service={},service_version={},\
                 service_environment=test ",
                random.u8(0..100),
                [64, 86][usize::from(random.bool())],
                random.u8(0..20),
                random.u8(0..2),
            )
        })
        .collect();
    let lines = hosts * hours * 360;
    (0..lines.div_ceil(LINES)).map(move |body| {
        let mut text = String::new();
        for line in body * LINES..((body + 1) * LINES).min(lines) {
            let (host, step) = (line % hosts, (line / hosts) as i64);
            text.push_str(&tags[host]);
            for (field, value) in FIELDS.iter().zip(&mut walks[host]) {
                *value = (*value + normal(&mut random)).clamp(0.0, 100.0);
                let comma = if *field == FIELDS[0] { "" } else { "," };
                let _ = write!(text, "{comma}{field}={}i", *value as i64);
            }
            let _ = writeln!(text, " {}000000000", START_S + step * STEP_S);
        }
        text
    })
}

/// Returns a normally distributed number with mean 0 and standard deviation 1.
fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

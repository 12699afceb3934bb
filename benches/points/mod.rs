//! Five shapes of points as line protocol. Every run creates the same points.

use std::fmt::Write as _;

pub(crate) const LINES: usize = 5_000;
const START_NS: u64 = 1_451_606_400_000_000_000;

/// A shape's name, its target in bytes per value, and the function that creates the next body.
pub(crate) type Shape = (&'static str, f64, Box<dyn FnMut() -> String>);

/// Returns the shapes whose names contain the first argument of the command; without an argument,
/// all shapes.
pub(crate) fn shapes() -> impl Iterator<Item = Shape> {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = wanted.unwrap_or_default();
    all().into_iter().filter(move |(name, ..)| name.contains(&wanted))
}

fn all() -> [Shape; 5] {
    let integer = |out: &mut String, value: f64| write!(out, "{}i", value.round() as i64);
    let decimal = |out: &mut String, value: f64| write!(out, "{value:.2}");
    let full = |out: &mut String, value: f64| write!(out, "{value}");
    [
        ("cpu integers", 0.31, Box::new(cpu(integer))),
        ("two decimals", 1.15, Box::new(cpu(decimal))),
        ("full floats", 6.3, Box::new(cpu(full))),
        ("iot mix", 0.9, Box::new(iot())),
        ("million series", 6.0, Box::new(million())),
    ]
}

/// Ten fields of 100 hosts follow a random walk with normally distributed steps.
fn cpu(mut print: impl FnMut(&mut String, f64) -> std::fmt::Result) -> impl FnMut() -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut walks = vec![[0.0_f64; 10]; 100];
    walks.iter_mut().flatten().for_each(|value| *value = random.f64() * 100.0);
    let names = ["user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest"];
    let mut step = 0;
    move || {
        let mut body = String::new();
        for line in 0..LINES {
            let host = line % 100;
            let _ = write!(
                body,
                "cpu,hostname=host_{host},region=eu-central-1,datacenter=eu-central-1a,rack={},\
                 os=Ubuntu16.10,arch=x86,team=SF,service={},service_version=1,\
                 service_environment=test ",
                host * 7 % 100,
                host % 20,
            );
            for (at, value) in walks[host].iter_mut().enumerate() {
                *value = (*value + normal(&mut random)).clamp(0.0, 100.0);
                let comma = if at == 0 { "" } else { "," };
                let _ = write!(body, "{comma}usage_{}=", names.get(at).unwrap_or(&"guest_nice"));
                let _ = print(&mut body, *value);
            }
            let _ = writeln!(body, " {}", START_NS + step * 10_000_000_000);
            step += u64::from(host == 99);
        }
        body
    }
}

/// 200 trucks have decimals on random walks, integers, booleans, strings and missing fields.
fn iot() -> impl FnMut() -> String {
    let mut random = fastrand::Rng::with_seed(2);
    let mut walks = vec![[50.0_f64; 4]; 200];
    let mut line = 0_u64;
    move || {
        let mut body = String::new();
        for _ in 0..LINES {
            let truck = (line / 2 % 200) as usize;
            let time = START_NS + line / 400 * 10_000_000_000;
            let tags = format!("name=truck_{truck},fleet=South,driver=Trish,model=H-2");
            let [latitude, longitude, velocity, fuel] = &mut walks[truck];
            let _ = match line % 2 {
                0 => {
                    *latitude += normal(&mut random) / 1e3;
                    *longitude += normal(&mut random) / 1e3;
                    *velocity = (*velocity + normal(&mut random)).clamp(0.0, 120.0);
                    let (velocity, heading) = (velocity.round(), ["N", "E", "S", "W"]);
                    let heading = heading[truck % 4];
                    writeln!(
                        body,
                        "readings,{tags} latitude={latitude:.3},longitude={longitude:.3},\
                         velocity={velocity}i,heading=\"{heading}\" {time}"
                    )
                }
                _ => {
                    *fuel = (*fuel - random.f64() / 100.0).max(0.0);
                    let status = if random.u8(..) < 250 { "running" } else { "idle" };
                    match random.u8(..) {
                        ..13 => writeln!(body, "diagnostics,{tags} fuel={fuel:.1} {time}"),
                        _ => writeln!(
                            body,
                            "diagnostics,{tags} fuel={fuel:.1},load={}i,on=true,\
                             status=\"{status}\" {time}",
                            truck * 7
                        ),
                    }
                }
            };
            line += 1;
        }
        body
    }
}

fn million() -> impl FnMut() -> String {
    let mut number = 0;
    move || {
        let mut body = String::new();
        for _ in 0..LINES {
            let _ = writeln!(
                body,
                "m,id=device-{number:07},site=s{} v={}i 1451606400000000000",
                number % 50,
                number % 90
            );
            number += 1;
        }
        body
    }
}

/// Returns a normally distributed number with mean 0 and standard deviation 1.
fn normal(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

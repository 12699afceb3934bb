//! Native benchmark of the fifteen TSBS query types over 100 hosts and 24 hours, without HTTP. The
//! times include the engine, the edge's code and the formatting of the result. Run `cargo bench
//! --bench queries [-- type…]`.
//!
//! There are further types:
//! - `scale`: a growing shard
//! - `history`: the cost of a longer history
//! - `rounds`: many series in rounds of time
//! - `names`: many measurements
//! - `deletes`: queries between deletes
//! - `month`: thirty million points; runs only if it is named
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops at the first surprise")]

#[path = "../../tests/it/allocator.rs"]
mod allocator;
mod scale;
mod tsbs;

use std::time::Duration;

use cpu_time::ThreadTime;
use tidemark_browser::in_process::InProcess;
use tidemark_engine::store::Store;
use tidemark_server::http::RequestHead;
use tidemark_server::settings::Settings;

const TOKEN: &str = "token-of-the-benchmarks";
/// The time of each query, long after the times of the data.
const NOW_NS: i64 = 1_700_000_000_000_000_000;
const S_NS: i64 = 1_000_000_000;

fn main() {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let repeats: usize =
        std::env::var("REPEATS").ok().and_then(|text| text.parse().ok()).unwrap_or(41);
    let asked = |name: &str| only.is_empty() || only.iter().any(|only| only == name);
    if asked("history") {
        scale::history();
    }
    if asked("scale") {
        scale::scale();
    }
    if only.iter().any(|only| only == "month") {
        scale::month();
    }
    if asked("rounds") {
        scale::rounds();
    }
    if asked("names") {
        scale::names();
    }
    if asked("deletes") {
        scale::deletes();
    }
    if !tsbs::TYPES.iter().any(|(name, _)| asked(name)) {
        return;
    }
    let mut tidemark = Tidemark::loaded(100, 24);
    println!("{:<24} {:>9} {:>9} {:>11}", "type", "cold ms", "median", "bytes");
    for (name, make) in tsbs::TYPES {
        if !asked(name) {
            continue;
        }
        tidemark.inner.sleep();
        // Loads the caches and the shard's directory, but no blocks of the measurement that the
        // benchmark queries.
        tidemark.query("SELECT * FROM warm");
        let mut random = fastrand::Rng::with_seed(7);
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..repeats {
            let query = make(&mut random, 100, 24);
            let (elapsed, answered) = tidemark.query(&query);
            times.push(elapsed);
            bytes += answered;
        }
        let cold = ms(times[0]);
        times.sort();
        let median = ms(times[times.len() / 2]);
        println!("{name:<24} {cold:>9.3} {median:>9.3} {:>11}", bytes / repeats);
    }
}

struct Tidemark {
    inner: InProcess,
    now_ns: i64,
}

impl Tidemark {
    fn empty() -> Self {
        let token = |name: &str| (name == "ADMIN_TOKEN").then(|| TOKEN.to_owned());
        let mut this =
            Self { inner: InProcess::new(Settings::read(token).unwrap(), 1), now_ns: NOW_NS };
        this.request("POST", "/query", "q=CREATE%20DATABASE%20benchmark", Vec::new());
        this
    }

    /// Creates a database with the data, and runs all alarms.
    fn loaded(hosts: usize, hours: usize) -> Self {
        let mut this = Self::empty();
        this.write("warm v=1i 1451606400000000000".to_owned());
        for body in tsbs::bodies(hosts, hours) {
            this.write(body);
        }
        this.rest();
        this
    }

    fn write(&mut self, body: String) -> Duration {
        let start = ThreadTime::now();
        self.request("POST", "/write", "db=benchmark", body.into_bytes());
        start.elapsed()
    }

    fn rest(&mut self) {
        for _ in 0..10 {
            self.now_ns += 20 * S_NS;
            self.inner.pass_time(self.now_ns);
        }
    }

    fn pause(&mut self) {
        for _ in 0..10 {
            self.now_ns += 700 * S_NS;
            self.inner.pass_time(self.now_ns);
        }
    }

    fn stored_bytes(&self) -> u64 {
        self.inner.stored_bytes().iter().map(|(_, bytes)| bytes).sum()
    }

    fn rows_read(&self) -> u64 {
        self.inner.stores().values().map(|store| store.row_counts().read).sum()
    }

    fn request(&mut self, method: &str, path: &str, query: &str, body: Vec<u8>) -> usize {
        self.now_ns += 1_000_000;
        let head = RequestHead {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: vec![("authorization".into(), format!("Token {TOKEN}"))],
        };
        let response = self.inner.request(head, body, self.now_ns);
        if response.status >= 300 {
            panic!("{}: {}", response.status, String::from_utf8_lossy(&response.body));
        }
        response.body.len()
    }

    fn query(&mut self, text: &str) -> (Duration, usize) {
        let query: String = form_urlencoded::Serializer::new(String::new())
            .append_pair("db", "benchmark")
            .append_pair("q", text)
            .finish();
        let start = ThreadTime::now();
        let bytes = self.request("POST", "/query", &query, Vec::new());
        let elapsed = start.elapsed();
        assert!(bytes > 0, "no answer to {text}");
        (elapsed, bytes)
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

//! The recorded query scripts on the whole product: on one shard and on several, with flushes and
//! evictions wherever a script says that it does not matter.

use std::path::{Path, PathBuf};

use crate::product::Product;
use crate::query_script::{QueryRequest, Server, Summary, check_known, run_dir};

/// A product as the scripts see it.
struct Scripted {
    shards: &'static str,
    product: Product,
}

impl Scripted {
    fn new(shards: &'static str) -> Self {
        Self { shards, product: fresh(shards) }
    }
}

fn fresh(shards: &str) -> Product {
    Product::with(&[("DEFAULT_SHARDS", shards), ("AUTO_CREATE_DATABASES", "false")])
}

impl Server for Scripted {
    fn write(&mut self, db: &str, rp: &str, precision: &str, body: &str) -> (u16, String) {
        let target = encoded(&[("db", db), ("rp", rp), ("precision", precision)]);
        // The scripts' databases come into being with their first write.
        let create = encoded(&[("q", &format!("CREATE DATABASE \"{db}\""))]);
        self.product.ask("POST", "/query", &create, &[], "");
        self.product.ask("POST", "/write", &target, &[], body)
    }

    fn query(&mut self, request: &QueryRequest) -> (u16, String) {
        let pairs: Vec<_> =
            request.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let accept: Vec<_> =
            request.accept.iter().map(|accept| ("accept", accept.as_str())).collect();
        self.product.ask(request.method, "/query", &encoded(&pairs), &accept, "")
    }

    fn reset(&mut self) {
        self.product = fresh(self.shards);
    }

    fn drain(&mut self) {
        self.product.rest();
        self.product.sleep();
    }
}

fn encoded(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/query")
}

fn core(shards: &'static str) {
    let summary: Summary = run_dir(&mut Scripted::new(shards), &scripts().join("core")).unwrap();
    println!("core on {shards} shard(s): {summary}");
    assert!(summary.passed > 1_000, "only {} steps passed", summary.passed);
    assert!(summary.failures.is_empty(), "{summary}");
}

#[test]
fn core_on_one_shard() {
    core("1");
}

#[test]
fn core_on_two_shards() {
    core("2");
}

#[test]
fn core_on_eight_shards() {
    core("8");
}

#[test]
fn full_as_far_as_it_goes() {
    let summary = run_dir(&mut Scripted::new("1"), &scripts()).unwrap();
    let of_full: Vec<_> = summary.failures.iter().filter(|f| f.file.starts_with("full/")).collect();
    println!("{} steps passed, {} of full/ fail", summary.passed, of_full.len());
    check_known(&summary, &scripts().join("KNOWN_FAILING")).unwrap();
}

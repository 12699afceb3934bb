//! Runs the recorded query scripts on the whole product, with one shard and with several shards.
//! The product is flushed and evicted whenever a script permits it.

use std::path::{Path, PathBuf};

use crate::product::{Product, form};
use crate::query_script::{QueryRequest, Server, Summary, run_dir};

struct Scripted {
    shards: &'static str,
    split_bytes: &'static str,
    product: Product,
    /// The total number of shards in the servers before the current one.
    shards_before: usize,
}

impl Scripted {
    fn new(shards: &'static str, split_bytes: &'static str) -> Self {
        let product = fresh(shards, split_bytes);
        Self { shards, split_bytes, product, shards_before: 0 }
    }
}

/// A value of `SHARD_SPLIT_BYTES` that no script reaches.
const NEVER: &str = "4000000000";

fn fresh(shards: &str, split_bytes: &str) -> Product {
    Product::with(&[
        ("DEFAULT_SHARDS", shards),
        ("SHARD_SPLIT_BYTES", split_bytes),
        ("AUTO_CREATE_DATABASES", "false"),
    ])
}

impl Server for Scripted {
    fn write(&mut self, db: &str, rp: &str, precision: &str, body: &str) -> (u16, String) {
        let target = form(&[("db", db), ("rp", rp), ("precision", precision)]);
        let create = form(&[("q", &format!("CREATE DATABASE \"{db}\""))]);
        self.product.ask("POST", "/query", &create, &[], "");
        self.product.ask("POST", "/write", &target, &[], body)
    }

    fn query(&mut self, request: &QueryRequest) -> (u16, String) {
        let pairs: Vec<_> =
            request.params.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let accept: Vec<_> =
            request.accept.iter().map(|accept| ("accept", accept.as_str())).collect();
        self.product.ask(request.method, "/query", &form(&pairs), &accept, "")
    }

    fn reset(&mut self) {
        self.shards_before += self.product.shard_bytes().len();
        self.product = fresh(self.shards, self.split_bytes);
    }

    fn drain(&mut self) {
        self.product.rest();
        self.product.sleep();
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/query")
}

fn core(shards: &'static str, split_bytes: &'static str) {
    let mut server = Scripted::new(shards, split_bytes);
    let summary: Summary = run_dir(&mut server, &scripts().join("core")).unwrap();
    println!("core on {shards} shard(s): {summary}");
    assert!(summary.passed > 1_000, "only {} steps passed", summary.passed);
    assert!(summary.failures.is_empty(), "{summary}");
    server.reset();
    println!("{} shards in all", server.shards_before);
    // Only a few scripts have more than a thousand points.
    let least = if split_bytes == NEVER { 1 } else { 60 };
    assert!(server.shards_before >= least, "only {} shards", server.shards_before);
}

#[test]
fn core_scripts_pass_on_one_shard() {
    core("1", NEVER);
}

#[test]
fn core_scripts_pass_on_eight_shards() {
    core("8", NEVER);
}

#[test]
fn core_scripts_pass_with_frequent_splits() {
    core("1", "300");
}

#[test]
fn core_scripts_pass_with_sharded_splits() {
    core("3", "4000");
}

#[test]
fn full_scripts_pass_on_one_shard() {
    let summary = run_dir(&mut Scripted::new("1", NEVER), &scripts().join("full")).unwrap();
    assert!(summary.passed > 1_000, "only {} steps passed", summary.passed);
    assert!(summary.failures.is_empty(), "{summary}");
}

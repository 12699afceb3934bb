//! One integration binary: each `mod` is one way of looking at the whole crate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should stop where it stands"
)]

mod allocator;
mod backup_access;
mod backup_place;
mod backup_schedule;
mod backup_scheduled;
mod backups;
mod calls;
mod confirm;
mod console_reads;
mod continuous;
mod costs;
mod deletes;
mod engine;
mod every_row;
mod explain;
mod export;
mod fault_store;
mod flight;
mod format;
mod frozen;
mod functions;
mod grafana;
mod grants;
mod health;
mod http;
mod influxql;
mod influxql_hostile;
mod into;
mod isolation;
mod kept_image;
mod large_windows;
mod line_protocol;
mod memory;
mod memory_columns;
mod memory_merge;
mod memory_queries;
mod memory_rows;
mod memory_server;
mod memory_shard;
mod metrics;
mod msgpack;
mod openapi;
mod operators;
mod part;
mod product;
mod protocol;
mod queries;
mod query_cost;
mod query_hostile;
mod query_script;
mod query_scripts_in_memory;
mod query_v3;
mod quotas;
mod repository;
mod request_log;
mod rotation;
mod sample;
mod schedule;
mod scripts;
mod select_cases;
mod series_lists;
mod series_quota;
mod shards;
mod simulator;
mod split_pages;
mod split_schedule;
mod splits;
mod sql_queries;
mod sql_stand_in;
mod subqueries;
mod tidy;
mod tidy_figures;
mod tidy_pages;
mod tokens;
mod users;
mod versions;
mod whole;
mod world;
mod write_limits;
mod write_overload;

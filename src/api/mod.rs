//! Implements the HTTP contract on plain values: a request comes in, calls to objects go out, and a
//! response comes back.
//!
//! [`exchange`] processes every request, [`routes`] is the route table, and each file of `routes/`
//! implements the routes of one subject. This code never waits: its host performs the actions of the
//! exchange. [`drive`] is the part of the hosts that performs the actions and waits.

pub mod action;
pub mod auth;
pub mod content_encoding;
pub mod drive;
pub mod error;
pub mod exchange;
pub mod foreign_origin;
pub mod grpc_web;
pub mod headers;
pub mod http;
pub mod isolate_state;
pub mod latencies;
pub mod location_hint;
pub mod log;
pub mod params;
pub mod routes;
pub mod settings;

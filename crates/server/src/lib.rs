//! Implements the HTTP API on plain values, without I/O: converts a request into calls to objects,
//! and their replies into a response.
//!
//! A request is one async function, `serve` in [`exchange`]. [`routes`] is the route table, and each
//! file of `routes/` implements the routes of one subject. The exchange runs the function step by
//! step, and returns actions, such as "read the body", to its *host* (the Worker, the native program,
//! the browser or a test). [`drive`] is the code that the hosts share: it performs the actions and
//! waits.

pub mod action;
pub mod auth;
pub mod body_parser;
pub mod catalog_health;
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
pub mod request;
pub mod routes;
pub mod settings;

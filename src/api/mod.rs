//! Implements the HTTP contract on plain values: a request comes in, calls to objects go out, and a
//! response comes back.
//!
//! [`exchange`] processes every request, [`routes`] is the route table, and each file of `routes/`
//! implements the routes of one subject. This code never waits: its host performs the actions of the
//! exchange. [`drive`] is the part of the hosts that performs the actions and waits.
//!
//! | subject | file |
//! |---|---|
//! | paths, methods and their permissions | [`routes`] |
//! | the implementation of a route | the file in `routes/` that its row names |
//! | `/ping`, `/ready`, `/api/v2/setup` | [`routes::health`] |
//! | `/api/v2/dbrps`, `/api/v2/orgs`; the id of a bucket | [`routes::buckets`] |
//! | `/api/v3/configure/access` | [`routes::tokens`] |
//! | `/api/v3/restore`, `/api/v3/recover`, `/debug/verify` | [`routes::backup`] |
//! | tokens and passwords in a request | [`auth`] |
//! | status, text and body of an error | [`error`] |
//! | gRPC calls in bodies | [`grpc_web`] |
//! | the response to a partial write | [`routes::write`] |

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

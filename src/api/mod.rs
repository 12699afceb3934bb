//! Implements the HTTP contract on plain values: a request comes in, calls to objects go out, and a
//! response comes back.
//!
//! [`exchange`] drives every request, [`routes`] is the table of what there is, and each file of
//! `routes/` is one route. Nothing here waits: who carries the bytes makes the calls and hands in
//! the replies.
//!
//! | question | file |
//! |---|---|
//! | which paths and methods there are, who may call them | [`routes`] |
//! | what a route does | its file in `routes/` |
//! | where a token or password stands in a request | [`auth`] |
//! | which status and text a refusal has | [`error`] |
//! | which keys a refusal's body has | [`error_body`] |
//! | how calls of gRPC stand in bodies | [`grpc_web`] |
//! | how the answer to a partial write reads | [`routes::write::rejected_lines`] |

pub mod action;
pub mod auth;
pub mod catalog_health;
pub mod content_encoding;
pub mod durations;
pub mod error;
pub mod error_body;
pub mod exchange;
pub mod foreign_origin;
pub mod grpc_web;
pub mod headers;
pub mod http;
pub mod location_hint;
pub mod log;
pub mod params;
pub mod form_body;
pub mod routes;
pub mod isolate_state;
pub mod settings;
pub mod spans;
pub mod write_body;

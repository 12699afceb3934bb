//! The HTTP contract on plain values: request in, calls to objects out, response back.
//!
//! [`exchange`] is the whole of it in order; each other file is one stage or one route. Nothing
//! here waits: who carries the bytes makes the calls and hands in the replies.

pub mod action;
pub mod admission;
pub mod auth;
pub mod body;
pub mod configure;
pub mod delete;
pub mod error;
pub mod exchange;
pub mod export;
pub mod form;
pub mod headers;
pub mod health;
pub mod http;
pub mod intake;
pub mod location;
pub mod log;
pub mod manage;
pub mod origin;
pub mod params;
pub mod ping;
pub mod query;
pub mod settings;
pub mod tokens;
pub mod unsupported;
pub mod verify;
pub mod write;

//! The HTTP contract on plain values: request in, calls to objects out, response back.

pub mod admission;
pub mod auth;
pub mod body;
pub mod error;
pub mod form;
pub mod headers;
pub mod http;
pub mod params;
pub mod settings;

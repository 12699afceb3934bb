//! Starts the program and speaks to it over HTTP.
#![allow(missing_docs)]

mod ending;
mod folders;
mod server;
mod serving;

//! Implements the SQL process: `tidemark sql-process`, which only this program starts.
//!
//! The process reads frames from its standard input and processes them in order.

use std::collections::BTreeMap;
use std::io::{self, Read, Write as _, stdin, stdout};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::sql::{FromSql, TOO_MUCH};
use tidemark_sql::{Engine, QuerySession};

use super::frame::{HEAD_BYTES, Head, Kind};
use crate::Failure;
use crate::limits::{SQL_MESSAGE_BYTES_MAX, SQL_NICE, SQL_STACK_BYTES};
use crate::scheduling;

type Frame = (Head, Vec<u8>);

/// Runs until the end of standard input. A running statement then ends with the process.
pub fn run() -> Result<(), Failure> {
    // A sandbox may refuse the change. The process then works with its normal priority.
    let _ = rustix::process::nice(SQL_NICE);
    scheduling::set_slice(None);
    let (sender, frames) = sync_channel(1);
    let computing = thread::Builder::new()
        .name("sql".to_owned())
        .stack_size(SQL_STACK_BYTES)
        .spawn(move || {
            compute(&frames);
            // The process must end. If the process continued, the parent would wait for a reply
            // that never arrives.
            std::process::exit(1)
        });
    computing.map_err(Failure::thread)?;
    let mut input = stdin().lock();
    let broken = |reason: io::Error| Failure(format!("SQL cannot read its input: {reason}"));
    while let Some(frame) = read(&mut input).map_err(broken)? {
        if sender.send(frame).is_err() {
            return Err(Failure::of("SQL cannot write its output."));
        }
    }
    Ok(())
}

/// Reads a frame. Returns `None` at the end of the input.
fn read(input: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0; HEAD_BYTES];
    if input.read(&mut head[..1])? == 0 {
        return Ok(None);
    }
    input.read_exact(&mut head[1..])?;
    let head = Head::parse(head).ok_or_else(|| io::Error::other("the input is not a frame"))?;
    let mut message = vec![0; head.length];
    input.read_exact(&mut message)?;
    Ok(Some((head, message)))
}

/// Returns the error reply that replaces a reply that is too large for a frame.
fn too_large() -> Vec<u8> {
    let message =
        "the statement needs a message of more than 32 MiB; use shorter strings".to_owned();
    envelope::encode(&FromSql::Failed { status: TOO_MUCH, message })
}

fn compute(frames: &Receiver<Frame>) {
    let engine = Engine::default();
    let mut sessions: BTreeMap<u64, QuerySession> = BTreeMap::new();
    while let Ok((Head { session, kind, .. }, message)) = frames.recv() {
        let (is_over, reply) = match kind {
            Kind::Turn => {
                let query_session = sessions.entry(session).or_default();
                let reply = query_session.turn(&engine, &message);
                match reply.len() {
                    ..=SQL_MESSAGE_BYTES_MAX => (query_session.is_over(), reply),
                    _ => (true, too_large()),
                }
            }
            _ => (true, Vec::new()),
        };
        drop(message);
        if is_over {
            sessions.remove(&session);
        }
        let kind = if is_over { Kind::Over } else { Kind::Continues };
        let Some(head) = Head::of(session, kind, &reply) else { return };
        let mut output = stdout().lock();
        let written = output.write_all(&head.to_bytes()).and_then(|()| output.write_all(&reply));
        if written.and_then(|()| output.flush()).is_err() {
            return;
        }
    }
}

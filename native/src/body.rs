//! Reads the body of a request. Processes each piece before reading the next one.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tidemark::api::action::Action;
use tidemark::api::exchange::Exchange;
use tidemark::model::limits::{
    BODY_PACED_AFTER_BYTES, BODY_READ_BYTES_MIN, BODY_STALL_S_MAX, DISCARDED_BODY_BYTES_MAX,
    DISPLACED_NOTICED_MS,
};
use tokio::task::yield_now;
use tokio::time::timeout_at;

use crate::platform::now_ns;

/// The client disconnected before the end of the body.
#[derive(Debug)]
pub struct Disconnected;

const NOTICE: Duration = Duration::from_millis(DISPLACED_NOTICED_MS as u64);

/// Reads the body and passes each piece to `exchange`. If `exchange` returns an action, reading
/// stops, and the function returns this action.
pub async fn read(
    body: &mut Incoming,
    exchange: &mut Exchange,
) -> Result<Option<Action>, Disconnected> {
    let mut bytes = 0;
    // The number of bytes at which the stall time began.
    let (mut since, mut began) = (0, Instant::now());
    while !body.is_end_stream() {
        let piece = match next(body, |_| exchange.displaced()).await? {
            Next::Piece(piece) => piece,
            Next::End => return Ok(None),
            Next::Invalid => return Ok(Some(exchange.body_invalid())),
            Next::Stalled => return Ok(Some(exchange.body_stalled())),
            Next::Displaced(refusal) => return Ok(Some(refusal)),
        };
        bytes += piece.len();
        if bytes - since >= BODY_READ_BYTES_MIN as usize {
            (since, began) = (bytes, Instant::now());
        } else if began.elapsed().as_secs() > u64::from(BODY_STALL_S_MAX) {
            return Ok(Some(exchange.body_stalled()));
        }
        let refusal = exchange.body_grew(bytes, now_ns());
        let refusal =
            refusal.or_else(|| exchange.piece(piece.len(), |held| held.extend_from_slice(&piece)));
        if refusal.is_some() {
            drain(body).await?;
            return Ok(refusal);
        }
        if bytes > BODY_PACED_AFTER_BYTES {
            // Other requests of this thread run between two pieces of a large body.
            yield_now().await;
        }
    }
    Ok(None)
}

enum Next {
    Piece(Bytes),
    End,
    /// A chunk is invalid.
    Invalid,
    /// The client sent no data of the body for too long.
    Stalled,
    /// The client sent no data of the body for some time, and another request needed the memory of
    /// this request.
    Displaced(Action),
}

/// Returns the next piece. While waiting, periodically calls `displaced` with the number of elapsed
/// intervals. Stops if `displaced` returns an action.
async fn next(
    body: &mut Incoming,
    mut displaced: impl FnMut(u32) -> Option<Action>,
) -> Result<Next, Disconnected> {
    let (mut notices, mut notice_at) = (0, Instant::now() + NOTICE);
    loop {
        match timeout_at(notice_at.into(), body.frame()).await {
            Ok(None) => return Ok(Next::End),
            Ok(Some(Err(reason))) if is_invalid(&reason) => return Ok(Next::Invalid),
            Ok(Some(Err(_))) => return Err(Disconnected),
            Ok(Some(Ok(frame))) => {
                // No route reads trailers.
                if let Ok(piece) = frame.into_data()
                    && !piece.is_empty()
                {
                    return Ok(Next::Piece(piece));
                }
            }
            Err(_) => {}
        }
        // Frames without data do not extend the interval.
        if Instant::now() < notice_at {
            continue;
        }
        notice_at = Instant::now() + NOTICE;
        notices += 1;
        if let Some(action) = displaced(notices) {
            return Ok(Next::Displaced(action));
        }
        if notices * DISPLACED_NOTICED_MS > BODY_STALL_S_MAX * 1_000 {
            return Ok(Next::Stalled);
        }
    }
}

fn is_invalid(reason: &hyper::Error) -> bool {
    let reason = reason.source().and_then(|source| source.downcast_ref::<io::Error>());
    reason.is_some_and(|reason| {
        matches!(reason.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
    })
}

/// Reads and discards the rest of the body of a rejected request, so that the client receives its
/// response. Stops when the client pauses, or after [`BODY_STALL_S_MAX`].
pub async fn drain(body: &mut Incoming) -> Result<(), Disconnected> {
    let deadline = Instant::now() + Duration::from_secs(BODY_STALL_S_MAX.into());
    let mut bytes = 0;
    let paused = |notices| (notices > 1).then_some(Action::End);
    while let Next::Piece(piece) = next(body, paused).await? {
        bytes += piece.len();
        if bytes > DISCARDED_BODY_BYTES_MAX || Instant::now() > deadline {
            break;
        }
    }
    Ok(())
}

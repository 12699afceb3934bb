//! Reads the body of a request piece by piece.

use std::error::Error as _;
use std::io::{self, ErrorKind};
use std::time::Instant;

use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Bytes, Incoming};
use tidemark_model::limits::PARSED_PIECE_BYTES;
use tidemark_server::drive::{Next, RequestBody};
use tokio::time::timeout_at;

use crate::calls::pause;
use crate::limits::CANCEL_CHECK;

/// The client disconnected before the end of the body.
#[derive(Debug)]
pub struct Disconnected;

pub struct BodyReader<'a> {
    body: &'a mut Incoming,
    piece: Bytes,
    /// The number of bytes since the last pause.
    bytes: usize,
    /// The end of the current interval. Pieces do not extend the interval.
    check_at: Instant,
}

impl<'a> BodyReader<'a> {
    pub fn new(body: &'a mut Incoming) -> Self {
        Self { body, piece: Bytes::new(), bytes: 0, check_at: Instant::now() + CANCEL_CHECK }
    }
}

impl RequestBody for BodyReader<'_> {
    type Error = Disconnected;

    async fn next(&mut self) -> Result<Next, Disconnected> {
        if self.bytes >= PARSED_PIECE_BYTES {
            // The engine parses the lines of the pieces, and other requests of this thread must not
            // wait until it has parsed the whole body.
            self.bytes = 0;
            pause(0).await;
        }
        while !self.body.is_end_stream() {
            match timeout_at(self.check_at.into(), self.body.frame()).await {
                Ok(None) => return Ok(Next::End),
                Ok(Some(Err(reason))) if is_invalid(&reason) => return Ok(Next::Invalid),
                Ok(Some(Err(_))) => return Err(Disconnected),
                Ok(Some(Ok(frame))) => {
                    // No route reads trailers.
                    if let Ok(piece) = frame.into_data()
                        && !piece.is_empty()
                    {
                        self.bytes += piece.len();
                        self.piece = piece;
                        return Ok(Next::Piece(self.piece.len()));
                    }
                }
                Err(_) => {}
            }
            if Instant::now() >= self.check_at {
                self.check_at = Instant::now() + CANCEL_CHECK;
                return Ok(Next::Waiting);
            }
        }
        Ok(Next::End)
    }

    fn append(&mut self, held: &mut Vec<u8>) {
        held.extend_from_slice(&std::mem::take(&mut self.piece));
    }

    /// Does nothing here: the rest of the body is discarded after the response was sent.
    async fn cancel(&mut self) -> Result<(), Disconnected> {
        Ok(())
    }
}

fn is_invalid(reason: &hyper::Error) -> bool {
    let reason = reason.source().and_then(|source| source.downcast_ref::<io::Error>());
    reason.is_some_and(|reason| {
        matches!(reason.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData)
    })
}

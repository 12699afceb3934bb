//! Converts rows to a format that only the SQL Worker writes. The module sends the rows in pieces
//! as an Arrow stream, and each reply contains the converted bytes.

use crate::coordinator::error::Error;
use crate::model::limits::REPLY_PIECE_BYTES;
use crate::protocol::call::{Address, Reply, Step};
use crate::protocol::envelope;
use crate::protocol::round::{Request, Round};
use crate::protocol::sql::{FromSql, ToSql};

/// `Done(Ok(Some(bytes)))` contains a piece, and the next call of `step` must have no reply.
/// `Done(Ok(None))` is the end.
#[derive(Debug)]
pub(super) struct Rewriting {
    format: &'static str,
    rows: Vec<u8>,
    round: Round,
    is_done: bool,
}

impl Rewriting {
    pub(super) fn new(format: &'static str, rows: Vec<u8>) -> Self {
        Self { format, rows, round: Round::default(), is_done: false }
    }

    pub(super) fn step(&mut self, reply: Option<Reply>) -> Step<Result<Option<Vec<u8>>, Error>> {
        let Some(replies) = self.round.resume(reply) else { return Step::Calls(Vec::new()) };
        for reply in replies {
            match envelope::decode_reply::<FromSql>(reply) {
                Ok(FromSql::Turned { piece, is_done, .. }) => {
                    self.is_done = is_done;
                    if !piece.is_empty() {
                        return Step::Done(Ok(Some(piece)));
                    }
                }
                Ok(FromSql::Failed { status, message }) => {
                    return Step::Done(Err(Error::Sql { status, message }));
                }
                Err(error) => return Step::Done(Err(error.into())),
            }
        }
        if self.is_done {
            return Step::Done(Ok(None));
        }
        let rest = self.rows.split_off(self.rows.len().min(REPLY_PIECE_BYTES));
        let rows = std::mem::replace(&mut self.rows, rest);
        let is_last = self.rows.is_empty();
        let message = ToSql::Rewrite { format: self.format.to_owned(), is_last, rows };
        let request = Request::new(Address::Sql, envelope::encode(&message));
        Step::Calls(self.round.start(vec![request]))
    }
}

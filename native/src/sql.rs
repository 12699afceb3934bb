//! SQL sessions. This build has none.

use crate::calls::SqlSession;
use crate::engine::Answer;
use tidemark::protocol::call::CallFailure;

/// The SQL session of a request.
#[derive(Debug)]
pub struct Session;

impl Session {
    /// Sends a message to the session, which the first message opens.
    ///
    /// # Errors
    /// [`CallFailure`]
    pub async fn turn(_session: &SqlSession, _message: Vec<u8>) -> Answer {
        Err(CallFailure::Failed("there is no SQL here".to_owned()))
    }
}

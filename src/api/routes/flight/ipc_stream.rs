//! Converts the messages of an Arrow IPC stream into Flight messages, without decoding values.

use prost::Message;

use super::messages::FlightData;
use crate::api::error::{ApiError, ApiResult};
use crate::api::grpc_web;
use crate::model::limits::FLIGHT_MESSAGE_BYTES_MAX;

/// The marker before the length of a message.
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The size of the marker and the header length (little endian), in bytes.
const PREFIX_BYTES: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IpcMessage {
    pub(super) header: Vec<u8>,
    pub(super) body: Vec<u8>,
}

impl IpcMessage {
    /// Returns the message in the stream format, which Flight also uses for schemas.
    pub(super) fn encapsulated(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PREFIX_BYTES + self.header.len() + self.body.len());
        bytes.extend(CONTINUATION);
        // The length fits, since it was read from four bytes.
        bytes.extend(u32::try_from(self.header.len()).unwrap_or_default().to_le_bytes());
        bytes.extend(&self.header);
        bytes.extend(&self.body);
        bytes
    }

    pub(super) fn write(self, frames: &mut Vec<u8>) -> ApiResult<()> {
        let Self { header, body } = self;
        let data = FlightData { descriptor: None, header, body };
        Ok(grpc_web::message(frames, &data.encode_to_vec())?)
    }
}

#[derive(Debug, Default)]
pub(super) struct IpcStream {
    held: Vec<u8>,
    has_ended: bool,
}

impl IpcStream {
    pub(super) fn take(&mut self, mut bytes: Vec<u8>) {
        if self.held.is_empty() {
            self.held = bytes;
        } else {
            self.held.append(&mut bytes);
        }
    }

    /// Returns the size of the incomplete message, in bytes.
    pub(super) fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Removes and returns the complete messages. A message must not exceed the size limit of
    /// clients.
    pub(super) fn messages(&mut self) -> ApiResult<Vec<IpcMessage>> {
        let mut messages = Vec::new();
        let mut rest = self.held.as_slice();
        while let Some((part, behind)) = next(rest)? {
            rest = behind;
            match part {
                Part::Message(message) => messages.push(message),
                Part::End => self.has_ended = true,
            }
        }
        let used = self.held.len() - rest.len();
        self.held.drain(..used);
        Ok(messages)
    }

    /// Refuses an incomplete stream, so that a truncated response never looks complete.
    pub(super) fn finish(&self) -> ApiResult<()> {
        if self.has_ended && self.held.is_empty() {
            return Ok(());
        }
        Err(ApiError::Internal("the response ended early".to_owned()))
    }
}

enum Part {
    Message(IpcMessage),
    End,
}

/// Returns the next element and the bytes after it, or `None` if the element is incomplete.
fn next(bytes: &[u8]) -> ApiResult<Option<(Part, &[u8])>> {
    let broken = || ApiError::Internal("the response is not an Arrow stream".to_owned());
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [a, b, c, d, length @ ..] = *prefix;
    if [a, b, c, d] != CONTINUATION {
        return Err(broken());
    }
    let header_bytes = usize::try_from(i32::from_le_bytes(length)).map_err(|_| broken())?;
    if header_bytes == 0 {
        return Ok(Some((Part::End, rest)));
    }
    may_be_sent(header_bytes)?;
    let Some((header, rest)) = rest.split_at_checked(header_bytes) else { return Ok(None) };
    // The flatbuffers reader requires aligned memory, so the header is copied.
    let header = header.to_vec();
    let body_bytes = arrow_ipc::root_as_message(&header).map_err(|_| broken())?.bodyLength();
    let body_bytes = usize::try_from(body_bytes).map_err(|_| broken())?;
    may_be_sent(header_bytes.saturating_add(body_bytes))?;
    let Some((body, rest)) = rest.split_at_checked(body_bytes) else { return Ok(None) };
    Ok(Some((Part::Message(IpcMessage { header, body: body.to_vec() }), rest)))
}

fn may_be_sent(bytes: usize) -> ApiResult<()> {
    if bytes <= FLIGHT_MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::TooHeavy(format!(
        "a batch of the result has {bytes} bytes, more than {FLIGHT_MESSAGE_BYTES_MAX}: select \
         fewer columns, or use format=arrow at /api/v3/query_sql"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> Vec<u8> {
        use std::sync::Arc;

        use arrow_array::{Int64Array, RecordBatch, StringArray};
        let rows = |from: i64| {
            let numbers = Int64Array::from_iter_values(from..from + 100);
            let texts = StringArray::from_iter_values((0..100).map(|n| format!("text {n}")));
            let columns = [("n", Arc::new(numbers) as _), ("t", Arc::new(texts) as _)];
            RecordBatch::try_from_iter(columns).unwrap()
        };
        let mut writer =
            arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &rows(0).schema()).unwrap();
        writer.write(&rows(0)).unwrap();
        writer.write(&rows(100)).unwrap();
        writer.into_inner().unwrap()
    }

    #[test]
    fn ipc_stream_parses_at_any_split() {
        let bytes = stream();
        for piece_bytes in [1, 7, 8, 9, 300, bytes.len()] {
            let (mut stream, mut messages) = (IpcStream::default(), Vec::new());
            for piece in bytes.chunks(piece_bytes) {
                assert!(stream.finish().is_err(), "it has not ended");
                stream.take(piece.to_vec());
                messages.extend(stream.messages().unwrap());
            }
            stream.finish().unwrap();
            assert_eq!(messages.len(), 3);
            let mut again: Vec<u8> = messages.iter().flat_map(IpcMessage::encapsulated).collect();
            again.extend([CONTINUATION, [0; 4]].concat());
            assert!(again == bytes, "pieces of {piece_bytes}");
        }
    }

    #[test]
    fn truncated_ipc_stream_is_incomplete() {
        let bytes = stream();
        for end in 0..bytes.len() {
            let mut stream = IpcStream::default();
            stream.take(bytes[..end].to_vec());
            stream.messages().unwrap();
            assert!(stream.finish().is_err(), "{end} of {}", bytes.len());
        }
    }

    #[test]
    fn invalid_ipc_messages_are_rejected() {
        let refused = |bytes: &[u8]| {
            let mut stream = IpcStream::default();
            stream.take(bytes.to_vec());
            stream.messages().unwrap_err()
        };
        let broken = ApiError::Internal("the response is not an Arrow stream".into());
        assert_eq!(refused(b"[{\"a\":1}]"), broken);
        assert_eq!(refused(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), broken);
        assert_eq!(refused(&[&[0xff; 4][..], &16_u32.to_le_bytes(), &[7; 16]].concat()), broken);
        let large = [&[0xff; 4][..], &0x7fff_0000_u32.to_le_bytes()].concat();
        assert_eq!(refused(&large).status(), 507);
    }
}

//! Reads a request's body in large pieces.
//!
//! The default reader delivers 4 KB at a time, which costs more than parsing. The module therefore
//! uses a BYOB ("bring your own buffer") reader, which fills the module's buffer. `readAtLeast` (an
//! extension of the runtime) waits until the buffer contains enough bytes.
//!
//! Large bodies leave time for other requests. A body counts as large after its first megabytes. If
//! several large bodies arrive at the same time, the module reads about one piece per millisecond
//! in total. Other work of the isolate therefore waits for one piece at most, not for one piece of
//! each body.

use std::cell::{Cell, RefCell};

use js_sys::{ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Request;

use super::runtime::{object, wait, wait_or_time_out};
use tidemark_model::limits::{BODY_PACED_AFTER_BYTES, BODY_READ_BYTES_MAX, BODY_READ_BYTES_MIN};
use tidemark_server::drive::{Next, RequestBody};

#[wasm_bindgen]
extern "C" {
    type JsStream;

    #[wasm_bindgen(method, catch, structural, js_name = getReader)]
    fn get_reader(this: &JsStream, options: &JsValue) -> Result<JsReader, JsValue>;

    type JsReader;

    #[wasm_bindgen(method, catch, structural, js_name = readAtLeast)]
    fn read_at_least(this: &JsReader, bytes: u32, into: Uint8Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn cancel(this: &JsReader) -> Result<Promise, JsValue>;

    type JsRead;

    #[wasm_bindgen(method, getter, structural)]
    fn done(this: &JsRead) -> bool;

    #[wasm_bindgen(method, getter, structural)]
    fn value(this: &JsRead) -> Option<Uint8Array>;
}

thread_local! {
    /// The buffer of the last request, which the next request reuses.
    static BUFFER: RefCell<Option<ArrayBuffer>> = const { RefCell::new(None) };
    /// The number of large bodies that are being read.
    static PACED: Cell<u32> = const { Cell::new(0) };
}

/// The body of a request.
pub(super) struct BodyReader {
    /// `None` if the request has no body.
    reader: Option<JsReader>,
    /// The read in progress.
    read: Option<Promise>,
    piece: Option<Uint8Array>,
    /// The buffer of the last piece, which the next read reuses.
    buffer: Option<ArrayBuffer>,
    bytes: usize,
    is_paced: bool,
    /// The timer of [`wait_or_time_out`].
    timer: Option<Promise>,
}

impl BodyReader {
    pub(super) fn open(request: &Request) -> Result<Self, JsValue> {
        let options = object(&[("mode", "byob".into())])?;
        let stream =
            request.body().map(|stream| JsValue::from(stream).unchecked_into::<JsStream>());
        Ok(Self {
            reader: stream.map(|stream| stream.get_reader(&options)).transpose()?,
            read: None,
            piece: None,
            buffer: BUFFER.take(),
            bytes: 0,
            is_paced: false,
            timer: None,
        })
    }

    /// Pauses for one millisecond for each other large body. A single large body needs no pause,
    /// because other work can run between its pieces.
    async fn leave_room(&mut self) -> Result<(), JsValue> {
        if self.bytes <= BODY_PACED_AFTER_BYTES {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_paced, true) {
            PACED.set(PACED.get() + 1);
        }
        let others = PACED.get().saturating_sub(1);
        if others > 0 {
            JsFuture::from(wait(others)).await?;
        }
        Ok(())
    }
}

impl RequestBody for BodyReader {
    type Error = JsValue;

    /// The first interval may be shorter, because its timer may have started before an earlier
    /// piece.
    async fn next(&mut self) -> Result<Next, JsValue> {
        if self.read.is_none() {
            self.leave_room().await?;
        }
        let Some(reader) = &self.reader else { return Ok(Next::End) };
        let read = match self.read.take() {
            Some(read) => read,
            None => {
                let new = || ArrayBuffer::new(BODY_READ_BYTES_MAX);
                let buffer = self.buffer.take().unwrap_or_else(new);
                reader.read_at_least(BODY_READ_BYTES_MIN, Uint8Array::new(&buffer))?
            }
        };
        let Some(done) = wait_or_time_out(&read, &mut self.timer).await? else {
            self.read = Some(read);
            return Ok(Next::Waiting);
        };
        let done: JsRead = done.unchecked_into();
        let Some(piece) = done.value() else { return Ok(Next::End) };
        // The last view is empty but still returns the buffer.
        self.buffer = Some(piece.buffer()).filter(|it| it.byte_length() == BODY_READ_BYTES_MAX);
        if done.done() {
            return Ok(Next::End);
        }
        let length = piece.length() as usize;
        self.bytes += length;
        self.piece = Some(piece);
        Ok(Next::Piece(length))
    }

    /// Appends the piece with a single copy. The new bytes are not zeroed first.
    fn append(&mut self, held: &mut Vec<u8>) {
        let Some(piece) = self.piece.take() else { return };
        let length = piece.length() as usize;
        held.reserve(length);
        if let Some(free) = held.spare_capacity_mut().get_mut(..length) {
            piece.copy_to_uninit(free);
            // SAFETY: the line above initialised exactly these bytes.
            unsafe { held.set_len(held.len() + length) };
        }
    }

    async fn cancel(&mut self) -> Result<(), JsValue> {
        if let Some(reader) = &self.reader {
            JsFuture::from(reader.cancel()?).await?;
        }
        Ok(())
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        BUFFER.set(self.buffer.take());
        if self.is_paced {
            PACED.set(PACED.get().saturating_sub(1));
        }
    }
}

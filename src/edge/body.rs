//! Reads a request's body in large pieces, and processes each piece before the next piece is read.
//!
//! The default reader delivers 4 KB at a time, which costs more than parsing. The module therefore
//! uses a BYOB ("bring your own buffer") reader, which fills the module's buffer. `readAtLeast` (an
//! extension of the runtime) waits until the buffer contains enough bytes.
//!
//! Large bodies leave time for other requests. If several bodies are being read after their first
//! megabytes, the module reads about one piece of all these bodies per millisecond. Other work of
//! the isolate therefore waits for only one piece, not for one piece of each body.

use std::cell::{Cell, RefCell};

use js_sys::{ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::Request;

use super::runtime::{noticing, object, wait};
use crate::api::action::Action;
use crate::api::exchange::Exchange;
use crate::model::limits::{
    BODY_PACED_AFTER_BYTES, BODY_READ_BYTES_MAX, BODY_READ_BYTES_MIN, BODY_STALL_S_MAX,
    DISCARDED_BODY_BYTES_MAX, DISPLACED_NOTICED_MS,
};
use crate::protocol::call::Platform;

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
    /// The number of bodies that are still being read after their first megabytes.
    static PACED: Cell<u32> = const { Cell::new(0) };
}

/// Reads the body of `request` and passes its pieces to `exchange`. If `exchange` returns an action
/// for a piece, the reading ends and the function returns this action.
///
/// # Errors
/// The stream's error, if the client has disconnected.
pub(super) async fn read(
    request: &Request,
    exchange: &mut Exchange,
    platform: &impl Platform,
) -> Result<Option<Action>, JsValue> {
    let mut bytes = 0;
    let Some(stream) = request.body() else { return Ok(None) };
    let mut pieces = Pieces::new(&JsValue::from(stream).unchecked_into())?;
    loop {
        let piece = match pieces.next(|_| exchange.displaced()).await? {
            Next::Piece(piece) => piece,
            Next::End => return Ok(None),
            Next::Stalled => return Ok(Some(exchange.body_stalled())),
            Next::Displaced(refusal) => return Ok(Some(refusal)),
        };
        let length = piece.length() as usize;
        bytes += length;
        let refusal = exchange.body_grew(bytes, platform.now_ns());
        let refusal = refusal.or_else(|| exchange.piece(length, |held| append(held, &piece)));
        pieces.keep(&piece);
        if refusal.is_some() {
            pieces.drain().await?;
            return Ok(refusal);
        }
    }
}

/// Appends `piece` to `body` with a single copy. The new bytes are not zeroed first.
fn append(body: &mut Vec<u8>, piece: &Uint8Array) {
    let length = piece.length() as usize;
    body.reserve(length);
    if let Some(free) = body.spare_capacity_mut().get_mut(..length) {
        piece.copy_to_uninit(free);
        // SAFETY: the line above initialised exactly these bytes.
        unsafe { body.set_len(body.len() + length) };
    }
}

enum Next {
    Piece(Uint8Array),
    End,
    /// The stream delivered no data for too long and was cancelled.
    Stalled,
    /// The stream delivered no data while another request needed its memory, and was cancelled.
    Displaced(Action),
}

struct Pieces {
    reader: JsReader,
    buffer: Option<ArrayBuffer>,
    bytes: usize,
    is_paced: bool,
    /// The timer of [`noticing`].
    notice: Option<Promise>,
}

impl Pieces {
    fn new(stream: &JsStream) -> Result<Self, JsValue> {
        let options = object(&[("mode", "byob".into())])?;
        let reader = stream.get_reader(&options)?;
        Ok(Self { reader, buffer: BUFFER.take(), bytes: 0, is_paced: false, notice: None })
    }

    /// Returns the next piece. While waiting, the function calls `displaced` at intervals of
    /// [`DISPLACED_NOTICED_MS`], with the number of elapsed intervals. The function stops waiting
    /// if `displaced` returns an action. The first interval may be shorter, because its timer may
    /// have started before an earlier piece.
    async fn next(
        &mut self,
        mut displaced: impl FnMut(u32) -> Option<Action>,
    ) -> Result<Next, JsValue> {
        self.leave_room().await?;
        let buffer = self.buffer.take().unwrap_or_else(|| ArrayBuffer::new(BODY_READ_BYTES_MAX));
        let promise = self.reader.read_at_least(BODY_READ_BYTES_MIN, Uint8Array::new(&buffer))?;
        let mut notices = 0;
        let read = loop {
            if let Some(read) = noticing(&promise, &mut self.notice).await? {
                break read;
            }
            notices += 1;
            let gone = displaced(notices);
            if gone.is_some() || notices * DISPLACED_NOTICED_MS > BODY_STALL_S_MAX * 1_000 {
                JsFuture::from(self.reader.cancel()?).await?;
                return Ok(gone.map_or(Next::Stalled, Next::Displaced));
            }
        };
        let read: JsRead = read.unchecked_into();
        let value = read.value();
        if read.done() {
            // The last view is empty but still returns the buffer.
            if let Some(value) = value {
                self.keep(&value);
            }
            return Ok(Next::End);
        }
        self.bytes += value.as_ref().map_or(0, |piece| piece.length() as usize);
        Ok(value.map_or(Next::End, Next::Piece))
    }

    /// Pauses for one millisecond for each other large body. If there is only one large body, the
    /// function does not pause, because other work can run between the pieces.
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

    /// Keeps the buffer of a processed piece, so that the next piece reuses the buffer.
    fn keep(&mut self, piece: &Uint8Array) {
        let buffer = piece.buffer();
        if buffer.byte_length() == BODY_READ_BYTES_MAX {
            self.buffer = Some(buffer);
        }
    }

    /// Reads and discards the rest of a refused body. Stops when the client pauses, so that the
    /// client receives its response.
    async fn drain(&mut self) -> Result<(), JsValue> {
        let mut bytes = 0;
        let paused = |notices| (notices > 1).then_some(Action::End);
        while let Next::Piece(piece) = self.next(paused).await? {
            bytes += piece.length() as usize;
            self.keep(&piece);
            if bytes > DISCARDED_BODY_BYTES_MAX {
                JsFuture::from(self.reader.cancel()?).await?;
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        BUFFER.set(self.buffer.take());
        if self.is_paced {
            PACED.set(PACED.get().saturating_sub(1));
        }
    }
}

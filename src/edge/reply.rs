//! Sends the responses of `api` as responses of the runtime, as a whole or piece by piece.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::ReadableStream;
use worker::{Context, Result};

use super::entry::Connection;
use super::runtime::{self, get, noticing};
use crate::api::action::Action;
use crate::api::exchange::Exchange;
use crate::api::headers;
use crate::api::http::Response;
use crate::model::limits::REPLY_PIECE_BYTES_MIN;

#[wasm_bindgen]
extern "C" {
    /// A stream that passes bytes through. The writer waits for the reader.
    type IdentityTransformStream;

    #[wasm_bindgen(constructor, catch)]
    fn new() -> std::result::Result<IdentityTransformStream, JsValue>;

    #[wasm_bindgen(method, getter, structural)]
    fn readable(this: &IdentityTransformStream) -> ReadableStream;

    #[wasm_bindgen(method, getter, structural)]
    fn writable(this: &IdentityTransformStream) -> JsWritable;

    type JsWritable;

    #[wasm_bindgen(method, catch, structural, js_name = getWriter)]
    fn get_writer(this: &JsWritable) -> std::result::Result<JsWriter, JsValue>;

    type JsWriter;

    #[wasm_bindgen(method, catch, structural)]
    fn write(this: &JsWriter, bytes: Uint8Array) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn close(this: &JsWriter) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, structural)]
    fn abort(this: &JsWriter, reason: &str) -> std::result::Result<Promise, JsValue>;
}

/// Returns the headers in the format of [`runtime::respond`].
fn head(response: &Response) -> String {
    let mut lines = String::new();
    for (name, value) in &response.headers {
        let separator = if lines.is_empty() { "" } else { "\n" };
        // A line feed would begin another header.
        lines.extend([separator, name, "\n", &value.replace('\n', " ")]);
    }
    lines
}

/// Makes the runtime compress a response that Cloudflare does not compress, if the client accepts
/// gzip. The header `Content-Encoding: gzip` makes the runtime compress the body piece by piece.
pub(super) fn packed(mut response: Response, request: &web_sys::Request) -> Response {
    let of_type = response.headers.iter().find(|(name, _)| name == "Content-Type");
    let packs = of_type.is_some_and(|(_, content_type)| {
        // `accept_encoding` runs only for types that the Worker compresses, because it makes the
        // runtime parse the whole `cf` object.
        headers::packs(content_type)
            && headers::accepts_gzip(&accept_encoding(request).unwrap_or_default())
    });
    if response.body.is_empty() {
        if is_development_server(request) {
            response = response.with_header("Content-Encoding", "identity");
        }
    } else if packs {
        response =
            response.with_header("Content-Encoding", "gzip").with_header("Vary", "Accept-Encoding");
    }
    response
}

/// Whether wrangler's development server sends the request. This server labels every response
/// without an encoding as gzip, including a response without a body. Only Cloudflare sets `CF-Ray`;
/// plain workerd has no `cf` object.
fn is_development_server(request: &web_sys::Request) -> bool {
    let is_cloudflare = request.headers().has("cf-ray").unwrap_or_default();
    !is_cloudflare && get(request, "cf").is_some_and(|cf| cf.is_object())
}

/// Returns the encodings that the client accepts. Cloudflare replaces the client's header with
/// another value, and passes the client's value in `cf`.
fn accept_encoding(request: &web_sys::Request) -> Option<String> {
    let cf = get(request, "cf").filter(JsValue::is_object);
    let of_client = cf.and_then(|cf| get(&cf, "clientAcceptEncoding")?.as_string());
    of_client.or_else(|| request.headers().get("accept-encoding").ok().flatten())
}

pub(super) fn complete(response: Response) -> Result<web_sys::Response> {
    let bytes = || Uint8Array::from(response.body.as_slice()).into();
    let body = if response.body.is_empty() { JsValue::NULL } else { bytes() };
    Ok(runtime::respond(response.status, &head(&response), &body)?)
}

/// Returns a response with a streamed body. The exchange continues to run while the client reads.
pub(super) fn stream(
    response: Response,
    mut connection: Connection,
    mut exchange: Exchange,
    context: &Context,
) -> Result<web_sys::Response> {
    let (status, head) = (response.status, head(&response));
    let pipe = IdentityTransformStream::new()?;
    let writer = pipe.writable().get_writer()?;
    let readable = pipe.readable();
    // Without `wait_until`, the runtime would drop the request when its client disconnects.
    context.wait_until(async move {
        if send(&writer, response.body, &mut connection, &mut exchange).await.is_err() {
            // Every further write fails. The only remaining work is to update the list of running
            // queries.
            connection.abandon(&mut exchange).await;
        }
        connection.log(&exchange);
        let calls = connection.background_calls(&mut exchange);
        connection.run_background_calls(&mut exchange, calls).await;
    });
    Ok(runtime::respond(status, &head, &readable)?)
}

/// Writes a piece, and waits until the client has read the piece. Returns `false` if the response
/// was stopped.
async fn taken(
    writer: &JsWriter,
    bytes: Vec<u8>,
    notice: &mut Option<Promise>,
    connection: &Connection,
    exchange: &mut Exchange,
) -> Result<bool> {
    let piece = Uint8Array::from(bytes.as_slice());
    drop(bytes);
    let write = writer.write(piece.clone())?;
    connection.sending(exchange);
    let written = future_to_promise(async { JsFuture::from(write).await.map(|_| JsValue::TRUE) });
    loop {
        if noticing(&written, notice).await?.is_some() {
            runtime::release(&piece);
            return Ok(exchange.sent());
        }
        if exchange.is_stopped() {
            return Ok(false);
        }
    }
}

/// Appends the next pieces to a small piece. Returns the action that follows these pieces, if the
/// function has already received the action.
fn gather(bytes: &mut Vec<u8>, connection: &Connection, exchange: &mut Exchange) -> Option<Action> {
    while bytes.len() < REPLY_PIECE_BYTES_MIN {
        match connection.with_service(|service, platform| exchange.proceed(service, platform)) {
            Action::Bytes(more) => bytes.extend_from_slice(&more),
            other => return Some(other),
        }
    }
    None
}

async fn send(
    writer: &JsWriter,
    beginning: Vec<u8>,
    connection: &mut Connection,
    exchange: &mut Exchange,
) -> Result<()> {
    let mut action = Action::Bytes(beginning);
    let mut notice = None;
    loop {
        action = match action {
            Action::Bytes(mut bytes) => {
                let next = gather(&mut bytes, connection, exchange);
                if !bytes.is_empty()
                    && !taken(writer, bytes, &mut notice, connection, exchange).await?
                {
                    let reason =
                        "the client read too slowly, and other responses needed the memory";
                    JsFuture::from(writer.abort(reason)?).await?;
                    return Err(reason.into());
                }
                let proceed = || {
                    connection.with_service(|service, platform| exchange.proceed(service, platform))
                };
                next.unwrap_or_else(proceed)
            }
            Action::Calls(calls) => connection.call(exchange, calls).await?,
            Action::End => {
                JsFuture::from(writer.close()?).await?;
                return Ok(());
            }
            Action::ReadBody | Action::Respond(_) | Action::Stream(_) => {
                // The status was already sent, so only a truncated body can report the error.
                JsFuture::from(writer.abort("the response ended early")?).await?;
                return Ok(());
            }
        };
    }
}

//! Sends the responses of `api` as responses of the runtime, as a whole or piece by piece.

use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::ReadableStream;
use worker::{Context, Result};

use super::entry::RequestTask;
use super::runtime::{self, get, wait_or_time_out};
use tidemark_server::drive::{Driver, ResponseBody};
use tidemark_server::grpc_web::Code;
use tidemark_server::headers;
use tidemark_server::http::Response;

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
pub(super) fn with_compression(mut response: Response, request: &web_sys::Request) -> Response {
    let of_type = response.headers.iter().find(|(name, _)| *name == "Content-Type");
    let is_compressible = of_type.is_some_and(|(_, content_type)| {
        // `accept_encoding` runs only for types that the Worker compresses, because it makes the
        // runtime parse the whole `cf` object.
        headers::is_compressible(content_type)
            && headers::accepts_gzip(&accept_encoding(request).unwrap_or_default())
    });
    if response.body.is_empty() {
        if is_development_server(request) {
            response = response.with_header("Content-Encoding", "identity");
        }
    } else if is_compressible {
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
    mut driver: Driver<RequestTask>,
    context: &Context,
) -> Result<web_sys::Response> {
    let (status, head) = (response.status, head(&response));
    let pipe = IdentityTransformStream::new()?;
    let mut to = BodyWriter { writer: pipe.writable().get_writer()?, timer: None };
    let readable = pipe.readable();
    // Without `wait_until`, the runtime would drop the request when its client disconnects.
    context.wait_until(async move {
        if !driver.send(response.body, &mut to).await {
            driver.abandon().await;
        }
        driver.log();
        let calls = driver.background_calls();
        driver.make_background_calls(calls).await;
    });
    Ok(runtime::respond(status, &head, &readable)?)
}

/// The body of a streamed response.
struct BodyWriter {
    writer: JsWriter,
    /// The timer of [`wait_or_time_out`].
    timer: Option<Promise>,
}

impl ResponseBody for BodyWriter {
    type Error = JsValue;

    async fn write(
        &mut self,
        bytes: Vec<u8>,
        mut is_stopped: impl FnMut() -> bool,
    ) -> std::result::Result<(), JsValue> {
        let piece = Uint8Array::from(bytes.as_slice());
        drop(bytes);
        let write = self.writer.write(piece.clone())?;
        let written =
            future_to_promise(async { JsFuture::from(write).await.map(|_| JsValue::TRUE) });
        while wait_or_time_out(&written, &mut self.timer).await?.is_none() {
            if is_stopped() {
                return Ok(());
            }
        }
        runtime::release(&piece);
        Ok(())
    }

    async fn end(&mut self) -> std::result::Result<(), JsValue> {
        JsFuture::from(self.writer.close()?).await.map(drop)
    }

    async fn abort(&mut self, _: Code, reason: &'static str) {
        if let Ok(aborted) = self.writer.abort(reason) {
            // Every further write fails, even if the client does not learn the reason.
            let _ = JsFuture::from(aborted).await;
        }
    }
}

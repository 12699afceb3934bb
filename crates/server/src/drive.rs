//! Performs the actions of an exchange: reads the body of the request, makes the calls, and sends
//! the body of a streamed response.
//!
//! The hosts that serve several requests at the same time (`edge/` and the native program) share
//! this code, and implement [`Host`], [`RequestBody`] and [`ResponseBody`]. Each host itself sends
//! the head of the response, and calls the last steps ([`Driver::log`],
//! [`Driver::make_background_calls`]).

#![expect(async_fn_in_trait, reason = "every host runs a request on one thread")]

use std::future::Future;
use std::pin::Pin;

use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::action::Action;
use super::error::ApiError;
use super::exchange::Exchange;
use super::grpc_web::Code;
use super::http::{RequestHead, Response};
use super::isolate_state::Service;
use tidemark_engine::protocol::call::{Call, Platform, Reply};
use tidemark_model::limits::{
    BODY_READ_BYTES_MIN, BODY_STALL_S_MAX, CANCEL_CHECK_MS, DISCARDED_BODY_BYTES_MAX,
    REPLY_PIECE_BYTES_MIN,
};

/// A call in progress. Dropping the call cancels it.
pub type PendingCall = Pin<Box<dyn Future<Output = Reply>>>;

/// The services that a request needs from its host.
pub trait Host {
    /// Calls `step` with the isolate's service. The step must not wait.
    fn with_service<T>(&self, step: impl FnOnce(&mut Service, &dyn Platform) -> T) -> T;

    /// Prepares a call, which starts when it is polled.
    fn call(&self, call: Call) -> PendingCall;

    /// Ends the SQL session of the request, if a call has opened it.
    async fn end_sql(&self);

    /// Writes a line to the log.
    fn log(&self, line: &str);

    /// Lets other requests run between two pieces of a response.
    async fn yield_now(&self) {}
}

/// The body of a request.
pub trait RequestBody {
    /// The error of a body whose client has disconnected.
    type Error;

    /// Waits for the next piece for at most [`CANCEL_CHECK_MS`].
    async fn next(&mut self) -> Result<Next, Self::Error>;

    /// Appends the last piece to `held`.
    fn append(&mut self, held: &mut Vec<u8>);

    /// Discards the rest of the body.
    async fn cancel(&mut self) -> Result<(), Self::Error>;
}

/// The result of [`RequestBody::next`].
#[derive(Debug)]
pub enum Next {
    /// A piece with this number of bytes has arrived.
    Piece(usize),
    /// The body is complete.
    End,
    /// The body is not valid HTTP.
    Invalid,
    /// The interval ended before the next piece arrived.
    Waiting,
}

/// The body of a streamed response.
pub trait ResponseBody {
    /// The error of a body whose client has disconnected.
    type Error;

    /// Sends a piece, and waits until the client has taken the piece. Calls `is_stopped` at
    /// intervals of [`CANCEL_CHECK_MS`], and stops waiting if `is_stopped` returns `true`.
    async fn write(
        &mut self,
        bytes: Vec<u8>,
        is_stopped: impl FnMut() -> bool,
    ) -> Result<(), Self::Error>;

    /// Completes the body.
    async fn end(&mut self) -> Result<(), Self::Error>;

    /// Truncates the body. The format of the body may contain the code and the reason.
    async fn abort(&mut self, code: Code, reason: &'static str);
}

/// The response whose head the host must send.
#[derive(Debug)]
pub enum ResponseStart {
    /// A complete response.
    Complete(Response),
    /// The head and the first bytes of a streamed response.
    Stream(Response),
}

/// A request in progress, with its calls.
pub struct Driver<H> {
    /// The host of the request.
    pub host: H,
    exchange: Exchange,
    calls: FuturesUnordered<PendingCall>,
}

impl<H: Host> Driver<H> {
    /// Starts a request from its head, and returns the first action.
    pub fn start(host: H, head: RequestHead) -> (Self, Action) {
        let (exchange, first) =
            host.with_service(|service, platform| Exchange::start(service, platform, head));
        (Self { host, exchange, calls: FuturesUnordered::new() }, first)
    }

    /// Performs actions until the response starts. `open` returns the body of the request.
    ///
    /// # Errors
    /// The body's error, if the client has disconnected.
    pub async fn run_to_response<B: RequestBody>(
        &mut self,
        first: Action,
        open: impl FnOnce() -> Result<B, B::Error>,
    ) -> Result<ResponseStart, B::Error> {
        let mut action = self.make_calls(first).await;
        if action == Action::ReadBody {
            action = self.read(open()?).await?;
            action = self.make_calls(action).await;
        }
        Ok(match action {
            Action::Respond(response) => ResponseStart::Complete(response),
            Action::Stream(response) => ResponseStart::Stream(response),
            // Only a bug returns any other action here. The response then has status 500 instead of
            // an empty body with status 200.
            Action::ReadBody | Action::Calls(_) | Action::Bytes(_) | Action::End => {
                ResponseStart::Complete(Response::empty(500))
            }
        })
    }

    /// Sends the body of a streamed response while the exchange continues. Returns `false` if the
    /// client has disconnected or read too slowly.
    pub async fn send(&mut self, beginning: Vec<u8>, to: &mut impl ResponseBody) -> bool {
        let mut action = Action::Bytes(beginning);
        loop {
            action = match self.make_calls(action).await {
                Action::Bytes(mut bytes) => {
                    let next = self.gather(&mut bytes);
                    if !bytes.is_empty() && !self.write(bytes, to).await {
                        return false;
                    }
                    self.host.yield_now().await;
                    next.unwrap_or_else(|| self.next_action(None))
                }
                Action::End => return to.end().await.is_ok(),
                // The status was already sent, so only a truncated body can report the error.
                Action::ReadBody | Action::Calls(_) | Action::Respond(_) | Action::Stream(_) => {
                    to.abort(Code::Internal, "the response ended early").await;
                    return true;
                }
            };
        }
    }

    /// Ends a request whose client has disconnected. Frees the request's memory, and removes its
    /// query from the list of running queries.
    pub async fn abandon(&mut self) {
        let calls = self.exchange.abandon();
        self.clear_calls().await;
        self.add_calls(calls);
        // If this call is lost, the entry in the list of running queries expires later.
        let _ = self.calls.next().await;
    }

    /// Writes the log line of the request.
    pub fn log(&mut self) {
        let line = self.step(|exchange, service, platform| exchange.log_line(service, platform));
        if let Some(line) = line {
            self.host.log(&line);
        }
    }

    /// Returns the calls to make after the response was sent.
    pub fn background_calls(&mut self) -> Vec<Call> {
        self.step(|exchange, service, platform| exchange.background_calls(service, platform, None))
    }

    /// Makes the calls of [`Driver::background_calls`]. If a call is lost, a later request makes
    /// the call again.
    pub async fn make_background_calls(&mut self, calls: Vec<Call>) {
        self.clear_calls().await;
        self.add_calls(calls);
        while let Some(reply) = self.calls.next().await {
            let more = self.step(|exchange, service, platform| {
                exchange.background_calls(service, platform, Some(reply))
            });
            self.add_calls(more);
        }
    }

    fn step<T>(&mut self, step: impl FnOnce(&mut Exchange, &mut Service, &dyn Platform) -> T) -> T {
        let Self { host, exchange, .. } = self;
        host.with_service(|service, platform| step(exchange, service, platform))
    }

    fn next_action(&mut self, reply: Option<Reply>) -> Action {
        self.step(|exchange, service, platform| exchange.step(service, platform, reply))
    }

    fn now_ns(&self) -> i64 {
        self.host.with_service(|_, platform| platform.now_ns())
    }

    fn add_calls(&mut self, calls: Vec<Call>) {
        self.calls.extend(calls.into_iter().map(|call| self.host.call(call)));
    }

    /// Cancels the calls in progress, and ends the SQL session.
    async fn clear_calls(&mut self) {
        self.calls.clear();
        self.host.end_sql().await;
    }

    /// Makes calls until the exchange returns another action. If a bug makes the
    /// exchange wait for a reply although no call is in progress, the result is [`Action::Calls`].
    async fn make_calls(&mut self, mut action: Action) -> Action {
        loop {
            action = match action {
                Action::Calls(calls) => {
                    self.add_calls(calls);
                    let Some(reply) = self.calls.next().await else {
                        return Action::Calls(Vec::new());
                    };
                    self.next_action(Some(reply))
                }
                other => return other,
            };
        }
    }

    /// Passes the body to the exchange piece by piece, and returns the next action.
    async fn read<B: RequestBody>(&mut self, mut body: B) -> Result<Action, B::Error> {
        let (mut bytes, mut bytes_before, mut intervals) = (0, 0, 0);
        loop {
            match body.next().await? {
                Next::Piece(length) => {
                    bytes += length;
                    let now_ns = self.now_ns();
                    let refusal =
                        self.exchange.receive_piece(length, now_ns, |held| body.append(held));
                    if let Some(refusal) = refusal {
                        drain(&mut body).await?;
                        return Ok(refusal);
                    }
                    if bytes - bytes_before >= BODY_READ_BYTES_MIN as usize {
                        (bytes_before, intervals) = (bytes, 0);
                    }
                }
                Next::End => return Ok(self.next_action(None)),
                Next::Invalid => {
                    let text = "the body has an invalid chunk; the request changed no data";
                    return Ok(self.exchange.refuse(ApiError::Invalid(text.to_owned())));
                }
                Next::Waiting => {
                    intervals += 1;
                    let mut refusal = self.exchange.displaced_response();
                    if refusal.is_none() && is_stalled(intervals) {
                        refusal = Some(self.exchange.refuse(ApiError::Stalled));
                    }
                    if let Some(refusal) = refusal {
                        body.cancel().await?;
                        return Ok(refusal);
                    }
                }
            }
        }
    }

    /// Appends further pieces to `bytes` until it has [`REPLY_PIECE_BYTES_MIN`], so that the client
    /// receives no tiny pieces. Returns the next action if it is not another piece.
    fn gather(&mut self, bytes: &mut Vec<u8>) -> Option<Action> {
        while bytes.len() < REPLY_PIECE_BYTES_MIN {
            match self.next_action(None) {
                Action::Bytes(more) => bytes.extend_from_slice(&more),
                other => return Some(other),
            }
        }
        None
    }

    /// Sends a piece. Returns whether the client has received it.
    async fn write(&mut self, bytes: Vec<u8>, to: &mut impl ResponseBody) -> bool {
        self.exchange.begin_sending(self.now_ns());
        if to.write(bytes, || self.exchange.is_stopped()).await.is_err() {
            return false;
        }
        let is_taken = self.exchange.end_sending();
        if !is_taken {
            let reason =
                "the client read the result too slowly, and other requests needed the memory";
            to.abort(Code::ResourceExhausted, reason).await;
        }
        is_taken
    }
}

/// Reads and discards the rest of a refused body, because a client that is still sending does not
/// read its response. Stops when the client pauses, or after [`BODY_STALL_S_MAX`].
///
/// # Errors
/// The body's error, if the client has disconnected.
pub async fn drain<B: RequestBody>(body: &mut B) -> Result<(), B::Error> {
    let (mut bytes, mut intervals, mut intervals_before) = (0, 0, 0);
    loop {
        match body.next().await? {
            Next::Piece(length) => {
                bytes += length;
                intervals_before = intervals;
            }
            Next::End | Next::Invalid => return Ok(()),
            Next::Waiting => intervals += 1,
        }
        // The first interval may have begun before the last piece.
        let has_paused = intervals - intervals_before > 2;
        if has_paused || is_stalled(intervals) || bytes > DISCARDED_BODY_BYTES_MAX {
            return body.cancel().await;
        }
    }
}

fn is_stalled(intervals: u32) -> bool {
    intervals * CANCEL_CHECK_MS > BODY_STALL_S_MAX * 1_000
}

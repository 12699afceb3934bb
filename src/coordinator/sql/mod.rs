//! Executes a SQL statement. In each turn, the SQL Worker plans the statement or computes rows.
//! This machine sends the columns of tables to the SQL Worker, and reads the Worker's scans from
//! the shards.
//!
//! The statement is started, listed, killed, metered and restarted like a SELECT of InfluxQL
//! ([`super::query`]). Two kinds of rounds alternate: reading pages from shards, and a turn of SQL,
//! which returns a piece of the result or requests further pages. If a scan continues, its next
//! pages are requested during the turn.

mod condition;
mod gathered;
mod scans;
mod tables;

use super::error::Error;
use super::live_query_report::{self, LiveQueryReport};
use super::load_schemas::{Load, Loaded, Want};
use super::query::shard_page;
use super::query_wait::{self, QueryWait};
use super::retries::Retries;
use super::session::Session;
use super::{Context, RoundMachine, Turn};
use crate::admission::{HeldBytes, QueryReservation};
use crate::model::configurable_limits::Limit;
use crate::model::grant::PermissionKind;
use crate::model::limits::UNLIMITED;
use crate::protocol::call::{Address, Call, CallFailure};
use crate::protocol::catalog::{FromCatalog, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::host::Unavailable;
use crate::protocol::round::{CallResult, Next, Replies, Request, Round};
use crate::protocol::sql::{
    FromSql, Parameter, QueryRequest, SessionReply, SessionRequest, SystemTable, TOO_MUCH, ToSql,
};
use crate::query::error::QueryError;
use scans::{PageRequest, PageResult, Scans};

/// The statement and its format.
#[derive(Clone, Debug)]
pub struct SqlQuestion {
    /// The statement.
    pub text: String,
    /// The values of the parameters `$name`.
    pub parameters: Vec<(String, Parameter)>,
    /// The name of the response format.
    pub format: &'static str,
}

/// A SQL statement in progress.
///
/// `Done(Ok(Some(bytes)))` is a piece of the result, after which a step with `None` requests the
/// next piece. The first piece follows when rows are encoded, or at the end. `Done(Ok(None))` is
/// the end.
#[derive(Debug)]
pub struct SqlQuery {
    question: SqlQuestion,
    session: Session,
    stage: Stage,
    round: Round,
    beginning: QueryWait,
    loaded: Option<Loaded>,
    scans: Scans,
    answers: Vec<SessionReply>,
    piece: Vec<u8>,
    held: Option<HeldBytes>,
    last: LastTurn,
    /// Whether a shard has replied. A reply confirms the columns.
    is_confirmed: bool,
    emitted: bool,
    points: u64,
    retries: Retries,
    /// The number of times that the SQL Worker lost the statement.
    losses: Retries,
    watch: LiveQueryReport,
}

#[derive(Clone, Copy, Debug, Default)]
struct LastTurn {
    goes_on: bool,
    is_done: bool,
}

#[derive(Debug)]
enum Stage {
    Start,
    Load(Box<Load>),
    /// The statement waits for a turn of SQL, and for the pages that SQL will probably request in
    /// the next turn.
    Turn(Vec<PageRequest>),
    Read(Vec<PageRequest>),
    List,
    Emitted,
    /// The statement waits until the Catalog has removed it from the list, and then ends with this
    /// result.
    Unlist(Box<SqlTurn>),
    Finished,
}

type SqlTurn = Turn<Option<Vec<u8>>>;

impl SqlQuery {
    /// Prepares a statement with the database and policy of `session`.
    pub fn new(question: SqlQuestion, session: Session) -> Self {
        Self {
            question,
            session,
            stage: Stage::Start,
            round: Round::default(),
            beginning: QueryWait::default(),
            loaded: None,
            scans: Scans::default(),
            answers: Vec::new(),
            piece: Vec::new(),
            held: None,
            last: LastTurn::default(),
            is_confirmed: false,
            emitted: false,
            points: 0,
            retries: Retries::default(),
            losses: Retries::default(),
            watch: LiveQueryReport::default(),
        }
    }

    /// Returns the statement's share of the memory.
    pub fn reservation(&self) -> Option<&QueryReservation> {
        self.session.reservation.get()
    }

    fn database(&self) -> &str {
        self.session.database.as_deref().unwrap_or_default()
    }

    fn begin(&mut self, context: &mut Context<'_>) -> SqlTurn {
        let reservation = self.session.reservation.enter(context.queries, self.database()).clone();
        if let Some(pause) = self.beginning.wait(context, &reservation)? {
            self.stage = Stage::Start;
            return Ok(Next::Calls(vec![pause]));
        }
        self.load(context, false)
    }

    fn load(&mut self, context: &mut Context<'_>, from_owner: bool) -> SqlTurn {
        let want = Want::Policy(self.session.policy.clone());
        let load = match from_owner {
            true => Load::from_owner(self.database(), want),
            false => Load::cached(self.database(), want),
        };
        let load = load.for_caller(&self.session.principal);
        self.continue_loading(context, Box::new(load), Vec::new())
    }

    fn continue_loading(
        &mut self,
        context: &mut Context<'_>,
        mut load: Box<Load>,
        replies: Replies,
    ) -> SqlTurn {
        let loaded = match load.take_turn(context, replies)? {
            Next::Calls(requests) => {
                self.stage = Stage::Load(load);
                return Ok(Next::Calls(requests));
            }
            Next::Reply(loaded) => loaded,
        };
        if let Some((policy, _)) = loaded.policy() {
            match loaded.standing.check(PermissionKind::Read, self.database(), &policy.name) {
                Err(Error::Forbidden { .. }) if !loaded.fresh => return self.load(context, true),
                checked => checked?,
            }
        }
        if self.emitted {
            self.scans.renew(&loaded)?;
            self.loaded = Some(loaded);
            return self.proceed(context);
        }
        self.loaded = Some(loaded);
        self.open()
    }

    fn close(&mut self) {
        (self.scans, self.last) = (Scans::default(), LastTurn::default());
        self.answers.clear();
        self.piece.clear();
        self.held = None;
        (self.is_confirmed, self.points) = (false, 0);
    }

    fn open(&mut self) -> SqlTurn {
        self.close();
        let SqlQuestion { text, parameters, format } = &self.question;
        let schema = self.loaded.as_ref().and_then(Loaded::policy).map(|(_, schema)| schema);
        self.call_sql(&ToSql::Open(QueryRequest {
            text: text.clone(),
            parameters: parameters.clone(),
            now_ns: self.session.now_ns,
            format: (*format).to_owned(),
            aggregates: true,
            first_of_groups: true,
            tables: schema.and_then(|schema| tables::named_in(schema, text)),
        }))
    }

    fn call_sql(&mut self, message: &ToSql) -> SqlTurn {
        self.stage = Stage::Turn(Vec::new());
        Ok(Next::Calls(vec![Request::new(Address::Sql, envelope::encode(message))]))
    }

    /// Whether the state for planning comes from the owners, or a shard has confirmed the state.
    /// Otherwise the cache may be stale.
    fn is_certain(&self) -> bool {
        self.is_confirmed || self.loaded.as_ref().is_some_and(|loaded| loaded.fresh)
    }

    fn on_turn(
        &mut self,
        context: &mut Context<'_>,
        requested: &[PageRequest],
        mut replies: Replies,
    ) -> SqlTurn {
        let pages = replies.split_off(replies.len().min(1));
        let lost = || Error::Unavailable(Unavailable::Unreachable("no reply".to_owned()));
        let reply = replies.pop().ok_or_else(lost)?;
        let is_lost = matches!(reply, Err(CallFailure::Retryable(_)));
        if is_lost && !self.emitted && self.losses.count().is_ok() {
            return self.open();
        }
        match envelope::decode_reply::<FromSql>(reply)? {
            FromSql::Failed { status, message } => {
                // A statement that exceeds a limit would also exceed the limit with newer columns.
                if !self.emitted && !self.is_certain() && status != TOO_MUCH {
                    return self.load(context, true);
                }
                Err(Error::Sql { status, message })
            }
            FromSql::Turned { wanted, cancelled, has_rows, goes_on, is_done, mut piece } => {
                self.last = LastTurn { goes_on, is_done };
                self.scans.cancel(&cancelled);
                self.on_prefetched(context, requested, pages)?;
                if has_rows && !self.emitted && !self.is_certain() {
                    return self.load(context, true);
                }
                self.piece.append(&mut piece);
                self.session.reservation.hold(&mut self.held, self.piece.len())?;
                for wanted in wanted {
                    if let Some(request) = self.on_request(context, wanted)? {
                        self.stage = Stage::List;
                        return Ok(Next::Calls(vec![request]));
                    }
                }
                // A format that is written as a whole has no bytes before its end, so the statement
                // may still fail.
                match is_done || (has_rows && !self.piece.is_empty()) {
                    true => self.emit(),
                    false => self.proceed(context),
                }
            }
        }
    }

    fn on_request(
        &mut self,
        context: &Context<'_>,
        wanted: SessionRequest,
    ) -> Result<Option<Request>, Error> {
        let schema = self.loaded.as_ref().and_then(Loaded::policy).map(|(_, schema)| schema);
        match wanted {
            SessionRequest::Tables(names) => {
                let tables = schema.map(|schema| tables::named(schema, &names));
                self.answers.push(SessionReply::Tables(tables.unwrap_or_default()));
            }
            SessionRequest::EveryTable => {
                let tables = schema.map(|schema| tables::every(schema));
                self.answers.push(SessionReply::Tables(tables.unwrap_or_default()));
            }
            SessionRequest::Scan(request) => {
                let reservation =
                    self.session.reservation.enter(context.queries, self.database()).clone();
                let loaded = self.loaded.as_ref().ok_or_else(Error::unexpected_reply)?;
                let series_max = context.platform.limits().get(Limit::Series) as u64;
                let when = (context.platform.now_ns(), series_max != u64::from(UNLIMITED));
                self.answers.extend(self.scans.begin(&request, loaded, when, &reservation)?);
            }
            SessionRequest::Page(scan) => self.answers.extend(self.scans.next_pages(scan)?),
            SessionRequest::System(SystemTable::Queries) => {
                let principal = &self.session.principal;
                if !principal.grants.admin {
                    return Err(Error::Forbidden {
                        who: principal.name.to_string(),
                        right: "admin privilege",
                        database: self.database().to_owned(),
                    });
                }
                let message = envelope::encode(&ToCatalog::Queries);
                return Ok(Some(Request::new(Address::Catalog, message)));
            }
        }
        Ok(None)
    }

    fn on_queries(&mut self, context: &mut Context<'_>, reply: CallResult) -> SqlTurn {
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Queries(all) => {
                let now_ns = context.platform.now_ns();
                let rows = tables::queries(&all, self.database(), now_ns);
                self.answers.push(SessionReply::System(SystemTable::Queries, rows));
                self.proceed(context)
            }
            FromCatalog::Unavailable(reason) => Err(reason.into()),
            _ => Err(Error::unexpected_reply()),
        }
    }

    fn emit(&mut self) -> SqlTurn {
        self.emitted = true;
        self.stage = Stage::Emitted;
        self.held = None;
        Ok(Next::Reply(Some(std::mem::take(&mut self.piece))))
    }

    fn proceed(&mut self, context: &mut Context<'_>) -> SqlTurn {
        if self.last.is_done {
            return Ok(Next::Reply(None));
        }
        if self.last.goes_on || !self.answers.is_empty() {
            let answers = std::mem::take(&mut self.answers);
            let turn = envelope::encode(&ToSql::turn(answers));
            let mut requests = vec![Request::new(Address::Sql, turn)];
            let requested = self.request_pages(context, true, &mut requests);
            self.stage = Stage::Turn(requested);
            return Ok(Next::Calls(requests));
        }
        let mut requests = Vec::new();
        let requested = self.request_pages(context, false, &mut requests);
        if requested.is_empty() {
            return Err(Error::unexpected_reply());
        }
        self.stage = Stage::Read(requested);
        Ok(Next::Calls(requests))
    }

    /// Adds the calls for the requested pages, or for later pages if `ahead` is true, and the
    /// report about the query.
    fn request_pages(
        &mut self,
        context: &mut Context<'_>,
        ahead: bool,
        requests: &mut Vec<Request>,
    ) -> Vec<PageRequest> {
        let reservation = self.session.reservation.enter(context.queries, self.database()).clone();
        let (requested, further) = self.scans.pages_to_request(&reservation, ahead);
        let describe = || (self.question.text.clone(), self.scans.shards());
        let report = self.watch.report(context, &self.session, further, describe);
        let query = self.watch.precedence(self.points);
        for requested in &requested {
            requests.extend(self.scans.request(*requested, query));
        }
        requests.extend(report);
        requested
    }

    fn count(&mut self, context: &Context<'_>, rows: u64, series: u64) -> Result<(), QueryError> {
        self.points += rows;
        let counts = [("series", series, Limit::Series), ("point", self.points, Limit::Points)];
        for (what, requested, limit) in counts {
            let limit = context.platform.limits().get(limit) as u64;
            if requested > limit {
                return Err(QueryError::Select { what, requested, limit });
            }
        }
        Ok(())
    }

    /// Stores pages that were requested ahead. If such a request failed, the page is requested
    /// again when SQL needs it. Only a failure of the second request is an error.
    fn on_prefetched(
        &mut self,
        context: &Context<'_>,
        requested: &[PageRequest],
        mut replies: Replies,
    ) -> Result<(), Error> {
        if replies.len() > requested.len()
            && replies.pop().is_some_and(live_query_report::is_killed)
        {
            return Err(Error::Interrupted);
        }
        for (requested, reply) in requested.iter().zip(replies) {
            let page = shard_page(reply, &self.session.principal.name, self.database());
            if let (true, Ok(Some(page))) = (self.scans.has(*requested), page) {
                let PageResult { rows, series, .. } = self.scans.on_prefetched(*requested, page)?;
                self.count(context, rows, series)?;
            }
        }
        Ok(())
    }

    fn on_pages(
        &mut self,
        context: &mut Context<'_>,
        requested: &[PageRequest],
        mut replies: Replies,
    ) -> SqlTurn {
        if replies.len() > requested.len()
            && replies.pop().is_some_and(live_query_report::is_killed)
        {
            return Err(Error::Interrupted);
        }
        let mut is_stale = false;
        for (requested, reply) in requested.iter().zip(replies) {
            let who = &self.session.principal.name;
            let Some(reply) = shard_page(reply, who, self.database())? else {
                is_stale = true;
                continue;
            };
            let PageResult { answer, rows, series } = self.scans.on_reply(*requested, reply)?;
            self.answers.extend(answer);
            self.count(context, rows, series)?;
        }
        if is_stale {
            self.retries.count()?;
            return self.load(context, true);
        }
        (self.retries, self.is_confirmed) = (Retries::default(), true);
        self.proceed(context)
    }

    fn take_turn(&mut self, context: &mut Context<'_>, mut replies: Replies) -> SqlTurn {
        let lost = || Error::Unavailable(Unavailable::Unreachable("no reply".to_owned()));
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Start => self.begin(context),
            Stage::Load(load) => self.continue_loading(context, load, replies),
            Stage::Turn(requested) => self.on_turn(context, &requested, replies),
            Stage::List => self.on_queries(context, replies.pop().ok_or_else(lost)?),
            Stage::Read(requested) => self.on_pages(context, &requested, replies),
            Stage::Emitted => self.proceed(context),
            Stage::Unlist(end) => *end,
            Stage::Finished => Ok(Next::Reply(None)),
        }
    }

    /// Stops the statement. Returns the call that removes a listed statement from the list.
    pub fn abandon(&mut self) -> Vec<Call> {
        self.stage = Stage::Finished;
        let end = self.watch.end();
        end.map_or_else(Vec::new, |request| self.round.start(vec![request]))
    }
}

impl RoundMachine for SqlQuery {
    type Reply = Option<Vec<u8>>;

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn take_turn(&mut self, context: &mut Context<'_>, replies: Replies) -> SqlTurn {
        let mut turn = self.take_turn(context, replies);
        if turn.is_err() && !self.emitted {
            self.close();
            if query_wait::may_restart(&turn, &self.session.reservation) {
                self.beginning = QueryWait::default();
                turn = self.begin(context);
            }
        }
        if let Ok(Next::Calls(_) | Next::Reply(Some(_))) = turn {
            return turn;
        }
        match self.watch.end() {
            Some(request) => {
                self.stage = Stage::Unlist(Box::new(turn));
                Ok(Next::Calls(vec![request]))
            }
            None => turn,
        }
    }
}

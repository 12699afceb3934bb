//! Executes a SQL statement with the SQL Worker, a separate Worker that plans the statement and
//! computes its rows. This module sends it the tables' columns, and reads from the shards the scans
//! that it requests. A *turn* is one message to the SQL Worker and its reply.
//!
//! The statement is started, listed, killed, metered and restarted like a SELECT of InfluxQL
//! ([`super::query`]). Two steps alternate: this module reads pages from shards, and a turn returns
//! a piece of the result or requests further pages. During the turn, this module already reads the
//! next pages of scans that continue.

mod aggregate_pages;
mod scans;

use super::error::{Error, Result};
use super::live_queries::{LiveQueryReport, is_killed};
use super::load_schemas::{Load, Loaded, Retries, SchemaSelection};
use super::query::{QueryWait, check_read_limits, may_restart, shard_page};
use super::session::Session;
use super::{Io, Output, Pieces};
use scans::{PageRequest, PageResult, Scans};
use tidemark_engine::protocol::call::{Address, CallFailure};
use tidemark_engine::protocol::catalog::{FromCatalog, ToCatalog};
use tidemark_engine::protocol::envelope;
use tidemark_engine::protocol::live_queries::LiveQuery;
use tidemark_engine::protocol::round::{Replies, Request};
use tidemark_engine::protocol::sql::{
    FromSql, Parameter, QueryRequest, SessionReply, SessionRequest, SystemTable, TOO_MUCH,
    TableColumn, TableSchema, ToSql, is_named,
};
use tidemark_model::configurable_limits::Limit;
use tidemark_model::grant::PermissionKind;
use tidemark_model::limits::{SQL_NAMES_SEARCH_MAX, UNLIMITED};
use tidemark_model::schema::{ColumnKind, MeasurementSchema, PolicySchema};
use tidemark_model::time::S_NS;
use tidemark_query::admission::{BufferMemory, QueryReservation};

/// Searching a shorter text for a name takes as long as searching a text of this size, in bytes.
const SEARCH_BYTES_MIN: usize = 1_000;

/// The statement and its format.
#[derive(Clone, Debug)]
pub struct SqlStatement {
    /// The statement.
    pub text: String,
    /// The values of the parameters `$name`.
    pub parameters: Vec<(String, Parameter)>,
    /// The name of the response format.
    pub format: &'static str,
}

/// Executes a statement with the database and policy of `session`. Each piece of the result is a part
/// of the response body. The first piece is returned when the SQL Worker has encoded rows, or at the
/// end.
pub fn execute(statement: SqlStatement, session: Session) -> Pieces<Vec<u8>> {
    Pieces::new(move |io, output| {
        Statement {
            report: LiveQueryReport::new(&session),
            io,
            output,
            statement,
            session,
            loaded: None,
            attempt: Attempt::default(),
            emitted: false,
            retries: Retries::default(),
            losses: Retries::default(),
        }
        .run()
    })
}

struct Statement {
    io: Io,
    output: Output<Vec<u8>>,
    statement: SqlStatement,
    session: Session,
    loaded: Option<Loaded>,
    attempt: Attempt,
    emitted: bool,
    retries: Retries,
    /// The number of times that the SQL Worker lost the statement.
    losses: Retries,
    report: LiveQueryReport,
}

/// The state since the statement was opened.
#[derive(Default)]
struct Attempt {
    scans: Scans,
    /// The replies to the requests of the SQL Worker, for the next turn.
    replies: Vec<SessionReply>,
    piece: Vec<u8>,
    memory: Option<BufferMemory>,
    /// Whether a shard has replied. A reply confirms the columns.
    is_confirmed: bool,
    points: u64,
}

/// The result of a turn.
enum Turned {
    /// The SQL Worker can continue without replies.
    Continues,
    /// The SQL Worker waits for a reply.
    Waits,
    Done,
    /// The statement must be opened again, because its state was stale or the SQL Worker lost it.
    Lost,
}

impl Statement {
    async fn run(mut self) -> Result<()> {
        let mut result = self.execute().await;
        while result.is_err() && !self.emitted {
            self.attempt = Attempt::default();
            if !may_restart(&result, &self.session.reservation) {
                break;
            }
            result = self.execute().await;
        }
        if let Some(request) = self.report.end() {
            // The reply does not change the statement's result.
            let _ = self.io.request(request).await;
        }
        result
    }

    async fn execute(&mut self) -> Result<()> {
        self.wait_for_memory().await?;
        self.load(Load::cached).await?;
        let mut message = self.open();
        loop {
            let is_open = match self.turn(message).await? {
                Turned::Done => return Ok(()),
                Turned::Continues => true,
                Turned::Waits => self.read_pages().await?,
                Turned::Lost => false,
            };
            let replies = std::mem::take(&mut self.attempt.replies);
            message = if is_open { ToSql::turn(replies) } else { self.open() };
        }
    }

    async fn wait_for_memory(&self) -> Result<()> {
        let (reservation, mut beginning) = (self.reservation()?, QueryWait::default());
        while let Some(pause) = self.io.with(|context| beginning.wait(context, &reservation))?? {
            self.io.calls(vec![pause]).await;
        }
        Ok(())
    }

    /// Loads the state for planning, and checks the permission of the caller. A statement that has
    /// returned a piece continues with the loaded state.
    async fn load(&mut self, mut load: fn(&str, SchemaSelection) -> Load) -> Result<()> {
        loop {
            let selection = SchemaSelection::Policy(self.session.policy.clone());
            let prepared = load(self.database(), selection).for_caller(&self.session.principal);
            let loaded = prepared.run(&self.io).await?;
            let checked = loaded.policy().map_or(Ok(()), |(policy, _)| {
                loaded.permissions.check(PermissionKind::Read, self.database(), &policy.name)
            });
            if matches!(checked, Err(Error::Forbidden { .. })) && !loaded.fresh {
                load = Load::from_owner;
                continue;
            }
            checked?;
            if self.emitted {
                self.attempt.scans.renew(&loaded)?;
            }
            self.loaded = Some(loaded);
            return Ok(());
        }
    }

    /// Loads the owners' state. Returns whether this state differs from the earlier state.
    async fn reload(&mut self) -> Result<bool> {
        let before = self.loaded.take();
        self.load(Load::from_owner).await?;
        let mut states = before.iter().zip(&self.loaded);
        Ok(states.any(|(before, loaded)| !before.has_state_of(loaded)))
    }

    fn open(&mut self) -> ToSql {
        self.attempt = Attempt::default();
        let SqlStatement { text, parameters, format } = &self.statement;
        ToSql::Open(QueryRequest {
            text: text.clone(),
            parameters: parameters.clone(),
            now_ns: self.session.now_ns,
            format: (*format).to_owned(),
            aggregates: true,
            first_of_groups: true,
            tables: self.schema().and_then(|schema| tables_named_in(schema, text)),
        })
    }

    fn database(&self) -> &str {
        self.session.database.as_deref().unwrap_or_default()
    }

    fn schema(&self) -> Option<&PolicySchema> {
        let (_, schema) = self.loaded.as_ref()?.policy()?;
        Some(schema)
    }

    fn reservation(&self) -> Result<QueryReservation> {
        let (reservation, database) = (&self.session.reservation, self.database());
        self.io.with(|context| reservation.get_or_create(context.queries, database).clone())
    }

    /// Whether the state for planning may be stale: it comes from the cache, and no shard has
    /// confirmed it. After the first piece the plan cannot change.
    fn may_be_stale(&self) -> bool {
        let is_fresh = self.loaded.as_ref().is_some_and(|loaded| loaded.fresh);
        !self.emitted && !self.attempt.is_confirmed && !is_fresh
    }

    /// Runs a turn. During the turn, shards read the pages that the SQL Worker will probably
    /// request in the next turn.
    async fn turn(&mut self, message: ToSql) -> Result<Turned> {
        let mut requests = vec![Request::new(Address::Sql, envelope::encode(&message))];
        let (requested, ahead) = match message {
            ToSql::Turn { .. } => self.request_pages(true)?,
            ToSql::Open(_) | ToSql::Rewrite { .. } => (Vec::new(), Vec::new()),
        };
        requests.extend(ahead);
        // `message` contains pages that `requests` contains in encoded form. Free the first copy.
        drop(message);
        let mut replies = self.io.calls(requests).await;
        let pages = replies.split_off(replies.len().min(1));
        let reply = replies.pop().ok_or_else(Error::unexpected_reply)?;
        let is_lost = matches!(reply, Err(CallFailure::Retryable(_)));
        if is_lost && !self.emitted && self.losses.count().is_ok() {
            return Ok(Turned::Lost);
        }
        let reply = envelope::decode_reply::<FromSql>(reply)?;
        let (wanted, cancelled, has_rows, can_continue, is_done, piece) = match reply {
            FromSql::Turned { wanted, cancelled, has_rows, can_continue, is_done, work, piece } => {
                self.count_work(work, is_done)?;
                (wanted, cancelled, has_rows, can_continue, is_done, piece)
            }
            FromSql::Failed { status, message } => {
                // A statement that exceeds a limit would also exceed it with newer columns. Any
                // other failure may come from outdated columns.
                if status != TOO_MUCH && self.may_be_stale() && self.reload().await? {
                    return Ok(Turned::Lost);
                }
                return Err(Error::Sql { status, message });
            }
        };
        self.attempt.scans.cancel(&cancelled);
        self.store_prefetched(&requested, pages)?;
        if has_rows && self.may_be_stale() {
            drop(piece);
            self.load(Load::from_owner).await?;
            return Ok(Turned::Lost);
        }
        self.add(piece)?;
        for wanted in wanted {
            self.handle_request(wanted).await?;
        }
        // Some formats have no bytes before their end. The statement can then still fail with an
        // error status, so no piece is emitted.
        if is_done || (has_rows && !self.attempt.piece.is_empty()) {
            self.emitted = true;
            self.attempt.memory = None;
            self.output.emit(std::mem::take(&mut self.attempt.piece)).await;
        }
        Ok(match (is_done, can_continue) {
            (true, _) => Turned::Done,
            (false, true) => Turned::Continues,
            (false, false) => Turned::Waits,
        })
    }

    /// Adds the work of a turn. Returns an error above `QUERY_CPU_MS_MAX`, unless the statement is
    /// done.
    fn count_work(&self, units: u64, is_done: bool) -> Result<()> {
        let work = &self.session.work;
        work.set_limits(self.io.with(|context| context.platform.limits())?);
        work.add(usize::try_from(units).unwrap_or(usize::MAX));
        match work.pauses() {
            Err(error) if !is_done => {
                Err(Error::Sql { status: TOO_MUCH, message: error.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn add(&mut self, mut piece: Vec<u8>) -> Result<()> {
        self.attempt.piece.append(&mut piece);
        Ok(self
            .session
            .reservation
            .set_bytes(&mut self.attempt.memory, self.attempt.piece.len())?)
    }

    /// Handles a request of the SQL Worker, or begins a scan whose pages follow later.
    async fn handle_request(&mut self, wanted: SessionRequest) -> Result<()> {
        match wanted {
            SessionRequest::Tables(names) => {
                let tables = self.schema().map(|schema| named_tables(schema, &names));
                self.attempt.replies.push(SessionReply::Tables(tables.unwrap_or_default()));
            }
            SessionRequest::EveryTable => {
                let tables = self.schema().map(every_table);
                self.attempt.replies.push(SessionReply::Tables(tables.unwrap_or_default()));
            }
            SessionRequest::Scan(request) => {
                let reservation = self.reservation()?;
                let loaded = self.loaded.as_ref().ok_or_else(Error::unexpected_reply)?;
                let (now_ns, counts_series) = self.io.with(|context| {
                    let series_max = context.platform.limits().get(Limit::Series) as u64;
                    (context.platform.now_ns(), series_max != u64::from(UNLIMITED))
                })?;
                let scans = &mut self.attempt.scans;
                let page = scans.begin(&request, loaded, now_ns, counts_series, &reservation)?;
                self.attempt.replies.extend(page);
            }
            SessionRequest::Page(scan) => {
                self.attempt.replies.extend(self.attempt.scans.next_pages(scan)?)
            }
            SessionRequest::System(SystemTable::Queries) => {
                let rows = self.live_queries().await?;
                self.attempt.replies.push(SessionReply::System(SystemTable::Queries, rows));
            }
        }
        Ok(())
    }

    async fn live_queries(&self) -> Result<Vec<Vec<Option<String>>>> {
        let principal = &self.session.principal;
        if !principal.grants.admin {
            return Err(Error::Forbidden {
                who: principal.name.to_string(),
                permission: "admin privilege",
                database: self.database().to_owned(),
            });
        }
        let FromCatalog::Queries(all) = self.io.call_catalog(&ToCatalog::Queries).await? else {
            return Err(Error::unexpected_reply());
        };
        Ok(system_queries(&all, self.database(), self.io.now_ns()?))
    }

    /// Returns the calls for the requested pages, or for later pages if `ahead` is true, and the
    /// report about the query.
    fn request_pages(&mut self, ahead: bool) -> Result<(Vec<PageRequest>, Vec<Request>)> {
        let reservation = self.reservation()?;
        let (requested, further) = self.attempt.scans.pages_to_request(&reservation, ahead);
        let describe = || (self.statement.text.clone(), self.attempt.scans.shards());
        let listed = &self.report;
        let report =
            self.io.with(|context| listed.report(context, &self.session, further, describe))?;
        let query = listed.precedence(self.attempt.points);
        let pages = requested.iter().filter_map(|page| self.attempt.scans.request(*page, query));
        let requests = pages.chain(report).collect();
        Ok((requested, requests))
    }

    /// Stores pages that were requested ahead. If such a request failed, the page is requested
    /// again when the SQL Worker needs it. Only a failure of the second request is an error.
    fn store_prefetched(&mut self, requested: &[PageRequest], mut replies: Replies) -> Result<()> {
        check_report(requested, &mut replies)?;
        for (requested, reply) in requested.iter().zip(replies) {
            let page = shard_page(reply, &self.session.principal.name, self.database());
            if let (true, Ok(Some(page))) = (self.attempt.scans.has(*requested), page) {
                let PageResult { rows, series, .. } =
                    self.attempt.scans.on_prefetched(*requested, page)?;
                self.count(rows, series)?;
            }
        }
        Ok(())
    }

    /// Reads pages until the SQL Worker has a reply to one of its requests. Returns `false` if the
    /// statement must be opened again.
    async fn read_pages(&mut self) -> Result<bool> {
        while self.attempt.replies.is_empty() {
            let (requested, requests) = self.request_pages(false)?;
            if requested.is_empty() {
                return Err(Error::unexpected_reply());
            }
            let mut replies = self.io.calls(requests).await;
            check_report(&requested, &mut replies)?;
            let mut is_stale = false;
            for (requested, reply) in requested.iter().zip(replies) {
                let who = &self.session.principal.name;
                let Some(reply) = shard_page(reply, who, self.database())? else {
                    is_stale = true;
                    continue;
                };
                let PageResult { reply, rows, series } =
                    self.attempt.scans.on_reply(*requested, reply)?;
                self.attempt.replies.extend(reply);
                self.count(rows, series)?;
            }
            if is_stale {
                self.retries.count()?;
                self.load(Load::from_owner).await?;
                if !self.emitted {
                    return Ok(false);
                }
            } else {
                (self.retries, self.attempt.is_confirmed) = (Retries::default(), true);
            }
        }
        Ok(true)
    }

    fn count(&mut self, rows: u64, series: u64) -> Result<()> {
        self.attempt.points += rows;
        let limits = self.io.with(|context| context.platform.limits())?;
        let limits = [Limit::Series, Limit::Points].map(|limit| limits.get(limit) as u64);
        Ok(check_read_limits([series, self.attempt.points], limits)?)
    }
}

/// Removes the reply to the report, if the statement sent a report. Returns an error if the
/// statement was killed.
fn check_report(requested: &[PageRequest], replies: &mut Replies) -> Result<()> {
    let report = if replies.len() > requested.len() { replies.pop() } else { None };
    if report.is_some_and(is_killed) { Err(Error::Interrupted) } else { Ok(()) }
}

fn named_tables(schema: &PolicySchema, names: &[String]) -> Vec<TableSchema> {
    names.iter().filter_map(|name| schema.measurements.get(name)).map(|m| table(m)).collect()
}

/// Returns the tables whose names occur in `text`; `None` if the search would take too long.
fn tables_named_in(schema: &PolicySchema, text: &str) -> Option<Vec<TableSchema>> {
    let bytes = text.len().max(SEARCH_BYTES_MIN);
    if schema.measurements.len().saturating_mul(bytes) > SQL_NAMES_SEARCH_MAX {
        return None;
    }
    let named = schema.measurements.iter().filter(|(name, _)| is_named(text, name));
    Some(named.map(|(_, measurement)| table(measurement)).collect())
}

fn every_table(schema: &PolicySchema) -> Vec<TableSchema> {
    schema.measurements.values().map(|measurement| table(measurement)).collect()
}

fn table(measurement: &MeasurementSchema) -> TableSchema {
    let columns = measurement.columns.iter().filter(|column| !column.is_companion());
    let columns = columns.map(|column| TableColumn {
        name: column.key.clone(),
        field_type: match column.kind {
            ColumnKind::Tag => None,
            ColumnKind::Field(field_type) => Some(field_type),
        },
    });
    TableSchema { name: measurement.name.clone(), columns: columns.collect() }
}

/// Returns the rows of the SQL table `system.queries`: one row for each running query of the
/// database, in the order of the columns in `sql/src/tables/system.rs`.
fn system_queries(all: &[LiveQuery], database: &str, now_ns: i64) -> Vec<Vec<Option<String>>> {
    let of_database = all.iter().filter(|query| query.database == database);
    let row = |query: &LiveQuery| {
        let phase = if query.killed { "killed" } else { "running" };
        let running_s = now_ns.saturating_sub(query.started_ns) / S_NS;
        vec![
            Some(query.id.to_string()),
            Some(phase.to_owned()),
            Some(query.started_ns.to_string()),
            None,
            Some(query.text.clone()),
            Some(format!("{running_s}s")),
        ]
    };
    of_database.map(row).collect()
}

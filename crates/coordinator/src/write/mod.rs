//! Writes a batch of parsed lines to its shards: checks every row, registers missing columns, and
//! sends frames to the shards.
//!
//! Before the write rejects a line because of cached state, it loads the current state once, from
//! the Catalog and the Database. If a shard has newer state, the write starts again, but only with
//! the rows of the refused frames (PROTOCOL.md rules 4 to 8).

mod append;
pub mod rejections;
mod schema_check;
pub mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Io;
use super::error::{Error, Result};
use super::grants::Principal;
use super::load_schemas::{Load, Loaded, Retries, SchemaSelection};
use append::Pacer;
use rejections::{LineRefusal, Rejections, Retention};
use schema_check::{Columns, Conflict, type_conflict};
use tidemark_engine::batch::selection::Selection;
use tidemark_engine::batch::{Batch, MeasurementBatch};
use tidemark_engine::protocol::catalog::{CatalogRefusal, FromCatalog, ToCatalog};
use tidemark_engine::protocol::database::{
    ColumnSet, CreateDatabase, FromDatabase, PolicyRefusal, RegisterRefusal, ToDatabase,
};
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::round::Request;
use tidemark_model::bug::OrBug;
use tidemark_model::grant::PermissionKind;
use tidemark_model::ids::{ObjectId, PolicyId};
use tidemark_model::limits::{PAGE_BYTES_MAX, STALE_RETRIES_MAX};
use tidemark_model::name;
use tidemark_model::schema::PolicySchema;
use tidemark_model::shard_map::Policy;
use window::{Bound, DroppedRange, WriteWindow};

const SETS_PER_CALL_MAX: usize = 1_000;
/// The maximum number of known columns of the measurements in one registration, except for a
/// registration of one measurement. The Database rewrites all columns of a changed measurement, and
/// needs a few milliseconds for this number.
const COLUMNS_PER_CALL_MAX: usize = 25_000;
/// The number of schema columns after which the lookup of columns pauses, so that other requests
/// run.
const COLUMNS_PER_TURN: usize = 50_000;

/// A write request.
#[derive(Clone, Debug)]
pub struct WriteRequest {
    /// The database's name.
    pub database: String,
    /// The policy name from the client. An absent or empty name means the default policy.
    pub policy: Option<String>,
    /// The policy's id, if the client named a bucket by its id. A later policy with the same name
    /// has another id.
    pub policy_id: Option<PolicyId>,
    /// The caller. The write checks the caller's permission after the policy is known.
    pub principal: Principal,
    /// The accepted lines.
    pub batch: Batch,
    /// The definition with which the write creates a missing database. If `None`, a missing
    /// database is an error.
    pub auto_create: Option<CreateDatabase>,
    /// Whether the write rejects all lines if the schema rejects one line.
    pub all_or_nothing: bool,
}

/// The result of a write: stored points and rejected lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WriteOutcome {
    /// The number of durably stored points.
    pub points_written: u64,
    /// The rejected lines.
    pub rejected: Rejections,
    /// The policy of the created database, if the write created one.
    pub created: Option<Created>,
}

/// The policy of a created database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The policy's name.
    pub policy: String,
    /// The policy's duration, in nanoseconds; 0 keeps points permanently.
    pub duration_ns: i64,
}

/// Writes a batch. [`WriteOutcome`] contains the lines that the schema, the retention policy or a
/// quota rejected. In case of an error, the response names no line: the request as a whole was
/// refused, or a shard failed and it is unknown which points are stored.
pub async fn write(io: &Io, request: WriteRequest) -> Result<WriteOutcome> {
    let mut write = Write {
        io,
        pending: request.batch.measurements.iter().map(|_| Selection::All).collect(),
        request,
        outcome: WriteOutcome::default(),
        refused_sets: BTreeMap::new(),
        retries: Retries::default(),
        registrations: 0,
        growth: None,
        dropped: None,
        metered: BTreeSet::new(),
    };
    let result = write.run().await;
    if let Some(growth) = write.growth {
        // The reply does not change the write's result.
        let _ = io.request(growth).await;
    }
    result.map(|()| write.outcome)
}

struct Write<'a> {
    io: &'a Io,
    request: WriteRequest,
    outcome: WriteOutcome,
    /// For each measurement, the rows that are neither written nor rejected.
    pending: Vec<Selection>,
    refused_sets: BTreeMap<ColumnSet, RegisterRefusal>,
    retries: Retries,
    registrations: u32,
    /// The report about a group that has grown too large, or whose split may have stopped.
    growth: Option<Request>,
    /// The oldest and the newest rejected point outside of the retention period or of the limits.
    dropped: Option<DroppedRange>,
    /// The shards that have counted the write for the quotas.
    metered: BTreeSet<ObjectId>,
}

/// The result of an attempt to write the pending rows.
enum Attempt {
    /// Every row is written or rejected.
    Complete,
    /// The write needs the current state, because the cached state may be outdated.
    Uncertain,
    /// An object has newer state than the attempt used.
    Stale,
    /// The Database registered or refused each missing column set, and the schema has this version.
    Registered { version: u64 },
}

impl Write<'_> {
    async fn run(&mut self) -> Result<()> {
        let mut load = self.load(Load::cached);
        loop {
            let attempt = match load.run(self.io).await {
                Ok(loaded) => self.attempt(loaded).await?,
                Err(Error::DatabaseNotFound(name)) => match self.request.auto_create.take() {
                    Some(create) => self.create(create).await?,
                    None => return Err(Error::DatabaseNotFound(name)),
                },
                Err(error) => return Err(error),
            };
            load = match attempt {
                Attempt::Complete => return Ok(()),
                Attempt::Uncertain => self.load(Load::from_owner),
                Attempt::Stale => {
                    self.retries.count()?;
                    self.load(Load::from_owner)
                }
                Attempt::Registered { version } => {
                    self.load(Load::cached).with_schema_version(version)
                }
            };
        }
    }

    fn load(&self, load: fn(&str, SchemaSelection) -> Load) -> Load {
        let WriteRequest { database, policy, principal, .. } = &self.request;
        load(database, SchemaSelection::Policy(policy.clone())).for_caller(principal)
    }

    async fn attempt(&mut self, loaded: Loaded) -> Result<Attempt> {
        let (policy, schema) = loaded.policy().ok_or_else(Error::unexpected_reply)?;
        match self.request.policy_id.filter(|id| *id != policy.id) {
            Some(_) if !loaded.fresh => return Ok(Attempt::Uncertain),
            Some(_) => return Err(Error::PolicyNotFound(policy.name.clone())),
            None => {}
        }
        match loaded.permissions.check(PermissionKind::Write, &self.request.database, &policy.name)
        {
            Err(_) if !loaded.fresh => return Ok(Attempt::Uncertain),
            allowed => allowed?,
        }
        let window = WriteWindow::of(policy, self.io.now_ns()?);
        let measurements = &self.request.batch.measurements;
        let (mut columns, mut columns_of_turn) = (Vec::with_capacity(measurements.len()), 0);
        for measurement in measurements {
            let known = schema.measurements.get(&measurement.name).map(AsRef::as_ref);
            if columns_of_turn >= COLUMNS_PER_TURN {
                self.io.pause(0).await;
                columns_of_turn = 0;
            }
            columns_of_turn += known.map_or(0, |known| known.columns.len());
            columns.push(Columns::new(measurement, known));
        }
        if !loaded.fresh && self.would_reject(&columns, &window).await {
            return Ok(Attempt::Uncertain);
        }
        self.reject(&columns, &window).await;
        if self.outcome.rejected.outside() > 0 {
            let dropped = self.dropped.filter(|_| policy.limits_writes());
            let dropped =
                dropped.map(|dropped| dropped.describe(&self.request.batch.measurements, &window));
            let retention = Retention { dropped, ..Retention::of(policy, window) };
            self.outcome.rejected.retention = Some(retention);
        }
        let missing = self.missing_sets(&columns).await;
        // The write cannot remove rows that a shard has already stored. In that case the outcome
        // reports the stored rows.
        let none_yet = self.outcome.points_written == 0;
        if self.request.all_or_nothing && self.outcome.rejected.total > 0 && none_yet {
            return Ok(Attempt::Complete);
        }
        if !missing.is_empty() {
            // The memory is not needed during the calls.
            drop(columns);
            return self.register(&loaded, (policy.id, &**schema), missing).await;
        }
        self.append(&loaded, &columns).await
    }

    async fn would_reject(&self, columns: &[Columns], window: &WriteWindow) -> bool {
        let mut pacer = Pacer::new(self.io);
        let tables = self.request.batch.measurements.iter().zip(&self.pending).zip(columns);
        for ((batch, pending), columns) in tables {
            if !may_refuse(batch, columns, window) {
                continue;
            }
            for at in 0..pending.len(batch.block.rows()) {
                if refusal(batch, columns, pending.get(at), window).is_some() {
                    return true;
                }
                pacer.count(columns.checks_per_row()).await;
            }
        }
        false
    }

    /// Removes rows that are outside of the window or contradict the schema from `pending`, and
    /// rejects their lines.
    async fn reject(&mut self, columns: &[Columns], window: &WriteWindow) {
        let mut pacer = Pacer::new(self.io);
        let tables = self.request.batch.measurements.iter().zip(&mut self.pending).zip(columns);
        for (position, ((batch, pending), columns)) in tables.enumerate() {
            if !may_refuse(batch, columns, window) {
                continue;
            }
            let rows = batch.block.rows();
            let mut kept = Vec::with_capacity(pending.len(rows));
            for at in 0..pending.len(rows) {
                let row = pending.get(at);
                if let Some(refusal) = refusal(batch, columns, row, window) {
                    let line = batch.lines.get(row as usize);
                    match refusal {
                        RowRefusal::Outside(bound) => {
                            let row = row as usize;
                            DroppedRange::add(&mut self.dropped, (position, batch), row, bound);
                            let cause = || outside(batch, row, bound, window);
                            self.outcome.rejected.add_outside(line, bound, cause);
                        }
                        RowRefusal::Conflict(conflict) => {
                            let cause = || LineRefusal::Columns(type_conflict(batch, conflict));
                            self.outcome.rejected.add(line, cause);
                        }
                    }
                } else {
                    kept.push(row);
                }
                pacer.count(columns.checks_per_row()).await;
            }
            *pending = Selection::of(kept, rows);
        }
    }

    /// Returns the column sets to register. Rejects the rows of sets that the Database has already
    /// refused.
    async fn missing_sets(&mut self, columns: &[Columns]) -> Vec<ColumnSet> {
        let (mut missing, mut pacer) = (Vec::new(), Pacer::new(self.io));
        // Row numbers are only needed to reject rows, and need four bytes each.
        let any_refused = !self.refused_sets.is_empty();
        let tables = self.request.batch.measurements.iter().zip(&mut self.pending).zip(columns);
        for ((batch, pending), columns) in tables {
            if columns.are_known() {
                continue;
            }
            let mut refused = Vec::new();
            for (set, rows) in columns.missing(batch, pending, any_refused, &mut pacer).await {
                let Some(refusal) = self.refused_sets.get(&set) else {
                    missing.push(set);
                    continue;
                };
                for &row in &rows {
                    let line = batch.lines.get(row as usize);
                    let cause = || LineRefusal::Columns(refusal.clone());
                    self.outcome.rejected.add(line, cause);
                    pacer.count(1).await;
                }
                refused.extend(rows);
            }
            refused.sort();
            *pending = pending.without(batch.block.rows(), &refused);
        }
        missing
    }

    async fn register(
        &mut self,
        loaded: &Loaded,
        (policy, schema): (PolicyId, &PolicySchema),
        sets: Vec<ColumnSet>,
    ) -> Result<Attempt> {
        let mut left = VecDeque::from(sets);
        loop {
            let sent = next_sets(&mut left, schema);
            let generation = loaded.description.generation;
            let message = ToDatabase::Register { policy, sets: sent.clone(), generation };
            let (refusals, version) = match self.io.call_database(&loaded.object, &message).await? {
                FromDatabase::Registered { refusals, version } => (refusals, version),
                FromDatabase::NotOpen | FromDatabase::UnknownPolicy => return Ok(Attempt::Stale),
                reply => return Err(reply.into()),
            };
            let refused = sent.into_iter().zip(refusals);
            self.refused_sets
                .extend(refused.filter_map(|(set, refusal)| refusal.map(|refusal| (set, refusal))));
            if left.is_empty() {
                // A batch needs one registration, and one more after each restart for newer state.
                if self.registrations > STALE_RETRIES_MAX {
                    return Err(Unavailable::Changing.into());
                }
                self.registrations += 1;
                return Ok(Attempt::Registered { version });
            }
        }
    }
}

/// Removes the sets of the next call from `left`. The sets of a measurement must be adjacent.
fn next_sets(left: &mut VecDeque<ColumnSet>, schema: &PolicySchema) -> Vec<ColumnSet> {
    let (mut sent, mut bytes, mut columns): (Vec<ColumnSet>, _, _) = (Vec::new(), 0, 0);
    while let Some(set) = left.pop_front() {
        let is_next = sent.last().is_none_or(|last| last.measurement != set.measurement);
        if is_next {
            let known = schema.measurements.get(&set.measurement);
            columns += known.map_or(0, |known| known.columns.len());
        }
        let keys = set.tags.iter().chain(set.fields.iter().map(|(key, _)| key));
        bytes += set.measurement.len() + keys.map(|key| key.len() + 16).sum::<usize>();
        let full = sent.len() >= SETS_PER_CALL_MAX
            || bytes > PAGE_BYTES_MAX
            || is_next && columns > COLUMNS_PER_CALL_MAX;
        if full && !sent.is_empty() {
            left.push_front(set);
            break;
        }
        sent.push(set);
    }
    sent
}

impl Write<'_> {
    /// Creates the missing database if it would keep at least one row, or all rows if the write is
    /// all-or-nothing. Otherwise no database is created, and the lines are rejected in the same way
    /// as by an existing database. The policy that the client names becomes the only policy and the
    /// default, as with `CREATE DATABASE … WITH NAME`.
    async fn create(&mut self, mut create: CreateDatabase) -> Result<Attempt> {
        let named = self.request.policy.as_deref().filter(|name| !matches!(*name, "" | "default"));
        let policy = named.unwrap_or("autogen").to_owned();
        if name::check(&policy).is_err() {
            return Err(Error::PolicyNotFound(policy));
        }
        let mut spec = create.policy.unwrap_or_default();
        let duration_ns = spec.duration_ns.unwrap_or(0);
        spec.name = Some(policy.clone());
        create.policy = Some(spec);
        let now_ns = self.io.now_ns()?;
        // A database that a write creates has no FUTURE LIMIT and no PAST LIMIT.
        let planned = Policy { name: policy.clone(), duration_ns, ..Policy::default() };
        let window = WriteWindow::of(&planned, now_ns);
        let times = self.request.batch.measurements.iter().flat_map(|m| &m.block.times_ns);
        let (old, all) = times.fold((0, 0), |(old, all), &time_ns| {
            (old + u64::from(window.violated(time_ns).is_some()), all + 1)
        });
        if old == all || (self.request.all_or_nothing && old > 0) {
            self.reject_outside(&window).await;
            let retention = Retention { absent: true, ..Retention::of(&planned, window) };
            self.outcome.rejected.retention = Some(retention);
            return Ok(Attempt::Complete);
        }
        let create = self.io.with(|context| create.placed(context.platform))?;
        match self.io.call_catalog(&ToCatalog::Create(create)).await {
            Ok(FromCatalog::Created { existed, .. }) => {
                self.outcome.created = (!existed).then_some(Created { policy, duration_ns });
                Ok(Attempt::Uncertain)
            }
            // Another request has created the database with other settings.
            Err(Error::Catalog(CatalogRefusal::Policy(PolicyRefusal::Conflict))) => {
                Ok(Attempt::Uncertain)
            }
            Ok(_) => Err(Error::unexpected_reply()),
            Err(error) => Err(error),
        }
    }

    async fn reject_outside(&mut self, window: &WriteWindow) {
        let mut pacer = Pacer::new(self.io);
        for batch in &self.request.batch.measurements {
            for row in 0..batch.block.rows() {
                if let Some(bound) = window.violated(time_ns(batch, row)) {
                    let line = batch.lines.get(row);
                    let refusal = || outside(batch, row, bound, window);
                    self.outcome.rejected.add_outside(line, bound, refusal);
                }
                pacer.count(1).await;
            }
        }
    }
}

/// Whether some rows of the batch may be outside of the window or contradict the schema.
fn may_refuse(batch: &MeasurementBatch, columns: &Columns, window: &WriteWindow) -> bool {
    let mut times_ns = batch.block.times_ns.iter();
    columns.has_conflicts() || times_ns.any(|&time_ns| window.violated(time_ns).is_some())
}

/// The reason why a row is rejected: it is outside of the window or contradicts the schema.
enum RowRefusal {
    Outside(Bound),
    Conflict(Conflict),
}

fn refusal(
    batch: &MeasurementBatch,
    columns: &Columns,
    row: u32,
    window: &WriteWindow,
) -> Option<RowRefusal> {
    let row = row as usize;
    if let Some(bound) = window.violated(time_ns(batch, row)) {
        return Some(RowRefusal::Outside(bound));
    }
    columns.conflict(batch, row).map(RowRefusal::Conflict)
}

fn time_ns(batch: &MeasurementBatch, row: usize) -> i64 {
    batch.block.times_ns.get(row).copied().or_bug()
}

fn outside(
    batch: &MeasurementBatch,
    row: usize,
    bound: Bound,
    window: &WriteWindow,
) -> LineRefusal {
    LineRefusal::outside(bound, window, batch.name.clone(), time_ns(batch, row))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tidemark_model::ids::ColumnId;
    use tidemark_model::schema::{ColumnDefinition, ColumnKind, MeasurementSchema};
    use tidemark_model::value::FieldType;

    #[test]
    fn registration_of_wide_measurements_needs_several_calls() {
        let kind = ColumnKind::Field(FieldType::Float);
        let column = |id| ColumnDefinition { id: ColumnId(id), key: format!("f{id}"), kind };
        let columns: Vec<ColumnDefinition> = (0..1_000).map(column).collect();
        let wide = Arc::new(MeasurementSchema { columns, ..MeasurementSchema::default() });
        let name = |number| format!("m{number:02}");
        let measurements = (0..60).map(|number| (name(number), Arc::clone(&wide))).collect();
        let schema = PolicySchema { measurements, ..PolicySchema::default() };
        let set = |number, field: &str| ColumnSet {
            measurement: name(number),
            tags: Vec::new(),
            fields: vec![(field.to_owned(), FieldType::Float)],
        };
        // Each measurement has two sets. Measurements without columns are small.
        let sets: Vec<ColumnSet> =
            (0..90).flat_map(|number| [set(number, "a"), set(number, "b")]).collect();
        let mut left = VecDeque::from(sets.clone());
        let (mut sent, mut calls) = (Vec::new(), Vec::new());
        while !left.is_empty() {
            let next = next_sets(&mut left, &schema);
            calls.push(next.len());
            sent.extend(next);
        }
        assert_eq!((calls, sent), (vec![50, 50, 80], sets));
    }
}

//! Executes SELECT … INTO: writes the rows of a query as points. Each batch of rows is written
//! immediately after the batch is read.
//!
//! If a statement fails, its earlier batches stay written, as in 1.x.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use super::error::{Error, Result};
use super::grants::Principal;
use super::query::Query;
use super::session::Session;
use super::write::rejections::LineRefusal;
use super::write::{self, WriteRequest};
use super::{Io, Pieces};
use tidemark_engine::batch::series_table::{SeriesTable, TagColumn};
use tidemark_engine::batch::{Batch, Block, MeasurementBatch};
use tidemark_influxql::ast::{ExplainStatement, Expr, Field, SelectStatement, Target};
use tidemark_model::name::{NameKind, Unwritable, check_writable};
use tidemark_query::error::QueryError;
use tidemark_query::functions;
use tidemark_query::result::{Column, ResultColumn, SeriesChunk, StringColumn, Values};
use tidemark_query::source::SourceName;

pub(super) fn select_into(
    select: SelectStatement,
    target: Target,
    session: Session,
) -> Result<Pieces<SeriesChunk>, QueryError> {
    check_names(&select, &target)?;
    let place = session.defaults().resolve(target.database.as_deref(), target.policy.as_deref())?;
    let points = IntoPoints::new(tag_arguments(&select));
    let principal = session.principal.clone();
    let cleanup = Rc::clone(&session.cleanup);
    let query = Query::select(select, session)?;
    Ok(Pieces::once(|io| async move {
        let written = copy(&io, query.execute(), &place, &principal, &target, points).await;
        // If writing failed, the query did not reach its end and is still listed.
        let calls = cleanup.take();
        if !calls.is_empty() {
            io.calls(calls).await;
        }
        Ok(Some(written_row(written?)))
    }))
}

/// Writes the rows of the query. Returns the number of written points.
async fn copy(
    io: &Io,
    mut rows: Pieces<SeriesChunk>,
    place: &SourceName,
    principal: &Principal,
    target: &Target,
    mut points: IntoPoints,
) -> Result<u64> {
    check_target(io, place, principal).await?;
    let mut written = 0;
    loop {
        let chunk = io.next(&mut rows).await?;
        let is_end = chunk.is_none();
        if let Some(chunk) = chunk {
            check_time_column(&chunk)?;
            if points.count > 0
                && points.padded_bytes(target.name.as_deref(), &chunk) > PADDED_BYTES_MAX
            {
                written += write_batch(io, place, principal, &mut points).await?;
            }
            let mut start = 0;
            while start < chunk.rows {
                if points.bytes >= BATCH_BYTES {
                    written += write_batch(io, place, principal, &mut points).await?;
                }
                let end = rows_of_batch(&chunk, start);
                points.push(target.name.as_deref(), &chunk, start..end);
                start = end;
            }
        }
        if points.bytes >= BATCH_BYTES || is_end && points.count > 0 {
            written += write_batch(io, place, principal, &mut points).await?;
        }
        if is_end {
            return Ok(written);
        }
    }
}

/// Returns the end of the rows of `chunk`, from row `start`, whose text is at most
/// [`TEXT_BYTES_MAX`]. The rows include at least one row, unless `start` is the end of the chunk.
/// A string that repeats takes little memory in a chunk, but a frame contains each row's text.
fn rows_of_batch(chunk: &SeriesChunk, start: usize) -> usize {
    let columns = chunk.values.iter().filter_map(|column| match column {
        ResultColumn::Values(column) | ResultColumn::Filled { column, .. } => Some(&**column),
        ResultColumn::Time(_) | ResultColumn::Null => None,
    });
    let texts = columns.filter_map(|column| match &column.values {
        Values::String(texts) if texts.codes().is_some() => Some(texts),
        _ => None,
    });
    let texts: Vec<&StringColumn> = texts.collect();
    if texts.is_empty() {
        return chunk.rows;
    }
    let mut bytes = 0;
    for row in start..chunk.rows {
        bytes += texts.iter().map(|texts| texts.get(row).len()).sum::<usize>();
        if bytes > TEXT_BYTES_MAX {
            return row.max(start + 1);
        }
    }
    chunk.rows
}

/// Writes the collected points, and returns their number.
async fn write_batch(
    io: &Io,
    place: &SourceName,
    principal: &Principal,
    points: &mut IntoPoints,
) -> Result<u64> {
    let count = points.count;
    let batch = points.take().map_err(|unwritable| invalid(&unwritable))?;
    write(io, place, principal, batch).await?;
    Ok(count)
}

/// Explains a SELECT … INTO. The statement checks the target's database, and writes nothing.
pub(super) fn explain_into(
    explain: ExplainStatement,
    target: &Target,
    session: Session,
) -> Result<Pieces<SeriesChunk>, QueryError> {
    let place = session.defaults().resolve(target.database.as_deref(), target.policy.as_deref())?;
    let principal = session.principal.clone();
    let mut query = Query::explain(explain, session)?.execute();
    Ok(Pieces::once(|io| async move {
        check_target(&io, &place, &principal).await?;
        let plan = io.next(&mut query).await?;
        // The query ends after its only piece.
        io.next(&mut query).await?;
        Ok(plan)
    }))
}

async fn write(io: &Io, place: &SourceName, principal: &Principal, batch: Batch) -> Result<()> {
    let SourceName { database, policy } = place.clone();
    let (auto_create, all_or_nothing, principal) = (None, false, principal.clone());
    let policy_id = None;
    let request =
        WriteRequest { database, policy, policy_id, principal, batch, auto_create, all_or_nothing };
    let rejected = write::write(io, request).await?.rejected;
    let Some(first) = rejected.named.first() else { return Ok(()) };
    let dropped = rejected.total;
    let cause = match &first.cause {
        // These are the words of 1.12 for a policy with limits, and of earlier versions.
        LineRefusal::Retention { .. } | LineRefusal::Window { .. } => {
            let earlier = || "points beyond retention policy".to_owned();
            rejected.summary().unwrap_or_else(earlier)
        }
        cause => cause.to_string(),
    };
    Err(QueryError::Invalid(format!("partial write: {cause} dropped={dropped}")).into())
}

/// Checks the target before the sources, as in 1.x. A missing database is an error. A missing
/// policy is an error only when a row is written.
async fn check_target(io: &Io, place: &SourceName, principal: &Principal) -> Result<()> {
    match write(io, place, principal, Batch::default()).await {
        Err(Error::PolicyNotFound(_)) => Ok(()),
        checked => checked,
    }
}

fn check_time_column(chunk: &SeriesChunk) -> Result<(), QueryError> {
    let mut times = chunk.columns.iter().enumerate().filter(|(_, name)| *name == "time");
    match (times.next(), times.next()) {
        (Some((0, _)), None) => Ok(()),
        // 1.x has this message for a renamed time column. With two time columns, 1.x panics.
        _ => Err(QueryError::Invalid("error finding time index in result".into())),
    }
}

/// Checks that the names in the statement can be written, before any row is read. Names that depend
/// on the data are checked in each batch.
pub(super) fn check_names(select: &SelectStatement, target: &Target) -> Result<(), QueryError> {
    if let Some(name) = &target.name {
        check_writable(name, NameKind::Measurement).map_err(|reason| invalid(&reason))?;
    }
    for alias in select.fields.iter().filter_map(|field| field.alias.as_deref()) {
        // The check of the chunks refuses a renamed or repeated time column with 1.x's message.
        if alias != "time" {
            check_writable(alias, NameKind::FieldKey).map_err(|reason| invalid(&reason))?;
        }
    }
    Ok(())
}

fn invalid(reason: &Unwritable) -> QueryError {
    QueryError::Invalid(reason.to_string())
}

/// Returns the number of tag arguments of top() and bottom(). Their columns are the last columns,
/// and stay tags. All other columns become fields.
fn tag_arguments(select: &SelectStatement) -> usize {
    let arguments = |field: &Field| match &field.expr {
        Expr::Call { name, args } if functions::takes_tags(name) => {
            args.iter().skip(1).filter(|arg| matches!(arg, Expr::VarRef { .. })).count()
        }
        _ => 0,
    };
    select.fields.iter().map(arguments).sum()
}

fn written_row(points: u64) -> SeriesChunk {
    let points = i64::try_from(points).unwrap_or(i64::MAX);
    let count = ResultColumn::full(Values::Integer(vec![points]));
    SeriesChunk {
        name: Some("result".into()),
        tags: [].into(),
        columns: ["time".to_owned(), "written".to_owned()].into(),
        values: vec![ResultColumn::Time(vec![0]), count],
        rows: 1,
        partial: false,
        zone: [].into(),
    }
}

/// The size of a value in a column, without the text of a string.
const VALUE_BYTES: usize = 8;

/// The size at which a batch is written. The batch becomes one frame for each shard.
const BATCH_BYTES: usize = 4 << 20;

/// The maximum size, in bytes, of the text that is added to a batch at the same time.
const TEXT_BYTES_MAX: usize = 2 * BATCH_BYTES;
/// The number of bytes of a row's text that count as one byte of a batch. The batch stores a
/// repeated string only once.
const TEXT_BYTES_PER_BYTE: usize = 4;

/// The approximate size of a series without its tags.
const SERIES_BYTES: usize = 200;

/// The maximum size of a batch's columns in bytes, with a value for every row of every column.
/// Absent values count.
const PADDED_BYTES_MAX: usize = 4 * BATCH_BYTES;

type Tags = Vec<(String, String)>;

pub(super) struct IntoPoints {
    /// The number of columns at the end that become tags.
    tag_columns: usize,
    tables: BTreeMap<String, MeasurementRows>,
    count: u64,
    bytes: usize,
}

#[derive(Debug, Default)]
struct MeasurementRows {
    tag_keys: Vec<String>,
    /// The position of each key in `tag_keys`.
    tag_places: BTreeMap<String, usize>,
    series: BTreeMap<Tags, u32>,
    field_keys: Vec<String>,
    /// The positions in `fields` for each key, one for each type.
    field_places: BTreeMap<String, Vec<usize>>,
    row_series: Vec<u32>,
    times_ns: Vec<i64>,
    fields: Vec<Column>,
}

impl IntoPoints {
    pub(super) fn new(tag_columns: usize) -> Self {
        Self { tag_columns, tables: BTreeMap::new(), count: 0, bytes: 0 }
    }

    /// Returns the maximum size of the target's columns, with a value for every row, after `chunk`
    /// is added.
    fn padded_bytes(&self, measurement: Option<&str>, chunk: &SeriesChunk) -> usize {
        let table = measurement.or(chunk.name.as_deref()).and_then(|name| self.tables.get(name));
        let (fields, rows) =
            table.map_or((0, 0), |table| (table.fields.len(), table.times_ns.len()));
        VALUE_BYTES * (fields + chunk.columns.len()) * (rows + chunk.rows)
    }

    /// Adds the rows of `chunk` that are in `rows` and have a value. The rows are added to
    /// `measurement`, or to the chunk's own measurement. As in 1.x, a row with an infinite value is
    /// omitted.
    pub(super) fn push(
        &mut self,
        measurement: Option<&str>,
        chunk: &SeriesChunk,
        rows: Range<usize>,
    ) {
        let Some(name) = measurement.or(chunk.name.as_deref()) else { return };
        let Some(ResultColumn::Time(times_ns)) = chunk.values.first() else { return };
        let (mut tags, mut fields, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (place, (key, column)) in
            chunk.columns.iter().zip(&chunk.values).skip(1).rev().enumerate()
        {
            let is_tag = place < self.tag_columns;
            // As in 1.x, the last of several columns with the same name is written.
            if !names.insert((is_tag, key)) {
                continue;
            }
            if let ResultColumn::Values(column) | ResultColumn::Filled { column, .. } = column {
                let named = if is_tag { &mut tags } else { &mut fields };
                named.push((key, column));
            }
        }
        tags.reverse();
        fields.reverse();
        let is_point = |row: &u32| {
            let row = *row as usize;
            let mut present = fields.iter().filter(|(_, c)| c.validity.is_valid(row)).peekable();
            present.peek().is_some()
                && present.all(|(_, column)| match &column.values {
                    Values::Float(values) => values.get(row).is_none_or(|value| value.is_finite()),
                    _ => true,
                })
        };
        let rows: Vec<u32> = (rows.start as u32..rows.end as u32).filter(is_point).collect();
        if rows.is_empty() {
            return;
        }
        let table = self.tables.entry(name.to_owned()).or_default();
        let cells_before = table.cells();
        for &row in &rows {
            table.times_ns.extend(times_ns.get(row as usize));
        }
        let group = chunk.tags.iter().filter(|(_, value)| !value.is_empty());
        let group: Tags = group.cloned().collect();
        if tags.is_empty() {
            let series = table.series_of(group, &mut self.bytes);
            table.row_series.resize(table.times_ns.len(), series);
        } else {
            for &row in &rows {
                let mut own = group.clone();
                for (key, column) in &tags {
                    if let Values::String(values) = &column.values
                        && column.validity.is_valid(row as usize)
                    {
                        own.push(((*key).clone(), values.get(row as usize).to_owned()));
                    }
                }
                own.sort();
                let series = table.series_of(own, &mut self.bytes);
                table.row_series.push(series);
            }
        }
        self.count += rows.len() as u64;
        self.bytes += 12 * rows.len();
        for (key, column) in fields {
            let next = column.gather(&rows);
            let text_bytes = next.values.text_bytes() / TEXT_BYTES_PER_BYTE;
            let bytes = next.bytes().saturating_sub(VALUE_BYTES * next.len());
            self.bytes += bytes.max(text_bytes);
            table.add_field(key, &next, &mut self.bytes);
        }
        self.bytes += VALUE_BYTES * table.cells().saturating_sub(cells_before);
    }

    pub(super) fn take(&mut self) -> Result<Batch, Unwritable> {
        let batch = self.batch();
        for measurement in &batch.measurements {
            check(measurement)?;
        }
        Ok(batch)
    }

    fn batch(&mut self) -> Batch {
        (self.count, self.bytes) = (0, 0);
        let tables = std::mem::take(&mut self.tables).into_iter();
        Batch { measurements: tables.map(|(name, table)| table.finish(name)).collect() }
    }
}

fn check(measurement: &MeasurementBatch) -> Result<(), Unwritable> {
    check_writable(&measurement.name, NameKind::Measurement)?;
    for key in &measurement.field_keys {
        check_writable(key, NameKind::FieldKey)?;
    }
    for (key, tag) in measurement.tag_keys.iter().zip(&measurement.block.series.tags) {
        check_writable(key, NameKind::TagKey)?;
        for value in tag.dictionary.iter() {
            check_writable(value, NameKind::TagValue)?;
        }
    }
    Ok(())
}

impl MeasurementRows {
    /// Adds the memory of a new series to `bytes`.
    fn series_of(&mut self, tags: Tags, bytes: &mut usize) -> u32 {
        if let Some(&series) = self.series.get(&tags) {
            return series;
        }
        for (key, value) in &tags {
            if !self.tag_places.contains_key(key) {
                self.tag_places.insert(key.clone(), self.tag_keys.len());
                self.tag_keys.push(key.clone());
                *bytes += 2 * (size_of::<String>() + key.len()) + 4 * self.series.len();
            }
            // The value counts twice, because the batch contains a second copy.
            *bytes += size_of::<(String, String)>() + key.len() + 2 * value.len();
        }
        // For each series, the batch contains a code for each tag key.
        *bytes += SERIES_BYTES + 4 * self.tag_keys.len();
        let series = self.series.len() as u32;
        self.series.insert(tags, series);
        series
    }

    /// Adds the memory of a new field, without its values, to `bytes`.
    fn add_field(&mut self, key: &str, values: &Column, bytes: &mut usize) {
        let field_type = values.values.field_type();
        let is_same = |&&at: &&usize| {
            self.fields.get(at).is_some_and(|column| column.values.field_type() == field_type)
        };
        let known = self.field_places.get(key).and_then(|places| places.iter().find(is_same));
        let index = known.copied().unwrap_or_else(|| {
            let place = self.fields.len();
            self.field_places.entry(key.to_owned()).or_default().push(place);
            self.field_keys.push(key.to_owned());
            self.fields.push(Column::new(field_type));
            *bytes += size_of::<Column>() + 2 * (size_of::<String>() + key.len());
            place
        });
        let before = self.times_ns.len().saturating_sub(values.len());
        if let Some(column) = self.fields.get_mut(index) {
            column.extend_nulls(before.saturating_sub(column.len()));
            column.extend_from(values);
        }
    }

    /// Returns the number of values after [`Self::pad`].
    fn cells(&self) -> usize {
        self.fields.len() * self.times_ns.len()
    }

    fn pad(&mut self) {
        let rows = self.times_ns.len();
        self.fields.iter_mut().for_each(|c| c.extend_nulls(rows.saturating_sub(c.len())));
    }

    fn finish(mut self, name: String) -> MeasurementBatch {
        self.pad();
        let mut series: Vec<(u32, &Tags)> = self.series.iter().map(|(t, id)| (*id, t)).collect();
        series.sort();
        let mut columns =
            vec![(BTreeMap::<&str, u32>::new(), TagColumn::default()); self.tag_keys.len()];
        for (number, (_, tags)) in series.iter().enumerate() {
            for (key, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
                let place = self.tag_places.get(key).and_then(|&at| columns.get_mut(at));
                let Some((codes, column)) = place else { continue };
                // A tag of GROUP BY can also be an argument of top().
                if column.codes.len() > number {
                    continue;
                }
                let next = codes.len() as u32 + 1;
                let code = *codes.entry(value).or_insert(next);
                if code == next {
                    column.dictionary.push(value);
                }
                column.codes.resize(number, 0);
                column.codes.push(code);
            }
        }
        let tags = columns.into_iter().map(|(_, mut column)| {
            column.codes.resize(series.len(), 0);
            column
        });
        let tags = tags.collect();
        let len = series.len() as u32;
        let lines = (1..=self.times_ns.len() as u32).collect();
        let Self { tag_keys, field_keys, row_series, times_ns, fields, .. } = self;
        let block = Block { series: SeriesTable { tags, len }, row_series, times_ns, fields };
        MeasurementBatch { name, tag_keys, field_keys, block, lines }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(host: &str) -> SeriesChunk {
        let tags = [("host".to_owned(), host.to_owned())].into();
        SeriesChunk { name: Some("m".into()), tags, ..written_row(1) }
    }

    #[test]
    fn tags_count_with_their_text() {
        let mut points = IntoPoints::new(0);
        let long = "x".repeat(60_000);
        let hosts: Vec<String> = (0..50).map(|n| format!("{n}{long}")).collect();
        hosts.iter().for_each(|host| points.push(None, &chunk(host), 0..1));
        let bytes = points.bytes;
        assert!(bytes > 2 * 50 * long.len(), "{bytes}");
        hosts.iter().for_each(|host| points.push(None, &chunk(host), 0..1));
        assert!(points.bytes < bytes + 50 * 100, "{} after {bytes}", points.bytes);
        let batch = points.batch();
        assert!(batch.bytes() < bytes, "{}", batch.bytes());
    }
}

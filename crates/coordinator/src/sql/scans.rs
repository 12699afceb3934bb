//! Tracks the scans of a SQL statement: which page of which shard is next.

use std::collections::{BTreeSet, VecDeque};

use super::aggregate_pages::AggregatePages;
use crate::error::{Error, Result};
use crate::live_queries::named_shards;
use crate::load_schemas::Loaded;
use crate::query::shards_of;
use tidemark_engine::merge::cursor::Direction;
use tidemark_engine::protocol::call::Address;
use tidemark_engine::protocol::event::Unavailable;
use tidemark_engine::protocol::round::Request;
use tidemark_engine::protocol::shard::{FromShard, Stamp, ToShard};
use tidemark_engine::protocol::sql::{self, Condition, Page, SessionReply, TimeOrder};
use tidemark_engine::protocol::{envelope, scan_page};
use tidemark_engine::scan::page::ScanPage;
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, AuxColumn, Comparison, Input, Operand, Output, Predicate,
    Resume, ScanRequest,
};
use tidemark_model::ids::{ColumnId, ObjectId};
use tidemark_model::limits::SHARDS_REQUESTED_AT_ONCE_MAX;
use tidemark_model::schema::{ColumnDefinition, MeasurementSchema};
use tidemark_model::time::TimeRange;
use tidemark_model::value::{FieldType, FieldValue};
use tidemark_query::admission::QueryReservation;
use tidemark_query::error::QueryError;

/// The scans of a statement.
#[derive(Default)]
pub(super) struct Scans {
    /// The scans, in the order in which they call shards.
    open: VecDeque<Scan>,
    /// The shards that have returned a page. The statement's schema has every column that such a
    /// shard had at that time, so a newer column comes from a later write (PROTOCOL.md rule 2).
    confirmed: BTreeSet<ObjectId>,
}

struct Scan {
    number: u64,
    /// The first request to each shard.
    request: ScanRequest,
    shards: Vec<(ObjectId, Stamp)>,
    progress: Progress,
    /// The shards whose series are still being counted, each with the position of the next page.
    /// Empty unless the number of series is limited. The scan counts series before it reads rows.
    uncounted: Vec<(usize, Resume)>,
    series: u64,
    is_wanted: bool,
    /// Whether the SQL Worker requested a page after the first page. If so, the SQL Worker probably
    /// needs all pages, and the scan reads ahead.
    continues: bool,
    ready: Vec<SessionReply>,
    /// The numbers of rows read and bytes decoded since the last page.
    read: (u64, u64),
}

enum Progress {
    /// The next position of each shard; `None` after the shard's last page. The SQL Worker receives
    /// the pages in the order of their arrival.
    Rows(Vec<Option<Resume>>),
    Groups(Box<AggregatePages>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageRequest {
    scan: u64,
    shard: usize,
    page_bytes: usize,
    counts: bool,
}

#[derive(Default)]
pub(super) struct PageResult {
    pub(super) reply: Option<SessionReply>,
    /// The number of rows that were read for the page.
    pub(super) rows: u64,
    /// The number of the scan's series counted so far.
    pub(super) series: u64,
}

impl Scan {
    /// Whether the SQL Worker waits for pages or, if `ahead` is true, whether to read ahead.
    fn needs_pages(&self, ahead: bool) -> bool {
        let may_go_ahead = self.continues && self.ready.is_empty();
        if ahead { may_go_ahead && !self.is_wanted } else { self.is_wanted }
    }

    fn next(&self, shard: usize) -> Option<Resume> {
        match &self.progress {
            Progress::Rows(shards) => shards.get(shard)?.clone(),
            Progress::Groups(pages) => pages.resume(shard),
        }
    }

    fn page_reply(&mut self, bytes: Vec<u8>, is_last: bool) -> SessionReply {
        self.is_wanted = false;
        let (rows_read, bytes_decoded) = std::mem::take(&mut self.read);
        SessionReply::Page(Page { scan: self.number, bytes, is_last, rows_read, bytes_decoded })
    }

    fn page(&mut self) -> Result<Option<SessionReply>, QueryError> {
        let Progress::Groups(pages) = &mut self.progress else { return Ok(None) };
        let page = pages.next()?;
        Ok(page.map(|(bytes, is_last)| self.page_reply(bytes, is_last)))
    }

    fn on_reply(&mut self, shard: usize, page: FromShard) -> Result<PageResult> {
        let FromShard::Scanned { until, position, stats, further, groups } = page else {
            return Err(Error::unexpected_reply());
        };
        if !further.is_empty() {
            return Err(Error::unexpected_reply());
        }
        self.read.0 += stats.rows_scanned;
        self.read.1 += stats.bytes_decoded;
        let reply = match &mut self.progress {
            Progress::Rows(shards) => {
                let next = shards.get_mut(shard).ok_or_else(Error::unexpected_reply)?;
                let resume = next.take().ok_or_else(Error::unexpected_reply)?;
                *next = resume.after(until, position);
                let is_last = shards.iter().all(Option::is_none);
                Some(self.page_reply(groups, is_last))
            }
            Progress::Groups(pages) => {
                let groups = scan_page::decode(&groups);
                let groups = groups.map_err(|_| QueryError::Page("the page cannot be read"))?;
                pages.supply(shard, ScanPage { groups, until, position, stats })?;
                self.page()?
            }
        };
        Ok(PageResult { reply, rows: stats.rows_scanned, series: self.series })
    }
}

impl Scans {
    /// Begins a scan. If the scan reads no shard, returns the scan's only page.
    pub(super) fn begin(
        &mut self,
        scan: &sql::ScanRequest,
        loaded: &Loaded,
        now_ns: i64,
        counts_series: bool,
        reservation: &QueryReservation,
    ) -> Result<Option<SessionReply>> {
        let (policy, schema) = loaded.policy().ok_or_else(Error::unexpected_reply)?;
        let table = schema.measurements.get(&scan.table);
        let request = table.and_then(|table| request(scan, table));
        let mut request = request.ok_or_else(Error::unexpected_reply)?;
        request.time =
            request.time.intersect(&TimeRange::new(policy.oldest_kept_ns(now_ns), i64::MAX));
        let shards = match request.time.is_empty() {
            true => Vec::new(),
            false => shards_of(loaded, policy, request.time),
        };
        if shards.is_empty() {
            let page = Page { scan: scan.scan, is_last: true, ..Page::default() };
            return Ok(Some(SessionReply::Page(page)));
        }
        let progress = match &request.output {
            Output::Rows { .. } => Progress::Rows(vec![Some(Resume::default()); shards.len()]),
            Output::Aggregates { .. } => {
                Progress::Groups(Box::new(AggregatePages::new(&request, shards.len(), reservation)))
            }
        };
        self.open.push_back(Scan {
            number: scan.scan,
            request,
            progress,
            uncounted: match counts_series {
                true => (0..shards.len()).map(|shard| (shard, Resume::default())).collect(),
                false => Vec::new(),
            },
            shards,
            series: 0,
            is_wanted: true,
            continues: false,
            ready: Vec::new(),
            read: (0, 0),
        });
        Ok(None)
    }

    /// Records that the SQL Worker requested a further page. Returns the pages that were read
    /// ahead.
    pub(super) fn next_pages(&mut self, scan: u64) -> Result<Vec<SessionReply>> {
        let scan = self.find(scan)?;
        (scan.is_wanted, scan.continues) = (true, true);
        let mut replies = std::mem::take(&mut scan.ready);
        if replies.is_empty() {
            replies.extend(scan.page()?)
        } else {
            scan.is_wanted = false
        }
        self.forget(replies.last());
        Ok(replies)
    }

    pub(super) fn has(&self, requested: PageRequest) -> bool {
        self.open.iter().any(|scan| scan.number == requested.scan)
    }

    fn find(&mut self, scan: u64) -> Result<&mut Scan> {
        let scan = self.open.iter_mut().find(|known| known.number == scan);
        scan.ok_or_else(Error::unexpected_reply)
    }

    /// Records that the shard of `page` has returned a page. Returns the scan.
    fn confirmed_scan(&mut self, page: PageRequest) -> Result<&mut Scan> {
        let shards = &self.find(page.scan)?.shards;
        let (shard, _) = shards.get(page.shard).ok_or_else(Error::unexpected_reply)?;
        let shard = shard.clone();
        self.confirmed.insert(shard);
        self.find(page.scan)
    }

    fn forget(&mut self, reply: Option<&SessionReply>) {
        if let Some(SessionReply::Page(Page { scan, is_last: true, .. })) = reply {
            self.cancel(&[*scan]);
        }
    }

    pub(super) fn cancel(&mut self, cancelled: &[u64]) {
        self.open.retain(|scan| !cancelled.contains(&scan.number));
    }

    /// Returns the pages to request now, and whether one of them is not a shard's first page.
    /// Requests at most `SHARDS_REQUESTED_AT_ONCE_MAX` pages, scan by scan. If `ahead` is true, the
    /// limit is half that number, because the earlier pages are still in memory.
    pub(super) fn pages_to_request(
        &mut self,
        reservation: &QueryReservation,
        ahead: bool,
    ) -> (Vec<PageRequest>, bool) {
        let (mut requested, mut further) = (Vec::new(), false);
        let halves = if ahead { 2 } else { 1 };
        for _ in 0..self.open.len() {
            let Some(scan) = self.open.pop_front() else { break };
            let counts = !scan.uncounted.is_empty();
            let open: Vec<(usize, Resume)> = match counts {
                true => scan.uncounted.clone(),
                false => (0..scan.shards.len())
                    .filter_map(|shard| Some((shard, scan.next(shard)?)))
                    .collect(),
            };
            let room_left = SHARDS_REQUESTED_AT_ONCE_MAX / halves - requested.len();
            let room_left = if scan.needs_pages(ahead) { room_left } else { 0 };
            for (shard, resume) in open.into_iter().take(room_left) {
                further |= resume.is_continuation();
                requested.push(PageRequest { scan: scan.number, shard, page_bytes: 0, counts });
            }
            self.open.push_back(scan);
        }
        let page_bytes = reservation.page_bytes(requested.len() * halves, further);
        requested.iter_mut().for_each(|requested| requested.page_bytes = page_bytes);
        (requested, further)
    }

    pub(super) fn request(&self, requested: PageRequest, query: u64) -> Option<Request> {
        let scan = self.open.iter().find(|scan| scan.number == requested.scan)?;
        let (shard, stamp) = scan.shards.get(requested.shard)?;
        let stamp = Stamp { fresh: stamp.fresh || self.confirmed.contains(shard), ..*stamp };
        let message = match requested.counts {
            true => {
                let mut open = scan.uncounted.iter();
                let (_, resume) = open.find(|(shard, _)| *shard == requested.shard)?;
                let request = ScanRequest { resume: resume.clone(), ..scan.request.clone() };
                ToShard::Explain { stamp, request }
            }
            false => {
                let (resume, page_bytes) = (scan.next(requested.shard)?, requested.page_bytes);
                let request = ScanRequest { resume, page_bytes, ..scan.request.clone() };
                ToShard::Scan { query, stamp, request, further: Vec::new() }
            }
        };
        Some(Request::new(Address::Shard(shard.clone()), envelope::encode(&message)))
    }

    pub(super) fn on_reply(&mut self, page: PageRequest, reply: FromShard) -> Result<PageResult> {
        let scan = self.confirmed_scan(page)?;
        if page.counts {
            let FromShard::Scanned { stats, position, .. } = reply else {
                return Err(Error::unexpected_reply());
            };
            scan.uncounted.retain(|(shard, _)| *shard != page.shard);
            if position.is_some() {
                let resume = Resume { position, ..Resume::default() };
                scan.uncounted.push((page.shard, resume));
            }
            scan.series += stats.series;
            return Ok(PageResult { series: scan.series, ..PageResult::default() });
        }
        let result = scan.on_reply(page.shard, reply)?;
        self.forget(result.reply.as_ref());
        Ok(result)
    }

    pub(super) fn on_prefetched(
        &mut self,
        requested: PageRequest,
        reply: FromShard,
    ) -> Result<PageResult> {
        let scan = self.confirmed_scan(requested)?;
        let mut result = scan.on_reply(requested.shard, reply)?;
        scan.ready.extend(result.reply.take());
        Ok(result)
    }

    /// Continues partly read scans with newer state. The scans do not include rows that were added
    /// in the meantime. If shards were moved or a policy was dropped, the statement fails, because
    /// a scan could read rows twice or miss rows.
    pub(super) fn renew(&mut self, loaded: &Loaded) -> Result<()> {
        let mut shards = self.open.iter_mut().flat_map(|scan| &mut scan.shards);
        let is_renewed = shards.all(|(_, stamp)| loaded.renew(stamp));
        if is_renewed { Ok(()) } else { Err(Unavailable::Changing.into()) }
    }

    /// Returns at most `QUERY_SHARDS_NAMED_MAX` of the scans' shards, without duplicates.
    pub(super) fn shards(&self) -> Vec<ObjectId> {
        named_shards(self.open.iter().flat_map(|scan| &scan.shards).map(|(shard, _)| shard))
    }
}

fn request(scan: &sql::ScanRequest, table: &MeasurementSchema) -> Option<ScanRequest> {
    let condition = match &scan.condition {
        None => None,
        Some(condition) => Some(lower(condition, table)?),
    };
    let conditions: Vec<_> = condition.into_iter().chain(has_visible_field(table)).collect();
    let predicate = (!conditions.is_empty()).then(|| every(conditions));
    let tags = |names: &[String]| -> Option<Vec<ColumnId>> {
        names.iter().map(|name| Some(table.tag(name)?.id)).collect()
    };
    let (group_by, output) = match &scan.aggregates {
        None => {
            let fields: Option<_> = scan.fields.iter().map(|name| input(table, name)).collect();
            let (fields, shown) = (fields?, tags(&scan.tags)?);
            let (limit, every_row) = (scan.rows_max, true);
            (tags(&scan.first_of)?, Output::Rows { fields, tags: shown, limit, every_row })
        }
        Some(aggregates) => {
            let count = sql::AggregateCall {
                function: AggregateFunction::Rows,
                field: None,
                as_float: false,
                aux: Vec::new(),
            };
            let calls = std::iter::once(&count).chain(&aggregates.calls);
            let calls: Option<_> = calls.map(|call| aggregate_call(table, call)).collect();
            let window = aggregates.window.clone();
            (tags(&aggregates.group_by)?, Output::Aggregates { calls: calls?, window, limit: None })
        }
    };
    let direction = Direction::descending_if(scan.first == Some(TimeOrder::Descending));
    let all = ScanRequest::new(table.id, output);
    Some(ScanRequest { time: scan.time, predicate, group_by, direction, ..all })
}

fn input(table: &MeasurementSchema, name: &str) -> Option<Input> {
    let (column, field_type) = table.field(name)?;
    Some(Input { column: column.id, field_type, cast: None })
}

fn aggregate_call(table: &MeasurementSchema, call: &sql::AggregateCall) -> Option<AggregateCall> {
    let input = match &call.field {
        Some(name) => {
            let cast = call.as_float.then_some(FieldType::Float);
            Input { cast, ..input(table, name)? }
        }
        // Any column is suitable, because the aggregate does not read its values.
        None => {
            let column = table.columns.first()?.id;
            Input { column, field_type: FieldType::Boolean, cast: None }
        }
    };
    let aux = call.aux.iter().map(|name| match table.tag(name) {
        Some(tag) => Some(AuxColumn::Tag(tag.id)),
        None => self::input(table, name).map(AuxColumn::Field),
    });
    Some(AggregateCall { function: call.function, input, aux: aux.collect::<Option<_>>()? })
}

/// Converts a condition into a shard's predicate with column ids.
fn lower(condition: &Condition, schema: &MeasurementSchema) -> Option<Predicate> {
    let all = |parts: &[Condition]| -> Option<Vec<Predicate>> {
        parts.iter().map(|part| lower(part, schema)).collect()
    };
    let tag = |name: &str| schema.tag(name).map(|column| Operand::Tag(column.id));
    Some(match condition {
        Condition::All(parts) => every(all(parts)?),
        Condition::Any(parts) => any(all(parts)?),
        Condition::TagIn(name, values) => {
            let tag = tag(name)?;
            any(values.iter().map(|value| text(&tag, Comparison::Equal, value)).collect())
        }
        Condition::TagNotIn(name, values) => {
            let tag = tag(name)?;
            // A shard treats a missing tag as an empty text.
            let values = std::iter::once("").chain(values.iter().map(String::as_str));
            every(values.map(|value| text(&tag, Comparison::NotEqual, value)).collect())
        }
        Condition::TagMissing(name) => text(&tag(name)?, Comparison::Equal, ""),
        Condition::Field(name, field_type, comparison, value) => {
            let (column, known) = schema.field(name)?;
            let input = Input { column: column.id, field_type: known, cast: None };
            if known != *field_type {
                return None;
            }
            let (field, value) = (Operand::Field(input), Operand::Literal(value.clone()));
            Predicate::Compare(*comparison, Box::new(field), Box::new(value))
        }
    })
}

/// Returns the condition that a row has a value in a field other than a companion, if the table has
/// companions. SQL has no column for a companion, so it must not return a row of only companions.
fn has_visible_field(table: &MeasurementSchema) -> Option<Predicate> {
    if !table.columns.iter().any(ColumnDefinition::is_companion) {
        return None;
    }
    let has_value = |(column, field_type): (&ColumnDefinition, FieldType)| {
        let any = match field_type {
            FieldType::Float => FieldValue::Float(0.0),
            FieldType::Integer => FieldValue::Integer(0),
            FieldType::Unsigned => FieldValue::Unsigned(0),
            FieldType::Boolean => FieldValue::Boolean(false),
            FieldType::String => FieldValue::String("".into()),
        };
        let input = Input { column: column.id, field_type, cast: None };
        // A missing value satisfies no comparison.
        let compare = |comparison| {
            let (field, any) = (Operand::Field(input.clone()), Operand::Literal(any.clone()));
            Predicate::Compare(comparison, Box::new(field), Box::new(any))
        };
        self::any([Comparison::Equal, Comparison::NotEqual].map(compare).into())
    };
    Some(any(table.fields().map(has_value).collect()))
}

fn text(tag: &Operand, comparison: Comparison, value: &str) -> Predicate {
    let value = Operand::Literal(FieldValue::String(value.into()));
    Predicate::Compare(comparison, Box::new(tag.clone()), Box::new(value))
}

fn every(parts: Vec<Predicate>) -> Predicate {
    balanced(parts, &Predicate::And).unwrap_or(Predicate::Constant(true))
}

fn any(parts: Vec<Predicate>) -> Predicate {
    balanced(parts, &Predicate::Or).unwrap_or(Predicate::Constant(false))
}

/// Joins the parts pairwise in rounds, so that thousands of values do not produce thousands of
/// nested levels.
fn balanced(
    mut parts: Vec<Predicate>,
    join: &dyn Fn(Box<Predicate>, Box<Predicate>) -> Predicate,
) -> Option<Predicate> {
    while parts.len() > 1 {
        let mut rest = std::mem::take(&mut parts).into_iter();
        while let Some(first) = rest.next() {
            parts.push(match rest.next() {
                Some(second) => join(Box::new(first), Box::new(second)),
                None => first,
            });
        }
    }
    parts.pop()
}

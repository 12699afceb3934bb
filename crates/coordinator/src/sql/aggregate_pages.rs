//! Merges the shards' partial aggregates into pages for the SQL Worker, with one row for each group
//! and window.

use std::collections::VecDeque;

use tidemark_engine::batch::column::{Column, StringColumn, Values};
use tidemark_engine::protocol::scan_page;
use tidemark_engine::scan::page::{AuxValues, Group, GroupData, PartialColumn, ScanPage};
use tidemark_engine::scan::partial::{self, FinalValues};
use tidemark_engine::scan::request::{
    AggregateCall, AggregateFunction, AuxColumn, Input, Output, Resume, ScanRequest,
};
use tidemark_model::limits::{PAGE_BYTES_MAX, SQL_PAGE_ROWS_MAX};
use tidemark_model::value::FieldType;
use tidemark_query::admission::QueryReservation;
use tidemark_query::error::QueryError;
pub(super) use tidemark_query::stream::{Front, Stream};

const MALFORMED: QueryError = QueryError::Page("the partial aggregates are for other calls");

/// The aggregate states of a scan, which the shards send and the SQL Worker receives.
pub(super) struct AggregatePages {
    /// The first call counts the rows of each window, so that a window exists even if all other
    /// calls are null. The SQL Worker does not receive this count.
    calls: Vec<AggregateCall>,
    stream: Stream,
    rows: PageRows,
    pages: VecDeque<Vec<u8>>,
}

impl AggregatePages {
    /// `request` goes to every shard. Its output must be aggregates, and its first call must count
    /// the rows.
    pub(super) fn new(
        request: &ScanRequest,
        shards: usize,
        reservation: &QueryReservation,
    ) -> Self {
        let calls = match &request.output {
            Output::Aggregates { calls, .. } => calls.clone(),
            Output::Rows { .. } => Vec::new(),
        };
        let key = (0..request.group_by.len()).map(Some).collect();
        // The cast is safe, because the number of shards is far below 2^32.
        let stream = Stream::new(0, shards as u32, request.clone(), key, false, reservation);
        let rows = PageRows::new(request.group_by.len(), &calls);
        Self { calls, stream, rows, pages: VecDeque::new() }
    }

    pub(super) fn resume(&self, shard: usize) -> Option<Resume> {
        let is_missing = self.pages.is_empty() && self.stream.front() == Front::Missing;
        self.stream.resume(shard as u32).filter(|_| is_missing)
    }

    pub(super) fn supply(&mut self, shard: usize, page: ScanPage) -> Result<(), QueryError> {
        self.stream.supply(shard as u32, page)
    }

    /// Returns the next page, and whether this page is the last page; `None` if shards must be
    /// called first.
    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, bool)>, QueryError> {
        // If two pages exist, the first page is not the last.
        while self.pages.len() < 2 {
            let Front::Group(key) = self.stream.front() else { break };
            let key = key.to_vec();
            let Some(GroupData::Partials(states)) = self.stream.pop() else { continue };
            self.rows.add(&key, &self.calls, &states)?;
            if self.rows.is_full() {
                self.rows.cut(&mut self.pages);
            }
        }
        let front = self.stream.front();
        if !matches!(front, Front::Group(_)) {
            self.rows.cut(&mut self.pages);
        }
        let page = self.pages.pop_front();
        let is_last = self.pages.is_empty() && front == Front::End;
        Ok(match page {
            None if !is_last => None,
            page => Some((page.unwrap_or_default(), is_last)),
        })
    }
}

struct PageRows {
    times_ns: Vec<i64>,
    /// The groups' tags, one column per tag key.
    tags: Vec<StringColumn>,
    /// The columns of each call: the call's value and, for a selector, the time and the additional
    /// columns.
    fields: Vec<Column>,
}

impl PageRows {
    fn new(tags: usize, calls: &[AggregateCall]) -> Self {
        let mut fields = Vec::new();
        for call in calls.iter().skip(1) {
            fields.push(Column::new(value_type(call)));
            if selects(call) {
                fields.push(Column::new(FieldType::Integer));
                fields.extend(call.aux.iter().map(|aux| Column::new(aux_type(aux))));
            }
        }
        Self { times_ns: Vec::new(), tags: vec![StringColumn::default(); tags], fields }
    }

    fn add(
        &mut self,
        key: &[String],
        calls: &[AggregateCall],
        states: &[PartialColumn],
    ) -> Result<(), QueryError> {
        let finish = |(call, states): (&AggregateCall, &PartialColumn)| {
            partial::finish(call, states).map_err(|_| MALFORMED)
        };
        let mut finished = calls.iter().zip(states).map(finish);
        let windows_ns = finished.next().ok_or(MALFORMED)??.windows_ns;
        for (tag, value) in self.tags.iter_mut().zip(key) {
            windows_ns.iter().for_each(|_| tag.push(value));
        }
        let mut fields = self.fields.iter_mut();
        let mut put = |positions: &[Option<u32>], values: &Column| {
            let field = fields.next().ok_or(MALFORMED)?;
            let is_same_type = append(field, positions, values);
            is_same_type.then_some(()).ok_or(MALFORMED)
        };
        for finished in finished {
            let FinalValues { windows_ns: own_ns, values, times_ns, aux } = finished?;
            let positions = positions(&windows_ns, &own_ns);
            put(&positions, &values)?;
            if let Some(times_ns) = times_ns {
                put(&positions, &Column::full(Values::Integer(times_ns)))?;
            }
            for aux in aux {
                match aux {
                    AuxValues::Field(values) => put(&positions, &values)?,
                    AuxValues::Tag(tags) => put(&positions, &texts(&tags))?,
                }
            }
        }
        self.times_ns.extend(windows_ns);
        Ok(())
    }

    fn is_full(&self) -> bool {
        let columns = self.fields.iter().map(Column::bytes);
        let tags = self.tags.iter().map(StringColumn::bytes);
        let bytes: usize = columns.chain(tags).sum();
        self.times_ns.len() >= SQL_PAGE_ROWS_MAX || bytes >= PAGE_BYTES_MAX
    }

    fn cut(&mut self, pages: &mut VecDeque<Vec<u8>>) {
        let rows: Vec<u32> = (0..).take(self.times_ns.len()).collect();
        for (rows, times_ns) in
            rows.chunks(SQL_PAGE_ROWS_MAX).zip(self.times_ns.chunks(SQL_PAGE_ROWS_MAX))
        {
            let data = GroupData::Rows {
                times_ns: times_ns.to_vec(),
                fields: self.fields.iter().map(|column| column.gather(rows)).collect(),
                tags: self.tags.iter().map(|column| column.gather(rows)).collect(),
            };
            pages.push_back(scan_page::encode(&[Group { key: Vec::new(), data }]));
        }
        self.times_ns.clear();
        for column in &mut self.fields {
            *column = Column::new(column.values.field_type());
        }
        self.tags.fill(StringColumn::default());
    }
}

/// Returns, for each window in `windows_ns`, its position in `own_ns`; `None` if `own_ns` lacks the
/// window. Both arguments ascend.
fn positions(windows_ns: &[i64], own_ns: &[i64]) -> Vec<Option<u32>> {
    let mut own = (0..).zip(own_ns).peekable();
    let position =
        |window_ns: &i64| own.next_if(|(_, own_ns)| *own_ns == window_ns).map(|(at, _)| at);
    windows_ns.iter().map(position).collect()
}

/// Appends the values at these positions, and null for a missing position. Returns `false` if the
/// values have another type.
fn append(field: &mut Column, positions: &[Option<u32>], values: &Column) -> bool {
    if positions.len() == values.len() && !positions.contains(&None) {
        return field.extend_from(values);
    }
    positions.iter().all(|position| match position {
        Some(at) => field.push_from(values, *at as usize),
        None => {
            field.push_null();
            true
        }
    })
}

/// Converts tags into a text column. A tag that a series lacks becomes null.
fn texts(tags: &StringColumn) -> Column {
    let mut column = Column::full(Values::String(tags.clone()));
    let are_there = tags.iter().map(|tag| !tag.is_empty()).enumerate();
    are_there.for_each(|(row, is_there)| column.validity.push(row, is_there));
    column
}

fn selects(call: &AggregateCall) -> bool {
    use AggregateFunction::{First, FirstRow, Last, LastRow, Max, Min};
    matches!(call.function, Min | Max | First | Last | FirstRow | LastRow)
}

fn value_type(call: &AggregateCall) -> FieldType {
    match call.function {
        AggregateFunction::Count => FieldType::Integer,
        function if !function.reads_input() => FieldType::Integer,
        _ => input_type(&call.input),
    }
}

fn input_type(input: &Input) -> FieldType {
    input.output_type().unwrap_or(input.field_type)
}

fn aux_type(aux: &AuxColumn) -> FieldType {
    match aux {
        AuxColumn::Field(input) => input_type(input),
        AuxColumn::Tag(_) => FieldType::String,
    }
}

//! Implements the operator that reads a measurement. The operator converts pages to batches.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet,
};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::Stream;
use tidemark_model::time::TimeRange;

use super::batches::{PageBatches, Source};
use super::row_filter::RowFilter;
use crate::error::QueryError;
use crate::exchange::{PageExchange, ScanHandle};
use crate::messages::{AggregateCall, Aggregates, Condition, ScanRequest, TimeOrder};
use crate::turns::Pace;

#[derive(Clone, Debug)]
pub(super) struct Scan {
    request: ScanRequest,
    sources: Vec<Source>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl Scan {
    /// Creates a scan. `sources` contains the position of each column of `schema` in a page.
    pub(super) fn new(request: ScanRequest, sources: Vec<Source>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let metrics = ExecutionPlanMetricsSet::new();
        Self { request, sources, properties: Arc::new(properties), metrics }
    }

    /// Returns the column at this position, or `None` if the column is an aggregate.
    pub(super) fn column(&self, at: usize) -> Option<Scanned<'_>> {
        if self.request.aggregates.is_some() {
            return None;
        }
        Some(match *self.sources.get(at)? {
            Source::Time => Scanned::Time,
            Source::Tag(tag) => Scanned::Tag(self.request.tags.get(tag)?),
            Source::Field(field) => {
                let data_type =
                    self.properties.eq_properties.schema().fields().get(at)?.data_type();
                Scanned::Field(self.request.fields.get(field)?, data_type)
            }
            Source::Count(_) | Source::IsPresent(_) => return None,
        })
    }

    /// Whether the scan returns all rows. A scan with a limit or with aggregates does not return
    /// all rows.
    pub(super) fn takes_all(&self) -> bool {
        matches!(self.request, ScanRequest { rows_max: None, first: None, aggregates: None, .. })
    }

    /// Returns a scan that computes aggregates. `sources` contains the position of each column of
    /// `schema` in a page.
    pub(super) fn aggregated(
        &self,
        aggregates: Aggregates,
        sources: Vec<Source>,
        schema: SchemaRef,
    ) -> Self {
        let request = ScanRequest {
            fields: Vec::new(),
            tags: Vec::new(),
            aggregates: Some(Box::new(aggregates)),
            ..self.request.clone()
        };
        Self::new(request, sources, schema)
    }

    /// Returns a scan that returns only the first `rows` rows by time of each group. The values of
    /// the tags determine the group. This scan must have no limit.
    pub(super) fn first_of_groups(&self, tags: Vec<String>, order: TimeOrder, rows: u64) -> Self {
        let (rows_max, first) = (Some(rows), Some(order));
        let request = ScanRequest { rows_max, first, first_of: tags, ..self.request.clone() };
        Self { request, ..self.clone() }
    }
}

/// A column that a scan returns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scanned<'a> {
    Time,
    Tag(&'a str),
    Field(&'a str, &'a DataType),
}

impl DisplayAs for Scan {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        write!(f, "Scan: {}", request.table)?;
        match &request.aggregates {
            Some(aggregates) => write!(f, ", {}", ShownAggregates(aggregates))?,
            None => write!(f, ", fields={:?}, tags={:?}", request.fields, request.tags)?,
        }
        if request.time != TimeRange::ALL {
            write!(f, ", time=[{}, {})", request.time.start_ns, request.time.end_ns)?;
        }
        if let Some(condition) = &request.condition {
            write!(f, ", where {}", Shown(condition))?;
        }
        if let Some(rows) = request.rows_max {
            write!(f, ", rows={rows}")?;
        }
        match request.first {
            Some(TimeOrder::Ascending) => write!(f, ", oldest first")?,
            Some(TimeOrder::Descending) => write!(f, ", newest first")?,
            None => {}
        }
        match request.first_of.is_empty() {
            true => Ok(()),
            false => write!(f, " of each {:?}", request.first_of),
        }
    }
}

impl ExecutionPlan for Scan {
    fn name(&self) -> &'static str {
        "Scan"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        _: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let exchange: Option<Arc<PageExchange>> = context.session_config().get_extension();
        let exchange =
            exchange.ok_or_else(|| QueryError::internal("a scan without an exchange"))?;
        let mut request = self.request.clone();
        if let Some(filter) = context.session_config().get_extension::<RowFilter>() {
            filter.apply(&mut request);
        }
        Ok(Box::pin(ScanStream {
            batch_rows: context.session_config().batch_size(),
            handle: exchange.register_scan(request),
            pace: Pace::of(&context),
            schema: self.schema(),
            sources: self.sources.clone(),
            ready: PageBatches::default(),
            rows_left: self.request.rows_max.filter(|_| self.request.first.is_none()),
            metrics: BaselineMetrics::new(&self.metrics, partition),
            pages: MetricBuilder::new(&self.metrics).counter("pages", partition),
            page_bytes: MetricBuilder::new(&self.metrics).counter("page_bytes", partition),
            rows_read: MetricBuilder::new(&self.metrics).counter("rows_read", partition),
            bytes_decoded: MetricBuilder::new(&self.metrics).counter("bytes_decoded", partition),
        }))
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Arc::new(Self { metrics, ..self.as_ref().clone() }))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        let rows_max = limit.map(|rows| rows as u64);
        // Each shard selects its first rows by time. A second limit would select rows in a
        // different order.
        if self.request.first.is_some() || self.request.aggregates.is_some() {
            return None;
        }
        let request = ScanRequest { rows_max, ..self.request.clone() };
        Some(Arc::new(Self { request, ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        let rows_max = self.request.rows_max.filter(|_| self.request.first.is_none());
        rows_max.and_then(|rows| usize::try_from(rows).ok())
    }
}

struct ScanStream {
    handle: ScanHandle,
    pace: Arc<Pace>,
    schema: SchemaRef,
    sources: Vec<Source>,
    /// The maximum number of rows in a batch.
    batch_rows: usize,
    /// The rows of the last page.
    ready: PageBatches,
    rows_left: Option<u64>,
    metrics: BaselineMetrics,
    pages: Count,
    page_bytes: Count,
    /// The number of rows that shards have read.
    rows_read: Count,
    bytes_decoded: Count,
}

impl ScanStream {
    /// Returns the rows of `batch` that are within the limit.
    fn cut(&mut self, batch: RecordBatch) -> RecordBatch {
        let Some(left) = &mut self.rows_left else { return batch };
        let rows = usize::try_from(*left).unwrap_or(usize::MAX).min(batch.num_rows());
        *left -= rows as u64;
        batch.slice(0, rows)
    }
}

impl Stream for ScanStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let rows = &mut *self;
        loop {
            if rows.rows_left == Some(0) {
                return Poll::Ready(None);
            }
            if rows.pace.is_over() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let next = {
                let _timer = rows.metrics.elapsed_compute().timer();
                rows.ready.next(&rows.sources, &rows.schema, rows.batch_rows)
            };
            match next {
                Ok(Some(batch)) => {
                    let batch = rows.cut(batch);
                    rows.pace.made(batch.num_rows());
                    rows.metrics.record_output(batch.num_rows());
                    return Poll::Ready(Some(Ok(batch)));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(DataFusionError::from(error)))),
            }
            let page = match rows.handle.poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(DataFusionError::from(error))));
                }
                Poll::Ready(Some(Ok(page))) => page,
            };
            let _timer = rows.metrics.elapsed_compute().timer();
            rows.pages.add(1);
            rows.page_bytes.add(page.bytes.len());
            let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
            rows.rows_read.add(count(page.rows_read));
            rows.bytes_decoded.add(count(page.bytes_decoded));
            if page.bytes.is_empty() {
                continue;
            }
            match PageBatches::decode(&page.bytes) {
                Ok(batches) => rows.ready = batches,
                Err(error) => return Poll::Ready(Some(Err(DataFusionError::from(error)))),
            }
        }
    }
}

impl RecordBatchStream for ScanStream {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

struct ShownAggregates<'a>(&'a Aggregates);

impl fmt::Display for ShownAggregates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = |call: &AggregateCall| {
            let name = format!("{:?}", call.function).to_lowercase();
            let arguments = call.field.iter().chain(&call.aux);
            let arguments: Vec<&str> = arguments.map(String::as_str).collect();
            format!("{name}({})", arguments.join(", "))
        };
        let calls: Vec<String> = self.0.calls.iter().map(call).collect();
        write!(f, "aggregates=[{}], by={:?}", calls.join(", "), self.0.group_by)?;
        match &self.0.window {
            Some(window) => write!(f, ", windows={} ns + {} ns", window.every_ns, window.offset_ns),
            None => Ok(()),
        }
    }
}

struct Shown<'a>(&'a Condition);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |f: &mut fmt::Formatter<'_>, parts: &[Condition], word: &str| {
            for (at, part) in parts.iter().enumerate() {
                let before = if at == 0 { "" } else { word };
                write!(f, "{before}{}", Shown(part))?;
            }
            Ok(())
        };
        match self.0 {
            Condition::All(parts) => join(f, parts, " and "),
            Condition::Any(parts) => {
                write!(f, "(")?;
                join(f, parts, " or ")?;
                write!(f, ")")
            }
            Condition::TagIn(tag, values) => write!(f, "{tag} in {values:?}"),
            Condition::TagNotIn(tag, values) => write!(f, "{tag} exists and is not in {values:?}"),
            Condition::TagMissing(tag) => write!(f, "{tag} is missing"),
            Condition::Field(field, _, compare, value) => {
                write!(f, "{field} {compare:?} {value:?}")
            }
        }
    }
}

//! Implements the operator that adds missing bins. The operator reads all rows of the aggregate and
//! sorts them by group and time. Finally, the operator returns the filled rows in batches.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::compute::{
    SortColumn, SortOptions, concat_batches, lexsort_to_indices, take_record_batch,
};
use datafusion::arrow::datatypes::{Fields, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::distribution_requirements::InputDistributionRequirements;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::fill::{Fill, FilledRows, Filler};
use crate::functions::bins::Bins;
use crate::limits::BATCH_ROWS;

#[derive(Clone, Debug)]
pub(super) struct GapFillExec {
    input: Arc<dyn ExecutionPlan>,
    time: usize,
    fills: Vec<Fill>,
    bins: Bins,
    range: (i64, i64),
    properties: Arc<PlanProperties>,
}

impl GapFillExec {
    /// Creates the operator. `range` contains the first and the last time for which bins exist, in
    /// nanoseconds.
    pub(super) fn new(
        input: Arc<dyn ExecutionPlan>,
        time: usize,
        fills: Vec<Fill>,
        bins: Bins,
        range: (i64, i64),
    ) -> Self {
        let schema = input.schema();
        let fields = schema.fields().iter().zip(&fills).map(|(field, fill)| fill.field(field));
        let schema =
            Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { input, time, fills, bins, range, properties: Arc::new(properties) }
    }

    async fn filled(
        self,
        mut input: SendableRecordBatchStream,
        reservation: MemoryReservation,
    ) -> Result<Filled> {
        let mut batches = Vec::new();
        while let Some(batch) = input.try_next().await? {
            // The input, the sorted rows and the result exist at the same time.
            reservation.try_grow(3 * batch.get_array_memory_size())?;
            batches.push(batch);
        }
        let rows = concat_batches(&input.schema(), &batches)?;
        drop(batches);
        let rows = sorted(&rows, &self.fills, self.time)?;
        let rows = FilledRows::new(rows, self.time, &self.fills, &self.bins, self.range)?;
        reservation.try_grow(rows.bytes())?;
        Ok(Filled {
            filler: Filler::new(&self.fills, self.time),
            rows,
            at: 0,
            schema: self.schema(),
            _reservation: reservation,
        })
    }
}

/// Returns the rows, sorted by group and then by time.
fn sorted(rows: &RecordBatch, fills: &[Fill], time: usize) -> Result<RecordBatch> {
    let options = Some(SortOptions { descending: false, nulls_first: false });
    let is_key = |at: usize| fills.get(at) == Some(&Fill::Key) && at != time;
    let keys = (0..rows.num_columns()).filter(|&at| is_key(at)).chain([time]);
    let columns: Vec<SortColumn> =
        keys.map(|at| SortColumn { values: Arc::clone(rows.column(at)), options }).collect();
    Ok(take_record_batch(rows, &lexsort_to_indices(&columns, None)?)?)
}

struct Filled {
    rows: FilledRows,
    filler: Filler,
    at: usize,
    schema: SchemaRef,
    _reservation: MemoryReservation,
}

impl Filled {
    fn next(&mut self) -> Result<Option<RecordBatch>> {
        let end = self.rows.len().min(self.at + BATCH_ROWS);
        if self.at == end {
            return Ok(None);
        }
        let columns = self.filler.columns(&self.rows, self.at..end)?;
        self.at = end;
        Ok(Some(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }
}

impl DisplayAs for GapFillExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GapFillExec: time=[{}, {}], fill={:?}", self.range.0, self.range.1, self.fills)
    }
}

impl ExecutionPlan for GapFillExec {
    fn name(&self) -> &'static str {
        "GapFillExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, ..Self::clone(&self) }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let reservation = MemoryConsumer::new("GapFill").register(context.memory_pool());
        let input = self.input.execute(partition, context)?;
        let filled = self.clone().filled(input, reservation);
        let batches = stream::once(filled)
            .map_ok(|filled| {
                stream::try_unfold(filled, |mut filled| async move {
                    Ok(filled.next()?.map(|batch| (batch, filled)))
                })
            })
            .try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches.boxed())))
    }
}

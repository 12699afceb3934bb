//! Provides a measurement as a DataFusion table with columns and scan requests.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use tidemark_model::time::TimeRange;
use tidemark_model::value::FieldType;

use super::batches::Source;
use super::pushdown;
use super::row_filter::RowFilter;
use super::scan::Scan;
use crate::limits::PUSHED_TEXT_BYTES_MAX;
use crate::messages::{ScanRequest, TableSchema};

pub(super) const TIME: &str = "time";

const COLUMN_TYPE: &str = "iox::column::type";
const MEASUREMENT_NAME: &str = "iox::measurement::name";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Time,
    Tag,
    Field(FieldType),
}

impl Kind {
    /// Returns the kind of a column, or `None` if the table does not have the column. A tag hides a
    /// field with the same name.
    pub(super) fn of(table: &TableSchema, name: &str) -> Option<Self> {
        if name == TIME {
            return Some(Self::Time);
        }
        let mut columns = table.columns.iter().filter(|column| column.name == name);
        let first = columns.next()?.field_type;
        let is_tag = first.is_none() || columns.any(|column| column.field_type.is_none());
        Some(first.filter(|_| !is_tag).map_or(Self::Tag, Self::Field))
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Time => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Self::Tag => tag_type(),
            Self::Field(FieldType::Float) => DataType::Float64,
            Self::Field(FieldType::Integer) => DataType::Int64,
            Self::Field(FieldType::Unsigned) => DataType::UInt64,
            Self::Field(FieldType::String) => DataType::Utf8,
            Self::Field(FieldType::Boolean) => DataType::Boolean,
        }
    }

    /// Returns the column type as InfluxDB 3 clients read it in the metadata.
    fn name(self) -> &'static str {
        match self {
            Self::Time => "iox::column_type::timestamp",
            Self::Tag => "iox::column_type::tag",
            Self::Field(FieldType::Float) => "iox::column_type::field::float",
            Self::Field(FieldType::Integer) => "iox::column_type::field::integer",
            Self::Field(FieldType::Unsigned) => "iox::column_type::field::uinteger",
            Self::Field(FieldType::String) => "iox::column_type::field::string",
            Self::Field(FieldType::Boolean) => "iox::column_type::field::boolean",
        }
    }
}

pub(super) fn tag_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

#[derive(Debug)]
pub(super) struct Measurement {
    name: String,
    columns: Vec<(String, Kind)>,
    schema: SchemaRef,
}

impl Measurement {
    /// Sorts the columns, including `time`, by the bytes of their names. If a tag and a field have
    /// the same name, only the tag becomes a column. Tags and fields named `time` do not become
    /// columns.
    pub(super) fn new(table: &TableSchema) -> Self {
        let kind = |field_type: Option<FieldType>| field_type.map_or(Kind::Tag, Kind::Field);
        let given = table.columns.iter().map(|column| (&column.name, kind(column.field_type)));
        let mut columns: Vec<_> = given.map(|(name, kind)| (name.clone(), kind)).collect();
        columns.retain(|(name, _)| name != TIME);
        columns.push((TIME.to_owned(), Kind::Time));
        let is_field = |kind: Kind| matches!(kind, Kind::Field(_));
        columns.sort_by(|a, b| a.0.cmp(&b.0).then(is_field(a.1).cmp(&is_field(b.1))));
        columns.dedup_by(|a, b| a.0 == b.0);
        let fields: Vec<Field> = columns.iter().map(|(name, kind)| field(name, *kind)).collect();
        let about = HashMap::from([(MEASUREMENT_NAME.to_owned(), table.name.clone())]);
        let schema = Arc::new(Schema::new_with_metadata(fields, about));
        Self { name: table.name.clone(), columns, schema }
    }

    pub(super) fn kind(&self, name: &str) -> Option<Kind> {
        self.columns.iter().find(|(column, _)| column == name).map(|(_, kind)| *kind)
    }
}

fn field(name: &str, kind: Kind) -> Field {
    let about = HashMap::from([(COLUMN_TYPE.to_owned(), kind.name().to_owned())]);
    Field::new(name, kind.data_type(), kind != Kind::Time).with_metadata(about)
}

#[async_trait]
impl TableProvider for Measurement {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        let kind = |name: &str| self.kind(name);
        let mut left = PUSHED_TEXT_BYTES_MAX;
        let support = |filter: &&Expr| {
            let bytes = pushdown::push(filter, &kind).map(|pushed| pushed.text_bytes());
            match bytes.and_then(|bytes| left.checked_sub(bytes)) {
                Some(rest) => {
                    left = rest;
                    TableProviderFilterPushDown::Exact
                }
                None => TableProviderFilterPushDown::Unsupported,
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut pushed = RowFilter::default();
        let push = |filter| pushdown::push(filter, &|name| self.kind(name));
        filters.iter().filter_map(push).for_each(|filter| pushed.add(filter));
        let every: Vec<usize> = (0..self.columns.len()).collect();
        let positions = projection.unwrap_or(&every);
        let schema = Arc::new(self.schema.project(positions)?);
        let columns = positions.iter().filter_map(|&at| self.columns.get(at));
        let (mut fields, mut tags, mut sources) = (Vec::new(), Vec::new(), Vec::new());
        for (name, kind) in columns {
            let (source, list) = match kind {
                Kind::Time => {
                    sources.push(Source::Time);
                    continue;
                }
                Kind::Tag => (Source::Tag(tags.len()), &mut tags),
                Kind::Field(_) => (Source::Field(fields.len()), &mut fields),
            };
            sources.push(source);
            list.push(name.clone());
        }
        let mut request = ScanRequest {
            scan: 0,
            table: self.name.clone(),
            time: TimeRange::ALL,
            condition: None,
            fields,
            tags,
            rows_max: limit.map(|rows| rows as u64),
            first: None,
            aggregates: None,
            first_of: Vec::new(),
        };
        pushed.apply(&mut request);
        Ok(Arc::new(Scan::new(request, sources, schema)))
    }
}

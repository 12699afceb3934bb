//! Parses and plans statements.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ParamValues, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execution_plan::reset_plan_states;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Statement as SqlStatement, Value, ValueWithSpan, Visit as _, Visitor, visit_statements,
};

use crate::error::QueryError;
use crate::exchange::PageExchange;
use crate::limits::{
    BATCH_ROWS, CACHED_CONSTANT_BYTES_MAX, COPIED_BATCH_ROWS, LONG_CONSTANT_BYTES, TEXT_BYTES_MAX,
    TURN_BYTES_MAX,
};
use crate::messages::{Parameter, SessionRequest, SystemTable, TableSchema};
use crate::plan_cache;
use crate::sizes;
use crate::tables::{self, RowFilter, SystemRows};
use crate::turns::Pace;

/// A physical plan that is ready for execution.
#[derive(Debug)]
pub(crate) struct Plan {
    context: TaskContext,
    root: Arc<dyn ExecutionPlan>,
    columns: SchemaRef,
    /// The parameters of a statement that is only prepared.
    parameters: Option<SchemaRef>,
    /// Whether the plan can be cached for later executions of the statement.
    pub(crate) is_reusable: bool,
}

impl Plan {
    /// Returns the columns of the result, as the statement defines them. In a plan that produces
    /// rows, the optimizer may change an expression from nullable to not nullable. Some clients
    /// first request only the columns, and later compare this schema with the schema of the rows.
    /// The two schemas must be equal.
    pub(crate) fn columns(&self) -> SchemaRef {
        Arc::clone(&self.columns)
    }

    /// Returns the names and types of the parameters, if the statement is only prepared.
    pub(crate) fn parameters(&self) -> Option<SchemaRef> {
        self.parameters.clone()
    }

    /// Returns a plan with copies of the operators. The copies have no metrics of earlier
    /// executions.
    pub(crate) fn copy(&self) -> Result<Self, DataFusionError> {
        // The operators contain their functions. Only the tables of `information_schema` read
        // functions from the context, but plans that read `information_schema` are not cached.
        let context = TaskContext::new(
            None,
            String::new(),
            self.context.session_config().clone(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            HashMap::new(),
            self.context.runtime_env(),
        );
        Ok(Self {
            context,
            root: reset_plan_states(Arc::clone(&self.root))?,
            columns: Arc::clone(&self.columns),
            parameters: self.parameters.clone(),
            is_reusable: self.is_reusable,
        })
    }

    /// Starts the execution of the plan. Scans request the pages with the rows of `filter` from
    /// `exchange`. Operators that produce rows report the number of rows to `pace`.
    ///
    /// # Errors
    /// Returns the errors of operators that compute values when they start.
    pub(crate) fn execute(
        self,
        filter: RowFilter,
        exchange: Arc<PageExchange>,
        pace: Arc<Pace>,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let config = self.context.session_config().clone();
        let config = config.with_extension(exchange).with_extension(pace);
        let config = config.with_extension(Arc::new(filter));
        let context = self.context.with_session_config(config);
        Ok(execute_stream(self.root, Arc::new(context))?)
    }
}

/// Parses a text that contains exactly one statement.
///
/// # Errors
/// Returns an error if the text does not contain exactly one statement, the syntax is invalid, the
/// statement changes data, or the statement reads too many tables.
pub(crate) fn parse(state: &SessionState, text: &str) -> Result<Statement, QueryError> {
    if text.trim().is_empty() {
        return Err(QueryError::invalid("No SQL statements were provided in the query string"));
    }
    let statement = state.sql_to_statement(text, &state.config_options().sql_parser.dialect)?;
    refuse_changes(&statement)?;
    // Checks all limits except the limit on columns, which are not known yet. This check must
    // precede the request for the columns of the tables.
    sizes::check(&statement, &[])?;
    Ok(statement)
}

/// Refuses a statement that would change data. DataFusion's errors for these statements name no
/// alternative.
fn refuse_changes(statement: &Statement) -> Result<(), QueryError> {
    let advice = match statement {
        Statement::CopyTo(_) => {
            "request the result with the parameter format=csv or format=parquet"
        }
        Statement::Statement(statement) => match statement.as_ref() {
            SqlStatement::Insert(_) | SqlStatement::Update(_) | SqlStatement::Merge(_) => {
                "write points with POST /api/v3/write_lp; a point with the time and the tags of an \
                 existing point replaces its values"
            }
            SqlStatement::Delete(_) | SqlStatement::Drop { .. } | SqlStatement::Truncate(_) => {
                "use the InfluxQL statements DELETE and DROP MEASUREMENT on POST /query"
            }
            SqlStatement::CreateTable(_) => "the first write of a point creates its table",
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    Err(QueryError::invalid(format!("SQL statements only read data: {advice}")))
}

/// Returns the requests for the data that the planner needs. Each request needs one reply.
///
/// # Errors
/// Returns an error if DataFusion cannot resolve the table references.
pub(crate) fn requests(
    state: &SessionState,
    statement: &Statement,
) -> Result<Vec<SessionRequest>, QueryError> {
    let mut names = Vec::new();
    let mut wants_every = shows_tables(statement);
    let mut wants_queries = false;
    for reference in state.resolve_table_references(statement)? {
        match (reference.schema().unwrap_or(tables::SCHEMA), reference.table()) {
            (tables::SCHEMA, name) => names.push(name.to_owned()),
            (tables::SYSTEM, tables::QUERIES) => wants_queries = true,
            (tables::SYSTEM, tables::INFLUXDB_SCHEMA) => wants_every = true,
            ("information_schema", _) => wants_every = true,
            _ => {}
        }
    }
    names.sort_unstable();
    names.dedup();
    let mut requests = Vec::new();
    if wants_every {
        requests.push(SessionRequest::EveryTable);
    } else if !names.is_empty() {
        requests.push(SessionRequest::Tables(names));
    }
    if wants_queries {
        requests.push(SessionRequest::System(SystemTable::Queries));
    }
    Ok(requests)
}

/// Whether DataFusion executes the statement as a query on `information_schema`.
fn shows_tables(statement: &Statement) -> bool {
    let Statement::Statement(statement) = statement else {
        // `EXPLAIN SHOW …` is rare, so every EXPLAIN loads all tables.
        return matches!(statement, Statement::Explain(_));
    };
    visit_statements(&**statement, |inner: &SqlStatement| match inner {
        SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowVariable { .. }
        | SqlStatement::ShowFunctions { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Plans a statement that reads these tables. With `is_prepared`, the plan also contains the types
/// of the parameters.
///
/// # Errors
/// Returns an error if the statement is invalid or not supported.
pub(crate) async fn plan(
    state: &SessionState,
    statement: Statement,
    parameters: Vec<(String, Parameter)>,
    is_prepared: bool,
    tables: &[TableSchema],
    system: &SystemRows,
) -> Result<Plan, QueryError> {
    sizes::check(&statement, tables)?;
    let catalog = tables::catalog(tables, system)?;
    drop(state.catalog_list().register_catalog(tables::CATALOG.to_owned(), catalog));
    let logical = state.statement_to_plan(statement).await?;
    check_reads_only(&logical)?;
    let is_immutable = plan_cache::is_immutable(&logical)?;
    let described = is_prepared.then(|| parameter_schema(&logical, &parameters));
    let logical = logical.with_param_values(values(parameters))?;
    let Physical { columns, root, constant_bytes, batch_rows } = physical(state, logical).await?;
    let is_small = constant_bytes <= CACHED_CONSTANT_BYTES_MAX;
    let mut config = state.config().clone().with_batch_size(batch_rows);
    if tables::sorts_converted_values(&root) {
        // The sort evaluates its keys for one batch after another, instead of for all rows at once.
        config = config.with_sort_in_place_threshold_bytes(0);
    }
    Ok(Plan {
        context: TaskContext::from(state).with_session_config(config),
        is_reusable: is_immutable && is_small && plan_cache::is_stateless(&root),
        root,
        columns,
        parameters: described,
    })
}

/// Returns the names and types of the parameters. A client may bind a value of another type.
fn parameter_schema(plan: &LogicalPlan, parameters: &[(String, Parameter)]) -> SchemaRef {
    // DataFusion returns an error if a statement uses a parameter with several types.
    let mut types = plan.get_parameter_types().unwrap_or_default();
    // DataFusion does not infer the types of parameters in LIMIT and OFFSET.
    let limits = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for count in limit.skip.iter().chain(&limit.fetch) {
                if let Expr::Placeholder(Placeholder { id, .. }) = count.as_ref() {
                    types.insert(id.clone(), Some(DataType::Int64));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // The closure returns no error.
    drop(limits);
    let field = |(name, _): &(String, Parameter)| {
        let name = format!("${name}");
        let inferred = types.get(&name).cloned().flatten();
        Field::new(name, parameter_type(inferred.as_ref()), true)
    };
    Arc::new(Schema::new(parameters.iter().map(field).collect::<Vec<_>>()))
}

/// Returns the type that a client should bind. An unknown type becomes text.
fn parameter_type(inferred: Option<&DataType>) -> DataType {
    match inferred {
        Some(DataType::Dictionary(_, values)) => parameter_type(Some(values)),
        Some(DataType::Boolean) => DataType::Boolean,
        // The drivers of Java and Go have no unsigned numbers.
        Some(integer) if integer.is_integer() => DataType::Int64,
        Some(number) if number.is_floating() || number.is_decimal() => DataType::Float64,
        // The JDBC driver binds milliseconds for every unit.
        Some(DataType::Timestamp(..)) => DataType::Timestamp(TimeUnit::Millisecond, None),
        Some(DataType::Date32 | DataType::Date64) => DataType::Date32,
        _ => DataType::Utf8,
    }
}

struct Physical {
    /// The columns of the result, as in [`Plan::columns`].
    columns: SchemaRef,
    root: Arc<dyn ExecutionPlan>,
    /// The size of the constants in the optimized statement, in bytes.
    constant_bytes: usize,
    /// The maximum number of rows in the batches of all operators. A join may copy a text, a list
    /// or a long constant of its input to each row of a batch, and so may an operator with a
    /// scalar subquery.
    batch_rows: usize,
}

async fn physical(state: &SessionState, logical: LogicalPlan) -> Result<Physical, DataFusionError> {
    // The result of an EXPLAIN has one row for each planning stage. Each row contains all
    // constants.
    if let LogicalPlan::Explain(explain) = &logical {
        if printed_constant_bytes(state, &explain.plan)? > TEXT_BYTES_MAX {
            return Err(QueryError::exhausted(format!(
                "EXPLAIN prints more than {TEXT_BYTES_MAX} bytes of constants: use shorter strings"
            ))
            .into());
        }
        let root = state.create_physical_plan(&logical).await?;
        let columns = root.schema();
        return Ok(Physical { columns, root, constant_bytes: 0, batch_rows: BATCH_ROWS });
    }
    let analyzed =
        state.analyzer().execute_and_check(logical, state.config_options(), |_, _| {})?;
    let planned = Arc::clone(analyzed.schema().inner());
    let optimized = state.optimizer().optimize(analyzed, state, |_, _| {})?;
    let root = state.query_planner().create_physical_plan(&optimized, state).await?;
    let constant_bytes = plan_cache::constant_bytes(&optimized, 0)?;
    let long_bytes = plan_cache::constant_bytes(&optimized, LONG_CONSTANT_BYTES)?;
    let rows_max = match tables::copies_large_values(&root) {
        true => COPIED_BATCH_ROWS,
        false => BATCH_ROWS,
    };
    let batch_rows = (TURN_BYTES_MAX / long_bytes.max(1)).clamp(1, rows_max);
    let columns = columns(&planned, &root.schema());
    Ok(Physical { columns, root, constant_bytes, batch_rows })
}

/// Returns the maximum size, in bytes, of the long constants in one row of an EXPLAIN. If a rule of
/// the optimizer fails, the EXPLAIN returns the rows of the earlier rules.
fn printed_constant_bytes(
    state: &SessionState,
    plan: &LogicalPlan,
) -> Result<usize, DataFusionError> {
    let options = state.config_options();
    let analyzed = state.analyzer().execute_and_check(plan.clone(), options, |_, _| {});
    // The result of the EXPLAIN contains the error.
    let Ok(analyzed) = analyzed else { return Ok(0) };
    let mut largest = Ok(0);
    let optimized = state.optimizer().optimize(analyzed, state, |plan, _| {
        if let Ok(bytes) = largest {
            let more = plan_cache::constant_bytes(plan, LONG_CONSTANT_BYTES);
            largest = more.map(|more| more.max(bytes));
        }
    });
    drop(optimized);
    largest
}

/// Combines the types in the physical plan with the nullability and metadata in the statement.
fn columns(planned: &SchemaRef, made: &SchemaRef) -> SchemaRef {
    let column = |(planned, made): (&FieldRef, &FieldRef)| -> FieldRef {
        let is_nullable = planned.is_nullable() || made.is_nullable();
        let field = made.as_ref().clone().with_nullable(is_nullable);
        Arc::new(field.with_metadata(planned.metadata().clone()))
    };
    let fields: Vec<FieldRef> = planned.fields().iter().zip(made.fields()).map(column).collect();
    Arc::new(Schema::new_with_metadata(fields, made.metadata().clone()))
}

fn check_reads_only(plan: &LogicalPlan) -> Result<(), DataFusionError> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
}

/// Whether the statement contains a placeholder for the value of a parameter.
pub(crate) fn has_placeholders(statement: &Statement) -> bool {
    struct Search;
    impl Visitor for Search {
        type Break = ();

        fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<()> {
            match value.value {
                Value::Placeholder(_) => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        }
    }
    match statement {
        Statement::Statement(statement) => statement.visit(&mut Search).is_break(),
        // The plans of other statements are not cached.
        _ => true,
    }
}

/// Returns the value of a parameter.
pub(crate) fn value(parameter: Parameter) -> ScalarValue {
    match parameter {
        Parameter::Null => ScalarValue::Null,
        Parameter::Boolean(value) => ScalarValue::from(value),
        Parameter::Integer(value) => ScalarValue::from(value),
        Parameter::Unsigned(value) => ScalarValue::from(value),
        Parameter::Float(value) => ScalarValue::from(value),
        Parameter::String(value) => ScalarValue::from(value),
        Parameter::Time(time_ns) => ScalarValue::TimestampNanosecond(Some(time_ns), None),
    }
}

fn values(parameters: Vec<(String, Parameter)>) -> ParamValues {
    let named = parameters.into_iter().map(|(name, parameter)| (name, value(parameter)));
    ParamValues::from(named.collect::<HashMap<_, _>>())
}

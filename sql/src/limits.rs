//! Defines the limits of SQL queries.

use tidemark_model::limits::WORK_PER_MS;

/// The maximum number of rows in a batch within a plan.
pub const BATCH_ROWS: usize = 8_192;
/// The maximum total size of all memory reservations in an instance, in bytes.
pub const POOL_BYTES_MAX: usize = 48 * 1_024 * 1_024;
/// The maximum number of rows in the input of a window function. A window function keeps all rows
/// in memory without a reservation in the memory pool.
pub const WINDOW_ROWS_MAX: usize = 500_000;
/// The maximum size of the input of a window function or `string_agg`, in bytes. The columns that a
/// window function only passes on count too. The results of window functions also count: a text, a
/// tag or a list counts as the largest value of the arguments. The texts of `lag` and `lead`
/// together count as the input.
pub const WINDOW_BYTES_MAX: usize = 48 * 1_024 * 1_024;
/// The maximum number of row pairs within partitions, summed over all partitions, if `array_agg` or
/// `string_agg` is a window function. For each row, these functions return a list of up to all rows
/// of the row's partition. A partition of 2,000 rows has this number of pairs.
pub const WINDOW_LIST_PAIRS_MAX: usize = 4_000_000;
/// The maximum number of row pairs within partitions, summed over all partitions, if `median` or a
/// similar aggregate is a window function. For each row, these aggregates read all earlier rows of
/// the partition again. A partition of 20,000 rows has this number of pairs.
pub const WINDOW_REPEATED_PAIRS_MAX: usize = 400_000_000;
/// The maximum number of rows before and after the current row in the frame of a window function to
/// which the two previous limits do not apply.
pub const WINDOW_FRAME_ROWS: u64 = 100;
/// The maximum number of rows that a join, a series or an unnested list may produce.
pub const MADE_ROWS_MAX: usize = 10_000_000;
/// The approximate number of rows that joins and series produce in one turn. Between turns, the
/// thread processes other requests.
pub const TURN_ROWS_MAX: usize = 65_536;
/// The work of one row, in units of `QUERY_CPU_MS_MAX`. `TURN_ROWS_MAX` rows take about 10 ms.
pub const WORK_PER_ROW: u64 = 10 * WORK_PER_MS / TURN_ROWS_MAX as u64;
/// An empty or small batch counts as this number of rows, because producing a batch takes as long
/// as producing this number of rows. An iteration of a recursive query produces a batch, often with
/// only one row.
pub const ROWS_PER_BATCH_MIN: usize = 256;
/// The number of pairs that a join or a function can compare in the time that one result row takes.
pub const PAIRS_PER_ROW: usize = 16;
/// The maximum number of row pairs that a join may compare. The limit applies to joins that do not
/// return a row for each compared pair.
pub const PAIRS_MAX: usize = 250_000_000;
/// The number of counters for the keys of a hash join (256 KiB). Keys with the same hash, modulo
/// this number, share a counter.
pub const KEY_COUNTERS: usize = 65_536;
/// The number of bytes that a function can produce in the time that one row takes.
pub const BYTES_PER_ROW: usize = 64;
/// The number of simple expressions that can be evaluated in the time that one row takes.
pub const EXPRESSIONS_PER_ROW: usize = 16;
/// The number of expressions that an operator evaluates for batches of `BATCH_ROWS` rows. For more
/// expressions, the batches are smaller.
pub const BATCH_EXPRESSIONS_MAX: usize = 256;
/// The maximum number of rows in a batch of an operator that calls costly functions.
pub const CHECKED_BATCH_ROWS: usize = 1_024;
/// The maximum number of rows in a batch of a plan whose joins read texts or lists, or whose
/// scalar subqueries have such values. The plan may copy the value to each row of a batch, so a
/// copied row or value has at most `TURN_BYTES_MAX` divided by the rows of a batch.
pub const COPIED_BATCH_ROWS: usize = 256;
/// The maximum number of pairs in one piece of a join's input, if the condition of the join calls
/// costly functions. The smallest piece is one row, which the join compares with all rows of the
/// other side.
pub const CHECKED_PAIRS_MAX: usize = 4_096;
/// The maximum total size of the long constants in the condition of a join, in bytes. A join may
/// copy a constant to each pair of a batch.
pub const JOIN_CONSTANT_BYTES_MAX: usize = TURN_BYTES_MAX / BATCH_ROWS;
/// The minimum size of a long constant, in bytes. An operator may copy a constant to each row of a
/// batch, so the batch has at most `TURN_BYTES_MAX` bytes of long constants.
pub const LONG_CONSTANT_BYTES: usize = 1_024;
/// The maximum cost of the function calls of one turn, in rows. The calls take about two seconds at
/// this limit. A turn can only end between two batches.
pub const TURN_CALLS_MAX: usize = 16_000_000;
/// The maximum number of bytes that functions may produce in one turn. The limit applies to
/// functions whose arguments determine the size of the result, and to the rows that `unnest`
/// produces from one row.
pub const TURN_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// The maximum number of rows that a recursive query may produce. Every iteration produces at least
/// one row.
pub const RECURSION_ROWS_MAX: usize = 50_000;
/// The maximum size, in bytes, of the texts in the conditions that the optimizer moves to a scan in
/// one pass. Each shard receives these texts. The plan evaluates all further filters.
pub const PUSHED_TEXT_BYTES_MAX: usize = 64 * 1_024;
/// The maximum number of idle DataFusion sessions that an instance keeps for reuse.
pub const SESSIONS_IDLE_MAX: usize = 2;
/// The maximum number of plans that an instance caches for later executions of the same statement.
pub const CACHED_PLANS_MAX: usize = 32;
/// The maximum size of a statement's text, in bytes, for which the plan is cached.
pub const CACHED_TEXT_BYTES_MAX: usize = 4 * 1_024;
/// The maximum number of columns in the tables of a statement for which the plan is cached. With
/// this limit, all cached plans together need about 10 MB.
pub const CACHED_COLUMNS_MAX: usize = 128;
/// The maximum size of the constants in a cached plan, in bytes. The optimizer computes constants
/// such as `repeat('a', 1000000)`.
pub const CACHED_CONSTANT_BYTES_MAX: usize = 64 * 1_024;
/// The maximum size of a statement's text, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1_024;
/// The maximum number of tokens in a statement.
pub const TOKENS_MAX: usize = 20_000;
/// The maximum nesting depth of expressions, subqueries and set operations in a statement.
pub const DEPTH_MAX: usize = 128;
/// The maximum nesting depth of parentheses. This limit is smaller than `DEPTH_MAX`, because the
/// parser also recurses for each parenthesis.
pub const PARENTHESES_DEPTH_MAX: usize = 44;
/// The maximum nesting depth of expressions and queries that the parser may parse twice, such as
/// CAST, the list of IN and a query in two parentheses. If the innermost expression is invalid, the
/// time doubles with each level.
pub const REPEATED_DEPTH_MAX: usize = 8;
/// The maximum nesting depth of BETWEEN, CAST and COALESCE in an expression. DataFusion copies
/// their operands, or computes the types of their operands several times, so the work grows by a
/// factor with each level.
pub const COPYING_DEPTH_MAX: usize = 6;
/// The maximum nesting depth of CTEs. A CTE is nested if the query of another CTE defines it in its
/// WITH clause. DataFusion searches the query of a CTE for tables twice, so the work doubles with
/// each level.
pub const CTE_DEPTH_MAX: usize = 6;
/// The maximum number of times that nested queries may repeat a column in one expression: the
/// product of the references in each query. A reference inside BETWEEN, CAST or COALESCE counts
/// three times. DataFusion replaces each reference to a column of a subquery with the expression of
/// that column.
pub const COPIES_MAX: usize = 65_536;
/// The maximum number of grouping sets of a SELECT, multiplied by the keys of the largest set, and
/// summed over the statement. The planner creates all sets of CUBE, whose number doubles with each
/// key.
pub const GROUPING_KEYS_MAX: usize = 16_384;
/// The maximum number of tables that a statement may read. Every reference to a table counts, and
/// so does every subquery without tables.
pub const TABLES_MAX: usize = 64;
/// The maximum number of different OVER clauses of a statement. Planning nests an operator for each
/// of them, and every operator has the columns of all operators below.
pub const WINDOWS_MAX: usize = 64;
/// The maximum number of parameters of a statement.
pub const PARAMETERS_MAX: usize = 1_000;
/// The maximum number of bins in the result of a gap-filling query, over all groups.
pub const GAPFILL_ROWS_MAX: usize = 1_000_000;
/// The maximum size, in bytes, of a result in a format that is kept in memory until the result is
/// complete (pretty, Parquet).
pub const WHOLE_ANSWER_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// The maximum number of batches in the channel between a plan and the session.
pub const BATCHES_WAITING_MAX: usize = 2;
/// The maximum number of result bytes in one reply.
pub const PIECE_BYTES: usize = 512 * 1_024;
/// The maximum size, in bytes, of an Arrow record batch with more than one row. gRPC clients accept
/// messages of up to 4 MB.
pub const ARROW_BATCH_BYTES_MAX: usize = 3_500_000;
/// The maximum number of rows in a row group of a Parquet file. A complete row group is encoded in
/// memory.
pub const PARQUET_GROUP_ROWS: usize = 131_072;
/// The approximate encoded size at which a Parquet row group ends, in bytes.
pub const PARQUET_GROUP_BYTES: usize = 8 * 1_024 * 1_024;
/// The maximum number of distinct patterns that a function may compile for one batch.
pub const PATTERNS_MAX: usize = 32;
/// The maximum size of a compiled pattern, in bytes. The limit also applies to all compiled
/// patterns of one batch together. Compiling a pattern of this size takes about 20 ms.
pub const PATTERN_BYTES_MAX: usize = 1_024 * 1_024;
/// The number of steps of a pattern match that take as long as producing one row. The number of
/// steps is the size of the texts, in bytes, multiplied by the states of the compiled pattern. A
/// matcher rarely needs as many steps.
pub const PATTERN_STEPS_PER_ROW: i128 = 256;
/// The maximum size of a compiled constant pattern, in bytes, that an operator matches without
/// counting the steps.
pub const UNCHECKED_PATTERN_BYTES_MAX: usize = 8_192;
/// The number of rows that are produced in the time of compiling one byte of a pattern of LIKE.
pub const LIKE_ROWS_PER_BYTE: i128 = 8;
/// The fixed cost of compiling a pattern of LIKE, as a number of additional bytes.
pub const LIKE_BYTES_PER_PATTERN: i128 = 16;
/// The maximum size of a `FixedSizeBinary` value or a `FixedSizeList` in a cast, in bytes or
/// elements. Even NULL has this size.
pub const FIXED_SIZE_MAX: usize = 4_096;
/// The maximum number of centroids of an approximate percentile. For each batch of rows, the
/// aggregate allocates memory for all centroids. The memory pool does not count this memory.
pub const CENTROIDS_MAX: i64 = 10_000;
/// The maximum planning cost of a statement. The cost of a SELECT is the number of selected columns
/// times the number of table columns, and the costs of all SELECTs are added. Each further
/// reference to a column counts as a selected column. Planning at this limit takes about four
/// seconds. `SELECT *` supports tables with up to 1,732 columns.
pub const PLANNED_COLUMNS_MAX: usize = 3_000_000;

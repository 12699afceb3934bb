//! The limits of SQL queries.

/// The maximum number of rows in a batch inside a plan.
pub const BATCH_ROWS: usize = 8_192;
/// The maximum size of all memory reservations of an instance, in bytes.
pub const POOL_BYTES_MAX: usize = 48 * 1_024 * 1_024;
/// The maximum number of rows in the input of a window function. A window function holds all rows
/// in memory without a reservation in the memory pool.
pub const WINDOW_ROWS_MAX: usize = 500_000;
/// The maximum number of rows that a join, a series or an unnested list may produce.
pub const MADE_ROWS_MAX: usize = 10_000_000;
/// The approximate number of rows that joins and series produce in one turn. The thread
/// serves other requests between turns.
pub const TURN_ROWS_MAX: usize = 65_536;
/// The number of rows that take as long as a batch without rows. An iteration of a recursive query
/// produces a batch, often of one row.
pub const ROWS_PER_BATCH_MIN: usize = 256;
/// The number of row pairs of a join without an equality condition that take as long as one row.
pub const PAIRS_PER_ROW: usize = 16;
/// The maximum number of row pairs that one join without an equality condition may compare.
pub const PAIRS_MAX: usize = 250_000_000;
/// The maximum number of rows that a recursive query may produce. Every iteration produces at least
/// one row.
pub const RECURSION_ROWS_MAX: usize = 50_000;
/// The maximum size of the texts in the conditions that a scan takes over in one pass of the
/// optimizer, in bytes. Every shard gets them. The plan evaluates further filters itself.
pub const PUSHED_TEXT_BYTES_MAX: usize = 64 * 1_024;
/// The maximum number of idle DataFusion sessions that an instance keeps for later statements.
pub const SESSIONS_IDLE_MAX: usize = 2;
/// The maximum number of plans that an instance keeps for later executions of the same statement.
pub const KEPT_PLANS_MAX: usize = 32;
/// The maximum size of the text of a statement whose plan is kept, in bytes.
pub const KEPT_TEXT_BYTES_MAX: usize = 4 * 1_024;
/// The maximum number of columns in the tables of a statement whose plan is kept. The kept plans of
/// such tables take about 10 MB together.
pub const KEPT_COLUMNS_MAX: usize = 128;
/// The maximum size of the constants in a plan that is kept, in bytes. The optimizer computes
/// constants such as `repeat('a', 1000000)`.
pub const KEPT_CONSTANT_BYTES_MAX: usize = 64 * 1_024;
/// The maximum size of a statement's text, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 * 1_024;
/// The maximum number of tokens in a statement.
pub const TOKENS_MAX: usize = 20_000;
/// The maximum nesting depth of expressions, subqueries and set operations in a statement.
pub const DEPTH_MAX: usize = 128;
/// The maximum nesting depth of parentheses. It is smaller because the parser itself recurses for
/// each parenthesis.
pub const PARENTHESES_DEPTH_MAX: usize = 44;
/// The maximum number of tables that a statement may read. Every reference counts.
pub const TABLES_MAX: usize = 64;
/// The maximum number of parameters of a statement.
pub const PARAMETERS_MAX: usize = 1_000;
/// The maximum number of bins in the result of a gap-filling query, over all groups.
pub const GAPFILL_ROWS_MAX: usize = 1_000_000;
/// The maximum size of a result in a format that is held in memory until its end (pretty, Parquet),
/// in bytes.
pub const WHOLE_ANSWER_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// The maximum number of batches in the channel between a plan and the session.
pub const BATCHES_WAITING_MAX: usize = 2;
/// The maximum size of the result bytes in one reply.
pub const PIECE_BYTES: usize = 512 * 1_024;
/// The maximum size of an Arrow record batch with more than one row, in bytes: gRPC clients accept
/// messages of up to 4 MB.
pub const ARROW_BATCH_BYTES_MAX: usize = 3_500_000;
/// The maximum number of rows in a row group of a Parquet file. A row group is encoded in memory.
pub const PARQUET_GROUP_ROWS: usize = 131_072;
/// The approximate encoded size at which a Parquet row group ends, in bytes.
pub const PARQUET_GROUP_BYTES: usize = 8 * 1_024 * 1_024;
/// The maximum size of a function's result for one batch, in bytes, if the arguments determine the
/// size.
pub const MADE_BYTES_MAX: i128 = 32 * 1_024 * 1_024;
/// The maximum number of pairs of characters, bytes or elements that a function may compare in one
/// batch. This number of pairs takes about half a second.
pub const STEPS_MAX: i128 = 100_000_000;
/// The maximum number of distinct patterns that a function may compile for one batch.
pub const PATTERNS_MAX: usize = 32;
/// The maximum size of a compiled pattern, and of all compiled patterns of one batch together, in
/// bytes. Compiling a pattern of this size takes about 20 ms.
pub const PATTERN_BYTES_MAX: usize = 1_024 * 1_024;
/// The maximum product of a batch's text size, in bytes, and the number of states of its pattern.
/// The matcher rarely needs this many steps; the worst known case takes one second.
pub const PATTERN_STEPS_MAX: i128 = 2_000_000_000;
/// The maximum planning cost of a statement: the sum of the products of selected columns and table
/// columns over all its SELECTs. Planning this many columns takes about four seconds. `SELECT *`
/// supports tables of up to 1,732 columns.
pub const PLANNED_COLUMNS_MAX: usize = 3_000_000;

//! Every limit of a query in SQL, each once.

/// Rows of a batch inside a plan.
pub const BATCH_ROWS: usize = 8_192;
/// Bytes that the operators of one instance may reserve together.
pub const POOL_BYTES_MAX: usize = 48 * 1_024 * 1_024;
/// Rows that one window function may see: it holds all of them, and asks the pool for nothing.
pub const WINDOW_ROWS_MAX: usize = 500_000;
/// Rows that a join, a series or an unnested list may make.
pub const MADE_ROWS_MAX: usize = 10_000_000;
/// Rows that joins and series make in one turn, about; then others who use the thread are served.
pub const TURN_ROWS_MAX: usize = 65_536;
/// Pairs of rows that a join compares which is not by equality, as long as one row takes.
pub const PAIRS_PER_ROW: usize = 16;
/// Pairs that one such join may compare.
pub const PAIRS_MAX: usize = 250_000_000;
/// Rows that a recursive query may make; each of its rounds makes one at least.
pub const RECURSION_ROWS_MAX: usize = 50_000;
/// What statements are planned with, of which so many are kept for the next ones.
pub const SESSIONS_IDLE_MAX: usize = 2;
/// Bytes of one statement's text.
pub const TEXT_BYTES_MAX: usize = 256 * 1_024;
/// Words and signs of one statement.
pub const TOKENS_MAX: usize = 20_000;
/// How deep expressions, subqueries and set operations of one statement lie inside each other.
pub const DEPTH_MAX: usize = 128;
/// How deep parentheses may lie inside each other: the parser itself goes down with each.
pub const PARENTHESES_DEPTH_MAX: usize = 44;
/// Tables that one statement may read, each time counted.
pub const TABLES_MAX: usize = 64;
/// Parameters of one statement.
pub const PARAMETERS_MAX: usize = 1_000;
/// Bins that a gap-filling query may answer with, over all its groups.
pub const GAPFILL_ROWS_MAX: usize = 1_000_000;
/// Bytes of an answer whose form is made as a whole (pretty, Parquet).
pub const WHOLE_ANSWER_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Batches that wait between a plan and whoever takes its answer.
pub const BATCHES_WAITING_MAX: usize = 2;
/// Bytes of an answer that one turn brings at most.
pub const PIECE_BYTES: usize = 512 * 1_024;
/// Bytes of one batch of Arrow's stream, where it has more than one row: clients of gRPC take
/// messages of 4 MB.
pub const ARROW_BATCH_BYTES_MAX: usize = 3_500_000;
/// Rows of one group of a Parquet file: they are encoded in memory.
pub const PARQUET_GROUP_ROWS: usize = 131_072;
/// Encoded bytes of one group of a Parquet file, about: it ends where it has more.
pub const PARQUET_GROUP_BYTES: usize = 8 * 1_024 * 1_024;
/// Bytes that a function may make of one batch, where its arguments say how much it makes.
pub const MADE_BYTES_MAX: i128 = 32 * 1_024 * 1_024;
/// Pairs of characters, bytes or elements that a function may compare in one batch of rows: about
/// half a second.
pub const STEPS_MAX: i128 = 100_000_000;
/// Distinct patterns that a function may compile for one batch of rows.
pub const PATTERNS_MAX: usize = 32;
/// The size of a compiled pattern, in bytes. Compiling one of this size takes about 20 ms.
pub const PATTERN_BYTES_MAX: usize = 1_024 * 1_024;
/// Bytes of text in one batch of rows times the states of their pattern. The matcher rarely takes
/// this many steps: one second in the worst case that is known.
pub const PATTERN_STEPS_MAX: i128 = 2_000_000_000;
/// The columns of a SELECT times the columns of its tables, summed over the statement: so much is
/// planned in about four seconds. `SELECT *` takes tables of up to 1,732 columns.
pub const PLANNED_COLUMNS_MAX: usize = 3_000_000;

//! SHOW statements about what is stored: summaries of live rows to series of names.

use super::error::QueryError;
use super::executor::StreamId;
use super::result::SeriesChunk;
use super::source::Defaults;
use crate::influxql::ast::Statement;
use crate::model::schema::PolicySchema;
use crate::model::shard_map::Policy;
use crate::scan::page::SummaryPage;
use crate::scan::request::SummaryRequest;

/// A SHOW statement ready to be executed.
#[derive(Clone, Debug)]
pub struct MetaPlan {
    /// What to ask every shard of the policy.
    pub scans: Vec<MetaScan>,
}

/// One policy to be summarised on each of its shards.
#[derive(Clone, Debug)]
pub struct MetaScan {
    /// The policy's name.
    pub policy: String,
    /// What to ask, without a resume key.
    pub request: SummaryRequest,
}

/// A page that is needed.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaNeed {
    /// Whom to ask.
    pub stream: StreamId,
    /// What to ask, resume key included.
    pub request: SummaryRequest,
}

/// What the merge wants or has.
#[derive(Clone, Debug, PartialEq)]
pub enum MetaStep {
    /// Supply all of these, then call `next` again.
    Need(Vec<MetaNeed>),
    /// The next series.
    Chunk(SeriesChunk),
    /// There are no more.
    Done,
}

/// The database that a SHOW statement of this module is about; `None` for any other statement.
///
/// # Errors
/// [`QueryError::DatabaseRequired`].
pub fn database(
    _statement: &Statement,
    _defaults: Defaults<'_>,
) -> Option<Result<String, QueryError>> {
    None
}

/// Lowers a SHOW statement. `policies`: every policy of the database, by name.
///
/// # Errors
/// [`QueryError::Invalid`] with 1.x's text.
pub fn compile(
    _statement: &Statement,
    _policies: &[(String, &PolicySchema)],
) -> Result<MetaPlan, QueryError> {
    Err(QueryError::Unsupported("SHOW".into()))
}

/// Executes one [`MetaPlan`].
#[derive(Debug)]
pub struct MetaExecutor {
    _plan: MetaPlan,
}

impl MetaExecutor {
    /// Starts `plan`; `shards[i]` is how many shards scan `i` touches.
    pub fn new(plan: MetaPlan, _shards: &[u32]) -> Self {
        Self { _plan: plan }
    }

    /// The next step.
    ///
    /// # Errors
    /// [`QueryError`]; the executor is then of no further use.
    #[expect(clippy::should_implement_trait, reason = "a step is not an item of an iterator")]
    pub fn next(&mut self) -> Result<MetaStep, QueryError> {
        Ok(MetaStep::Done)
    }

    /// Hands in the page that a [`MetaNeed`] asked for.
    pub fn supply(&mut self, _stream: StreamId, _page: SummaryPage) {}
}

/// SHOW DATABASES: `names` in the order to print.
pub fn show_databases(names: &[String]) -> SeriesChunk {
    let rows: Vec<Vec<String>> = names.iter().map(|name| vec![name.clone()]).collect();
    SeriesChunk::of_strings(Some("databases"), &["name"], &rows)
}

/// SHOW RETENTION POLICIES: `policies` in the order to print; `default` is the default one's name.
pub fn show_retention_policies(_policies: &[Policy], _default: &str) -> SeriesChunk {
    SeriesChunk::of_strings(None, &["name"], &[])
}

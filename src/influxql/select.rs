//! `SELECT`.

use super::expr::Expr;
use super::order_by::OrderBy;
use super::source::Source;

/// `SELECT fields [INTO target] FROM sources [WHERE …] [GROUP BY …] [fill(…)] [ORDER BY …]
/// [LIMIT n] [OFFSET n] [SLIMIT n] [SOFFSET n] [tz('…')]`
#[derive(Clone, Debug, PartialEq)]
pub struct SelectStatement {
    /// At least one, as written.
    pub fields: Vec<Field>,
    /// `INTO`; never in a subquery.
    pub into: Option<Target>,
    /// At least one.
    pub sources: Vec<Source>,
    /// `WHERE`, times included.
    pub condition: Option<Expr>,
    /// `GROUP BY`, as written; empty without the clause.
    pub dimensions: Vec<Dimension>,
    /// `fill(…)`; [`Fill::Null`] without it.
    pub fill: Fill,
    /// `ORDER BY`; see [`SelectStatement::descending`].
    pub order: Option<OrderBy>,
    /// Rows of each series; 0 is no limit.
    pub limit: u64,
    /// Rows of each series to skip.
    pub offset: u64,
    /// Series; 0 is no limit.
    pub slimit: u64,
    /// Series to skip.
    pub soffset: u64,
    /// `tz('…')`: a name of the IANA database, known to exist.
    pub timezone: Option<String>,
}

/// One column, or what expands to several.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Never a comparison and never `AND`/`OR`.
    pub expr: Expr,
    /// `AS …`; never empty.
    pub alias: Option<String>,
}

/// One entry of GROUP BY: a tag, `*`, a regex, or `time(interval[, offset])`. Not validated.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension {
    /// As written.
    pub expr: Expr,
}

/// What empty windows hold.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Fill {
    /// `fill(null)`
    #[default]
    Null,
    /// `fill(none)`: windows without values are left out.
    None,
    /// `fill(previous)`
    Previous,
    /// `fill(linear)`
    Linear,
    /// `fill(0)`, `fill(1.5)`
    Number(FillNumber),
}

/// The number of `fill(number)`, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FillNumber {
    /// Without a point.
    Integer(i64),
    /// With a point.
    Float(f64),
}

/// Where SELECT INTO writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// None means the request's database; never empty.
    pub database: Option<String>,
    /// None means the default policy; never empty.
    pub policy: Option<String>,
    /// Which measurement.
    pub name: TargetName,
}

/// The measurement that SELECT INTO writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetName {
    /// This one.
    Name(String),
    /// `:MEASUREMENT`: each row's own.
    SameAsSource,
}

impl SelectStatement {
    /// Whether rows run from the latest to the earliest.
    pub fn descending(&self) -> bool {
        self.order.is_some_and(|order| order.descending)
    }
}

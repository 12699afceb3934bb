//! Classifies statements by their effect on the database, for the HTTP API and the console.

use super::ast::Statement;

/// The effect of a statement or a whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// The statement selects points and changes no data.
    Selects,
    /// The statement reads other data or metadata and changes no data.
    Reads,
    /// The statement changes data, metadata or a running query.
    Writes,
}

impl Effect {
    /// Returns the effect of `statement`.
    pub fn new(statement: &Statement) -> Self {
        let unless = |writes: bool, otherwise: Self| if writes { Self::Writes } else { otherwise };
        match statement {
            Statement::Select(select) => unless(select.into.is_some(), Self::Selects),
            Statement::Explain(explain) => {
                unless(explain.analyze && explain.select.into.is_some(), Self::Reads)
            }
            Statement::ShowDatabases
            | Statement::ShowRetentionPolicies { .. }
            | Statement::ShowMeasurements(_)
            | Statement::ShowList(_)
            | Statement::ShowCardinality(_)
            | Statement::ShowContinuousQueries
            | Statement::ShowDiagnostics { .. }
            | Statement::ShowGrants { .. }
            | Statement::ShowQueries
            | Statement::ShowShards
            | Statement::ShowShardGroups
            | Statement::ShowStats { .. }
            | Statement::ShowSubscriptions
            | Statement::ShowUsers => Self::Reads,
            Statement::Delete(_)
            | Statement::CreateDatabase(_)
            | Statement::CreateRetentionPolicy(_)
            | Statement::CreateContinuousQuery(_)
            | Statement::CreateSubscription(_)
            | Statement::CreateUser(_)
            | Statement::AlterRetentionPolicy(_)
            | Statement::SetPassword(_)
            | Statement::Grant(_)
            | Statement::Revoke(_)
            | Statement::DropDatabase { .. }
            | Statement::DropMeasurement { .. }
            | Statement::DropRetentionPolicy(_)
            | Statement::DropContinuousQuery(_)
            | Statement::DropSeries(_)
            | Statement::DropShard { .. }
            | Statement::DropSubscription(_)
            | Statement::DropUser { .. }
            | Statement::KillQuery(_) => Self::Writes,
        }
    }

    /// Whether the statement can change anything.
    pub fn writes(self) -> bool {
        self == Self::Writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bound_params::Params;
    use crate::parse_statement;

    #[test]
    fn select_into_counts_as_write() {
        for (text, effect) in [
            ("SELECT v FROM m", Effect::Selects),
            ("SELECT v INTO n FROM m", Effect::Writes),
            ("EXPLAIN SELECT v INTO n FROM m", Effect::Reads),
            ("EXPLAIN ANALYZE SELECT v FROM m", Effect::Reads),
            ("EXPLAIN ANALYZE SELECT v INTO n FROM m", Effect::Writes),
            ("SHOW STATS", Effect::Reads),
            ("KILL QUERY 1", Effect::Writes),
        ] {
            let statement = parse_statement(text, &Params::default()).unwrap();
            assert_eq!(Effect::new(&statement), effect, "{text}");
        }
    }
}

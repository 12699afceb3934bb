//! Parses the first keywords of a statement and calls the parser of that statement. The expected
//! keywords and their order in errors come from 1.x's `parse_tree.go`.

use super::ast::Statement;
use super::clause;
use super::databases_and_policies::{
    AlterRetentionPolicyStatement, CreateDatabaseStatement, CreateRetentionPolicyStatement,
};
use super::delete_and_drop::{DeleteStatement, NameOnDatabase};
use super::error::ParseError;
use super::operator::BinaryOp;
use super::parser::{Parser, unexpected};
use super::select::{
    CreateContinuousQueryStatement, ExplainStatement, IntoClause, SelectStatement,
};
use super::show::{
    CardinalityOf, CardinalityStatement, ListOf, ShowListStatement, ShowMeasurementsStatement,
    TagKeyFilter,
};
use super::token::{Keyword, TokenKind};
use super::users::{CreateUserStatement, GrantStatement, Password};

pub(super) fn parse(p: &mut Parser<'_>) -> Result<Statement, ParseError> {
    const EXPECTED: &str =
        "SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, ALTER, SET, KILL";
    Ok(match one_of(p, EXPECTED)? {
        Keyword::Select => {
            Statement::Select(Box::new(SelectStatement::parse(p, IntoClause::Optional)?))
        }
        Keyword::Delete => Statement::Delete(DeleteStatement::parse_delete(p)?),
        Keyword::Show => return show(p),
        Keyword::Create => return create(p),
        Keyword::Drop => return drop(p),
        Keyword::Explain => Statement::Explain(ExplainStatement::parse(p)?),
        Keyword::Grant => Statement::Grant(GrantStatement::parse(p, Keyword::To)?),
        Keyword::Revoke => Statement::Revoke(GrantStatement::parse(p, Keyword::From)?),
        Keyword::Alter => {
            p.expect_keyword(Keyword::Retention)?;
            p.expect_keyword(Keyword::Policy)?;
            Statement::AlterRetentionPolicy(Box::new(AlterRetentionPolicyStatement::parse(p)?))
        }
        Keyword::Set => {
            p.expect_keyword(Keyword::Password)?;
            p.expect_keyword(Keyword::For)?;
            let name = p.ident()?;
            p.expect(TokenKind::Operator(BinaryOp::Eq), "=")?;
            Statement::SetPassword { name, password: Password(p.string()?) }
        }
        _ => {
            p.expect_keyword(Keyword::Query)?;
            Statement::KillQuery { id: p.u64()?, host: clause::on_database(p)? }
        }
    })
}

fn show(p: &mut Parser<'_>) -> Result<Statement, ParseError> {
    const EXPECTED: &str = "CONTINUOUS, DATABASES, DIAGNOSTICS, FIELD, GRANTS, MEASUREMENT, \
        MEASUREMENTS, QUERIES, RETENTION, SERIES, SHARD, SHARDS, STATS, SUBSCRIPTIONS, TAG, USERS";
    Ok(match one_of(p, EXPECTED)? {
        Keyword::Continuous => {
            p.expect_keyword(Keyword::Queries)?;
            Statement::ShowContinuousQueries
        }
        Keyword::Databases => Statement::ShowDatabases,
        Keyword::Diagnostics => Statement::ShowDiagnostics { module: module(p)? },
        Keyword::Field => return show_field(p),
        Keyword::Grants => {
            p.expect_keyword(Keyword::For)?;
            Statement::ShowGrants { user: p.ident()? }
        }
        Keyword::Measurement => {
            let exact = exact_cardinality(p)?;
            return cardinality(p, exact, |_| Ok(CardinalityOf::Measurement));
        }
        Keyword::Measurements => {
            Statement::ShowMeasurements(Box::new(ShowMeasurementsStatement::parse(p)?))
        }
        Keyword::Queries => Statement::ShowQueries,
        Keyword::Retention => {
            p.expect_keyword(Keyword::Policies)?;
            Statement::ShowRetentionPolicies { database: clause::on_database(p)? }
        }
        Keyword::Series => {
            let exact = p.keyword_if(Keyword::Exact);
            if p.keyword_if(Keyword::Cardinality) {
                return cardinality(p, exact, |_| Ok(CardinalityOf::Series));
            }
            // 1.x ignores `EXACT` without `CARDINALITY`.
            return list(p, |_| Ok(ListOf::Series));
        }
        Keyword::Shard => {
            p.expect_keyword(Keyword::Groups)?;
            Statement::ShowShardGroups
        }
        Keyword::Shards => Statement::ShowShards,
        Keyword::Stats => {
            let database = clause::on_database(p)?;
            Statement::ShowStats { database, module: module(p)? }
        }
        Keyword::Subscriptions => Statement::ShowSubscriptions,
        Keyword::Tag => return show_tag(p),
        _ => Statement::ShowUsers,
    })
}

fn show_field(p: &mut Parser<'_>) -> Result<Statement, ParseError> {
    if one_of(p, "KEY, KEYS")? == Keyword::Keys {
        return list(p, |_| Ok(ListOf::FieldKeys));
    }
    let exact = exact_cardinality(p)?;
    cardinality(p, exact, |_| Ok(CardinalityOf::FieldKey))
}

fn show_tag(p: &mut Parser<'_>) -> Result<Statement, ParseError> {
    match one_of(p, "KEY, KEYS, VALUES")? {
        Keyword::Keys => {
            list(p, |p| p.after(Keyword::With, TagKeyFilter::after_with).map(ListOf::TagKeys))
        }
        Keyword::Key => {
            let exact = exact_cardinality(p)?;
            cardinality(p, exact, |_| Ok(CardinalityOf::TagKey))
        }
        _ => {
            let exact = p.keyword_if(Keyword::Exact);
            if exact {
                p.expect_keyword(Keyword::Cardinality)?;
            } else if !p.keyword_if(Keyword::Cardinality) {
                return list(p, |p| TagKeyFilter::required(p).map(ListOf::TagValues));
            }
            cardinality(p, exact, |p| TagKeyFilter::required(p).map(CardinalityOf::TagValues))
        }
    }
}

fn exact_cardinality(p: &mut Parser<'_>) -> Result<bool, ParseError> {
    let exact = one_of(p, "EXACT, CARDINALITY")? == Keyword::Exact;
    if exact {
        p.expect_keyword(Keyword::Cardinality)?;
    }
    Ok(exact)
}

fn list<'a>(
    p: &mut Parser<'a>,
    of: impl FnOnce(&mut Parser<'a>) -> Result<ListOf, ParseError>,
) -> Result<Statement, ParseError> {
    Ok(Statement::ShowList(Box::new(ShowListStatement::parse(p, of)?)))
}

fn cardinality<'a>(
    p: &mut Parser<'a>,
    exact: bool,
    of: impl FnOnce(&mut Parser<'a>) -> Result<CardinalityOf, ParseError>,
) -> Result<Statement, ParseError> {
    Ok(Statement::ShowCardinality(Box::new(CardinalityStatement::parse(p, exact, of)?)))
}

fn module(p: &mut Parser<'_>) -> Result<Option<String>, ParseError> {
    Ok(p.after(Keyword::For, Parser::string)?.filter(|module| !module.is_empty()))
}

fn create(p: &mut Parser<'_>) -> Result<Statement, ParseError> {
    Ok(match one_of(p, "CONTINUOUS, DATABASE, USER, RETENTION, SUBSCRIPTION")? {
        Keyword::Continuous => {
            p.expect_keyword(Keyword::Query)?;
            Statement::CreateContinuousQuery(Box::new(CreateContinuousQueryStatement::parse(p)?))
        }
        Keyword::Database => {
            Statement::CreateDatabase(Box::new(CreateDatabaseStatement::parse(p)?))
        }
        Keyword::User => Statement::CreateUser(CreateUserStatement::parse(p)?),
        Keyword::Retention => {
            p.expect_keyword(Keyword::Policy)?;
            Statement::CreateRetentionPolicy(Box::new(CreateRetentionPolicyStatement::parse(p)?))
        }
        _ => {
            let name = p.ident()?;
            let (database, policy) = clause::required_policy(p)?;
            p.expect_keyword(Keyword::Destinations)?;
            let mode = one_of(p, "ALL, ANY")?;
            let destinations = p.list(Parser::string)?;
            Statement::CreateSubscription { name, database, policy, mode, destinations }
        }
    })
}

fn drop(p: &mut Parser<'_>) -> Result<Statement, ParseError> {
    const EXPECTED: &str =
        "CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, SHARD, SUBSCRIPTION, USER";
    Ok(match one_of(p, EXPECTED)? {
        Keyword::Continuous => {
            p.expect_keyword(Keyword::Query)?;
            Statement::DropContinuousQuery(NameOnDatabase::parse(p)?)
        }
        Keyword::Database => Statement::DropDatabase { name: p.ident()? },
        Keyword::Measurement => Statement::DropMeasurement { name: p.ident()? },
        Keyword::Retention => {
            p.expect_keyword(Keyword::Policy)?;
            Statement::DropRetentionPolicy(NameOnDatabase::parse(p)?)
        }
        Keyword::Series => Statement::DropSeries(DeleteStatement::parse_drop_series(p)?),
        Keyword::Shard => Statement::DropShard { id: p.u64()? },
        Keyword::Subscription => {
            let name = p.ident()?;
            let (database, policy) = clause::required_policy(p)?;
            Statement::DropSubscription { name, database, policy }
        }
        _ => Statement::DropUser { name: p.ident()? },
    })
}

/// Parses one of the keywords in `expected`, a list that is separated by commas.
fn one_of(p: &mut Parser<'_>, expected: &str) -> Result<Keyword, ParseError> {
    let token = p.next();
    match token.kind {
        TokenKind::Keyword(keyword) if expected.split(", ").any(|k| k == keyword.as_str()) => {
            Ok(keyword)
        }
        _ => Err(unexpected(&token, expected)),
    }
}

#[cfg(test)]
mod tests {
    use crate::tests as check;

    #[test]
    fn statements_without_clauses_parse() {
        check::stays(&[
            "SHOW DATABASES",
            "SHOW CONTINUOUS QUERIES",
            "SHOW DIAGNOSTICS",
            "SHOW QUERIES",
            "SHOW SHARDS",
            "SHOW SHARD GROUPS",
            "SHOW STATS",
            "SHOW SUBSCRIPTIONS",
            "SHOW USERS",
            "SHOW RETENTION POLICIES",
            "SHOW RETENTION POLICIES ON db",
            "SHOW GRANTS FOR u",
            "SHOW DIAGNOSTICS FOR 'build'",
            "SHOW STATS FOR 'it\\'s'",
            "SHOW STATS ON db",
            "SHOW STATS ON \"a b\" FOR 'shard'",
            "DROP DATABASE db",
            "DROP MEASUREMENT \"a b\"",
            "DROP SHARD 3",
            "DROP USER u",
        ]);
        check::fails(&[
            ("SHOW STATS FOR x", "found x, expected string at line 1, char 16"),
            ("SHOW GRANTS u", "found u, expected FOR at line 1, char 13"),
            ("DROP SHARD x", "found x, expected integer at line 1, char 12"),
        ]);
    }

    #[test]
    fn parse_errors_list_expected_keywords() {
        check::fails(&[
            (
                "x",
                "found x, expected SELECT, DELETE, SHOW, CREATE, DROP, EXPLAIN, GRANT, REVOKE, \
                    ALTER, SET, KILL at line 1, char 1",
            ),
            (
                "SHOW x",
                "found x, expected CONTINUOUS, DATABASES, DIAGNOSTICS, FIELD, GRANTS, \
                    MEASUREMENT, MEASUREMENTS, QUERIES, RETENTION, SERIES, SHARD, SHARDS, STATS, \
                    SUBSCRIPTIONS, TAG, USERS at line 1, char 6",
            ),
            (
                "CREATE INSERT",
                "found INSERT, expected CONTINUOUS, DATABASE, USER, RETENTION, SUBSCRIPTION \
                    at line 1, char 8",
            ),
            (
                "DROP x",
                "found x, expected CONTINUOUS, DATABASE, MEASUREMENT, RETENTION, SERIES, SHARD, \
                    SUBSCRIPTION, USER at line 1, char 6",
            ),
        ]);
    }

    #[test]
    fn kill_query_takes_number() {
        check::stays(&["KILL QUERY 4", "KILL QUERY 18446744073709551615 ON \"host:8088\""]);
        check::fails(&[
            ("KILL 4", "found 4, expected QUERY at line 1, char 6"),
            ("KILL QUERY a", "found a, expected integer at line 1, char 12"),
            (
                "KILL QUERY 18446744073709551616",
                "strconv.ParseUint: parsing \"18446744073709551616\": value out of range \
                    at line 1, char 12",
            ),
        ]);
    }

    #[test]
    fn subscriptions_list_destinations() {
        check::stays(&[
            "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS ALL 'http://a:1'",
            "CREATE SUBSCRIPTION s ON db.\"r p\" DESTINATIONS ANY 'udp://a:1', 'udp://b:2'",
        ]);
        check::fails(&[
            (
                "CREATE SUBSCRIPTION s ON db DESTINATIONS ALL 'a'",
                "found  , expected . at line 1, char 28",
            ),
            (
                "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS 'a'",
                "found a, expected ALL, ANY at line 1, char 44",
            ),
            (
                "CREATE SUBSCRIPTION s ON db.rp DESTINATIONS ALL 'a', b",
                "found b, expected string at line 1, char 54",
            ),
        ]);
    }
}

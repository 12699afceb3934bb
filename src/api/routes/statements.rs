//! Judges the statements of a query by what their caller may do.

use std::collections::BTreeSet;

use crate::api::auth::AuthError;
use crate::coordinator::grants::Principal;
use crate::coordinator::privileges::{self, Need};
use crate::influxql::ast::Statement;
use crate::query::source::Defaults;

/// Lets `principal` run every statement, or refuses the first one that it may not.
///
/// # Errors
/// [`AuthError::Statement`]; [`AuthError::Unverified`] where the Catalog has to be asked first.
pub(super) fn authorise(
    statements: &[Statement],
    defaults: Defaults<'_>,
    principal: &Principal,
) -> Result<(), AuthError> {
    for statement in statements {
        let needs = privileges::needs(statement, defaults);
        let missing = needs.iter().find(|need| !need.is_met(&principal.grants));
        if principal.wants_owner() && !privileges::is_judged_by_databases(statement) {
            return Err(AuthError::Unverified("the Catalog was not asked".to_owned()));
        }
        if let Some(missing) = missing {
            return Err(AuthError::Statement {
                who: (*principal.name).to_owned(),
                statement: statement.to_string(),
                requires: missing.requires(),
            });
        }
    }
    Ok(())
}

/// The databases on which the statements need a right; none where one of them is judged by the
/// Catalog.
pub(super) fn databases(statements: &[Statement], defaults: Defaults<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for statement in statements {
        if !privileges::is_judged_by_databases(statement) {
            return Vec::new();
        }
        for need in privileges::needs(statement, defaults) {
            if let Need::Right { database, .. } = need {
                names.insert(database);
            }
        }
    }
    names.into_iter().collect()
}

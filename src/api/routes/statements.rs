//! Checks the caller's permissions for the statements of a query.

use std::collections::BTreeSet;

use crate::api::auth::AuthError;
use crate::coordinator::grants::Principal;
use crate::coordinator::privileges::{self, Need};
use crate::influxql::ast::Statement;
use crate::query::source::Defaults;

/// Returns [`AuthError::Unverified`] if the Catalog must identify the caller first.
pub(super) fn authorise(
    statements: &[Statement],
    defaults: Defaults<'_>,
    principal: &Principal,
) -> Result<(), AuthError> {
    for statement in statements {
        let needs = privileges::needs(statement, defaults);
        let missing = needs.iter().find(|need| !need.is_satisfied(&principal.grants));
        if principal.needs_lookup() && !privileges::is_judged_by_databases(statement) {
            return Err(AuthError::Unverified("no request to the Catalog was made".to_owned()));
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

/// Returns the databases on which the statements need a permission. The list is empty if the
/// Catalog must check one of the statements.
pub(super) fn databases(statements: &[Statement], defaults: Defaults<'_>) -> Vec<String> {
    let mut names = BTreeSet::new();
    for statement in statements {
        if !privileges::is_judged_by_databases(statement) {
            return Vec::new();
        }
        for need in privileges::needs(statement, defaults) {
            if let Need::PermissionKind { database, .. } = need {
                names.insert(database);
            }
        }
    }
    names.into_iter().collect()
}

//! Collects the names of columns that a statement mentions.

use std::collections::BTreeSet;

use super::operands;
use tidemark_influxql::ast::{Expr, SelectStatement};

/// Adds the names in the fields and in the condition of `select`.
pub(super) fn own_mentions<'a>(
    select: &'a SelectStatement,
    mentioned: &mut Option<BTreeSet<&'a str>>,
) {
    let fields = select.fields.iter().map(|field| &field.expr);
    fields.chain(&select.condition).for_each(|expr| mentions(expr, mentioned));
}

/// Adds the names in `expr`. A wildcard or a regex for names changes the set to `None`.
pub(super) fn mentions<'a>(expr: &'a Expr, mentioned: &mut Option<BTreeSet<&'a str>>) {
    match expr {
        Expr::VarRef { name, .. } | Expr::Distinct(name) => {
            if let Some(names) = mentioned {
                names.insert(name);
            }
        }
        Expr::Wildcard(_) | Expr::Regex(_) => *mentioned = None,
        // A regex in a condition matches values, not names.
        Expr::Binary { left, right, .. } if matches!(**right, Expr::Regex(_)) => {
            mentions(left, mentioned);
        }
        _ => operands(expr).for_each(|operand| mentions(operand, mentioned)),
    }
}

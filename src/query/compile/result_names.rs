//! Determines the names of result columns (1.x `Field.Name`, `SelectStatement.ColumnNames`).

use std::collections::HashMap;

use super::operands;
use crate::influxql::ast::{Expr, Field};

pub(crate) fn field_name(expr: &Expr) -> String {
    match expr {
        Expr::Call { name, .. } | Expr::VarRef { name, .. } => name.clone(),
        Expr::Binary { .. } => {
            let mut parts = Vec::new();
            collect(expr, &mut parts);
            parts.join("_")
        }
        Expr::Paren(inner) => field_name(inner),
        _ => String::new(),
    }
}

pub(crate) fn name_of(field: &Field) -> String {
    field.alias.clone().unwrap_or_else(|| field_name(&field.expr))
}

/// Collects the names of references and calls, in order.
fn collect(expr: &Expr, parts: &mut Vec<String>) {
    match expr {
        Expr::VarRef { name, .. } | Expr::Call { name, .. } => parts.push(name.clone()),
        _ => operands(expr).for_each(|operand| collect(operand, parts)),
    }
}

/// Aliases remain unchanged. Other duplicate names get the suffix `_1`, `_2`, ….
pub(crate) fn column_names<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> Vec<String> {
    let aliases = fields.clone().filter_map(|field| field.alias.clone());
    let mut taken: HashMap<String, u32> = aliases.map(|alias| (alias, 1)).collect();
    let name = |field: &Field| match &field.alias {
        Some(alias) => alias.clone(),
        None => unique(field_name(&field.expr), &mut taken),
    };
    fields.map(name).collect()
}

fn unique(mut name: String, taken: &mut HashMap<String, u32>) -> String {
    if let Some(&first) = taken.get(&name) {
        let mut count = first;
        let mut resolved = format!("{name}_{count}");
        while taken.contains_key(&resolved) {
            count += 1;
            resolved = format!("{name}_{count}");
        }
        taken.insert(name, count + 1);
        name = resolved;
    }
    *taken.entry(name.clone()).or_insert(0) += 1;
    name
}

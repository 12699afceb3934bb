//! Determines the names of result columns (1.x `SelectStatement.ColumnNames`).

use std::collections::HashMap;

use super::plan_size::PlanSize;
use tidemark_influxql::ast::Field;

/// Aliases remain unchanged. Other duplicate names get the suffix `_1`, `_2`, …. Awaits only
/// [`PlanSize::spend`].
pub(super) async fn column_names<'a>(
    fields: impl Iterator<Item = &'a Field> + Clone,
    size: &PlanSize,
) -> Vec<String> {
    let aliases = fields.clone().filter_map(|field| field.alias.clone());
    let mut taken: HashMap<String, u32> = aliases.map(|alias| (alias, 1)).collect();
    let mut names = Vec::new();
    for field in fields {
        names.push(match &field.alias {
            Some(alias) => alias.clone(),
            None => unique(field.name(), &mut taken),
        });
        size.spend_columns(1).await;
    }
    names
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Work;
    use crate::work::run_measured;
    use tidemark_influxql::ast::Expr;
    use tidemark_model::configurable_limits::Limits;

    #[test]
    fn thousands_of_columns_are_named_in_several_turns() {
        let field =
            |n: usize| Field { expr: Expr::var_ref(&format!("v{}", n % 1_000)), alias: None };
        let fields: Vec<Field> = (0..20_000).map(field).collect();
        let work = Work::default();
        let size = PlanSize::new(Limits::default(), &work);
        let (names, pauses) = run_measured(&work, 1_000, column_names(fields.iter(), &size));
        assert_eq!(names[..2], ["v0", "v1"]);
        assert_eq!(names[19_999], "v999_19");
        assert!(pauses >= 1, "{pauses} pauses");
    }
}

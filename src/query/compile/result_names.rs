//! Determines the names of result columns (1.x `SelectStatement.ColumnNames`).

use std::collections::HashMap;

use crate::influxql::ast::Field;

/// Aliases remain unchanged. Other duplicate names get the suffix `_1`, `_2`, ….
pub(crate) fn column_names<'a>(fields: impl Iterator<Item = &'a Field> + Clone) -> Vec<String> {
    let aliases = fields.clone().filter_map(|field| field.alias.clone());
    let mut taken: HashMap<String, u32> = aliases.map(|alias| (alias, 1)).collect();
    let name = |field: &Field| match &field.alias {
        Some(alias) => alias.clone(),
        None => unique(field.name(), &mut taken),
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

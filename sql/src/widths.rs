//! Rejects statements with too many columns. Planning and optimizing take time in proportion to the
//! number of selected columns times the number of table columns.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    ObjectName, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor,
    Visit, Visitor,
};

use crate::complexity::plain_name;
use crate::error::QueryError;
use crate::limits::PLANNED_COLUMNS_MAX;
use crate::messages::TableSchema;

/// Checks a statement that reads these tables.
///
/// # Errors
/// Returns an error that contains the limit and a remedy.
pub(crate) fn check(statement: &Statement, tables: &[TableSchema]) -> Result<(), QueryError> {
    let mut statement = statement;
    while let Statement::Explain(explain) = statement {
        statement = &explain.statement;
    }
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let width = |table: &TableSchema| Size { width: table.columns.len() + 1, cost: 0 };
    let tables = tables.iter().map(|table| (table.name.to_lowercase(), width(table)));
    let mut widths = Widths { tables: tables.collect(), open: vec![0], ..Widths::default() };
    // The visitor never returns `Break`.
    let _ = statement.visit(&mut widths);
    match widths.open.first() {
        Some(cost) if *cost > PLANNED_COLUMNS_MAX => Err(QueryError::invalid(format!(
            "the statement selects too many columns: the sum over each SELECT of its columns \
             times the columns of its tables is {cost}, and the limit is {PLANNED_COLUMNS_MAX}; \
             name the columns instead of `*`"
        ))),
        _ => Ok(()),
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Size {
    width: usize,
    /// The planning cost: the number of selected columns times the number of table columns.
    cost: usize,
}

#[derive(Debug, Default)]
struct Widths {
    /// Maps lower-case names of tables and CTEs to their sizes.
    tables: HashMap<String, Size>,
    /// Maps the address of each CTE's body to the CTE's name.
    names: HashMap<*const Query, String>,
    queries: HashMap<*const Query, Size>,
    /// The costs of the statement and of the queries around the visitor's position.
    open: Vec<usize>,
}

impl Widths {
    fn named(&self, name: &ObjectName) -> Size {
        let name = plain_name(name);
        let last = name.rsplit('.').next().unwrap_or_default();
        self.tables.get(&name).or_else(|| self.tables.get(last)).copied().unwrap_or_default()
    }

    fn body(&self, body: &SetExpr) -> Size {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => self.query(query),
            SetExpr::SetOperation { left, right, .. } => {
                let (left, right) = (self.body(left), self.body(right));
                let cost = left.cost.saturating_add(right.cost);
                Size { width: left.width.max(right.width), cost }
            }
            _ => Size::default(),
        }
    }

    /// Returns the size of a nested query, excluding its cost. `post_visit_query` has already added
    /// the cost.
    fn query(&self, query: &Query) -> Size {
        let width = self.queries.get(&(&raw const *query)).map_or(0, |sized| sized.width);
        Size { width, cost: 0 }
    }

    fn select(&self, select: &Select) -> Size {
        let joined = select.from.iter().flat_map(|table| {
            std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
        });
        let factors: Vec<(String, Size)> = joined.map(|factor| self.factor(factor)).collect();
        let all: usize = factors.iter().map(|(_, sized)| sized.width).sum();
        let inner = factors.iter().fold(0usize, |sum, (_, sized)| sum.saturating_add(sized.cost));
        let item = |item: &SelectItem| match item {
            SelectItem::Wildcard(_) => all,
            SelectItem::QualifiedWildcard(kind, _) => {
                let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else { return all };
                let name = plain_name(name);
                let factor = factors.iter().find(|(alias, _)| *alias == name);
                factor.map_or(all, |(_, sized)| sized.width)
            }
            _ => 1,
        };
        let width: usize = select.projection.iter().map(item).sum();
        Size { width, cost: width.saturating_mul(all).saturating_add(inner) }
    }

    /// Returns the name and size of a table in FROM. The planner plans a CTE separately for each
    /// reference.
    fn factor(&self, factor: &TableFactor) -> (String, Size) {
        let (alias, sized) = match factor {
            TableFactor::Table { name, alias, .. } => {
                let sized = self.named(name);
                let own = plain_name(name);
                (alias.as_ref().map_or(own, |alias| alias.name.value.to_lowercase()), sized)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let alias = alias.as_ref().map(|alias| alias.name.value.to_lowercase());
                (alias.unwrap_or_default(), self.query(subquery))
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let joins = table_with_joins.joins.iter().map(|join| &join.relation);
                let tables = std::iter::once(&table_with_joins.relation).chain(joins);
                let sum = tables.fold(Size::default(), |sum, factor| {
                    let (_, sized) = self.factor(factor);
                    let cost = sum.cost.saturating_add(sized.cost);
                    Size { width: sum.width + sized.width, cost }
                });
                (String::new(), sum)
            }
            _ => (String::new(), Size::default()),
        };
        (alias, sized)
    }
}

impl Visitor for Widths {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let body: *const Query = &raw const *cte.query;
            self.names.insert(body, cte.alias.name.value.to_lowercase());
        }
        self.open.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let inner = self.open.pop().unwrap_or_default();
        let Size { width, cost } = self.body(&query.body);
        let sized = Size { width, cost: cost.saturating_add(inner) };
        match self.names.remove(&(&raw const *query)) {
            Some(name) => {
                self.tables.insert(name, sized);
            }
            None => {
                if let Some(open) = self.open.last_mut() {
                    *open = open.saturating_add(sized.cost);
                }
                self.queries.insert(&raw const *query, sized);
            }
        }
        ControlFlow::Continue(())
    }
}

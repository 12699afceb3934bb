//! Rejects statements that are small, but become large during planning.
//!
//! The planner plans a CTE separately for each reference. If each of several CTEs references the
//! previous CTE twice, the number of tables doubles with each CTE. Planning and optimizing take
//! time in proportion to the number of selected or referenced columns times the number of table
//! columns, because the planner searches all columns for each reference. The planner nests the
//! windows of a SELECT. Pipe operators are rejected, because a statement could nest thousands of
//! them.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query,
    Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableFactor, TableWithJoins,
    Visit, Visitor, WindowType,
};

use crate::error::QueryError;
use crate::limits::{
    COPIES_MAX, COPYING_DEPTH_MAX, CTE_DEPTH_MAX, GROUPING_KEYS_MAX, PLANNED_COLUMNS_MAX,
    TABLES_MAX, WINDOWS_MAX,
};
use crate::messages::TableSchema;
use crate::tables::{CATALOG, SCHEMA};

/// Checks a statement that reads these tables.
///
/// # Errors
/// Returns an error that contains the exceeded limit.
pub(crate) fn check(statement: &Statement, tables: &[TableSchema]) -> Result<(), QueryError> {
    let mut statement = statement;
    while let Statement::Explain(explain) = statement {
        statement = &explain.statement;
    }
    let Statement::Statement(statement) = statement else { return Ok(()) };
    let size = |table: &TableSchema| Size { width: table.columns.len() + 1, ..Size::TABLE };
    let mut sizes = Sizes::default();
    for table in tables {
        for prefix in ["", &format!("{SCHEMA}."), &format!("{CATALOG}.{SCHEMA}.")] {
            sizes.tables.insert(format!("{prefix}{}", table.name), size(table));
        }
    }
    if let ControlFlow::Break(error) = statement.visit(&mut sizes) {
        return Err(error);
    }
    let Size { tables, windows, grouping_keys, cost, .. } = sizes.statement;
    if grouping_keys > GROUPING_KEYS_MAX {
        return Err(QueryError::invalid(format!(
            "the grouping sets of a query contain more than {GROUPING_KEYS_MAX} keys, counted \
             after the CTEs are expanded: use fewer keys in CUBE and ROLLUP"
        )));
    }
    if windows > WINDOWS_MAX {
        return Err(QueryError::invalid(format!(
            "the statement has more than {WINDOWS_MAX} different windows, counted after the CTEs are \
             expanded: use the same OVER clause for several functions"
        )));
    }
    if tables > TABLES_MAX {
        let message = format!(
            "the statement reads more than {TABLES_MAX} tables, counted after the CTEs are expanded"
        );
        return Err(QueryError::invalid(message));
    }
    if cost > PLANNED_COLUMNS_MAX {
        return Err(QueryError::invalid(format!(
            "the statement selects too many columns: the sum over each SELECT of its columns and \
             references times the columns of its tables is {cost}, and the limit is \
             {PLANNED_COLUMNS_MAX}; name the columns instead of `*`"
        )));
    }
    Ok(())
}

/// The size of a query after the planner has expanded it.
#[derive(Clone, Copy, Debug)]
struct Size {
    tables: usize,
    /// The number of different OVER clauses.
    windows: usize,
    /// The number of grouping sets times the keys of the largest set, summed over each SELECT.
    grouping_keys: usize,
    /// The number of times that an expression of the query may contain the same column of a table.
    copies: usize,
    /// The number of columns of the result.
    width: usize,
    /// The planning cost: the number of selected or referenced columns times the number of table
    /// columns, summed over each SELECT.
    cost: usize,
}

impl Size {
    const NONE: Self =
        Self { tables: 0, windows: 0, grouping_keys: 0, copies: 1, width: 0, cost: 0 };
    const TABLE: Self = Self { tables: 1, ..Self::NONE };

    /// Adds a source of a query.
    fn add(&mut self, source: Self) {
        self.tables = self.tables.saturating_add(source.tables);
        self.windows = self.windows.saturating_add(source.windows);
        self.grouping_keys = self.grouping_keys.saturating_add(source.grouping_keys);
        self.copies = self.copies.max(source.copies);
        self.cost = self.cost.saturating_add(source.cost);
    }
}

impl Default for Size {
    fn default() -> Self {
        Self::NONE
    }
}

/// A CTE, and whether a query reads it.
#[derive(Clone, Copy, Debug)]
struct Cte {
    size: Size,
    is_read: bool,
}

/// The visitor that computes the size of a statement.
#[derive(Debug, Default)]
struct Sizes {
    /// Maps the names of tables to their sizes.
    tables: HashMap<String, Size>,
    /// The CTEs that a query at the visitor's position can read, by name.
    ctes: HashMap<String, Cte>,
    /// Maps the address of each CTE's body to the CTE's name.
    names: HashMap<*const Query, String>,
    /// Maps the address of each other query to its width.
    widths: HashMap<*const Query, usize>,
    /// The sizes of the sources of the queries around the visitor's position.
    open: Vec<Size>,
    /// The OVER clauses of the queries around the visitor's position, with the number of SELECTs
    /// before each clause. Several SELECTs of a query do not share windows.
    windows: Vec<HashSet<(usize, WindowType)>>,
    /// For each query and SELECT around the visitor's position, the number of references to columns.
    references: Vec<usize>,
    /// Maps the address of each SELECT to its number of references to columns.
    select_references: HashMap<*const Select, usize>,
    /// The number of SELECTs before the visitor's position.
    selects: usize,
    statement: Size,
    /// The number of CTEs around the visitor's position.
    cte_depth: usize,
    /// The number of BETWEEN, CAST and COALESCE around the visitor's position.
    copying: usize,
}

impl Sizes {
    fn add(&mut self, source: Size) {
        self.open.last_mut().unwrap_or(&mut self.statement).add(source);
    }

    fn relation(&self, name: &ObjectName) -> Size {
        let name = plain_name(name);
        let cte = self.ctes.get(&name).map(|cte| cte.size);
        cte.or_else(|| self.tables.get(&name).copied()).unwrap_or(Size::TABLE)
    }

    fn width(&self, query: &Query) -> usize {
        self.widths.get(&(&raw const *query)).copied().unwrap_or_default()
    }

    /// Returns the width of a query's body, and the cost of the body without its sources.
    fn body(&self, body: &SetExpr) -> (usize, usize) {
        match body {
            SetExpr::Select(select) => self.select(select),
            SetExpr::Query(query) => (self.width(query), 0),
            SetExpr::SetOperation { left, right, .. } => {
                let (left, right) = (self.body(left), self.body(right));
                (left.0.max(right.0), left.1.saturating_add(right.1))
            }
            _ => (0, 0),
        }
    }

    fn select(&self, select: &Select) -> (usize, usize) {
        let factors: Vec<(String, usize)> =
            select.from.iter().flat_map(factors).map(|factor| self.factor(factor)).collect();
        let all: usize = factors.iter().map(|(_, width)| width).sum();
        let item = |item: &SelectItem| match item {
            SelectItem::Wildcard(_) => all,
            SelectItem::QualifiedWildcard(kind, _) => {
                let SelectItemQualifiedWildcardKind::ObjectName(name) = kind else { return all };
                let name = plain_name(name);
                let factor = factors.iter().find(|(alias, _)| *alias == name);
                factor.map_or(all, |(_, width)| *width)
            }
            _ => 1,
        };
        let width: usize = select.projection.iter().map(item).sum();
        let named = |item: &&SelectItem| {
            !matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
        };
        let named = select.projection.iter().filter(named).count();
        let references = self.select_references.get(&(&raw const *select));
        let references = references.copied().unwrap_or_default().max(named);
        let keys: usize = select.from.iter().map(|table| self.join_keys(table)).sum();
        let columns = (width - named).saturating_add(references).saturating_add(keys);
        (width, columns.saturating_mul(all))
    }

    /// Returns the number of columns in USING and NATURAL JOIN, also within parentheses.
    fn join_keys(&self, table: &TableWithJoins) -> usize {
        let nested = factors(table).map(|factor| match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => self.join_keys(table_with_joins),
            _ => 0,
        });
        let mut keys = nested.fold(0, usize::saturating_add);
        let mut left = self.factor(&table.relation).1;
        for join in &table.joins {
            let right = self.factor(&join.relation).1;
            keys = keys.saturating_add(match constraint(&join.join_operator) {
                Some(JoinConstraint::Natural) => left.min(right),
                Some(JoinConstraint::Using(columns)) => columns.len(),
                _ => 0,
            });
            left = left.saturating_add(right);
        }
        keys
    }

    /// Returns the number of columns of a query's tables, to which its ORDER BY may refer.
    fn source_width(&self, body: &SetExpr) -> usize {
        match body {
            SetExpr::Select(select) => {
                select.from.iter().flat_map(factors).map(|factor| self.factor(factor).1).sum()
            }
            SetExpr::SetOperation { left, .. } => self.source_width(left),
            _ => 0,
        }
    }

    /// Returns the name and the width of a table in FROM.
    fn factor(&self, factor: &TableFactor) -> (String, usize) {
        match factor {
            TableFactor::Table { name, alias, .. } => {
                let alias = alias.as_ref().map(|alias| plain_ident(&alias.name));
                (alias.unwrap_or_else(|| plain_name(name)), self.relation(name).width)
            }
            TableFactor::Derived { subquery, alias, .. } => {
                let alias = alias.as_ref().map(|alias| plain_ident(&alias.name));
                (alias.unwrap_or_default(), self.width(subquery))
            }
            TableFactor::NestedJoin { table_with_joins, .. } => {
                let widths = factors(table_with_joins).map(|factor| self.factor(factor).1);
                (String::new(), widths.sum())
            }
            _ => (String::new(), 0),
        }
    }
}

fn factors(table: &TableWithJoins) -> impl Iterator<Item = &TableFactor> {
    std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation))
}

fn constraint(operator: &JoinOperator) -> Option<&JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint) => Some(constraint),
        _ => None,
    }
}

impl Visitor for Sizes {
    type Break = QueryError;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        if !query.pipe_operators.is_empty() {
            let message = "pipe operators (|>) are not supported: use subqueries or CTEs";
            return ControlFlow::Break(QueryError::invalid(message));
        }
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let body: *const Query = &raw const *cte.query;
            self.names.insert(body, plain_ident(&cte.alias.name));
        }
        self.cte_depth += usize::from(self.names.contains_key(&(&raw const *query)));
        if self.cte_depth > CTE_DEPTH_MAX {
            return ControlFlow::Break(QueryError::invalid(format!(
                "more than {CTE_DEPTH_MAX} CTEs are nested: define them in one WITH"
            )));
        }
        self.open.push(Size::NONE);
        self.windows.push(HashSet::new());
        self.references.push(0);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<QueryError> {
        let mut sources = self.open.pop().unwrap_or_default();
        let windows = self.windows.pop().map_or(0, |windows| windows.len());
        sources.windows = sources.windows.saturating_add(windows);
        let (width, cost) = self.body(&query.body);
        let in_order = self.references.pop().unwrap_or_default();
        let order_cost = in_order.saturating_mul(self.source_width(&query.body));
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            // A CTE that no query reads also counts, because the planner plans it.
            if let Some(Cte { size, is_read: false }) =
                self.ctes.remove(&plain_ident(&cte.alias.name))
            {
                sources.add(Size { copies: 1, ..size });
            }
        }
        let size = Size {
            copies: sources.copies.saturating_mul(references(&query.body)),
            width,
            cost: sources.cost.saturating_add(cost).saturating_add(order_cost),
            ..sources
        };
        if size.copies > COPIES_MAX {
            return ControlFlow::Break(QueryError::invalid(format!(
                "nested queries repeat a column more than {COPIES_MAX} times: reference a column of \
                 a subquery less often"
            )));
        }
        match self.names.remove(&(&raw const *query)) {
            // A query without tables counts as one table, because each reference to it must be
            // planned, and may be an input of a join.
            Some(name) => {
                let size = Size { tables: size.tables.max(1), ..size };
                self.ctes.insert(name, Cte { size, is_read: false });
                self.cte_depth -= 1;
            }
            None => {
                self.widths.insert(&raw const *query, width);
                self.add(Size { tables: size.tables.max(1), ..size });
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        self.selects += 1;
        self.references.push(0);
        let GroupByExpr::Expressions(keys, _) = &select.group_by else {
            return ControlFlow::Continue(());
        };
        let (sets, keys) = grouping_sets(keys);
        if sets > 1 {
            self.add(Size { grouping_keys: sets.saturating_mul(keys), ..Size::NONE });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_select(&mut self, select: &Select) -> ControlFlow<QueryError> {
        let references = self.references.pop().unwrap_or_default();
        self.select_references.insert(&raw const *select, references);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<QueryError> {
        self.add(self.relation(relation));
        if let Some(cte) = self.ctes.get_mut(&plain_name(relation)) {
            cte.is_read = true;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<QueryError> {
        // The visitor also visits the names of tables and the queries in FROM.
        let is_visited = matches!(
            factor,
            TableFactor::Table { .. }
                | TableFactor::Derived { .. }
                | TableFactor::NestedJoin { .. }
        );
        if !is_visited {
            self.add(Size::TABLE);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        if let Expr::Function(function) = expr
            && let (Some(window), Some(windows)) = (&function.over, self.windows.last_mut())
        {
            windows.insert((self.selects, window.clone()));
        }
        if let Some(references) = self.references.last_mut()
            && matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
        {
            *references += 1;
        }
        self.copying += usize::from(is_copying(expr));
        if self.copying > COPYING_DEPTH_MAX {
            return ControlFlow::Break(QueryError::invalid(format!(
                "more than {COPYING_DEPTH_MAX} BETWEEN, CAST or COALESCE are nested: simplify the \
                 expression"
            )));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<QueryError> {
        self.copying -= usize::from(is_copying(expr));
        ControlFlow::Continue(())
    }
}

/// Returns the number of grouping sets, and the number of keys of the largest set.
fn grouping_sets(keys: &[Expr]) -> (usize, usize) {
    let size = |key: &Expr| match key {
        Expr::Cube(keys) => {
            (2_usize.saturating_pow(u32::try_from(keys.len()).unwrap_or(u32::MAX)), keys.len())
        }
        Expr::Rollup(keys) => (keys.len() + 1, keys.len()),
        Expr::GroupingSets(sets) => {
            let sets = sets.iter().map(|keys| grouping_sets(keys));
            sets.fold((0_usize, 0), |all, set| (all.0.saturating_add(set.0), all.1.max(set.1)))
        }
        _ => (1, 1),
    };
    let sizes = keys.iter().map(size);
    sizes.fold((1, 0), |all: (usize, usize), of| (all.0.saturating_mul(of.0), all.1 + of.1))
}

fn is_copying(expr: &Expr) -> bool {
    match expr {
        Expr::Between { .. } | Expr::Cast { .. } => true,
        Expr::Function(function) => {
            matches!(plain_name(&function.name).as_str(), "coalesce" | "ifnull" | "nvl" | "nvl2")
        }
        _ => false,
    }
}

/// Returns the factor by which the expression increases the work for its operands. For nested
/// casts, a measurement showed a factor of 2.8.
fn factor(expr: &Expr) -> usize {
    if is_copying(expr) { 3 } else { 1 }
}

/// Returns the maximum number of columns in one column of the result. The optimizer replaces each
/// column of a subquery with the subquery's expression.
fn references(body: &SetExpr) -> usize {
    match body {
        SetExpr::Select(select) => {
            let count = |item| {
                let mut references = References { count: 0, copies: 1 };
                let _ = Visit::visit(item, &mut references);
                references.count
            };
            select.projection.iter().map(count).max().unwrap_or(1).max(1)
        }
        SetExpr::SetOperation { left, right, .. } => references(left).max(references(right)),
        _ => 1,
    }
}

struct References {
    count: usize,
    /// The number of copies that the planner makes of the expression at the visitor's position.
    copies: usize,
}

impl Visitor for References {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            self.count = self.count.saturating_add(self.copies);
        }
        self.copies = self.copies.saturating_mul(factor(expr));
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        self.copies /= factor(expr);
        ControlFlow::Continue(())
    }
}

/// Returns the name without quotes. As in the planner, only a name without quotes is converted to
/// lower case.
fn plain_ident(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

fn plain_name(name: &ObjectName) -> String {
    let part = |part: &ObjectNamePart| match part.as_ident() {
        Some(ident) => plain_ident(ident),
        None => part.to_string(),
    };
    name.0.iter().map(part).collect::<Vec<_>>().join(".")
}

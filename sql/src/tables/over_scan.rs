//! Detects operators that are directly above a scan. The optimizer rules that move work to shards
//! use this module.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::scan::{Scan, Scanned};

/// A scan, all of whose rows reach the operator above the scan.
pub(super) struct OverScan<'a> {
    pub(super) scan: &'a Scan,
    /// The projections between the operator above the scan and the scan, in this order.
    projections: Vec<&'a ProjectionExec>,
}

impl<'a> OverScan<'a> {
    /// Returns the scan below `node` if all operators between them return each row exactly once.
    pub(super) fn of(mut node: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        let mut projections = Vec::new();
        loop {
            if let Some(scan) = node.downcast_ref::<Scan>() {
                return scan.takes_all().then_some(Self { scan, projections });
            }
            if let Some(found) = node.downcast_ref::<ProjectionExec>() {
                projections.push(found);
                node = found.input();
            } else if node.is::<CooperativeExec>() {
                node = node.children().into_iter().next()?;
            } else {
                return None;
            }
        }
    }

    /// Returns `expr`, rewritten so that it refers to the scan's columns. Returns `None` if the
    /// expression computes a value from another computed value. Shards do not support such
    /// expressions, and each of several projections could double the size of the result. The result
    /// must not be resolved again.
    pub(super) fn resolve(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
        self.projections.iter().try_fold(Arc::clone(expr), |expr, projection| {
            let below = |part: &Arc<dyn PhysicalExpr>| {
                let column = part.downcast_ref::<Column>()?;
                projection.expr().get(column.index()).map(|projected| Arc::clone(&projected.expr))
            };
            if let Some(projected) = below(&expr) {
                return Some(projected);
            }
            let mut is_simple = true;
            let resolved = expr.transform_up(|part| {
                let Some(projected) = below(&part) else { return Ok(Transformed::no(part)) };
                is_simple &= projected.downcast_ref::<Column>().is_some()
                    || projected.downcast_ref::<Literal>().is_some();
                Ok(Transformed::yes(projected))
            });
            resolved.data().ok().filter(|_| is_simple)
        })
    }

    /// Returns the scan's column to which `expr` refers, or `None` if the expression is computed.
    pub(super) fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Scanned<'_>> {
        self.resolved_column(&self.resolve(expr)?)
    }

    /// Returns the scan's column to which an expression from [`Self::resolve`] refers.
    pub(super) fn resolved_column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Scanned<'_>> {
        self.scan.column(expr.downcast_ref::<Column>()?.index())
    }

    pub(super) fn is_time(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        matches!(self.column(expr), Some(Scanned::Time))
    }

    pub(super) fn tag(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
        match self.column(expr)? {
            Scanned::Tag(tag) => Some(tag),
            Scanned::Time | Scanned::Field(..) => None,
        }
    }
}

/// Replaces the only scan below `node`.
pub(super) fn with_scan(
    node: &Arc<dyn ExecutionPlan>,
    scan: Scan,
) -> Result<Arc<dyn ExecutionPlan>> {
    let scan: Arc<dyn ExecutionPlan> = Arc::new(scan);
    Arc::clone(node)
        .transform_up(|node| {
            Ok(match node.is::<Scan>() {
                true => Transformed::yes(Arc::clone(&scan)),
                false => Transformed::no(node),
            })
        })
        .data()
}

//! What stands over nothing but a scan: the rules that hand work to shards look for it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::projection::ProjectionExec;

use super::scan::{Scan, Scanned};

/// A scan, all of whose rows reach what stands over it.
pub(super) struct OverScan<'a> {
    pub(super) scan: &'a Scan,
    /// What stands between them.
    projection: Option<&'a ProjectionExec>,
}

impl<'a> OverScan<'a> {
    /// The scan below, if `node` and what is below it hand on each of its rows once.
    pub(super) fn of(mut node: &'a Arc<dyn ExecutionPlan>) -> Option<Self> {
        let mut projection = None;
        loop {
            if let Some(scan) = node.downcast_ref::<Scan>() {
                return scan.takes_all().then_some(Self { scan, projection });
            }
            if let Some(found) = node.downcast_ref::<ProjectionExec>() {
                projection = match projection {
                    None => Some(found),
                    Some(_) => return None,
                };
                node = found.input();
            } else if node.is::<CooperativeExec>() {
                node = node.children().into_iter().next()?;
            } else {
                return None;
            }
        }
    }

    /// What `expr` is in the words of the scan.
    pub(super) fn resolve<'e>(
        &'e self,
        expr: &'e Arc<dyn PhysicalExpr>,
    ) -> &'e Arc<dyn PhysicalExpr> {
        let column = expr.downcast_ref::<Column>();
        let below = self.projection.zip(column).and_then(|(projection, column)| {
            projection.expr().get(column.index()).map(|projected| &projected.expr)
        });
        below.unwrap_or(expr)
    }

    /// The column that `expr` is; what a projection computes is none.
    pub(super) fn column(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<Scanned<'_>> {
        let at = self.resolve(expr).downcast_ref::<Column>()?.index();
        self.scan.column(at)
    }

    /// Whether `expr` is the time.
    pub(super) fn is_time(&self, expr: &Arc<dyn PhysicalExpr>) -> bool {
        matches!(self.column(expr), Some(Scanned::Time))
    }

    /// The tag that `expr` is.
    pub(super) fn tag(&self, expr: &Arc<dyn PhysicalExpr>) -> Option<&str> {
        match self.column(expr)? {
            Scanned::Tag(tag) => Some(tag),
            Scanned::Time | Scanned::Field(..) => None,
        }
    }
}

/// `node` with this scan in the place of the only one below it.
///
/// # Errors
/// None that is known.
pub(super) fn with_scan(
    node: &Arc<dyn ExecutionPlan>,
    scan: &Arc<dyn ExecutionPlan>,
) -> Result<Arc<dyn ExecutionPlan>> {
    Arc::clone(node)
        .transform_up(|node| {
            Ok(match node.is::<Scan>() {
                true => Transformed::yes(Arc::clone(scan)),
                false => Transformed::no(node),
            })
        })
        .data()
}

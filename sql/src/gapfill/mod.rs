//! Bins without rows.

use datafusion::execution::SessionStateBuilder;

/// Adds the rule.
pub(crate) fn register(state: SessionStateBuilder) -> SessionStateBuilder {
    state
}

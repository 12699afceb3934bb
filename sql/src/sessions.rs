//! Creates DataFusion sessions with their functions, rules and settings. Sessions are reused,
//! because creating a session takes longer than parsing a statement.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use datafusion::catalog::MemoryCatalogProviderList;
use datafusion::config::ConfigOptions;
use datafusion::execution::context::ExecutionProps;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::optimizer::Optimizer;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use crate::error::QueryError;
use crate::limits::{BATCH_ROWS, SESSIONS_IDLE_MAX};
use crate::set_comparisons::NameSets;
use crate::{functions, gapfill, tables};

/// The idle sessions, and for each of them whether shards group rows.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Vec<(bool, SessionState)>>);

impl Sessions {
    /// Returns a session without tables. `now` is the time of the statement. `shards_group` is
    /// whether shards compute aggregates, and select the first or last rows of groups.
    pub(crate) fn acquire(
        &self,
        now: DateTime<Utc>,
        pool: &Arc<dyn MemoryPool>,
        shards_group: bool,
    ) -> Result<SessionState, QueryError> {
        let cached = {
            let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let at = idle.iter().position(|(known, _)| *known == shards_group);
            at.map(|at| idle.swap_remove(at).1)
        };
        let mut state = match cached {
            Some(state) => state,
            None => new_state(pool, shards_group)?,
        };
        let options = Arc::clone(state.config_options());
        let mut properties = ExecutionProps::new();
        properties.query_execution_start_time = Some(now);
        properties.config_options = Some(options);
        *state.execution_props_mut() = properties;
        Ok(state)
    }

    pub(crate) fn release(&self, shards_group: bool, mut state: SessionState) {
        // This call removes the tables of the statement.
        state.register_catalog_list(Arc::new(MemoryCatalogProviderList::new()));
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < SESSIONS_IDLE_MAX {
            idle.push((shards_group, state));
        }
    }
}

fn new_state(pool: &Arc<dyn MemoryPool>, shards_group: bool) -> Result<SessionState, QueryError> {
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::clone(pool))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let mut rules = Optimizer::new().rules;
    gapfill::add_rule(&mut rules);
    rules.insert(0, Arc::new(NameSets));
    let builder = SessionStateBuilder::new()
        .with_default_features()
        .with_config(config())
        .with_runtime_env(runtime)
        // The session must not access files, so it has no file formats and no table factories.
        .with_table_factories(HashMap::new())
        .with_file_formats(Vec::new())
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(physical_rules())
        .with_query_planner(gapfill::planner());
    let mut state = tables::rules(shards_group)
        .fold(builder, SessionStateBuilder::with_physical_optimizer_rule)
        .build();
    functions::register(&mut state)?;
    Ok(state)
}

fn config() -> SessionConfig {
    let mut options = ConfigOptions::new();
    options.catalog.default_catalog = tables::CATALOG.to_owned();
    options.catalog.default_schema = tables::SCHEMA.to_owned();
    options.catalog.create_default_catalog_and_schema = false;
    options.catalog.information_schema = true;
    // Clients that read Arrow data do not support string views.
    options.sql_parser.map_string_types_to_utf8view = false;
    // In a join, the metadata of the schemas contains different table names, and the schema check
    // would fail.
    options.execution.skip_physical_aggregate_schema_check = true;
    // The Worker has only one thread, so further partitions would only use more memory.
    options.execution.target_partitions = 1;
    SessionConfig::from(options).with_batch_size(BATCH_ROWS)
}

/// Returns DataFusion's physical optimizer rules, except rules that never apply to these plans.
/// Plans have one partition, tables have no statistics, and scans accept neither filters nor sorts
/// at this stage.
fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let idle = |rule: &Arc<dyn PhysicalOptimizerRule + Send + Sync>| {
        ["aggregate_statistics", "HashJoinBuffering", "WindowTopN"].contains(&rule.name())
            || ["FilterPushdown", "TopKRepartition", "PushdownSort"]
                .iter()
                .any(|name| rule.name().starts_with(name))
    };
    PhysicalOptimizer::new().rules.into_iter().filter(|rule| !idle(rule)).collect()
}

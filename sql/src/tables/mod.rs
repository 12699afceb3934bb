//! Defines the tables of a database in SQL.
//!
//! The catalog is named `public`. The schema `iox` contains a table for each measurement. The
//! schema `system` contains tables about the database. DataFusion adds the schema
//! `information_schema`.

mod aggregates;
mod batches;
mod expressions;
mod first_rows;
mod measurement;
mod over_scan;
mod pushdown;
mod pairs_cap;
mod pieces;
mod row_filter;
mod rows_cap;
mod scan;
mod system;
mod window_rows;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult as _, TreeNode as _};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use row_filter::{Constants, RowFilter};
pub(crate) use rows_cap::{copies_large_values, sorts_converted_values};

use crate::messages::{SystemTable, TableSchema};
use measurement::Measurement;

pub(crate) const CATALOG: &str = "public";
pub(crate) const SCHEMA: &str = "iox";
pub(crate) const SYSTEM: &str = "system";
pub(crate) const QUERIES: &str = "queries";
pub(crate) const INFLUXDB_SCHEMA: &str = "influxdb_schema";

/// The rows of system tables. The values of a row are texts in the order of the table's columns.
pub(crate) type SystemRows = HashMap<SystemTable, Vec<Vec<Option<String>>>>;

/// Returns the rules that change physical plans, in the order in which they run. `shards_group` is
/// whether shards compute aggregates, and select the first or last rows of groups.
pub(crate) fn rules(
    shards_group: bool,
) -> impl Iterator<Item = Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = vec![NodeRule { name: "first_rows", rewrite: first_rows::limit_sort }];
    if shards_group {
        rules.extend([
            NodeRule { name: "first_rows_of_groups", rewrite: first_rows::limit_groups },
            NodeRule { name: "aggregate_at_shards", rewrite: aggregates::push_down },
        ]);
    }
    rules.push(NodeRule { name: "cap_rows", rewrite: rows_cap::cap });
    rules.into_iter().map(|rule| Arc::new(rule) as Arc<dyn PhysicalOptimizerRule + Send + Sync>)
}

type Rewrite = fn(Arc<dyn ExecutionPlan>) -> Result<Transformed<Arc<dyn ExecutionPlan>>>;

/// A rule that rewrites one operator after another, from the scans to the result.
#[derive(Debug)]
struct NodeRule {
    name: &'static str,
    rewrite: Rewrite,
}

impl PhysicalOptimizerRule for NodeRule {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(self.rewrite).data()
    }

    fn name(&self) -> &str {
        self.name
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Creates the catalog with these tables.
///
/// # Errors
/// Returns an error if a row of a system table has the wrong number of columns.
pub(crate) fn catalog(
    tables: &[TableSchema],
    system: &SystemRows,
) -> Result<Arc<dyn CatalogProvider>> {
    let measurements = tables.iter().map(|table| {
        let provider: Arc<dyn TableProvider> = Arc::new(Measurement::new(table));
        (table.name.clone(), provider)
    });
    let about = [
        (QUERIES.to_owned(), system::queries(system)?),
        (INFLUXDB_SCHEMA.to_owned(), system::influxdb_schema(tables)?),
    ];
    Ok(Arc::new(Schemas {
        measurements: Arc::new(Tables(measurements.collect())),
        about: Arc::new(Tables(about.into())),
    }))
}

/// The two schemas, in the order in which they are listed.
#[derive(Debug)]
struct Schemas {
    measurements: Arc<Tables>,
    about: Arc<Tables>,
}

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned(), SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            SCHEMA => Some(Arc::clone(&self.measurements) as Arc<dyn SchemaProvider>),
            SYSTEM => Some(Arc::clone(&self.about) as Arc<dyn SchemaProvider>),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Tables(BTreeMap<String, Arc<dyn TableProvider>>);

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.0.get(name).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

//! A write that finds no database: made if it would keep the rows.

use super::rejections::LineRefusal;
use super::{Flow, Stage, Write};
use crate::protocol::call::Address;
use crate::protocol::catalog::{CreateDatabase, ToCatalog};
use crate::protocol::envelope;
use crate::protocol::round::Request;
use crate::route::Context;
use crate::route::error::Error;

impl Write {
    /// Creates the database if it would keep the rows: at least one, or all if all must be kept.
    /// Otherwise the lines are answered as the database would, and nothing is created.
    pub(super) fn create(&mut self, context: &Context<'_>, create: CreateDatabase) -> Flow {
        let policy = self.request.policy.as_deref().unwrap_or_default();
        if !matches!(policy, "" | "autogen" | "default") {
            return Flow::Break(Err(Error::PolicyNotFound(policy.to_owned())));
        }
        let duration_ns = create.policy.as_ref().and_then(|policy| policy.duration_ns);
        let oldest_kept_ns = match duration_ns {
            Some(duration_ns) if duration_ns > 0 => {
                context.platform.now_ns().saturating_sub(duration_ns)
            }
            _ => i64::MIN,
        };
        let times = self.request.batch.measurements.iter().flat_map(|m| &m.block.times_ns);
        let (old, all) = times.fold((0, 0), |(old, all), &time_ns| {
            (old + u64::from(time_ns < oldest_kept_ns), all + 1)
        });
        if old == all || (self.request.all_or_nothing && old > 0) {
            self.reject_old(oldest_kept_ns);
            return Flow::Break(Ok(std::mem::take(&mut self.outcome)));
        }
        self.stage = Stage::Create;
        let message =
            envelope::encode(&ToCatalog::Create(create.near(context.platform.location())));
        Flow::Continue(vec![Request::new(Address::Catalog, message)])
    }

    /// Rejects every row that is too old.
    fn reject_old(&mut self, oldest_kept_ns: i64) {
        for batch in &self.request.batch.measurements {
            for (row, &time_ns) in batch.block.times_ns.iter().enumerate() {
                if time_ns < oldest_kept_ns {
                    self.outcome.rejected.add(batch.lines.get(row), true, || {
                        LineRefusal::Retention {
                            measurement: batch.name.clone(),
                            oldest_kept_ns,
                            time_ns,
                        }
                    });
                }
            }
        }
    }
}

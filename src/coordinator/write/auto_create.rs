//! Creates the missing database of a write, if the database would keep the write's rows.

use super::rejections::{LineRefusal, Retention};
use super::{Attempt, Created, Write};
use crate::coordinator::error::{Error, Result};
use crate::model::name;
use crate::protocol::call::Address;
use crate::protocol::catalog::{CatalogRefusal, CreateDatabase, FromCatalog, ToCatalog};
use crate::protocol::database::PolicyRefusal;
use crate::protocol::envelope;

impl Write {
    /// Creates the database if it would keep at least one row, or all rows if the write is
    /// all-or-nothing. Otherwise no database is created, and the lines are rejected in the same way
    /// as by an existing database. The policy that the client names becomes the only policy and the
    /// default, as with `CREATE DATABASE … WITH NAME`.
    pub(super) async fn create(&mut self, mut create: CreateDatabase) -> Result<Attempt> {
        let named = self.request.policy.as_deref().filter(|name| !matches!(*name, "" | "default"));
        let policy = named.unwrap_or("autogen").to_owned();
        if name::check(&policy).is_err() {
            return Err(Error::PolicyNotFound(policy));
        }
        let mut spec = create.policy.unwrap_or_default();
        let duration_ns = spec.duration_ns.unwrap_or(0);
        spec.name = Some(policy.clone());
        create.policy = Some(spec);
        let now_ns = self.io.with(|context| context.platform.now_ns())?;
        let oldest_kept_ns = match duration_ns {
            0 => i64::MIN,
            _ => now_ns.saturating_sub(duration_ns),
        };
        let times = self.request.batch.measurements.iter().flat_map(|m| &m.block.times_ns);
        let (old, all) = times.fold((0, 0), |(old, all), &time_ns| {
            (old + u64::from(time_ns < oldest_kept_ns), all + 1)
        });
        if old == all || (self.request.all_or_nothing && old > 0) {
            self.reject_old(oldest_kept_ns);
            let retention = Retention { policy, duration_ns, oldest_kept_ns, absent: true };
            self.outcome.rejected.retention = Some(retention);
            return Ok(Attempt::Complete);
        }
        let create = self.io.with(|context| create.placed(context.platform))?;
        let reply = self.io.call(Address::Catalog, &ToCatalog::Create(create)).await;
        match envelope::decode_reply::<FromCatalog>(reply)? {
            FromCatalog::Created { existed, .. } => {
                self.outcome.created = (!existed).then_some(Created { policy, duration_ns });
                Ok(Attempt::Uncertain)
            }
            // Another request has created the database with other settings.
            FromCatalog::Refused(CatalogRefusal::Policy(PolicyRefusal::Conflict)) => {
                Ok(Attempt::Uncertain)
            }
            reply => Err(reply.into()),
        }
    }

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

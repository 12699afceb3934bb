//! Parses requests for buckets, mappings or organisations, and defines their possible outcomes.

use serde_json::Value;

use super::bucket_names::{Bucket, policy_id};
use crate::api::error::{ApiError, ApiResult};
use crate::api::http::Parameters;
use crate::coordinator::create_drop::Change;
use crate::coordinator::database_lists::WhichDatabases;
use crate::model::limits::{BUCKETS_PER_PAGE_DEFAULT, BUCKETS_PER_PAGE_MAX};
use crate::model::name;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Buckets,
    Dbrps,
    Orgs,
}

#[derive(Debug)]
pub(super) struct ManageRequest {
    pub(super) resource: Resource,
    pub(super) method: String,
    pub(super) id: Option<String>,
    pub(super) url: Parameters,
    pub(super) body: Value,
    pub(super) default_shards: u32,
}

pub(super) enum ManagePlan {
    Respond(Value),
    Change(Vec<Change>, AfterChanges),
}

#[derive(Debug)]
pub(super) enum AfterChanges {
    Empty,
    /// The changed resource.
    Show {
        status: u16,
        database: String,
        policy: String,
    },
}

impl ManageRequest {
    pub(super) fn databases_to_read(&self) -> WhichDatabases {
        let listed = ["id", "bucketID"].iter().find_map(|name| self.url.filled(name));
        let policy = self.id.as_deref().or(listed).and_then(policy_id);
        if let Some(policy) = policy.filter(|_| self.resource != Resource::Orgs) {
            return WhichDatabases::Policy(policy);
        }
        // An invalid id or an invalid page is refused without reading databases.
        if self.id.is_some() || self.resource == Resource::Orgs {
            return WhichDatabases::None;
        }
        let named = match (self.resource, self.method.as_str()) {
            (Resource::Buckets, "POST") => self.text("name"),
            (Resource::Buckets, _) => self.url.filled("name"),
            (_, "POST") => self.text("database"),
            _ => self.url.filled("db").or(self.url.filled("database")),
        };
        match (named, self.page()) {
            (Some(name), _) => WhichDatabases::Named(name::split_bucket(name).0.to_owned()),
            // The check of required fields reports the missing name.
            (None, _) if self.method == "POST" => WhichDatabases::None,
            (None, _) if self.resource == Resource::Dbrps && !self.is_paged() => {
                WhichDatabases::All
            }
            (None, Ok((limit, offset))) => {
                let after = self.url.filled("after").and_then(policy_id);
                WhichDatabases::Page { after, policies: limit.saturating_add(offset) }
            }
            (None, Err(_)) => WhichDatabases::None,
        }
    }

    pub(super) fn page(&self) -> ApiResult<(usize, usize)> {
        let number = |name: &str, default: usize| match self.url.filled(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| {
                ApiError::Invalid(format!("invalid {name} \"{text}\": expected a whole number"))
            }),
        };
        let (limit, offset) = (number("limit", BUCKETS_PER_PAGE_DEFAULT)?, number("offset", 0)?);
        match (1..=BUCKETS_PER_PAGE_MAX).contains(&limit) {
            true => Ok((limit, offset)),
            false => {
                let reason = format!("limit must be between 1 and {BUCKETS_PER_PAGE_MAX}");
                Err(ApiError::Invalid(reason))
            }
        }
    }

    pub(super) fn is_paged(&self) -> bool {
        ["limit", "offset", "after"].iter().any(|name| self.url.filled(name).is_some())
    }

    pub(super) fn page_of<'a, 'b>(&self, all: &[&'b Bucket<'a>]) -> ApiResult<Vec<&'b Bucket<'a>>> {
        let (limit, mut skip) = self.page()?;
        if let Some(after) = self.url.filled("after") {
            let at = all.iter().position(|bucket| policy_id(after) == Some(bucket.policy.id));
            skip += at.ok_or_else(|| not_found(after))? + 1;
        }
        Ok(all.iter().skip(skip).take(limit).copied().collect())
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> ApiResult<&str> {
        self.text(name).ok_or_else(|| ApiError::Invalid(format!("{name} is required")))
    }

    pub(super) fn bucket<'a, 'b>(
        &self,
        buckets: &'b [Bucket<'a>],
    ) -> ApiResult<Option<&'b Bucket<'a>>> {
        let Some(id) = self.id.as_deref() else { return Ok(None) };
        let Some(wanted) = policy_id(id) else {
            return Err(ApiError::Invalid(format!("invalid id \"{id}\": expected 16 hex digits")));
        };
        let found = buckets.iter().find(|bucket| bucket.policy.id == wanted);
        found.map(Some).ok_or_else(|| not_found(id))
    }
}

pub(super) fn not_found(what: &str) -> ApiError {
    ApiError::NotFound(format!("not found: \"{what}\""))
}

//! Serves `/api/v2/buckets`, `dbrps` and `orgs`: databases and policies under v2's names.
//!
//! Each policy is a bucket with an id. The bucket `db` is the default policy of a database, and
//! `db/rp` is any other policy. `dbrps` maps databases and policies to buckets. Each policy is also
//! a mapping, so every mapping always exists and other mappings are impossible. There is one
//! organisation.

use serde::Serialize;
use serde_json::{Value, json};

use crate::error::{ApiError, ApiResult, invalid};
use crate::http::Response;
use crate::routes::handler::{PendingRequest, Request, RequestTarget, json_line};
use tidemark_coordinator::cache::find_policy;
use tidemark_coordinator::create_drop::{Change, execute};
use tidemark_coordinator::database_lists::{DescribedDatabase, WhichDatabases, describe_databases};
use tidemark_coordinator::grants::Principal;
use tidemark_engine::protocol::database::{CreateDatabase, PolicyChange, PolicySpec, ToDatabase};
use tidemark_model::ids::PolicyId;
use tidemark_model::limits::{BUCKETS_PER_PAGE_DEFAULT, BUCKETS_PER_PAGE_MAX};
use tidemark_model::name;
use tidemark_model::shard_map::Policy;
use tidemark_model::time::{H_NS, S_NS};

const DEFAULT_POLICY: &str = "autogen";
/// The server ignores the names of organisations in requests.
const ORG_ID: &str = "0000000000000001";
const ORG_PATH: &str = "/api/v2/orgs";
/// The time of creation and of the last change, which the server does not store. The Terraform
/// providers require both members.
const UNKNOWN_TIME: &str = "1970-01-01T00:00:00Z";

/// Parses a GET request to `/api/v2/orgs` or `/api/v2/orgs/{id}`.
pub fn begin_orgs(request: &Request) -> ApiResult<PendingRequest> {
    let asked_id = request.id.as_deref().or(request.url.filled("orgID"));
    if let Some(id) = asked_id.filter(|id| *id != ORG_ID) {
        return Err(not_found("organization", id));
    }
    let org = organisation(request.url.filled("org").unwrap_or("tidemark"));
    // Clients read pages until a page is empty.
    let offset = request.url.filled("offset").and_then(|offset| offset.parse::<usize>().ok());
    let is_past_end = offset.is_some_and(|offset| offset > 0);
    let body = match &request.id {
        Some(_) => org,
        None if is_past_end => json!({ "links": { "self": ORG_PATH }, "orgs": [] }),
        None => json!({ "links": { "self": ORG_PATH }, "orgs": [org] }),
    };
    Ok(PendingRequest::respond(json_line(200, &body)))
}

/// Parses `POST /api/v2/orgs`. The response is the only organisation, under the name in the body.
pub fn begin_create_org() -> ApiResult<PendingRequest> {
    Ok(PendingRequest::with_body(|_, bytes| async move {
        let body: Value = bytes.json()?;
        let name = body.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let Some(name) = name else { return invalid("name is required") };
        Ok(json_line(201, &organisation(name)))
    }))
}

fn organisation(name: &str) -> Value {
    let links = json!({
        "self": format!("{ORG_PATH}/{ORG_ID}"),
        "buckets": format!("/api/v2/buckets?orgID={ORG_ID}"),
    });
    json!({
        "id": ORG_ID,
        "name": name,
        "createdAt": UNKNOWN_TIME,
        "updatedAt": UNKNOWN_TIME,
        "links": links,
    })
}

/// Creates the request for a path of buckets or mappings.
pub fn begin(resource: Resource) -> ApiResult<PendingRequest> {
    Ok(PendingRequest::with_body(move |request, body| async move {
        let body = if body.is_empty() { Value::Null } else { body.json()? };
        run(&request, ManageRequest { resource, request: &request, body }).await
    }))
}

async fn run(Request { io, .. }: &Request, request: ManageRequest<'_>) -> ApiResult<Response> {
    let principal = request.request.caller().clone();
    let found = describe_databases(io, &principal, request.databases_to_read()).await?;
    let (changes, status, database, policy) = match request.plan(&principal, &found)? {
        Plan::Respond(response) => return Ok(response),
        Plan::Delete(change) => {
            if let Some(change) = change {
                execute(io, change).await?;
            }
            return Ok(Response::empty(204));
        }
        Plan::Change { changes, status, database, policy } => (changes, status, database, policy),
    };
    for change in changes {
        execute(io, change).await?;
    }
    let found = describe_databases(io, &principal, WhichDatabases::Named(database)).await?;
    let buckets = buckets_of(&found);
    let shown = buckets.iter().find(|bucket| bucket.policy.name == policy);
    let shown = shown.ok_or_else(|| request.not_found(&policy))?;
    Ok(match request.resource {
        Resource::Dbrps if status == 200 => {
            json_line(status, &Content { content: shown.mapping() })
        }
        Resource::Dbrps => json_line(status, &shown.mapping()),
        Resource::Buckets => json_line(status, &shown.value()),
    })
}

/// The resource of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// `/api/v2/buckets` and `/api/v2/buckets/{id}`
    Buckets,
    /// `/api/v2/dbrps` and `/api/v2/dbrps/{id}`
    Dbrps,
}

/// A request to a bucket or a mapping.
struct ManageRequest<'a> {
    resource: Resource,
    request: &'a Request,
    body: Value,
}

/// The effect of a request, determined before any change.
enum Plan {
    Respond(Response),
    Delete(Option<Change>),
    /// Makes the changes, and responds with the changed resource.
    Change {
        changes: Vec<Change>,
        status: u16,
        database: String,
        policy: String,
    },
}

impl ManageRequest<'_> {
    fn databases_to_read(&self) -> WhichDatabases {
        let listed = ["id", "bucketID"].iter().find_map(|name| self.request.url.filled(name));
        if let Some(policy) = self.request.id.as_deref().or(listed).and_then(policy_id) {
            return WhichDatabases::Policy(policy);
        }
        // An invalid id or an invalid page is refused without reading databases.
        if self.request.id.is_some() {
            return WhichDatabases::None;
        }
        let named = match (self.resource, self.request.head.method.as_str()) {
            (Resource::Buckets, "POST") => self.text("name"),
            (Resource::Buckets, _) => self.request.url.filled("name"),
            (Resource::Dbrps, "POST") => self.text("database"),
            (Resource::Dbrps, _) => {
                self.request.url.filled("db").or(self.request.url.filled("database"))
            }
        };
        match (named, self.page()) {
            (Some(name), _) => WhichDatabases::Named(name::split_bucket(name).0.to_owned()),
            // The check of required fields reports the missing name.
            (None, _) if self.request.head.method == "POST" => WhichDatabases::None,
            (None, _) if self.resource == Resource::Dbrps && !self.is_paged() => {
                WhichDatabases::All
            }
            (None, Ok((limit, offset))) => {
                let after = self.request.url.filled("after").and_then(policy_id);
                WhichDatabases::Page { after, policies: limit.saturating_add(offset) }
            }
            (None, Err(_)) => WhichDatabases::None,
        }
    }

    fn page(&self) -> ApiResult<(usize, usize)> {
        let number = |name: &str, default: usize| match self.request.url.filled(name) {
            None => Ok(default),
            Some(text) => text.parse().or_else(|_| {
                invalid(format!("invalid {name} \"{text}\": expected a whole number"))
            }),
        };
        let (limit, offset) = (number("limit", BUCKETS_PER_PAGE_DEFAULT)?, number("offset", 0)?);
        match (1..=BUCKETS_PER_PAGE_MAX).contains(&limit) {
            true => Ok((limit, offset)),
            false => invalid(format!("limit must be between 1 and {BUCKETS_PER_PAGE_MAX}")),
        }
    }

    fn is_paged(&self) -> bool {
        ["limit", "offset", "after"].iter().any(|name| self.request.url.filled(name).is_some())
    }

    fn page_of<'a, 'b>(&self, all: &[&'b Bucket<'a>]) -> ApiResult<Vec<&'b Bucket<'a>>> {
        let (limit, mut skip) = self.page()?;
        if let Some(after) = self.request.url.filled("after") {
            let at = all.iter().position(|bucket| policy_id(after) == Some(bucket.policy.id));
            skip += at.ok_or_else(|| self.not_found(after))? + 1;
        }
        Ok(all.iter().skip(skip).take(limit).copied().collect())
    }

    fn not_found(&self, what: &str) -> ApiError {
        match self.resource {
            Resource::Buckets => not_found("bucket", what),
            Resource::Dbrps => not_found("mapping", what),
        }
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.body.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn required(&self, name: &str) -> ApiResult<&str> {
        self.text(name).ok_or_else(|| ApiError::Invalid(format!("{name} is required")))
    }

    fn plan(&self, principal: &Principal, found: &[DescribedDatabase]) -> ApiResult<Plan> {
        let mut buckets = buckets_of(found);
        // Every caller with any permission on a policy can see the policy. Changes already required
        // the admin token.
        let grants = principal.grants.sorted();
        buckets.retain(|bucket| grants.sees_policy(bucket.database, &bucket.policy.name));
        let bucket = match self.request.id.as_deref() {
            None => None,
            Some(id) => {
                let Some(wanted) = policy_id(id) else {
                    return invalid(format!("invalid id \"{id}\": expected 16 hex digits"));
                };
                let bucket = buckets.iter().find(|bucket| bucket.policy.id == wanted);
                Some(bucket.ok_or_else(|| self.not_found(id))?)
            }
        };
        match (self.resource, self.request.head.method.as_str(), bucket) {
            (Resource::Buckets, "POST", None) => self.create_bucket(found, &buckets),
            (Resource::Buckets, _, None) => self.list_buckets(found, &buckets),
            (Resource::Buckets, "PATCH", Some(bucket)) => self.change_bucket(found, bucket),
            // Deleting the last policy drops the database.
            (Resource::Buckets, "DELETE", Some(bucket)) => {
                let (database, policy) = bucket.names();
                Ok(Plan::Delete(Some(match bucket.alone {
                    true => Change::DropDatabase { name: database },
                    false => Change::within(&database, ToDatabase::DropPolicy { name: policy }),
                })))
            }
            (Resource::Buckets, _, Some(bucket)) => {
                Ok(Plan::Respond(json_line(200, &bucket.value())))
            }
            (Resource::Dbrps, "POST", None) => self.create_mapping(&buckets),
            (Resource::Dbrps, _, None) => self.list_mappings(&buckets),
            (Resource::Dbrps, "PATCH", Some(bucket)) => self.change_mapping(bucket, 200),
            // As in 2.x, DELETE does not remove the virtual mapping of a bucket named `db/rp`.
            (Resource::Dbrps, "DELETE", Some(_)) => Ok(Plan::Delete(None)),
            (Resource::Dbrps, _, Some(bucket)) => {
                Ok(Plan::Respond(json_line(200, &Content { content: bucket.mapping() })))
            }
        }
    }

    fn list_buckets(&self, found: &[DescribedDatabase], buckets: &[Bucket<'_>]) -> ApiResult<Plan> {
        self.page()?;
        let mut all: Vec<&Bucket<'_>> = buckets.iter().collect();
        if let Some(org) = self.request.url.filled("orgID").filter(|org| *org != ORG_ID) {
            return Err(not_found("organization", org));
        }
        if let Some(id) = self.request.url.filled("id") {
            all.retain(|bucket| policy_id(id) == Some(bucket.policy.id));
            if all.is_empty() {
                return Err(self.not_found(id));
            }
        }
        if let Some(name) = self.request.url.filled("name") {
            all.retain(|bucket| bucket.has_name(found, name));
            // As in 2.x. Signal K creates its bucket only after status 404.
            let has_org = ["org", "orgID"].iter().any(|key| self.request.url.filled(key).is_some());
            if has_org && all.is_empty() {
                return Err(self.not_found(name));
            }
        }
        let page = self.page_of(&all)?;
        let links = self.page_links(page.len())?;
        let page: Vec<Value> = page.into_iter().map(Bucket::value).collect();
        Ok(Plan::Respond(json_line(200, &json!({ "links": links, "buckets": page }))))
    }

    /// Returns the links of a page with `buckets` buckets. The 2.x client for Python reads the next
    /// page only if `next` exists. As in 2.x, a full page has a next page, which may be empty.
    fn page_links(&self, buckets: usize) -> ApiResult<Value> {
        let (limit, offset) = self.page()?;
        let link = |offset: usize| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            for name in ["org", "orgID", "name", "id", "after"] {
                query.extend_pairs(self.request.url.filled(name).map(|value| (name, value)));
            }
            query.append_pair("limit", &limit.to_string());
            query.append_pair("offset", &offset.to_string());
            format!("/api/v2/buckets?{}", query.finish())
        };
        let mut links = json!({ "self": link(offset) });
        if buckets == limit {
            links["next"] = link(offset.saturating_add(limit)).into();
        }
        if offset > 0 {
            links["prev"] = link(offset.saturating_sub(limit)).into();
        }
        Ok(links)
    }

    /// Refuses a schema, because the bucket would accept points that violate it.
    fn check_schema_type(&self) -> ApiResult<()> {
        match self.body.get("schemaType") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::String(kind)) if kind == "implicit" => Ok(()),
            Some(_) => {
                invalid("schemaType must be \"implicit\": explicit schemas are not supported")
            }
        }
    }

    fn create_bucket(
        &self,
        found: &[DescribedDatabase],
        buckets: &[Bucket<'_>],
    ) -> ApiResult<Plan> {
        let name = self.required("name")?;
        self.check_schema_type()?;
        if buckets.iter().any(|bucket| bucket.has_name(found, name)) {
            return Err(ApiError::AlreadyExists(format!("bucket with name {name} already exists")));
        }
        let (database, policy) = name::split_bucket(name);
        if [Some(database), policy].into_iter().flatten().any(|part| name::check(part).is_err()) {
            let expected = "expected db or db/rp in printable characters, at most 255 bytes each";
            return invalid(format!("invalid name \"{name}\": {expected}"));
        }
        let rule = retention_rule(&self.body)?;
        let spec = |name: &str| PolicySpec {
            name: Some(name.to_owned()),
            duration_ns: Some(rule.duration_ns.unwrap_or(0)),
            replica_n: Some(1),
            shard_group_duration_ns: rule.shard_group_duration_ns.unwrap_or(0),
            ..PolicySpec::default()
        };
        let named = policy.unwrap_or(DEFAULT_POLICY);
        let mut changes = Vec::new();
        let missing = found.is_empty();
        if missing {
            changes.push(Change::CreateDatabase(CreateDatabase {
                name: database.to_owned(),
                policy: (named == DEFAULT_POLICY).then(|| spec(named)),
                shards: self.request.settings()?.default_shards,
                location: None,
                jurisdiction: None,
            }));
        }
        if !missing || named != DEFAULT_POLICY {
            let (database, make_default) = (database.to_owned(), policy.is_none());
            let message = ToDatabase::CreatePolicy { spec: spec(named), make_default };
            changes.push(Change::within(&database, message));
        }
        let (database, policy) = (database.to_owned(), named.to_owned());
        Ok(Plan::Change { changes, status: 201, database, policy })
    }

    fn change_bucket(&self, found: &[DescribedDatabase], bucket: &Bucket<'_>) -> ApiResult<Plan> {
        if let Some(name) = self.text("name").filter(|name| !bucket.has_name(found, name)) {
            let reason = "a bucket is a database's retention policy, and databases and policies \
                          cannot be renamed";
            return Err(ApiError::Unprocessable(format!("cannot rename to \"{name}\": {reason}")));
        }
        let (database, policy) = bucket.names();
        let mut changes = Vec::new();
        let rule = retention_rule(&self.body)?;
        if rule != Rule::default() {
            let duration_ns = rule.duration_ns.unwrap_or(bucket.policy.duration_ns);
            let shard_ns = rule.shard_group_duration_ns;
            let shard_ns = shard_ns.unwrap_or(bucket.policy.shard_group_duration_ns);
            if duration_ns != 0 && duration_ns < shard_ns {
                let reason = "shard-group duration must also be updated to be smaller than new \
                              retention duration";
                return Err(ApiError::Unprocessable(reason.to_owned()));
            }
            let spec = PolicyChange {
                name: policy.clone(),
                duration_ns: rule.duration_ns,
                shard_group_duration_ns: rule.shard_group_duration_ns,
                ..PolicyChange::default()
            };
            let database = database.clone();
            let message = ToDatabase::AlterPolicy { spec, make_default: false };
            changes.push(Change::within(&database, message));
        }
        Ok(Plan::Change { changes, status: 200, database, policy })
    }

    fn list_mappings(&self, buckets: &[Bucket<'_>]) -> ApiResult<Plan> {
        let mut all: Vec<&Bucket<'_>> = buckets.iter().collect();
        let wanted = [
            self.request.url.filled("db").or(self.request.url.filled("database")),
            self.request.url.filled("rp").or(self.request.url.filled("retention_policy")),
            self.request.url.filled("bucketID"),
            self.request.url.filled("id"),
            self.request.url.filled("default"),
        ];
        // `offset` counts mappings before filters. With further filters, a page would have fewer
        // mappings than `limit`, and the client could not compute the next `offset`.
        if self.is_paged() {
            if wanted[1..].iter().any(Option::is_some) {
                return invalid("limit, offset and after can be combined only with the filter db");
            }
            all = self.page_of(&all)?;
        }
        all.retain(|bucket| {
            let id = bucket.policy.id.to_string();
            let default = if bucket.default { "true" } else { "false" };
            let has = [bucket.database, &bucket.policy.name, &id, &id, default];
            wanted.iter().zip(has).all(|(wanted, has)| wanted.is_none_or(|wanted| wanted == has))
        });
        let content: Vec<Mapping<'_>> = all.into_iter().map(Bucket::mapping).collect();
        Ok(Plan::Respond(json_line(200, &Content { content })))
    }

    /// Accepts a mapping that exists. For any other mapping, returns an error with the reason.
    fn create_mapping(&self, buckets: &[Bucket<'_>]) -> ApiResult<Plan> {
        let (database, policy) = (self.required("database")?, self.required("retention_policy")?);
        let Some(wanted) = self.text("bucketID").or(self.text("bucket")) else {
            return invalid("bucketID is required");
        };
        let bucket = buckets.iter().find(|bucket| {
            let id = bucket.policy.id.to_string();
            (bucket.database == database && bucket.policy.name == policy)
                && (wanted == id
                    || wanted == bucket.name()
                    || wanted == format!("{database}/{policy}"))
        });
        let bucket = bucket.ok_or_else(|| {
            ApiError::Unprocessable(format!(
                "database \"{database}\" with retention policy \"{policy}\" maps to the bucket \
                 \"{database}/{policy}\" and to no other: create that bucket at /api/v2/buckets"
            ))
        })?;
        self.change_mapping(bucket, 201)
    }

    /// Changes whether the policy is the default. All other properties of a mapping are fixed.
    fn change_mapping(&self, bucket: &Bucket<'_>, status: u16) -> ApiResult<Plan> {
        let (database, policy) = bucket.names();
        if self.text("retention_policy").is_some_and(|name| name != policy) {
            let reason = "the retention policy of a mapping cannot change: create a bucket for the \
                          other policy";
            return Err(ApiError::Unprocessable(reason.to_owned()));
        }
        let mut changes = Vec::new();
        match self.body.get("default").and_then(Value::as_bool) {
            Some(true) if !bucket.default => {
                let spec = PolicyChange { name: policy.clone(), ..PolicyChange::default() };
                let database = database.clone();
                let message = ToDatabase::AlterPolicy { spec, make_default: true };
                changes.push(Change::within(&database, message));
            }
            Some(false) if bucket.default && status == 200 => {
                let reason = "make another policy of the database the default instead";
                return Err(ApiError::Unprocessable(reason.to_owned()));
            }
            _ => {}
        }
        Ok(Plan::Change { changes, status, database, policy })
    }
}

/// The durations in a body's rule, in nanoseconds. An absent value keeps the bucket's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Rule {
    /// 0 keeps points permanently.
    duration_ns: Option<i64>,
    /// 0 selects the default for the retention duration.
    shard_group_duration_ns: Option<i64>,
}

fn retention_rule(body: &Value) -> ApiResult<Rule> {
    let bad_rules = |reason: &str| ApiError::Invalid(format!("invalid retentionRules: {reason}"));
    let rules = match body.get("retentionRules") {
        None | Some(Value::Null) => return Ok(Rule::default()),
        Some(Value::Array(rules)) if rules.len() <= 1 => rules,
        Some(_) => return Err(bad_rules("expected a list of at most one rule")),
    };
    let Some(rule) = rules.first() else { return Ok(Rule::default()) };
    if rule.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "expire") {
        return Err(bad_rules("the only type is \"expire\""));
    }
    let duration_ns = |name: &str| match rule.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(seconds) => {
            let ns = seconds.as_i64().filter(|seconds| *seconds >= 0);
            let ns = ns.and_then(|seconds| seconds.checked_mul(S_NS));
            ns.map(Some).ok_or_else(|| bad_rules("durations must be whole seconds of at least 0"))
        }
    };
    let rule = Rule {
        duration_ns: duration_ns("everySeconds")?,
        shard_group_duration_ns: duration_ns("shardGroupDurationSeconds")?,
    };
    if rule.duration_ns.is_some_and(|ns| ns != 0 && ns < H_NS) {
        let reason = "everySeconds must be 0 (keep points permanently) or at least 3600";
        return Err(ApiError::Unprocessable(reason.to_owned()));
    }
    Ok(rule)
}

/// Returns the error for a missing bucket, which the client named by `id`.
pub fn bucket_not_found(id: &str) -> ApiError {
    not_found("bucket", id)
}

/// Clients of 2.x recognize the end of the message.
fn not_found(kind: &str, what: &str) -> ApiError {
    ApiError::NotFound(format!("{kind} \"{what}\" not found"))
}

struct Bucket<'a> {
    database: &'a str,
    policy: &'a Policy,
    default: bool,
    /// Whether the policy is the only policy of its database.
    alone: bool,
}

impl Bucket<'_> {
    /// Returns `db` for the default policy, and `db/rp` for any other policy.
    fn name(&self) -> String {
        match self.default {
            true => self.database.to_owned(),
            false => format!("{}/{}", self.database, self.policy.name),
        }
    }

    /// Returns the database's name and the policy's name.
    fn names(&self) -> (String, String) {
        (self.database.to_owned(), self.policy.name.clone())
    }

    fn has_name(&self, found: &[DescribedDatabase], name: &str) -> bool {
        let (database, policy) = name::split_bucket(name);
        let of_name = found.iter().find(|(found, _)| found == database);
        let policy = of_name.and_then(|(_, description)| find_policy(description, policy));
        self.database == database && policy.is_some_and(|policy| policy.id == self.policy.id)
    }

    fn value(&self) -> Value {
        let id = self.policy.id.to_string();
        let path = format!("/api/v2/buckets/{id}");
        let mut value = json!({
            "id": id,
            "orgID": ORG_ID,
            "type": "user",
            "name": self.name(),
            "retentionRules": [{
                "type": "expire",
                "everySeconds": self.policy.duration_ns / S_NS,
                "shardGroupDurationSeconds": self.policy.shard_group_duration_ns / S_NS,
            }],
            "createdAt": UNKNOWN_TIME,
            "updatedAt": UNKNOWN_TIME,
            "labels": [],
            "links": { "self": path, "write": format!("/api/v2/write?bucket={id}") },
        });
        // 2.x omits an empty `rp`. Terraform would report a difference in every plan.
        if !self.default {
            value["rp"] = self.policy.name.as_str().into();
        }
        value
    }

    fn mapping(&self) -> Mapping<'_> {
        let id = self.policy.id.to_string();
        Mapping {
            bucket_id: id.clone(),
            database: self.database,
            default: self.default,
            id,
            org_id: ORG_ID,
            retention_policy: &self.policy.name,
            is_virtual: true,
        }
    }
}

/// A response with a mapping or a list of mappings. A list may be long, and building a [`Value`]
/// would take much longer.
#[derive(Serialize)]
struct Content<T> {
    content: T,
}

/// A mapping as the server sends it, with the members in the order of their names.
#[derive(Serialize)]
struct Mapping<'a> {
    #[serde(rename = "bucketID")]
    bucket_id: String,
    database: &'a str,
    default: bool,
    id: String,
    #[serde(rename = "orgID")]
    org_id: &'static str,
    retention_policy: &'a str,
    #[serde(rename = "virtual")]
    is_virtual: bool,
}

/// Returns every policy by database, in order of creation.
fn buckets_of(found: &[DescribedDatabase]) -> Vec<Bucket<'_>> {
    let buckets = found.iter().flat_map(|(database, description)| {
        description.policies.iter().map(move |policy| Bucket {
            database,
            policy,
            default: description.default_policy == Some(policy.id),
            alone: description.policies.len() == 1,
        })
    });
    buckets.collect()
}

/// Parses a policy id of 16 lower-case hex digits.
pub fn policy_id(text: &str) -> Option<PolicyId> {
    let hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    u64::from_str_radix(text, 16).ok().filter(|_| hex).map(PolicyId)
}

/// Finds a bucket by the bucket's id, which is `name` as a number. If no bucket that the caller can
/// see has this id, `name` is treated as the name of a database. A write may use the cache, because
/// it confirms the id with a shard or with the Database.
pub(crate) async fn find_bucket(
    request: &Request,
    id: PolicyId,
    name: String,
    is_write: bool,
) -> ApiResult<RequestTarget> {
    let cached = request.io.with(|context| context.cache.policy(id))?;
    if let Some((database, policy)) = cached.filter(|_| is_write) {
        return Ok(RequestTarget { database, policy: Some(policy), policy_id: Some(id) });
    }
    let caller = request.caller().clone();
    let of_id = describe_databases(&request.io, &caller, WhichDatabases::Policy(id)).await?;
    if let Some(bucket) = buckets_of(&of_id).iter().find(|bucket| bucket.policy.id == id) {
        let (database, policy) = bucket.names();
        return Ok(RequestTarget { database, policy: Some(policy), policy_id: Some(id) });
    }
    let which = WhichDatabases::Named(name.clone());
    match describe_databases(&request.io, &caller, which).await?.is_empty() {
        true => Err(bucket_not_found(&name)),
        false => Ok(RequestTarget { database: name, policy: None, policy_id: None }),
    }
}

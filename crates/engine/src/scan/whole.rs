//! Caches complete pages of states, because several viewers of a dashboard send the same request.
//!
//! Requests that differ only in their time range share one cached page: the page of the latest
//! refresh. A refresh with new rows uses the tiles ([`super::tiles`]).

use std::rc::Rc;

use serde::Serialize;

use super::cached::Cached;
use super::error::ScanError;
use super::page::{PageLimits, ScanPage};
use super::reader::{ReadStats, Reader};
use super::request::{Output, Predicate, ScanRequest};
use super::{slice, tiles};
use crate::codec::metadata;
use tidemark_model::ids::{ColumnId, MeasurementId};

/// The maximum size of a cached page, in bytes.
const KEPT_BYTES_MAX: usize = 300_000;

#[derive(Serialize)]
struct Name<'a> {
    whole: MeasurementId,
    predicate: &'a Option<Predicate>,
    group_by: &'a [ColumnId],
    descending: bool,
    output: &'a Output,
}

pub(super) fn piece(
    reader: &dyn Reader,
    request: &ScanRequest,
    limits: PageLimits,
) -> Result<ScanPage, ScanError> {
    let (Some(cache), Some(name)) = (reader.result_cache(), name(request)) else {
        return slice::piece(reader, request, limits);
    };
    let ScanRequest { measurement, time, .. } = request;
    let mut version = cache.version(&[*measurement], *time)?;
    version.extend([time.start_ns.cast_unsigned(), time.end_ns.cast_unsigned()]);
    if let Some(Cached::Page(page)) = cache.get(&name, &version)
        && page.bytes() <= limits.bytes
    {
        let ReadStats { rows_scanned, series, .. } = page.stats;
        let stats = ReadStats { rows_scanned, rows_kept: rows_scanned, series, ..reader.stats() };
        return Ok(ScanPage { stats, ..ScanPage::clone(&page) });
    }
    let page = slice::piece(reader, request, limits)?;
    let is_all = page.until.is_none() && page.position.is_none();
    if is_all && page.bytes() <= KEPT_BYTES_MAX {
        cache.put(name, version, Cached::Page(Rc::new(page.clone())));
    }
    Ok(page)
}

/// Returns the name of a page, or `None` if the page must not be cached.
fn name(request: &ScanRequest) -> Option<Vec<u8>> {
    if !tiles::are_cached(request) || request.resume.position.is_some() {
        return None;
    }
    let ScanRequest { measurement, predicate, group_by, descending, output, .. } = request;
    let (whole, descending) = (*measurement, *descending);
    metadata::encode(&Name { whole, predicate, group_by, descending, output }).ok()
}

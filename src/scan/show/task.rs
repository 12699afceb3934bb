//! What a page finds out about one measurement, or about one of its tags.

use std::collections::BTreeSet;

use super::first::FirstSeries;
use super::least::Least;
use super::walk::{Next, Walk};
use crate::merge::cursor::Direction;
use crate::merge::key::SeriesKey;
use crate::model::ids::{ColumnId, MeasurementId};
use crate::model::time::TimeRange;
use crate::scan::error::ScanError;
use crate::scan::keys::{KeyFilter, SeriesTags};
use crate::scan::predicate::Filter;
use crate::scan::reader::{Reader, Rows};
use crate::scan::request::Predicate;

/// Series of one combination of values that are stepped over before the next one is sought.
const STEPS_BEFORE_SEEK: usize = 8;

/// What is to be found out.
pub(super) enum Find {
    /// Whether a series is alive.
    Life,
    /// Which columns series have that are.
    Columns(FindColumns),
    /// Which combinations of tag values.
    Items {
        /// Those of this page.
        least: Least,
        /// One without any value is none.
        is_of_tag: bool,
        /// The first so many by their text are enough. Only where [`Span::is_led_by`] the first tag
        /// of the text.
        first: Option<u64>,
    },
}

/// Which columns are found, and which are still looked for.
pub(super) struct FindColumns {
    pub(super) found: BTreeSet<ColumnId>,
    /// By their places in the order.
    pub(super) tags: Vec<(usize, ColumnId)>,
    /// `None`: whichever the series have.
    pub(super) fields: Option<Vec<ColumnId>>,
    /// Bytes decoded past which a field that is looked for counts as found, until a merge of parts
    /// settles it.
    pub(super) decoded_bytes: u64,
}

/// The order of the combinations, and which of them the page is to look at.
pub(super) struct Span {
    /// The tags by which they are sorted.
    pub(super) sort: Vec<ColumnId>,
    /// The first so many of them are the first of the measurement's tag order and no series has
    /// another one: combinations come in the order of the keys.
    in_order: Option<usize>,
    /// The last one that was sent.
    after: Option<SeriesKey>,
}

/// See the module.
pub(super) struct Task<'a> {
    /// Of the measurement in the request.
    pub(super) position: u32,
    /// Of the tag among those asked for, where each is listed by itself.
    pub(super) number: usize,
    pub(super) measurement: MeasurementId,
    pub(super) predicate: Option<&'a Predicate>,
    /// The measurement's tags in the order of its keys.
    pub(super) order: Vec<ColumnId>,
    pub(super) span: Span,
    pub(super) find: Find,
    /// A series that the predicate takes has a row.
    pub(super) is_alive: bool,
    /// Nothing is left to be found out.
    pub(super) is_done: bool,
    /// Every series of every group is alive and wanted: dictionaries have the values of the tag.
    pub(super) by_dictionary: bool,
    /// Behind which series the next page goes on looking, where this one did not get to the end.
    pub(super) rest: Option<SeriesKey>,
}

impl Span {
    /// Of combinations of values of `listed`, in whichever order is best; `resumed`: the order of
    /// the pages before and the last combination, if there were any.
    pub(super) fn new(
        measurement: MeasurementId,
        (listed, order): (&[ColumnId], &[ColumnId]),
        resumed: Option<(Vec<ColumnId>, &[String])>,
    ) -> Self {
        let (mut sort, after) = match resumed {
            Some((sort, values)) => {
                (sort, Some(SeriesKey::new(measurement, values.iter().map(String::as_str))))
            }
            None => {
                let known = listed.iter().filter(|tag| order.contains(tag)).count();
                let first = order.get(..known).unwrap_or_default();
                let is_prefix = first.iter().all(|tag| listed.contains(tag));
                (if is_prefix { first.to_vec() } else { Vec::new() }, None)
            }
        };
        for tag in listed {
            if !sort.contains(tag) {
                sort.push(*tag);
            }
        }
        let shared = order.iter().zip(&sort).take_while(|(a, b)| a == b).count();
        let known = sort.iter().filter(|tag| order.contains(tag)).count();
        Self { sort, in_order: (shared == known).then_some(shared), after }
    }

    /// Whether combinations come in order, each once but for other stretches of time.
    pub(super) fn is_in_order(&self) -> bool {
        self.in_order.is_some()
    }

    /// Whether combinations come in order, by this tag before others.
    pub(super) fn is_led_by(&self, tag: Option<&ColumnId>) -> bool {
        self.in_order.is_some_and(|tags| tags > 0) && self.sort.first() == tag
    }

    /// A place before which no series is of use.
    fn from(&self, measurement: MeasurementId, first: SeriesKey) -> SeriesKey {
        let (Some(after), Some(tags)) = (&self.after, self.in_order) else { return first };
        let values: Vec<_> = (0..tags).map(|place| after.value(place)).collect();
        first.max(SeriesKey::past(measurement, values.iter().map(|value| &**value)))
    }
}

impl Task<'_> {
    /// What the task's answer takes on a page beside the measurement, bytes.
    pub(super) fn bytes(&self) -> usize {
        match &self.find {
            Find::Life => 0,
            Find::Columns(columns) => columns.found.len() * size_of::<ColumnId>(),
            Find::Items { least, .. } => least.bytes(),
        }
    }

    /// Behind which combination the next page goes on; `None` if there are no more.
    pub(super) fn resume(&self) -> Option<&SeriesKey> {
        match &self.find {
            Find::Items { least, .. } => least.resume(),
            Find::Life | Find::Columns(_) => self.rest.as_ref().filter(|_| !self.is_done),
        }
    }

    /// Takes the values of a tag from dictionaries.
    ///
    /// # Errors
    /// Those of the reader.
    pub(super) fn list_dictionaries(
        &mut self,
        reader: &dyn Reader,
        time: TimeRange,
    ) -> Result<(), ScanError> {
        let Find::Items { least, .. } = &mut self.find else { return Ok(()) };
        let (measurement, after) = (self.measurement, self.span.after.as_ref());
        let mut item = SeriesKey::new(measurement, []);
        reader.groups(&[measurement], time, &mut |group| {
            group.tables.each(&mut |ids, table| {
                let of_tag = ids.iter().zip(&table.tags);
                for (_, tag) in of_tag.filter(|(id, _)| self.span.sort.contains(id)) {
                    for value in tag.dictionary.iter() {
                        item.set(measurement, [value]);
                        if after.is_none_or(|after| item > *after)
                            && !least.is_past(&item)
                            && !least.has(&item)
                        {
                            least.insert(&item);
                        }
                    }
                }
                true
            })?;
            Ok(true)
        })?;
        (self.is_alive, self.is_done) = (true, true);
        Ok(())
    }

    /// Looks at the series of one stretch of time, of about `keys_max` of them where their order
    /// allows to stop. Answers how many it looked at.
    ///
    /// # Errors
    /// [`ScanError`]
    pub(super) fn walk<'r>(
        &mut self,
        walk: &mut Walk<'r>,
        reader: &dyn Reader,
        keys_max: u64,
    ) -> Result<u64, ScanError> {
        let (measurement, time) = (self.measurement, walk.time);
        let filter = Filter::compile(self.predicate)?;
        let wanted = (&filter, self.predicate);
        let filter = KeyFilter::new(measurement, Direction::Ascending, wanted, &self.order);
        let from = self.span.from(measurement, filter.first());
        let mut tags = SeriesTags::new(self.order.clone());
        let mut looked_at = 0;
        let mut visitor = Visitor { measurement, time, reader, keys_max, task: self };
        let mut last = SeriesKey::new(measurement, []);
        match visitor.task.find {
            Find::Items { .. } => {
                let mut items = Items::new(&visitor);
                let visit = &mut |rows: &mut Rows<'r>, tags: &SeriesTags| {
                    looked_at += 1;
                    visitor.item(&mut items, rows, tags, looked_at)
                };
                walk.series((measurement, &from), (&filter, &mut tags), visit)?;
            }
            Find::Life | Find::Columns(_) => {
                let visit = &mut |rows: &mut Rows<'r>, tags: &SeriesTags| {
                    looked_at += 1;
                    if visitor.task.rest.as_ref().is_some_and(|rest| rows.key() > Some(rest)) {
                        return Ok(Next::Through);
                    }
                    if visitor.settles(rows, tags)? {
                        visitor.task.is_done = true;
                        return Ok(Next::Through);
                    }
                    if looked_at >= visitor.keys_max
                        && let Some(key) = rows.key()
                    {
                        last.clone_from(key);
                        visitor.task.rest = Some(last.clone());
                        return Ok(Next::Through);
                    }
                    Ok(Next::Step)
                };
                walk.series((measurement, &from), (&filter, &mut tags), visit)?;
            }
        }
        Ok(looked_at)
    }
}

/// Looks at series for a task.
struct Visitor<'t, 'a, 'r> {
    measurement: MeasurementId,
    time: TimeRange,
    reader: &'r dyn Reader,
    keys_max: u64,
    task: &'t mut Task<'a>,
}

/// The combination at hand.
struct Items {
    /// Of the tags that are sorted by, the places in the order of the keys.
    places: Vec<Option<usize>>,
    item: SeriesKey,
    first: Option<FirstSeries>,
    /// The one before.
    last: Option<SeriesKey>,
    /// It is known to be alive.
    is_known: bool,
    /// Series of it that were passed since.
    passed: usize,
}

impl Items {
    fn new(visitor: &Visitor<'_, '_, '_>) -> Self {
        let order = &visitor.task.order;
        let place = |tag: &ColumnId| order.iter().position(|known| known == tag);
        let places = visitor.task.span.sort.iter().map(place).collect();
        let item = SeriesKey::new(visitor.measurement, []);
        let first = match visitor.task.find {
            Find::Items { first, .. } => first.map(FirstSeries::new),
            Find::Life | Find::Columns(_) => None,
        };
        Self { places, item, first, last: None, is_known: false, passed: 0 }
    }
}

impl Visitor<'_, '_, '_> {
    /// Looks at the combination that a series has.
    fn item(
        &mut self,
        items: &mut Items,
        rows: &mut Rows<'_>,
        tags: &SeriesTags,
        looked_at: u64,
    ) -> Result<Next, ScanError> {
        let Self { measurement, time, keys_max, .. } = *self;
        let Task { span, find, is_alive, .. } = &mut *self.task;
        let Find::Items { least, is_of_tag, .. } = find else { return Ok(Next::Through) };
        let value = |place: &Option<usize>| place.map_or("", |place| tags.at(place));
        items.item.set(measurement, items.places.iter().map(value));
        let item = &items.item;
        let is_next = items.last.as_ref() != Some(item);
        if is_next && span.in_order.is_some() {
            let is_behind = items.first.as_mut().is_some_and(|first| first.are_before(tags.at(0)));
            if is_behind || least.is_past(item) {
                return Ok(Next::Through);
            }
            // Elsewhere what is least is only known when every series was looked at.
            if let Some(last) = items.last.take_if(|_| looked_at > keys_max) {
                least.end_at(last);
                return Ok(Next::Through);
            }
        }
        if is_next {
            let is_none = *is_of_tag && item.values().next().is_none();
            let is_sent = span.after.as_ref().is_some_and(|after| item <= after);
            items.is_known = if is_none { *is_alive } else { least.has(item) };
            if let Some(first) = items.first.as_mut().filter(|_| items.is_known && !is_sent) {
                first.add(tags.at(0));
            }
            items.is_known |= is_sent || least.is_past(item);
            items.passed = 0;
            items.last.get_or_insert_with(|| item.clone()).clone_from(item);
        }
        if !items.is_known && rows.has_rows(time)? {
            (items.is_known, *is_alive) = (true, true);
            if !*is_of_tag || item.values().next().is_some() {
                least.insert(item);
                if let Some(first) = &mut items.first {
                    first.add(tags.at(0));
                }
            }
        }
        items.passed += 1;
        match span.in_order {
            Some(prefix) if prefix < tags.order().len() && items.is_known => {
                if items.passed < STEPS_BEFORE_SEEK {
                    return Ok(Next::Step);
                }
                let values = (0..prefix).map(|place| tags.at(place));
                Ok(Next::SeekTo(SeriesKey::past(measurement, values)))
            }
            _ => Ok(Next::Step),
        }
    }

    /// Looks whether a series is alive, and at its columns. Says whether nothing is left to be
    /// found out.
    fn settles(&mut self, rows: &mut Rows<'_>, tags: &SeriesTags) -> Result<bool, ScanError> {
        let Task { find, is_alive, .. } = &mut *self.task;
        let columns = match find {
            Find::Columns(columns) => columns,
            Find::Life | Find::Items { .. } => {
                *is_alive = *is_alive || rows.has_rows(self.time)?;
                return Ok(*is_alive);
            }
        };
        let has = |&(place, _): &(usize, ColumnId)| !tags.at(place).is_empty();
        let may_tell = columns.fields.as_ref().is_none_or(|fields| !fields.is_empty())
            || columns.tags.iter().any(has)
            || !*is_alive;
        if may_tell && rows.has_rows(self.time)? {
            *is_alive = true;
            columns.found.extend(columns.tags.iter().filter(|tag| has(tag)).map(|(_, id)| *id));
            columns.tags.retain(|tag| !has(tag));
            columns.find_fields(rows, self.reader, self.time)?;
        }
        let no_fields = columns.fields.as_ref().is_some_and(Vec::is_empty);
        Ok(*is_alive && columns.tags.is_empty() && no_fields)
    }
}

impl FindColumns {
    /// Looks for the fields of the series at hand.
    fn find_fields(
        &mut self,
        rows: &mut Rows<'_>,
        reader: &dyn Reader,
        time: TimeRange,
    ) -> Result<(), ScanError> {
        if self.fields.as_ref().is_some_and(Vec::is_empty) {
            return Ok(());
        }
        while let Some(picks) = rows.next_rows(time)? {
            for &(id, _) in picks.columns().iter() {
                let is_wanted = self.fields.as_ref().is_none_or(|fields| fields.contains(&id));
                if !is_wanted || self.found.contains(&id) {
                    continue;
                }
                if reader.stats().bytes_decoded > self.decoded_bytes {
                    // The rest of them are not looked for.
                    self.found.extend(self.fields.get_or_insert_default().drain(..));
                    self.found.insert(id);
                } else if rows.column(&picks, id)?.is_some() {
                    self.found.insert(id);
                }
            }
            if let Some(fields) = &mut self.fields {
                fields.retain(|id| !self.found.contains(id));
                if fields.is_empty() {
                    break;
                }
            }
        }
        Ok(())
    }
}

//! Where the rows of a list are in an answer, what the PSA says about its pages, and what to ask for the next one.
//!
//! Knows the shapes that REST APIs have (a list beside its counts, a cursor, the URL of the next page), and of the
//! endpoint only its declared parameters.

use std::borrow::Cow;

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::Asked;
use super::scan::{self, items, text};
use crate::tool::catalog::Place;

/// Members that hold the rows, the likeliest first.
const ROWS: [&str; 8] = ["data", "results", "items", "records", "rows", "entries", "values", "list"];
/// Members that hold what is said about pages, beside or around the rows.
const ABOUT: [&str; 8] = ["pagination", "meta", "paging", "pageInfo", "page_info", "data", "links", "_links"];

const PAGE: &[&str] = &["page", "pageno", "pagenumber", "currentpage"];
const PAGES: &[&str] = &["totalpages", "pages", "pagecount", "lastpage", "numpages"];
const MORE: &[&str] = &["hasnext", "hasmore", "hasnextpage", "more"];
const TOTAL: &[&str] =
    &["total", "totalcount", "count", "recordcount", "totalrecords", "totalitems", "totalresults"];
const LIMIT: &[&str] = &["limit", "perpage", "pagesize", "size", "top"];
const OFFSET: &[&str] = &["offset", "skip", "start"];
const CURSOR: &[&str] = &["nextcursor", "endcursor", "nextpagetoken", "nexttoken"];
const TAKES_CURSOR: &[&str] = &["cursor", "pagetoken", "nextpagetoken", "nextcursor", "after", "token"];
const NEXT: &[&str] = &["next", "nexturl", "nextlink", "nextpage"];
const ORDER: &[&str] = &["sort", "order", "sortby", "orderby", "orderdesc", "ordering"];

/// The longest cursor, and the longest URL of a next page, that is handed on, in bytes.
const LONGEST: usize = 2_000;

/// A list in an answer.
pub(super) struct List<'a> {
    /// The JSON array.
    pub rows: &'a str,
    pub count: u64,
    said: Said<'a>,
}

/// What the PSA says about pages.
#[derive(Default)]
struct Said<'a> {
    page: Option<u64>,
    pages: Option<u64>,
    more: Option<bool>,
    total: Option<u64>,
    limit: Option<u64>,
    offset: Option<u64>,
    cursor: Option<Cow<'a, str>>,
    next: Option<Cow<'a, str>>,
}

impl<'a> List<'a> {
    /// The list in `json`, if it is one; a record that has lists of its own is none.
    pub(super) fn find(json: &'a str) -> Option<Self> {
        let top: Vec<_> = scan::members(json).collect();
        let said = Said::read(&top);
        let rows = if json.starts_with('[') { json } else { rows_of(&top, &said, true)? };
        Some(Self { rows, count: items(rows).count() as u64, said })
    }

    /// The arguments in the query that bring the next page; None where there is none, or no way to it.
    pub(super) fn next(&self, asked: &Asked<'_>) -> Option<Map<String, Value>> {
        if let Some(cursor) = &self.said.cursor {
            return Some(one(asked.declared(TAKES_CURSOR)?, cursor.as_ref().into()));
        }
        if self.said.more == Some(false) || self.count == 0 {
            return None;
        }
        if let Some(url) = &self.said.next {
            let followed = followed(url, asked);
            if !followed.is_empty() {
                return Some(followed);
            }
        }
        let limit = self.limit(asked);
        if let (Some(name), None) = (asked.declared(OFFSET), self.said.page) {
            let reached = self.offset(asked) + self.count;
            let total = self.said.total.map(|total| reached < total);
            let full = limit.map(|limit| self.count >= limit);
            return self.said.more.or(total).or(full)?.then(|| one(name, reached.into()));
        }
        let name = asked.declared(PAGE)?;
        let page = self.page(asked);
        let by_pages = self.said.pages.map(|pages| page < pages);
        let by_total = self.said.total.zip(limit).map(|(total, limit)| page.saturating_mul(limit) < total);
        let full = limit.map(|limit| self.count >= limit);
        self.said.more.or(by_pages).or(by_total).or(full)?.then(|| one(name, (page + 1).into()))
    }

    /// Where only the first `kept` rows are shown: how many are to be shown, and what brings the one after the last.
    pub(super) fn resumed(&self, asked: &Asked<'_>, kept: u64) -> (u64, Option<Map<String, Value>>) {
        if let (Some(name), None) = (asked.declared(OFFSET), self.said.page) {
            return (kept, Some(one(name, (self.offset(asked) + kept).into())));
        }
        let (Some(page_name), Some(limit_name), true) =
            (asked.declared(PAGE), asked.declared(LIMIT), kept > 0)
        else {
            return (kept, None);
        };
        // Pages begin at multiples of their size, so that the new size must divide what lies before.
        let page = self.page(asked);
        let (kept, size, before) = match (page, self.limit(asked)) {
            (0 | 1, _) => (kept, kept, 0),
            (page, Some(limit)) if limit > 0 => {
                let size = (1..=kept.min(limit)).rev().find(|size| limit.is_multiple_of(*size)).unwrap_or(1);
                (kept / size * size, size, (page - 1).saturating_mul(limit))
            }
            _ => return (kept, None),
        };
        let mut next = one(page_name, ((before + kept) / size + 1).into());
        next.insert(limit_name.to_owned(), size.into());
        (kept, Some(next))
    }

    fn page(&self, asked: &Asked<'_>) -> u64 {
        self.said.page.or_else(|| asked.number(PAGE)).unwrap_or(1)
    }

    fn limit(&self, asked: &Asked<'_>) -> Option<u64> {
        self.said.limit.or_else(|| asked.number(LIMIT)).filter(|limit| *limit > 0)
    }

    fn offset(&self, asked: &Asked<'_>) -> u64 {
        self.said.offset.or_else(|| asked.number(OFFSET)).unwrap_or(0)
    }
}

fn one(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

/// The members of an object, read once: an answer is large, and looked at for every name there is.
type Members<'a> = [(&'a str, &'a str)];

fn of<'a>(members: &Members<'a>, wanted: &str) -> Option<&'a str> {
    members.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
}

fn rows_of<'a>(members: &Members<'a>, said: &Said<'_>, outer: bool) -> Option<&'a str> {
    // `{"invoice_id":7,"total":12,"items":[...]}` is one record.
    let is_record =
        members.iter().any(|(name, _)| *name == "id" || name.ends_with("_id") || name.ends_with("Id"));
    for name in ROWS {
        match of(members, name) {
            Some(value) if value.starts_with('[') && (outer && name == "data" || !is_record) => {
                return Some(value);
            }
            // `{"data":{"results":[...],"nextCursor":...}}`
            Some(value) if value.starts_with('{') && outer && name == "data" && said.counts() => {
                let inner: Vec<_> = scan::members(value).collect();
                if let Some(rows) = rows_of(&inner, said, false) {
                    return Some(rows);
                }
            }
            _ => {}
        }
    }
    // `{"record_count":2,"tickets":[...]}`: the only list beside counts.
    let mut lists = members.iter().filter(|(_, value)| value.starts_with('['));
    let (first, second) = (lists.next(), lists.next());
    first.filter(|_| second.is_none() && said.counts() && outer && !is_record).map(|(_, value)| *value)
}

impl<'a> Said<'a> {
    fn read(top: &Members<'a>) -> Self {
        let mut said = Self::default();
        said.note(top);
        for (name, value) in top.iter().filter(|(name, value)| ABOUT.contains(name) && value.starts_with('{'))
        {
            let inner: Vec<_> = scan::members(value).collect();
            said.note(&inner);
            if let Some(pages) = of(&inner, "pagination").filter(|_| *name != "pagination") {
                said.note(&scan::members(pages).collect::<Vec<_>>());
            }
        }
        said
    }

    fn note(&mut self, members: &Members<'a>) {
        for (name, value) in members {
            let mut room = [0; LONGEST_NAME];
            let Some(plain) = plain(name, &mut room) else { continue };
            let number = || value.parse::<u64>().ok();
            let is = |names: &[&str]| names.contains(&plain);
            if is(PAGE) {
                self.page = self.page.or_else(number);
            } else if is(PAGES) {
                self.pages = self.pages.or_else(number);
            } else if is(MORE) {
                self.more = self.more.or_else(|| value.parse().ok());
            } else if is(TOTAL) {
                self.total = self.total.or_else(number);
            } else if is(LIMIT) {
                self.limit = self.limit.or_else(number);
            } else if is(OFFSET) {
                self.offset = self.offset.or_else(number);
            } else if is(CURSOR) {
                self.cursor = self
                    .cursor
                    .take()
                    .or_else(|| text(value).filter(|cursor| (1..=LONGEST).contains(&cursor.len())));
            } else if is(NEXT) {
                let value = scan::member(value, "href").unwrap_or(value);
                self.next = self
                    .next
                    .take()
                    .or_else(|| text(value).filter(|next| next.contains('?') && next.len() <= LONGEST));
            }
        }
    }

    /// Whether anything that only lists have was said.
    fn counts(&self) -> bool {
        self.page.or(self.pages).or(self.total).or(self.limit).or(self.offset).is_some()
            || self.more.is_some()
            || self.cursor.is_some()
            || self.next.is_some()
    }
}

/// The longest name that can say anything about pages, in bytes.
const LONGEST_NAME: usize = 20;

/// A name without what styles differ in; none where it is too long to be one of ours.
fn plain<'a>(name: &str, room: &'a mut [u8; LONGEST_NAME]) -> Option<&'a str> {
    let mut length = 0;
    for byte in name.bytes().filter(|byte| !matches!(byte, b'_' | b'-')) {
        *room.get_mut(length)? = byte.to_ascii_lowercase();
        length += 1;
    }
    std::str::from_utf8(room.get(..length)?).ok()
}

/// Whether a name is one of these, in whatever style.
fn is_one(name: &str, names: &[&str]) -> bool {
    plain(name, &mut [0; LONGEST_NAME]).is_some_and(|plain| names.contains(&plain))
}

/// The declared parameters in the URL of the next page that are not as they were.
fn followed(url: &str, asked: &Asked<'_>) -> Map<String, Value> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let mut next = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let declared = asked.query_names().any(|known| known == name);
        let before = asked.args.query.get(name.as_ref()).and_then(crate::tool::value::scalar);
        if declared && before.as_deref() != Some(&*value) {
            next.insert(name.into_owned(), value.into_owned().into());
        }
    }
    next
}

impl Asked<'_> {
    fn query_names(&self) -> impl Iterator<Item = &str> {
        self.entry.params_in(Place::Query).map(|param| param.name.as_str())
    }

    /// The query parameter of one of these names, without what styles differ in.
    fn declared(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.query_names().find(|known| is_one(known, &[name])))
    }

    /// What was asked for under one of these names, or what is declared as its default.
    fn number(&self, names: &[&str]) -> Option<u64> {
        let name = self.declared(names)?;
        let read = |value: &Value| crate::tool::value::scalar(value)?.parse().ok();
        let default =
            || self.entry.params_in(Place::Query).find(|param| param.name == name)?.schema.get("default");
        self.args.query.get(name).filter(|value| !value.is_null()).or_else(default).and_then(read)
    }

    /// The parameter that says how many rows there may be.
    pub(super) fn limit_name(&self) -> Option<&str> {
        self.declared(LIMIT)
    }

    /// What would make the answer smaller: parameters that are no page's.
    pub(super) fn narrowing(&self) -> impl Iterator<Item = &str> {
        const PAGING: [&[&str]; 5] = [PAGE, OFFSET, TAKES_CURSOR, LIMIT, ORDER];
        self.query_names().filter(|name| !PAGING.iter().any(|names| is_one(name, names)))
    }
}

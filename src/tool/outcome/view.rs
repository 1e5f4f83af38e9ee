//! What of the PSA's JSON is shown, and Sidegate's own words about it: which page comes next, what was cut.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::list::List;
use super::plain::plain;
use super::scan::{member, members, quoted, text};
use super::trim::{Shrunk, kept, shrunk, with_texts};
use super::{Asked, Turn, noted};
use crate::tool::text::{did_you_mean, listed};

/// Bytes of an answer that are kept free for what stands beside the data.
const BESIDE: usize = 1_024;
/// The most parameters that are named.
const MOST_NAMES: usize = 10;

/// An answer's data, and what is said about it.
pub(super) struct View<'a> {
    pub data: Cow<'a, str>,
    /// Sidegate's own members: `note`, `next`, `cut`.
    pub beside: Map<String, Value>,
}

/// The PSA's compact JSON as it was asked for, in about [`Asked::most`] bytes.
pub(super) fn view<'a>(json: &'a str, asked: &Asked<'_>) -> View<'a> {
    let mut notes = asked.args.notes.clone();
    let wish = &asked.args.answer;
    let mut data = Cow::Borrowed(json);
    if !wish.fields.is_empty() {
        data = projected(json, &wish.fields, &mut notes).into();
    }
    if wish.plain_text {
        let less = with_texts(&data, &mut |_, written| {
            // On the path of every text: most have no bracket.
            let html = text(written).filter(|html| html.contains('<'))?;
            plain(&html).map(|plain| quoted(&plain))
        });
        data = less.into();
    }
    let mut beside = Map::new();
    let note = noted(&notes);
    // As JSON it may be longer than it is.
    let said = note.as_deref().map_or(0, |note| quoted(note).len());
    beside.extend(note.map(|note| ("note".to_owned(), note.into())));
    let list = List::find(&data);
    let next = list.as_ref().and_then(|list| list.next(asked));
    let ahead: usize = next.iter().flatten().map(|(name, value)| name.len() + value.to_string().len()).sum();
    let room = asked.most.saturating_sub(BESIDE + said + ahead);
    if data.len() <= room {
        beside.extend(next.and_then(|next| turned(next, asked)));
        return View { data, beside };
    }
    let (data, next, mut cut) = match list {
        Some(list) => shortened(&data, &list, asked, room),
        None => lessened(&data, room),
    };
    // What cannot be gone on with has to be asked for in smaller parts.
    let smaller = cut.contains_key("rows") && next.is_none();
    beside.extend(next.and_then(|next| turned(next, asked)));
    let narrow = narrowing(asked, smaller);
    if !narrow.is_empty() {
        cut.insert("narrow".into(), narrow.into());
    }
    beside.insert("cut".into(), cut.into());
    View { data: data.into(), beside }
}

/// A text body in at most about [`Asked::most`] bytes, cut at the end of a line.
pub(super) fn view_text(text: String, asked: &Asked<'_>) -> View<'static> {
    let mut beside = Map::new();
    let note = noted(&asked.args.notes);
    let said = note.as_deref().map_or(0, |note| quoted(note).len());
    beside.extend(note.map(|note| ("note".to_owned(), note.into())));
    let text = match asked.args.answer.plain_text.then(|| plain(&text)).flatten() {
        Some(plain) => plain,
        None => text,
    };
    // As JSON it may be longer; the marks of most texts make it a little so.
    let room = asked.most.saturating_sub(BESIDE + said);
    let written = quoted(&text);
    if written.len() <= room {
        return View { data: written.into(), beside };
    }
    let mut end = text.floor_char_boundary(room * text.len() / written.len());
    if let Some(line) = text.get(..end).and_then(|shown| shown.rfind('\n')) {
        end = line + 1;
    }
    let shown = text.get(..end).unwrap_or_default();
    let mut cut = json!({"characters": shown.chars().count(), "of": text.chars().count()});
    // Members cannot be chosen of a text.
    let narrow: Vec<String> = narrowing(asked, false).into_iter().filter(|name| name != "fields").collect();
    if !narrow.is_empty() {
        cut["narrow"] = narrow.into();
    }
    beside.insert("cut".into(), cut);
    View { data: quoted(shown).into(), beside }
}

/// The arguments for the next page, in the form that the tool has them.
fn turned(next: Map<String, Value>, asked: &Asked<'_>) -> Option<(String, Value)> {
    let next = match asked.args.answer.turn {
        Turn::Query => json!({ "query": next }),
        Turn::Flat => next.into(),
        Turn::Unknown => return None,
    };
    Some(("next".to_owned(), next))
}

/// The arguments that would make the answer smaller, in the form that the tool has them; `smaller`: also how many rows.
fn narrowing(asked: &Asked<'_>, smaller: bool) -> Vec<String> {
    let limit = asked.limit_name().filter(|_| smaller);
    let names = limit.into_iter().chain(asked.narrowing().take(MOST_NAMES));
    match asked.args.answer.turn {
        Turn::Query => {
            std::iter::once("fields".to_owned()).chain(names.map(|name| format!("query.{name}"))).collect()
        }
        Turn::Flat => names.map(str::to_owned).collect(),
        Turn::Unknown => Vec::new(),
    }
}

/// As many whole rows as there is room for; of the first, its beginning where it alone is too large.
fn shortened(
    json: &str,
    list: &List<'_>,
    asked: &Asked<'_>,
    room: usize,
) -> (String, Option<Map<String, Value>>, Map<String, Value>) {
    let start = list.rows.as_ptr() as usize - json.as_ptr() as usize;
    let before = json.get(..start).unwrap_or_default();
    let after = json.get(start + list.rows.len()..).unwrap_or_default();
    let Some(room) = room.checked_sub(before.len() + after.len() + 2) else { return lessened(json, room) };
    let mut used = 0;
    let rows: Vec<&str> = super::scan::items(list.rows).collect();
    let fitting = rows.iter().take_while(|row| {
        used += row.len() + 1;
        used <= room
    });
    let fitting = fitting.count();
    let mut cut = Map::new();
    let first = rows.first().filter(|_| fitting == 0).and_then(|row| shrunk(row, room));
    let (kept, next) = match (&first, fitting) {
        (None, 0) => return lessened(json, room),
        _ => list.resumed(asked, fitting.max(1) as u64),
    };
    cut.insert("rows".into(), kept.into());
    cut.insert("of".into(), list.count.into());
    let rows = match first {
        Some(Shrunk { json, texts, items }) => {
            told(&mut cut, &texts, items);
            json
        }
        None => rows.get(..usize::try_from(kept).unwrap_or(fitting)).unwrap_or_default().join(","),
    };
    // Where the only row was cut, there may be nothing after it on this page.
    let next = if kept < list.count { next } else { list.next(asked) };
    (format!("{before}[{rows}]{after}"), next, cut)
}

/// One thing that is too large, with less of everything; at the least the names of what it has.
fn lessened(json: &str, room: usize) -> (String, Option<Map<String, Value>>, Map<String, Value>) {
    let mut cut = Map::new();
    if let Some(Shrunk { json, texts, items }) = shrunk(json, room) {
        told(&mut cut, &texts, items);
        return (json, None, cut);
    }
    let record = record(json);
    let mut names: Vec<(&str, &str)> = members(record).collect();
    names.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    let sizes: Map<String, Value> =
        names.iter().take(MOST_NAMES).map(|(name, value)| ((*name).to_owned(), value.len().into())).collect();
    cut.insert("bytes".into(), json.len().into());
    cut.insert("largest".into(), sizes.into());
    ("null".to_owned(), None, cut)
}

fn told(cut: &mut Map<String, Value>, texts: &[String], items: Option<usize>) {
    if !texts.is_empty() {
        let named: Vec<&str> = texts.iter().map(String::as_str).take(MOST_NAMES).collect();
        cut.insert("texts".into(), named.into());
    }
    if let Some(items) = items {
        cut.insert("items".into(), items.into());
    }
}

/// The one record of an answer: what is in its envelope.
fn record(json: &str) -> &str {
    member(json, "data").filter(|data| data.starts_with('{')).unwrap_or(json)
}

/// `json` with these members of each row, or of the one record; what no row has is noted.
fn projected(json: &str, fields: &[String], notes: &mut Vec<String>) -> String {
    let wanted: Vec<(usize, &str)> = fields.iter().map(String::as_str).enumerate().collect();
    let mut seen = vec![false; fields.len()];
    let list = List::find(json);
    let of = list.as_ref().map_or_else(|| record(json), |list| list.rows);
    let Some(less) = kept(of, &wanted, &mut seen) else { return json.to_owned() };
    let empty = list.is_some_and(|list| list.count == 0);
    let missing = fields.iter().zip(&seen).filter(|(_, seen)| !**seen && !empty).map(|(field, _)| field);
    let sample = super::scan::items(of).next().unwrap_or(of);
    let there: Vec<&str> = members(sample).map(|(name, _)| name).collect();
    for field in missing.take(MOST_NAMES) {
        let near = did_you_mean(field, there.iter().copied());
        let there = listed(there.iter().copied(), 40);
        notes.push(format!(
            "fields: nothing here has {}{near} (there is: {there})",
            crate::tool::text::quoted(field)
        ));
    }
    let start = of.as_ptr() as usize - json.as_ptr() as usize;
    let (before, after) = (json.get(..start), json.get(start + of.len()..));
    format!("{}{less}{}", before.unwrap_or_default(), after.unwrap_or_default())
}

//! What requests and answers of all nouns share: the envelope, pages and their cursors, times, and fields that
//! may be left out or be null.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::problem::Problem;
use crate::clock::{Millis, rfc3339};

/// The most rows of one page.
pub const MOST: u32 = 200;

/// The rows of a page where nobody says how many.
pub const USUAL: u32 = 50;

/// What was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct Data<T> {
    /// It.
    pub data: T,
}

/// One page of what was asked for, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub data: Vec<T>,
    /// The `cursor` of the next page; none: this was the last.
    pub next_cursor: Option<String>,
}

/// That it was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Always true.
    pub ok: bool,
}

/// The row after which a page begins: its time and its id.
pub type After = (Millis, String);

/// Where a page ends, in a form of which nobody is to make anything.
pub fn cursor(at: Millis, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{at} {id}"))
}

/// What [`cursor`] made.
pub fn after(cursor: Option<&str>) -> Result<Option<After>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (at, id) = text.split_once(' ')?;
        Some((at.parse().ok()?, id.to_owned()))
    };
    let told = "is not one that this server gave; leave it out to begin with the newest";
    read().map(Some).ok_or_else(|| Problem::field("cursor", told))
}

/// How many rows a page has.
pub fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    match asked.unwrap_or(USUAL) {
        limit @ 1..=MOST => Ok(limit),
        _ => Err(Problem::field("limit", format!("must be 1 to {MOST}"))),
    }
}

/// Cuts `rows`, of which one more was read than is shown, to a page.
pub fn page<R, T>(
    mut rows: Vec<R>,
    limit: u32,
    place: impl Fn(&R) -> After,
    show: impl Fn(R) -> T,
) -> Page<T> {
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| more).map(|row| {
        let (at, id) = place(row);
        cursor(at, &id)
    });
    Page { data: rows.into_iter().map(show).collect(), next_cursor }
}

/// A time as answers show it: RFC 3339 in UTC.
pub fn time(at: Millis) -> String {
    rfc3339(at)
}

/// A field that may be left out, be null, or have a value.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A text that is there and says something.
pub fn said(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_anything_else_is_refused() {
        let made = cursor(-5, "a b");
        assert_eq!(after(Some(&made)).unwrap(), Some((-5, "a b".to_owned())));
        assert_eq!(after(None).unwrap(), None);
        for other in ["", "x", "!!!!", &URL_SAFE_NO_PAD.encode("no number"), &URL_SAFE_NO_PAD.encode("12")] {
            assert!(after(Some(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn a_page_says_where_the_next_begins_only_where_there_is_one() {
        let place = |row: &i64| (*row, row.to_string());
        let shown = |rows, limit| page::<i64, i64>(rows, limit, place, |row| row);
        let (short, long) = (shown(vec![3, 2], 2), shown(vec![3, 2, 1], 2));
        assert_eq!((short.data, short.next_cursor), (vec![3, 2], None));
        assert_eq!(
            (long.data, after(long.next_cursor.as_deref()).unwrap()),
            (vec![3, 2], Some((2, "2".to_owned())))
        );
    }

    #[test]
    fn null_is_told_from_what_is_left_out() {
        #[derive(Deserialize)]
        struct Change {
            #[serde(default, deserialize_with = "given")]
            field: Option<Option<String>>,
        }
        let read = |text: &str| serde_json::from_str::<Change>(text).unwrap().field;
        assert_eq!(read("{}"), None);
        assert_eq!(read("{\"field\":null}"), Some(None));
        assert_eq!(read("{\"field\":\"a\"}"), Some(Some("a".to_owned())));
    }
}

//! What is done to a token on its way.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD as B64};
use proptest::prelude::*;
use proptest::sample::select;

use super::super::inputs::text;

/// What is done to the token on its way.
#[derive(Clone, Debug)]
pub enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, &'static str),
    Swap(usize, usize),
    Drop(usize),
    Replace(usize, String),
    Repeat(usize),
    Padded(usize),
    OtherAlphabet,
    Around(&'static str, &'static str),
    /// This part of another token that is good in itself.
    From(usize),
}

pub fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    let pieces = vec![".", "=", "-", "_", "+", "/", " ", "\n", "A", "é", "\0", "%2e", "eyJ"];
    let around = vec![
        (" ", ""),
        ("", " "),
        ("", "\n"),
        ("\"", "\""),
        ("Bearer ", ""),
        ("", "."),
        (".", ""),
        ("", ".x"),
        ("", "=="),
    ];
    let other = prop_oneof![
        text(),
        text().prop_map(|text| B64.encode(text)),
        Just(String::new()),
        Just(B64.encode([0; 64]))
    ];
    prop_oneof![
        4 => (at(), 1..128_u8).prop_map(|(at, by)| Damage::Flip(at, by)),
        1 => at().prop_map(Damage::Cut),
        2 => (at(), select(pieces)).prop_map(|(at, piece)| Damage::Insert(at, piece)),
        1 => (0..3_usize, 0..3_usize).prop_map(|(one, other)| Damage::Swap(one, other)),
        1 => (0..3_usize).prop_map(Damage::Drop),
        2 => (0..3_usize, other).prop_map(|(at, text)| Damage::Replace(at, text)),
        1 => (0..3_usize).prop_map(Damage::Repeat),
        1 => (0..3_usize).prop_map(Damage::Padded),
        1 => Just(Damage::OtherAlphabet),
        1 => select(around).prop_map(|(before, behind)| Damage::Around(before, behind)),
        3 => (0..3_usize).prop_map(Damage::From),
    ]
}

impl Damage {
    /// `token` with this damage; `other` is another whole token.
    pub fn strike(&self, token: &str, other: &str) -> String {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        let place = |at: &prop::sample::Index| at.index(token.len() + 1);
        match self {
            Self::Flip(at, by) => {
                let mut bytes = token.as_bytes().to_vec();
                if let Some(byte) = bytes.get_mut(place(at)) {
                    *byte ^= by;
                }
                return String::from_utf8_lossy(&bytes).into_owned();
            }
            Self::Cut(at) => return token.chars().take(place(at)).collect(),
            Self::Insert(at, piece) => {
                let at = token.char_indices().map(|(at, _)| at).nth(place(at)).unwrap_or(token.len());
                return format!("{}{piece}{}", &token[..at], &token[at..]);
            }
            Self::Around(before, behind) => return format!("{before}{token}{behind}"),
            _ if parts.len() < 3 => {}
            Self::Swap(one, other) => parts.swap(*one, *other),
            Self::Drop(at) => drop(parts.remove(*at)),
            Self::Replace(at, text) => parts[*at].clone_from(text),
            Self::Repeat(at) => parts.insert(*at, parts[*at].clone()),
            Self::Padded(at) => {
                parts[*at] = B64.decode(&parts[*at]).map_or(String::new(), |bytes| URL_SAFE.encode(bytes))
            }
            Self::OtherAlphabet => {
                parts =
                    parts.iter().map(|part| STANDARD.encode(B64.decode(part).unwrap_or_default())).collect();
            }
            Self::From(at) => parts[*at] = other.split('.').nth(*at).unwrap_or_default().to_owned(),
        }
        parts.join(".")
    }
}

//! Generated Authorization headers: a token comes out of exactly one header that is `Bearer` and one token68.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use sidegate::gate::Bearer;

use super::inputs::text;
use super::{Verdict, check};

/// What no token68 has.
const ODD: &str = "!\"#$%&'()*,:;<>?@[\\]^`{|}\t\r\n\0\u{7f}\u{e9}\u{ff0e}";

fn value() -> impl Strategy<Value = Vec<u8>> {
    let scheme = select(vec![
        "Bearer",
        "Bearer",
        "Bearer",
        "bearer",
        "BEARER",
        "Basic",
        "DPoP",
        "Bearer:",
        "",
        "\u{212a}earer",
        "Bearer,",
    ]);
    let between = select(vec![" ", " ", " ", " ", " ", "  ", "\t", "", "\u{a0}", ","]);
    let token = prop_oneof![
        6 => "[A-Za-z0-9._~+/=-]{1,20}",
        4 => select(ODD.chars().collect::<Vec<_>>()).prop_map(|odd| format!("a{odd}b")),
        1 => text(),
        1 => Just("a.b.c, Bearer d".to_owned()),
        1 => Just("a b".to_owned()),
    ];
    let around = select(vec![
        ("", ""),
        ("", ""),
        ("", ""),
        (" ", " "),
        ("\t", ""),
        ("\u{3000}", ""),
        ("", "\r\n"),
        ("", "\0"),
    ]);
    let formed = (scheme, between, token, around).prop_map(|(scheme, between, token, (before, behind))| {
        format!("{before}{scheme}{between}{token}{behind}").into_bytes()
    });
    prop_oneof![8 => formed, 1 => vec(any::<u8>(), 0..40)]
}

/// The token of a well-formed header, read from both ends.
fn token(value: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let (scheme, rest) = text.split_at_checked(6)?;
    let known = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let good =
        scheme.eq_ignore_ascii_case("bearer") && rest.starts_with(' ') && rest.trim().chars().all(known);
    Some(rest.trim()).filter(|token| good && !token.is_empty())
}

#[test]
fn a_token_comes_out_of_one_well_formed_header_only() {
    let headers = prop_oneof![8 => vec(value(), 1..2), 2 => vec(value(), 0..4)];
    check("bearers", &headers, |headers| {
        let expected = match headers.as_slice() {
            [one] => token(one),
            _ => None,
        };
        match Bearer::read(headers.iter().map(Vec::as_slice)) {
            Bearer::Token(token) => {
                prop_assert_eq!(Some(token.expose()), expected);
                Ok(Verdict::Accepted)
            }
            Bearer::Missing | Bearer::Malformed | Bearer::Dpop => {
                prop_assert_eq!(expected, None);
                Ok(Verdict::Refused)
            }
        }
    });
}

//! International bank account numbers (ISO 13616) in a text, in one piece or in groups. Pure.
//!
//! Country, length and check digits must all be right, so that ids and serial numbers stay readable.

use std::ops::Range;

/// Countries of the registry and the length of their numbers.
const COUNTRIES: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 \
    DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 \
    IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 \
    OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 \
    UA29 VA22 VG24 XK20 YE30";

/// The number that begins at `at`, in either case; groups of four may have one space or dash between.
pub(super) fn iban(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let head = bytes.get(at..at + 4)?;
    let (country, check) = head.split_at(2);
    if !country.iter().all(u8::is_ascii_alphabetic) || !check.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = length(country)?;
    let mut number = Vec::with_capacity(length);
    let mut end = at;
    while number.len() < length {
        match bytes.get(end)? {
            byte if byte.is_ascii_alphanumeric() => number.push(byte.to_ascii_uppercase()),
            b' ' | b'-' if number.len() % 4 == 0 && bytes.get(end - 1)?.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        end += 1;
    }
    let alone = !bytes.get(end).is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    (alone && remainder(&number) == 1).then_some(at..end)
}

fn length(country: &[u8]) -> Option<usize> {
    let known =
        |entry: &&str| entry.as_bytes().get(..2).is_some_and(|code| code.eq_ignore_ascii_case(country));
    COUNTRIES.split_whitespace().find(known)?.get(2..)?.parse().ok()
}

/// ISO 7064 MOD 97-10 of the number with its first four characters moved behind the others.
fn remainder(number: &[u8]) -> u32 {
    let (head, tail) = number.split_at(number.len().min(4));
    tail.iter().chain(head).fold(0, |sum, byte| match byte {
        b'0'..=b'9' => (sum * 10 + u32::from(byte - b'0')) % 97,
        letter => (sum * 100 + u32::from(letter.saturating_sub(b'A')) + 10) % 97,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_known_in_every_usual_spelling() {
        for text in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "de89-3704-0044-0532-0130-00",
            "GB82WEST12345698765432",
            "FR14 2004 1010 0505 0001 3M02 606",
            "NO93 8601 1117 947",
            "CH93 0076 2011 6238 5295 7",
        ] {
            assert_eq!(iban(text.as_bytes(), 0), Some(0..text.len()), "{text}");
            let longer = format!("{text} 12.");
            assert_eq!(iban(longer.as_bytes(), 0), Some(0..text.len()), "{longer}");
        }
    }

    #[test]
    fn what_has_another_country_length_or_check_is_none() {
        for text in [
            "",
            "DE",
            "DE89",
            "DE89370400440532013001",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "ZZ89370400440532013000",
            "DE89 37 0400 4405 3201 3000",
            "DE89  3704 0044 0532 0130 00",
            "DEAD370400440532013000",
        ] {
            assert_eq!(iban(text.as_bytes(), 0), None, "{text}");
        }
    }
}

//! Reads `WWW-Authenticate` (RFC 9110 section 11.6.1, RFC 6750 section 3, RFC 9728 section 5.1). Pure.

/// One challenge of the field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    /// Names in lower case.
    params: Vec<(String, String)>,
}

impl Challenge {
    /// The parameter of this name.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// The first Bearer challenge among the field's `values`.
pub fn bearer<'a>(values: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    values.flat_map(challenges).find(|challenge| challenge.scheme.eq_ignore_ascii_case("bearer"))
}

/// Every challenge of one value. What cannot be read is passed over, as clients do.
fn challenges(value: &str) -> Vec<Challenge> {
    let mut found: Vec<Challenge> = Vec::new();
    for piece in pieces(value) {
        let piece = piece.trim();
        let param = match piece.split_once([' ', '\t']) {
            // A scheme is followed by white space; a parameter's name by an equals sign.
            Some((scheme, rest))
                if !scheme.is_empty() && !scheme.contains('=') && !rest.trim_start().starts_with('=') =>
            {
                found.push(Challenge { scheme: scheme.to_owned(), params: Vec::new() });
                rest.trim()
            }
            None if !piece.is_empty() && !piece.contains('=') => {
                found.push(Challenge { scheme: piece.to_owned(), params: Vec::new() });
                ""
            }
            _ => piece,
        };
        if let (Some((name, value)), Some(challenge)) = (param.split_once('='), found.last_mut()) {
            challenge.params.push((name.trim().to_ascii_lowercase(), unquoted(value.trim())));
        }
    }
    found
}

/// The text between the commas that stand outside of quotes.
fn pieces(value: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, char) in value.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                pieces.push(value.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(value.get(from..).unwrap_or_default());
    pieces
}

fn unquoted(value: &str) -> String {
    let Some(inside) = value.strip_prefix('"') else { return value.to_owned() };
    let inside = inside.strip_suffix('"').unwrap_or(inside);
    let mut plain = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(char) = chars.next() {
        plain.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_quoted_or_not_and_commas_inside_quotes_are_no_ends() {
        let value =
            r#"Bearer realm="a, \"b\"", resource_metadata="https://h/x" ,scope = "a b",Error=invalid_token"#;
        let found = bearer([value].into_iter()).unwrap();
        assert_eq!(found.param("realm"), Some("a, \"b\""));
        assert_eq!(found.param("resource_metadata"), Some("https://h/x"));
        assert_eq!((found.param("scope"), found.param("error")), (Some("a b"), Some("invalid_token")));
        assert_eq!(found.param("nonce"), None);
    }

    #[test]
    fn the_bearer_challenge_is_found_among_others_in_one_field_or_several() {
        for values in [
            vec![r#"Basic realm="x", Bearer scope="s""#],
            vec!["Negotiate", r#"bearer scope="s""#],
            vec!["Negotiate YII=, Bearer scope=s"],
        ] {
            assert_eq!(bearer(values.into_iter()).unwrap().param("scope"), Some("s"));
        }
        assert_eq!(bearer(["Bearer"].into_iter()).unwrap().param("scope"), None);
        assert!(bearer(["", "Basic realm=\"Bearer x\""].into_iter()).is_none());
    }
}

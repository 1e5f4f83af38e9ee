//! The Authorization header. What its token is worth is not known here.

use crate::secret::Secret;

/// The Authorization header as it came (RFC 6750 section 2.1; never the query).
#[derive(Clone, Debug)]
pub enum Bearer {
    /// None, or one of another scheme.
    Missing,
    /// `Bearer` and one token.
    Token(Secret),
    /// Several headers, or `Bearer` without exactly one token.
    Malformed,
    /// A token or a proof of RFC 9449, which is not supported.
    Dpop,
}

impl Bearer {
    /// Reads all values of the Authorization header.
    pub fn read<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Self {
        let Some(value) = values.next() else { return Self::Missing };
        if values.next().is_some() {
            return Self::Malformed;
        }
        let Ok(value) = std::str::from_utf8(value) else { return Self::Malformed };
        let (scheme, token) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        if scheme.eq_ignore_ascii_case("dpop") {
            return Self::Dpop;
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Self::Missing;
        }
        let token = token.trim();
        let token68 = |byte: u8| matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
        if token.is_empty() || !token.bytes().all(token68) {
            return Self::Malformed;
        }
        Self::Token(Secret::new(token))
    }

    /// The same where a `DPoP` header came with it: its client counts on a proof that nobody
    /// here would check.
    pub fn with_dpop(self, proof: bool) -> Self {
        match self {
            Self::Token(_) if proof => Self::Dpop,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Bearer {
        Bearer::read(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn one_bearer_token_is_read_whatever_the_case_of_the_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c "] {
            assert!(matches!(read(&[value]), Bearer::Token(token) if token.expose() == "a.b.c"), "{value}");
        }
    }

    #[test]
    fn no_header_and_other_schemes_are_no_token() {
        assert!(matches!(read(&[]), Bearer::Missing));
        assert!(matches!(read(&["Basic dXNlcjpwYXNz"]), Bearer::Missing));
    }

    #[test]
    fn dpop_is_known_by_its_scheme_or_by_its_proof_beside_a_token() {
        assert!(matches!(read(&["DPoP a.b.c"]), Bearer::Dpop));
        assert!(matches!(read(&["dpop"]), Bearer::Dpop));
        assert!(matches!(read(&["Bearer a.b.c"]).with_dpop(true), Bearer::Dpop));
        assert!(matches!(read(&["Bearer a.b.c"]).with_dpop(false), Bearer::Token(_)));
        assert!(matches!(read(&[]).with_dpop(true), Bearer::Missing));
        assert!(matches!(read(&["DPoP a", "Bearer b"]).with_dpop(true), Bearer::Malformed));
    }

    #[test]
    fn several_headers_empty_or_broken_tokens_are_malformed() {
        for values in
            [&["Bearer a", "Bearer b"][..], &["Bearer"], &["Bearer "], &["Bearer a b"], &["Bearer a,b"]]
        {
            assert!(matches!(read(values), Bearer::Malformed), "{values:?}");
        }
    }
}

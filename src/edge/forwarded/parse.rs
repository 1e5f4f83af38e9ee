//! The grammar of what proxies write. Whatever is not understood is told as such, and nothing panics.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// One element of `Forwarded` (RFC 7239 section 4).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// The `for` parameter: `Some(None)` where it names no address.
    pub node: Option<Option<IpAddr>>,
    pub proto: Option<String>,
    pub host: Option<String>,
}

/// All elements of all lines. A line that is malformed is one element from nowhere: whatever stands in
/// it, and to the left of it, is not to be told apart from what a client made up.
pub fn elements(lines: &[&[u8]]) -> Vec<Element> {
    let nowhere = || vec![Element { node: Some(None), ..Element::default() }];
    lines
        .iter()
        .flat_map(|line| std::str::from_utf8(line).ok().and_then(line_elements).unwrap_or_else(nowhere))
        .collect()
}

fn line_elements(line: &str) -> Option<Vec<Element>> {
    let mut elements = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let mut element = Element::default();
        let mut pairs = 0;
        // One element: pairs until a comma or the end.
        loop {
            rest = rest.trim_start();
            if let Some((name, value, after)) = pair(rest)? {
                pairs += 1;
                element.set(&name, value)?;
                rest = after.trim_start();
            }
            match rest.chars().next() {
                Some(';') => rest = rest.get(1..)?,
                Some(',') => {
                    rest = rest.get(1..)?;
                    break;
                }
                None => break,
                Some(_) => return None,
            }
        }
        if pairs > 0 {
            elements.push(element);
        }
        rest = rest.trim_start();
    }
    Some(elements)
}

/// A name in lower case, its value, and what follows.
type Pair<'a> = (String, String, &'a str);

/// The pair that `text` begins with; `Some(None)` where it begins with a separator, none where with neither.
fn pair(text: &str) -> Option<Option<Pair<'_>>> {
    let name = text.find(|char: char| !is_token(char)).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(name)?;
    if name.is_empty() {
        return rest.chars().next().is_none_or(|char| matches!(char, ';' | ',')).then_some(None);
    }
    let rest = rest.strip_prefix('=')?;
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => {
            // Colons and brackets belong into quotes, and are often written without.
            let end = rest.find(|char: char| !is_token(char) && !":[]".contains(char)).unwrap_or(rest.len());
            let (value, rest) = rest.split_at_checked(end)?;
            (value.to_owned(), rest)
        }
    };
    Some(Some((name.to_ascii_lowercase(), value, rest)))
}

/// The content of a quoted-string (RFC 9110 section 5.6.4) after its opening quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((content, text.get(at + 1..)?)),
            '\\' => content.push(chars.next()?.1),
            char => content.push(char),
        }
    }
    None
}

fn is_token(char: char) -> bool {
    char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char)
}

impl Element {
    /// A parameter must not come twice (RFC 7239 section 4); unknown ones are passed over.
    fn set(&mut self, name: &str, value: String) -> Option<()> {
        let twice = match name {
            "for" => self.node.replace(node(&value)).is_some(),
            "proto" => self.proto.replace(value).is_some(),
            "host" => self.host.replace(value).is_some(),
            _ => false,
        };
        (!twice).then_some(())
    }
}

/// The elements of comma lists in several header lines, the last one first.
pub fn listed<'a>(lines: &[&'a [u8]]) -> impl Iterator<Item = &'a str> {
    let text = |line: &&'a [u8]| std::str::from_utf8(line).unwrap_or("\u{fffd}");
    lines
        .iter()
        .rev()
        .map(text)
        .flat_map(|line| line.rsplit(','))
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// The address of a node (RFC 7239 section 6), with or without a port; none for `unknown`, obfuscated
/// names and nonsense.
pub fn node(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match bare {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())),
    };
    address.map(|address| address.to_canonical())
}

/// `http` or `https`.
pub fn scheme(text: &str) -> Option<&'static str> {
    ["https", "http"].into_iter().find(|scheme| text.eq_ignore_ascii_case(scheme))
}

/// A port in digits.
pub fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|port| *port != 0)
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// `host` or `host:port` in lower case, without the scheme's default port; none where it is no authority
/// that a URL of ours could have (RFC 3986 section 3.2, without user information and percent-encoding).
pub fn authority(text: &str, scheme: &str) -> Option<String> {
    let (host, after) = match text.strip_prefix('[') {
        Some(rest) => {
            let (inner, after) = rest.split_once(']')?;
            (format!("[{}]", inner.parse::<Ipv6Addr>().ok()?), after)
        }
        None => {
            let (name, after) = text.split_at_checked(text.find(':').unwrap_or(text.len()))?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if name.is_empty() || !name.bytes().all(plain) {
                return None;
            }
            (name.to_ascii_lowercase(), after)
        }
    };
    let given = match after.strip_prefix(':') {
        Some(digits) => Some(port(digits)?),
        None if after.is_empty() => None,
        None => return None,
    };
    Some(match given {
        Some(port) if port != default_port(scheme) => format!("{host}:{port}"),
        _ => host,
    })
}

/// An authority with the port that a proxy told separately, where it has none of its own. A default port
/// is left out, and that of the other scheme contradicts the scheme.
pub fn with_port(authority: String, port: Option<u16>) -> String {
    let has_one = authority.rsplit_once(':').is_some_and(|(_, after)| !after.ends_with(']'));
    match port {
        Some(port) if !has_one && !matches!(port, 80 | 443) => format!("{authority}:{port}"),
        _ => authority,
    }
}

/// A path prefix such as `/psa`, without a trailing slash; none where it is not a plain path.
pub fn prefix(text: &str) -> Option<String> {
    let path = text.strip_suffix('/').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
    let segments = path.strip_prefix('/')?.split('/');
    let odd = segments.into_iter().any(|segment| matches!(segment, "" | "." | ".."));
    (!odd && path.bytes().all(plain)).then(|| path.to_owned())
}

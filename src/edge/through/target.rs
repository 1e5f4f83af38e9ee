//! Whether a request target may be passed on as it is spelt. Pure.
//!
//! What the PSA's own agent endpoints are spelt like depends on who reads: each layer behind may
//! decode, fold and cut once more. So the spelling is undone to the last layer and compared
//! there, and what two readers could read differently is passed to neither.

/// What is thought of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It means one thing, and nothing that is hidden.
    Harmless,
    /// Some reader could take it for something hidden.
    Hidden,
    /// It could mean several things; how it must be written.
    Unclear(&'static str),
}

/// How many layers of percent-encoding are undone; nothing real has more than two.
const LAYERS: usize = 4;

/// What the PSA serves to agents itself, as segments; `*` ends a prefix of a segment.
const HIDDEN: [&[&str]; 3] = [&["api", "mcp"], &["api", "v1", "mcp"], &[".well-known", "oauth*"]];

/// Fetches a path of the PSA that its query names.
const FETCHER: &[&str] = &["_next", "image"];

/// Judges a request target in origin form (RFC 9112 section 3.2.1). `ours` are the MCP
/// endpoint's paths: whatever lies at them or below is hidden too.
pub fn judge(target: &[u8], ours: &[String]) -> Verdict {
    use Verdict::{Hidden, Unclear};
    let Ok(text) = std::str::from_utf8(target) else {
        return Unclear("percent-encode what is not ASCII");
    };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Unclear("it must be an absolute path, without scheme and host");
    }
    if text.contains('#') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Unclear("percent-encode what RFC 3986 does not allow in a path");
    }
    if !escapes_are_whole(path) {
        return Unclear("each % must be followed by two hexadecimal digits");
    }
    let Some(path) = undone(path) else {
        return Unclear("its path is encoded too often, or is not UTF-8");
    };
    if path.chars().any(char::is_control) {
        return Unclear("its path holds control characters");
    }
    let Some(segments) = segments(&path, &['/', '\\', '?', '#']) else {
        return Unclear("resolve the dot segments of its path");
    };
    if is_hidden(&segments) || ours.iter().any(|ours| starts_with(&segments, ours)) {
        return Hidden;
    }
    if anywhere(&segments, FETCHER) {
        let separators = ['/', '\\', '?', '#', '&', '='];
        // Of a URL within a query, readers drop tabs and line ends wherever they stand, and blanks at its
        // ends (WHATWG URL, basic URL parser); a plus is a blank there.
        let query = undone(query).filter(|query| !query.chars().any(char::is_control));
        let named = query.and_then(|query| self::segments(&query.replace('+', " "), &separators));
        return match named {
            Some(segments) if !is_hidden(&segments) => Verdict::Harmless,
            _ => Hidden,
        };
    }
    Verdict::Harmless
}

fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let mut digits = rest.bytes();
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        hex(digits.next()) && hex(digits.next())
    })
}

/// `text` with all layers of percent-encoding undone; a `%` that escapes nothing stands for itself.
fn undone(text: &str) -> Option<String> {
    let (plain, whole) = plain(text.as_bytes());
    String::from_utf8(plain).ok().filter(|_| whole)
}

/// `text` without its percent-encoding, and whether that was undone to the last layer.
pub fn plain(text: &[u8]) -> (Vec<u8>, bool) {
    let mut text = text.to_owned();
    for _ in 0..LAYERS {
        let decoded: Vec<u8> = percent_encoding::percent_decode(&text).collect();
        if decoded == text {
            return (text, true);
        }
        text = decoded;
    }
    (text, false)
}

/// The segments as the most forgiving reader sees them: folded, without parameters, extensions,
/// surrounding blanks and empty ones. None where there are dot segments.
fn segments(text: &str, separators: &[char]) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    for segment in text.split(separators) {
        let segment = segment.split(';').next().unwrap_or(segment).trim();
        if segment.is_empty() {
            continue;
        }
        let folded: String = segment.chars().flat_map(fold).collect();
        let bare = folded.trim_end_matches(['.', ' ']);
        if bare.is_empty() {
            return None;
        }
        // A leading dot begins a name, any other an extension: `mcp.json`, `mcp.rsc`.
        let stem = bare.char_indices().skip(1).find(|(_, letter)| *letter == '.');
        segments.push(stem.map_or(bare, |(at, _)| &bare[..at]).to_owned());
    }
    Some(segments)
}

/// Lower case, and the full-width forms of ASCII as ASCII.
fn fold(letter: char) -> impl Iterator<Item = char> {
    let narrow = match letter {
        '\u{ff01}'..='\u{ff5e}' => u32::from(letter).checked_sub(0xfee0).and_then(char::from_u32),
        // The long s, whose capital is S.
        '\u{17f}' => Some('s'),
        _ => None,
    };
    narrow.unwrap_or(letter).to_lowercase()
}

/// Anywhere in the path, since locales, base paths and data routes come before it.
fn is_hidden(segments: &[String]) -> bool {
    HIDDEN.iter().any(|hidden| anywhere(segments, hidden))
}

fn anywhere(segments: &[String], wanted: &[&str]) -> bool {
    segments.windows(wanted.len()).any(|window| {
        window.iter().zip(wanted).all(|(have, want)| match want.strip_suffix('*') {
            Some(prefix) => have.starts_with(prefix),
            None => have == want,
        })
    })
}

fn starts_with(segments: &[String], path: &str) -> bool {
    let path = self::segments(path, &['/']).unwrap_or_default();
    !path.is_empty() && segments.starts_with(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(target: &str) -> Verdict {
        judge(target.as_bytes(), &["/agents/mcp".to_owned()])
    }

    #[test]
    fn what_people_use_is_harmless() {
        for target in [
            "/",
            "/msp/tickets?status=open&q=a%26b",
            "/api/v1/tickets/6f2c9a52",
            "/api/v1/meta/mcp-registry",
            "/api/auth/callback/keycloak?code=x&iss=https%3A%2F%2Flogin.example",
            "/_next/static/chunks/app/page-1a2b.js",
            "/_next/data/build/msp/tickets.json",
            "/_next/image?url=%2Fimages%2Flogo.png&w=64&q=75",
            "/files/100%25.pdf",
            "/files/a%2Fb.pdf",
            "/files/a%20b;v=1.pdf",
            "/files/%C3%BCbersicht.pdf",
            "/search?q=%",
            "/search?q=\\api\\mcp",
            "/~user/it's(1)!*,$&=:@",
            "/mcp",
            "/api/mcpx",
            "/.well-known/security.txt",
            "/agents/other",
        ] {
            assert_eq!(of(target), Verdict::Harmless, "{target}");
        }
    }

    #[test]
    fn the_agents_endpoints_are_hidden_in_every_spelling() {
        for target in [
            "/api/mcp",
            "/api/mcp/",
            "/api/mcp?x=1",
            "/api/mcp/oauth/token",
            "/api/v1/mcp/keys",
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-protected-resource/api/mcp",
            "/API/Mcp",
            "//api//mcp",
            "/api/%6dcp",
            "/api/%256dcp",
            "/api/%25256dcp",
            "/api%2fmcp",
            "/api%252fmcp",
            "/api%5cmcp",
            "/api/mcp%2f",
            "/api/mcp%3fx",
            "/api/mcp%23x",
            "/api/mcp;x=1",
            "/api;x/mcp",
            "/api;x/mcp%3bx",
            "/api/mcp.json",
            "/api/mcp.rsc",
            "/api/mcp.",
            "/api/mcp%20",
            "/api/%20mcp",
            "/en/api/mcp",
            "/_next/data/build/api/mcp.json",
            "/api/%EF%BD%8Dcp",
            "/%2ewell-known/oauth-authorization-server",
            "/.well-known/oauth%2dauthorization-server",
            "/.WELL-%4bnown/oauth-authorization-server",
            "/.well-%E2%84%AAnown/oauth-authorization-server",
            "/_next/image?url=%2Fapi%2Fmcp&w=64&q=75",
            "/_next/image?url=%252Fapi%252Fmcp&w=64&q=75",
            "/_next/image?url=/x/../api/mcp&w=64&q=75",
            "/_next/image?url=/api/mcp+&w=64&q=75",
            "/_next/image?url=/ap%0Ai/mcp&w=64&q=75",
            "/_next/image?url=/api/%2509mcp&w=64&q=75",
            "/agents/mcp/",
            "/agents/mcp/x",
            "/Agents/%6dcp",
        ] {
            assert_eq!(of(target), Verdict::Hidden, "{target}");
        }
    }

    #[test]
    fn what_two_readers_could_read_differently_is_unclear() {
        for target in [
            "",
            "*",
            "api/mcp",
            "http://gate.example/msp",
            "http:/api/mcp",
            "?x",
            "/a#/../api/mcp",
            "/a\\..\\api",
            "/a b",
            "/a\tb",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%u0061",
            "/a%00",
            "/a%0d%0a",
            "/a%2500",
            "/a%c0%afmcp",
            "/a%ff",
            "/\u{fc}",
            "/x/../api/mcp",
            "/x/%2e%2e/api/mcp",
            "/x/%252e%252e/api/mcp",
            "/x/..%2fapi/mcp",
            "/x/..;/api/mcp",
            "/api/./mcp",
            "/api/mcp/../tickets",
            "/..",
            "/.../x",
            "/%252525252541",
        ] {
            assert!(matches!(of(target), Verdict::Unclear(_)), "{target}");
        }
        assert!(matches!(judge(b"/a\xff", &[]), Verdict::Unclear(_)));
    }
}

//! What a PSA can do to an answer: one row each.

use std::io::Write as _;
use std::time::Duration;

use crate::support::raw::{Act, JSON, answer};

/// How a call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// With data.
    Well,
    /// With an error result that has the PSA's status.
    Refused,
    /// With an error in words, since the answer was too large to be read.
    TooLarge,
    /// Without a whole answer.
    Broken,
    /// Without a whole answer in time.
    Late,
}

impl Ends {
    /// As the record has it.
    pub fn outcome(self, method: &str) -> &'static str {
        match (self, method) {
            (Self::Well, _) => "ok",
            (Self::Refused | Self::TooLarge, _) => "tool_error",
            (Self::Broken | Self::Late, "POST") => "unknown",
            (Self::Broken, _) => "unavailable",
            (Self::Late, _) => "timeout",
        }
    }
}

/// One behaviour.
pub struct Row {
    pub name: &'static str,
    pub act: Act,
    pub ends: Ends,
    /// Words that the result has.
    pub says: &'static [&'static str],
}

fn row(name: &'static str, act: Act, ends: Ends, says: &'static [&'static str]) -> Row {
    Row { name, act, ends, says }
}

fn said(
    name: &'static str,
    status: &str,
    headers: &str,
    body: impl AsRef<[u8]>,
    ends: Ends,
    says: &'static [&'static str],
) -> Row {
    row(name, Act::Say(answer(status, headers, body)), ends, says)
}

fn raw(name: &'static str, bytes: impl Into<Vec<u8>>, ends: Ends, says: &'static [&'static str]) -> Row {
    row(name, Act::Say(bytes.into()), ends, says)
}

const HTML: &str = "content-type: text/html; charset=utf-8\r\n";
const TEXT: &str = "content-type: text/plain\r\n";
const PAGE: &str = "<!DOCTYPE html><html><p>s3cret stack trace</p></html>";
const NO_HTTP: &[&str] = &["no valid HTTP answer", "psa.url"];
const BROKE: &[&str] = &["broke before its answer was complete"];
const CODED: &[&str] = &["compressed", "although plain was asked for", "look before you call again"];
const UNREADABLE: &[&str] = &["cannot be read", "look before you call again"];

/// Answers that end.
pub fn answers() -> Vec<Row> {
    let mut rows = bodies();
    rows.extend(errors());
    rows.extend(redirects());
    rows.extend(broken());
    rows.extend(framing());
    rows
}

fn bodies() -> Vec<Row> {
    use Ends::{Refused, TooLarge, Well};
    let deep = "[".repeat(200_000) + &"]".repeat(200_000);
    let deep = deep.get(100_000..300_000).unwrap_or_default();
    let gzip = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*J-.\xcd)Q\xb2R\x00s3cret";
    let typed = |kind: &str| format!("content-type: {kind}\r\n");
    vec![
        said("204", "204 No Content", "", "", Well, &["\"status\":204", "\"data\":null"]),
        said("empty-200", "200 OK", JSON, "", Well, &["\"data\":null"]),
        said("html-200", "200 OK", HTML, PAGE, Refused, &["HTML page", "psa.url", "\"status\":200"]),
        said("html-as-json", "200 OK", JSON, PAGE, Refused, &["HTML page", "psa.url"]),
        said("html-without-type", "200 OK", "", PAGE, Refused, &["HTML page", "psa.url"]),
        said("json-as-text", "200 OK", TEXT, "{\"a\":1}", Well, &["\"data\":{\"a\":1}"]),
        said("text-as-json", "200 OK", JSON, "All is well.", Refused, &["is not JSON", "All is well."]),
        said("json-without-type", "200 OK", "", "{\"a\":1}", Well, &["\"data\":{\"a\":1}"]),
        said("text-without-type", "200 OK", "", "All is well.", Well, &["\"data\":\"All is well.\""]),
        said(
            "bytes-without-type",
            "200 OK",
            "",
            b"\xff\x00\x01",
            Well,
            &["no content type", "3 bytes", "\"/wAB\""],
        ),
        said("nonsense-type", "200 OK", &typed("application;;=x"), "x", Well, &["binary body"]),
        said("gzip", "200 OK", &format!("{JSON}content-encoding: gzip\r\n"), gzip, Refused, CODED),
        said("br", "200 OK", &format!("{JSON}content-encoding: br\r\n"), "\u{1}s3cret", Refused, CODED),
        said(
            "deflate-text",
            "200 OK",
            &format!("{TEXT}content-encoding: deflate\r\n"),
            "s3cret",
            Refused,
            CODED,
        ),
        said(
            "gzip-500",
            "500 Oops",
            &format!("{TEXT}content-encoding: x-gzip\r\n"),
            gzip,
            Refused,
            &["compressed", "x-gzip"],
        ),
        said("gzip-undeclared", "200 OK", JSON, gzip, Refused, UNREADABLE),
        said(
            "latin-1",
            "200 OK",
            &typed("text/plain; charset=\"ISO-8859-1\""),
            b"M\xfcller",
            Well,
            &["Müller"],
        ),
        said("latin-1-undeclared", "200 OK", TEXT, b"M\xfcller", Refused, &["not UTF-8", "look before"]),
        said(
            "utf-16",
            "200 OK",
            &typed("text/plain; charset=utf-16"),
            b"\xff\xfea\0",
            Refused,
            &["charset utf-16"],
        ),
        said("invalid-utf-8-json", "200 OK", JSON, b"{\"a\":\"\xc3\x28\"}", Refused, UNREADABLE),
        said("byte-order-mark", "200 OK", JSON, "\u{feff}{\"a\":1}", Well, &["\"data\":{\"a\":1}"]),
        said("nul-in-json", "200 OK", JSON, "{\"a\":\"\0\"}", Refused, UNREADABLE),
        said("escaped-nul", "200 OK", JSON, "{\"a\":\"\\u0000\"}", Well, &["\"a\":\"\\u0000\""]),
        said("half-json", "200 OK", JSON, "{\"a\":[1,2", Refused, UNREADABLE),
        said("two-documents", "200 OK", JSON, "{\"a\":1}{\"b\":2}", Refused, UNREADABLE),
        said("lone-surrogates", "200 OK", JSON, "{\"a\":\"\\ud800x\"}", Well, &["\"a\":\"\\ufffdx\""]),
        said("deep-json", "200 OK", JSON, deep, Refused, &["nested deeper"]),
        said("deep-half-json", "200 OK", JSON, "[".repeat(150_000), Refused, UNREADABLE),
        said("deep-json-without-type", "200 OK", "", deep, Refused, &["nested deeper"]),
        said("deep-json-500", "500 Oops", JSON, deep, Refused, &["nested deeper", "look before"]),
        said("huge-numbers", "200 OK", JSON, "[1e999,-1e999]", Well, &["[\"1e999\",\"-1e999\"]"]),
        said("many-digits", "200 OK", JSON, "9".repeat(5_000), Well, &["\"data\":\"999"]),
        said("duplicate-keys", "200 OK", JSON, "{\"a\":1,\"a\":2}", Well, &[]),
        said(
            "image",
            "200 OK",
            &typed("image/png"),
            b"\x89PNG",
            Well,
            &["image/png", "4 bytes", "\"iVBORw==\""],
        ),
        said(
            "large-pdf",
            "200 OK",
            &typed("application/pdf"),
            vec![b'%'; 70_000],
            Well,
            &["application/pdf", "70000 bytes, not shown"],
        ),
        said(
            "octets-500",
            "500 Oops",
            &typed("application/octet-stream"),
            b"s3cret",
            Refused,
            &["6 bytes, application/octet-stream, not shown"],
        ),
        said("over-the-cap", "200 OK", JSON, vec![b' '; 300_000], TooLarge, &["204800 bytes", "200"]),
        row(
            "over-the-cap-chunked",
            Act::Repeat(
                format!("HTTP/1.1 200 OK\r\n{JSON}transfer-encoding: chunked\r\n\r\n").into(),
                format!("1000\r\n{}\r\n", "x".repeat(4096)).into(),
                Duration::ZERO,
            ),
            TooLarge,
            &["204800 bytes", "200"],
        ),
        said(
            "headers-of-its-edge",
            "200 OK",
            &format!(
                "{JSON}set-cookie: authjs.csrf-token=s3cret\r\naccess-control-allow-origin: *\r\n\
                 access-control-allow-credentials: true\r\nx-pathname: /s3cret\r\nvary: rsc\r\n"
            ),
            "{\"a\":1}",
            Well,
            &["\"data\":{\"a\":1}"],
        ),
    ]
}

fn errors() -> Vec<Row> {
    use Ends::Refused;
    let alga = |code: &str, message: &str| {
        format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}")
    };
    let wait = |value: &str| format!("{JSON}retry-after: {value}\r\n");
    vec![
        said("html-500", "500 Oops", HTML, PAGE, Refused, &["HTML page", "\"status\":500", "look before"]),
        said("html-404", "404 Not Found", HTML, PAGE, Refused, &["HTML page", "no such endpoint"]),
        said("html-502-as-text", "502 Bad Gateway", TEXT, PAGE, Refused, &["HTML page"]),
        said("405", "405 Method Not Allowed", "", "", Refused, &["does not offer this method", "no body"]),
        said(
            "401",
            "401 Unauthorized",
            JSON,
            alga("UNAUTHORIZED", "Invalid API key"),
            Refused,
            &["Invalid API key", "administrator"],
        ),
        said(
            "401-of-its-edge",
            "401 Unauthorized",
            JSON,
            "{\"error\":\"Unauthorized: API key missing\"}",
            Refused,
            &["API key missing"],
        ),
        said(
            "403",
            "403 Forbidden",
            JSON,
            alga("FORBIDDEN", "Permission denied: Cannot read ticket"),
            Refused,
            &["Cannot read ticket. Ask"],
        ),
        said(
            "404",
            "404 Not Found",
            JSON,
            alga("NOT_FOUND", "Ticket not found"),
            Refused,
            &["Ticket not found", "Look the id up"],
        ),
        said(
            "409",
            "409 Conflict",
            JSON,
            alga("CONFLICT", "Resource already exists"),
            Refused,
            &["already exists"],
        ),
        said(
            "400",
            "400 Bad Request",
            JSON,
            "{\"error\":{\"code\":\"VALIDATION_ERROR\",\"message\":\"Validation failed\",\"details\":[{\"path\":[\"title\"],\"message\":\"Required\"}]}}",
            Refused,
            &["title (Required)"],
        ),
        said(
            "422",
            "422 Unprocessable",
            JSON,
            "{\"success\":false,\"error\":{\"message\":\"bad serial\",\"code\":\"ERROR\"},\"meta\":{}}",
            Refused,
            &["bad serial", "correct what the error names"],
        ),
        said(
            "429",
            "429 Too Many Requests",
            &wait("7"),
            alga("RATE_LIMITED", "Too many requests"),
            Refused,
            &["\"retryAfter\":7", "Wait 7 seconds"],
        ),
        said(
            "429-date",
            "429 Too Many Requests",
            &wait("Wed, 21 Oct 2026 07:28:00 GMT"),
            "",
            Refused,
            &["Wait until Wed, 21 Oct 2026"],
        ),
        said("429-nonsense", "429 Too Many Requests", &wait("-1\u{9}x"), "{}", Refused, &["Too many calls"]),
        said("503", "503 Unavailable", &wait("5"), "", Refused, &["Wait 5 seconds", "look before"]),
        said("502", "502 Bad Gateway", JSON, alga("QBO_API_ERROR", "upstream"), Refused, &["QBO_API_ERROR"]),
        said("500-half-json", "500 Oops", JSON, "{\"error\":", Refused, &["\"status\":500", "look before"]),
        said("500-long-text", "500 Oops", TEXT, "x".repeat(100_000), Refused, &["[cut]"]),
        said("418", "418 I'm a teapot", TEXT, "short and stout", Refused, &["short and stout"]),
        said("999", "999 Strange", JSON, "{}", Refused, &["\"status\":999", "no answer that HTTP knows"]),
        raw(
            "101",
            "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nabc",
            Refused,
            &["\"status\":101"],
        ),
    ]
}

fn redirects() -> Vec<Row> {
    use Ends::Refused;
    let to = |location: &str| format!("location: {location}\r\n");
    vec![
        said(
            "301",
            "301 Moved",
            &to("https://psa.example.com/api?token=s3cret#s3cret"),
            PAGE,
            Refused,
            &["redirected to https://psa.example.com, not followed", "psa.url"],
        ),
        said(
            "302",
            "302 Found",
            &to("/auth/s3cret?callback=s3cret"),
            "",
            Refused,
            &["another path of the same server", "sign-in"],
        ),
        said(
            "303",
            "303 See Other",
            &to("//user:s3cret@login.example"),
            "",
            Refused,
            &["redirected to http://login.example, not"],
        ),
        said(
            "307",
            "307 Temporary Redirect",
            &to("http://169.254.169.254/s3cret"),
            "",
            Refused,
            &["http://169.254.169.254", "not followed"],
        ),
        said(
            "308",
            "308 Permanent Redirect",
            &to("javascript:s3cret"),
            "",
            Refused,
            &["to an address that is none"],
        ),
        said(
            "302-nowhere",
            "302 Found",
            "",
            "",
            Refused,
            &["redirected, not followed", "does not say where"],
        ),
        said("304", "304 Not Modified", "", "", Refused, &["\"status\":304"]),
    ]
}

fn broken() -> Vec<Row> {
    use Ends::Broken;
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{JSON}{rest}");
    let half = head("content-length: 100\r\n\r\n{\"a\":");
    let mut many = head("");
    for index in 0..1_000 {
        many += &format!("x-{index}: s3cret\r\n");
    }
    let mut garbage = Vec::new();
    for byte in 0..=255 {
        garbage.write_all(&[byte; 16]).unwrap_or_default();
    }
    vec![
        raw("closes-at-once", "", Broken, BROKE),
        raw("closes-in-the-head", "HTTP/1.1 200 OK\r\ncontent-ty", Broken, BROKE),
        raw("closes-in-the-body", half.clone(), Broken, BROKE),
        raw("closes-in-a-chunk", head("transfer-encoding: chunked\r\n\r\n10\r\n{\"a\":"), Broken, BROKE),
        raw(
            "closes-before-the-last-chunk",
            head("transfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n"),
            Broken,
            BROKE,
        ),
        row("resets-at-once", Act::Reset(Vec::new()), Broken, BROKE),
        row("resets-in-the-head", Act::Reset(b"HTTP/1.1 200 OK\r\ncont".to_vec()), Broken, BROKE),
        row("resets-in-the-body", Act::Reset(half.into()), Broken, BROKE),
        raw("garbage", garbage, Broken, NO_HTTP),
        raw("another-protocol", "220 mail.example ESMTP\r\n", Broken, NO_HTTP),
        raw(
            "http-2",
            b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80\0\x04\0\x01\0\0\0\x05\0\xff\xff\xff",
            Broken,
            NO_HTTP,
        ),
        raw("tls-alert", b"\x15\x03\x03\0\x02\x02\x46", Broken, NO_HTTP),
        raw("no-head-at-all", "{\"a\":1}\r\n\r\n", Broken, NO_HTTP),
        raw("status-000", "HTTP/1.1 000 Nothing\r\n\r\n", Broken, NO_HTTP),
        raw("status-of-letters", "HTTP/1.1 abc OK\r\n\r\n", Broken, NO_HTTP),
        raw("http-9", "HTTP/9.9 200 OK\r\n\r\n", Broken, NO_HTTP),
        raw(
            "large-head",
            head(&format!("x-large: {}\r\n\r\n{{}}", "s3cret".repeat(100_000))),
            Broken,
            NO_HTTP,
        ),
        raw("many-headers", many + "\r\n{}", Broken, NO_HTTP),
        raw("folded-header", head("x-a: b\r\n c\r\ncontent-length: 2\r\n\r\n{}"), Broken, NO_HTTP),
        raw("nul-in-a-header", head("x-a: b\0c\r\ncontent-length: 2\r\n\r\n{}"), Broken, NO_HTTP),
        raw("two-lengths", head("content-length: 2\r\ncontent-length: 5\r\n\r\n{}   "), Broken, NO_HTTP),
        raw("negative-length", head("content-length: -2\r\n\r\n{}"), Broken, NO_HTTP),
        raw("garbage-for-a-chunk", head("transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n"), Broken, NO_HTTP),
        raw(
            "endless-chunk-size",
            head(&format!("transfer-encoding: chunked\r\n\r\n{}", "f".repeat(100))),
            Broken,
            NO_HTTP,
        ),
    ]
}

fn framing() -> Vec<Row> {
    use Ends::{Refused, Well};
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{JSON}{rest}");
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </s3cret>\r\n\r\n";
    let good: &[&str] = &["\"data\":{\"a\":1}"];
    let plain = String::from_utf8(answer("200 OK", JSON, "{\"a\":1}")).unwrap_or_default();
    vec![
        raw("many-interim-answers", interim.repeat(200) + &plain, Well, good),
        raw(
            "the-same-length-twice",
            head("content-length: 7\r\ncontent-length: 7\r\nconnection: close\r\n\r\n{\"a\":1}"),
            Well,
            good,
        ),
        raw("length-too-small", head("content-length: 4\r\n\r\n{\"a\":1}"), Refused, UNREADABLE),
        raw("no-length", head("connection: close\r\n\r\n{\"a\":1}"), Well, good),
        raw("http-1.0", "HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":1}", Well, good),
        raw(
            "trailers",
            head(
                "connection: close\r\ntransfer-encoding: chunked\r\ntrailer: x-s\r\n\r\n7\r\n{\"a\":1}\r\n0\r\nx-s: s3cret\r\n\r\n",
            ),
            Well,
            good,
        ),
        raw(
            "chunked-with-a-length",
            head(
                "connection: close\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n",
            ),
            Well,
            good,
        ),
        raw(
            "204-with-a-body",
            "HTTP/1.1 204 No Content\r\ncontent-length: 6\r\n\r\ns3cret",
            Well,
            &["\"data\":null"],
        ),
    ]
}

/// Answers that do not end.
pub fn silences() -> Vec<Row> {
    use Ends::Late;
    const LATE: &[&str] = &["did not answer in time"];
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\n{JSON}{rest}").into_bytes();
    let pause = Duration::from_millis(100);
    vec![
        row("silence", Act::Keep(Vec::new()), Late, LATE),
        row("silence-in-the-head", Act::Keep(b"HTTP/1.1 200 OK\r\ncont".to_vec()), Late, LATE),
        row("silence-in-the-body", Act::Keep(head("content-length: 9\r\n\r\n{\"a\":")), Late, LATE),
        row("silence-in-a-chunk", Act::Keep(head("transfer-encoding: chunked\r\n\r\n10\r\n{")), Late, LATE),
        row("silence-after-100", Act::Keep(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()), Late, LATE),
        row("trickle-of-the-head", Act::Repeat(head("x: "), b"y".to_vec(), pause), Late, LATE),
        row(
            "trickle-of-the-body",
            Act::Repeat(head("content-length: 9999\r\n\r\n{"), b" ".to_vec(), pause),
            Late,
            LATE,
        ),
        row("trickle-without-length", Act::Repeat(head("\r\n{"), b" ".to_vec(), pause), Late, LATE),
        row(
            "endless-interim-answers",
            Act::Repeat(Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), Duration::ZERO),
            Late,
            LATE,
        ),
        row(
            "endless-early-hints",
            Act::Repeat(
                Vec::new(),
                b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".repeat(100),
                Duration::from_millis(1),
            ),
            Late,
            LATE,
        ),
    ]
}

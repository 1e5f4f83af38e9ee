//! What is believed of which headers: a row a case.

use super::*;

/// The proxies of these tests: 10.0.0.0/8, 2001:db8:f::/48 and unix sockets.
fn trusted() -> Vec<TrustedProxy> {
    ["10.0.0.0/8", "2001:db8:f::/48", "unix"].map(|text| text.parse().unwrap()).into()
}

/// What is seen of a plain-text connection from `peer` ("unix" for a socket) to `inner.example:8443`.
fn seen(peer: &str, headers: &[(&str, &[u8])]) -> Place {
    let peer = Peer { address: peer.parse().ok(), encrypted: false };
    place(&trusted(), peer, Some("Inner.Example:8443"), |name| {
        headers.iter().filter(|(have, _)| *have == name).map(|(_, value)| *value).collect()
    })
}

/// `client scheme host prefix`, with `-` for what is none or empty.
fn line(place: &Place) -> String {
    let client = place.client.map_or("-".to_owned(), |address| address.to_string());
    let prefix = if place.prefix.is_empty() { "-" } else { &place.prefix };
    format!("{client} {} {} {prefix}", place.scheme, place.host.as_deref().unwrap_or("-"))
}

const F: &str = "forwarded";
const FOR: &str = "x-forwarded-for";
const PROTO: &str = "x-forwarded-proto";
const HOST: &str = "x-forwarded-host";
const PORT: &str = "x-forwarded-port";
const PREFIX: &str = "x-forwarded-prefix";

/// From the listed proxy 10.0.0.1: headers and what is seen.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a str);

fn check(rows: &[Row<'_>]) {
    for (headers, expected) in rows {
        let bytes: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(line(&seen("10.0.0.1", &bytes)), *expected, "{headers:?}");
    }
}

#[test]
fn x_forwarded_headers_of_a_listed_proxy_are_believed_from_the_right() {
    check(&[
        (&[], "10.0.0.1 http inner.example:8443 -"),
        (&[(FOR, "192.0.2.1")], "192.0.2.1 http inner.example:8443 -"),
        (&[(FOR, "6.6.6.6, 192.0.2.1")], "192.0.2.1 http inner.example:8443 -"),
        (&[(FOR, "6.6.6.6, 192.0.2.1, 10.0.0.2")], "192.0.2.1 http inner.example:8443 -"),
        (&[(FOR, "6.6.6.6"), (FOR, "192.0.2.1,10.0.0.2")], "192.0.2.1 http inner.example:8443 -"),
        (&[(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3 http inner.example:8443 -"),
        (&[(FOR, "192.0.2.1:4711")], "192.0.2.1 http inner.example:8443 -"),
        (&[(FOR, "[2001:db8::1]:4711")], "2001:db8::1 http inner.example:8443 -"),
        (&[(FOR, "2001:db8::1, 2001:db8:f::2")], "2001:db8::1 http inner.example:8443 -"),
        (&[(FOR, "::ffff:192.0.2.1, ::ffff:10.0.0.2")], "192.0.2.1 http inner.example:8443 -"),
        (&[(PROTO, "https"), (HOST, "Gate.Example")], "10.0.0.1 https gate.example -"),
        (&[(PROTO, "HTTPS"), (HOST, "gate.example:443")], "10.0.0.1 https gate.example -"),
        (&[(PROTO, "http"), (HOST, "gate.example:80")], "10.0.0.1 http gate.example -"),
        (&[(PROTO, "https"), (HOST, "gate.example:80")], "10.0.0.1 https gate.example:80 -"),
        (&[(PROTO, "https"), (HOST, "[2001:DB8:0::1]:8443")], "10.0.0.1 https [2001:db8::1]:8443 -"),
        (&[(PROTO, "https"), (HOST, "[::1]"), (PORT, "9443")], "10.0.0.1 https [::1]:9443 -"),
        // The element that the outermost listed proxy wrote, whatever the client put before it.
        (&[(FOR, "192.0.2.1, 10.0.0.2"), (PROTO, "https, http")], "192.0.2.1 https inner.example:8443 -"),
        (
            &[(FOR, "6.6.6.6, 192.0.2.1"), (HOST, "evil.example, gate.example")],
            "192.0.2.1 http gate.example -",
        ),
        (&[(FOR, "192.0.2.1, 10.0.0.2"), (PROTO, "https")], "192.0.2.1 https inner.example:8443 -"),
        (&[(PROTO, "http, https")], "10.0.0.1 https inner.example:8443 -"),
    ]);
}

#[test]
fn without_a_scheme_port_443_says_https_and_a_port_completes_a_host_without_one() {
    check(&[
        (&[(PORT, "443")], "10.0.0.1 https inner.example:8443 -"),
        (&[(PORT, "8443")], "10.0.0.1 http inner.example:8443 -"),
        (&[(PORT, "443"), (HOST, "gate.example")], "10.0.0.1 https gate.example -"),
        (&[(PORT, "80"), (HOST, "gate.example")], "10.0.0.1 http gate.example -"),
        (&[(PORT, "8443"), (PROTO, "https"), (HOST, "gate.example")], "10.0.0.1 https gate.example:8443 -"),
        (&[(PORT, "8443"), (HOST, "gate.example:9")], "10.0.0.1 http gate.example:9 -"),
        // 80 contradicts https, 443 http.
        (&[(PORT, "80"), (PROTO, "https"), (HOST, "gate.example")], "10.0.0.1 https gate.example -"),
        (&[(PORT, "443"), (PROTO, "http"), (HOST, "gate.example")], "10.0.0.1 http gate.example -"),
    ]);
}

#[test]
fn forwarded_is_read_as_rfc_7239_writes_it() {
    check(&[
        (&[(F, "for=192.0.2.1;proto=https;host=gate.example")], "192.0.2.1 https gate.example -"),
        (&[(F, "For=\"[2001:db8::1]:4711\"; Proto=HTTPS")], "2001:db8::1 https inner.example:8443 -"),
        (&[(F, "for=[2001:db8::1]:47")], "2001:db8::1 http inner.example:8443 -"),
        (&[(F, "for=192.0.2.43:47011;by=10.0.0.1")], "192.0.2.43 http inner.example:8443 -"),
        (&[(F, "host=\"gate.example:8443\";proto=https")], "10.0.0.1 https gate.example:8443 -"),
        (&[(F, "host=\"g\\ate.example\"")], "10.0.0.1 http gate.example -"),
        (
            &[(F, "for=6.6.6.6;host=evil.example, for=192.0.2.1;host=gate.example")],
            "192.0.2.1 http gate.example -",
        ),
        (
            &[(F, "for=6.6.6.6, for=192.0.2.1"), (F, "for=10.0.0.2;proto=https")],
            "192.0.2.1 https inner.example:8443 -",
        ),
        // The outermost listed proxy's word before that of one further in.
        (
            &[(F, "for=192.0.2.1;proto=https, for=10.0.0.2;proto=http")],
            "192.0.2.1 https inner.example:8443 -",
        ),
        (&[(F, "for=_hidden, for=10.0.0.2")], "10.0.0.2 http inner.example:8443 -"),
        (&[(F, "for=unknown;proto=https")], "10.0.0.1 https inner.example:8443 -"),
        (&[(F, "proto=https"), (FOR, "192.0.2.1")], "192.0.2.1 https inner.example:8443 -"),
        (&[(F, ";;for=192.0.2.1;, ,")], "192.0.2.1 http inner.example:8443 -"),
        (&[(F, "for=192.0.2.1;ext=\"a, for=6.6.6.6\"")], "192.0.2.1 http inner.example:8443 -"),
    ]);
}

#[test]
fn where_both_families_speak_and_disagree_neither_is_believed() {
    check(&[
        (&[(F, "for=192.0.2.1"), (FOR, "192.0.2.1")], "192.0.2.1 http inner.example:8443 -"),
        (&[(F, "for=6.6.6.6"), (FOR, "192.0.2.1")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "for=unknown"), (FOR, "192.0.2.1")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "for=\"6.6.6.6"), (FOR, "192.0.2.1")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "proto=https"), (PROTO, "http"), (PORT, "443")], "10.0.0.1 http inner.example:8443 -"),
        (
            &[(F, "proto=https;host=a.example"), (PROTO, "https"), (HOST, "A.example:443")],
            "10.0.0.1 https a.example -",
        ),
        (&[(F, "host=a.example"), (HOST, "b.example")], "10.0.0.1 http - -"),
    ]);
}

#[test]
fn nonsense_is_passed_over_or_leaves_nothing() {
    check(&[
        (&[(FOR, "192.0.2.1, nonsense")], "10.0.0.1 http inner.example:8443 -"),
        (&[(FOR, "192.0.2.1, 10.0.0.2.3, 10.0.0.2")], "10.0.0.2 http inner.example:8443 -"),
        (&[(FOR, " , ,")], "10.0.0.1 http inner.example:8443 -"),
        (&[(FOR, "fe80::1%eth0")], "10.0.0.1 http inner.example:8443 -"),
        (&[(PROTO, "gopher")], "10.0.0.1 http inner.example:8443 -"),
        (&[(PORT, "443x")], "10.0.0.1 http inner.example:8443 -"),
        (&[(PORT, "+443")], "10.0.0.1 http inner.example:8443 -"),
        (&[(PORT, "99999")], "10.0.0.1 http inner.example:8443 -"),
        (&[(HOST, "a@b.example")], "10.0.0.1 http - -"),
        (&[(HOST, "b.example/x")], "10.0.0.1 http - -"),
        (&[(HOST, "[::1")], "10.0.0.1 http - -"),
        (&[(HOST, "[::1]x")], "10.0.0.1 http - -"),
        (&[(HOST, "b.example:")], "10.0.0.1 http - -"),
        (&[(HOST, "::1")], "10.0.0.1 http - -"),
        (&[(F, "for=192.0.2.1;for=6.6.6.6")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "for=192.0.2.1 proto=https")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "for=\"192.0.2.1\"x, for=10.0.0.2")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "for=\"\\")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "=")], "10.0.0.1 http inner.example:8443 -"),
        // A client left a quote open, and the proxy appended to it.
        (&[(F, "for=\"6.6.6.6, for=192.0.2.1;proto=https")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "for=\"x, for=\"[2001:db8::1]\"")], "10.0.0.1 http inner.example:8443 -"),
        (&[(F, "\u{e9}=\u{fc}, for=192.0.2.1")], "10.0.0.1 http inner.example:8443 -"),
    ]);
    for name in [F, FOR, PROTO, HOST, PORT, PREFIX] {
        let place = seen("10.0.0.1", &[(name, b"\xff\xfe, \x80")]);
        assert_eq!((place.client, place.scheme), ("10.0.0.1".parse().ok(), "http"), "{name}");
        assert_eq!(place.host.is_none(), name == HOST);
    }
}

#[test]
fn a_prefix_is_a_plain_path_or_nothing() {
    for (prefix, expected) in [
        ("/psa", "/psa"),
        ("/psa/", "/psa"),
        ("/a/b", "/a/b"),
        ("/evil, /psa", "/psa"),
        ("/", ""),
        ("psa", ""),
        ("//evil.example", ""),
        ("/a//b", ""),
        ("/a/../b", ""),
        ("/a%2fb", ""),
        ("/a?b", ""),
        ("/a\"b", ""),
    ] {
        assert_eq!(seen("10.0.0.1", &[(PREFIX, prefix.as_bytes())]).prefix, expected, "{prefix}");
    }
}

#[test]
fn strangers_are_not_believed_in_anything() {
    let all: &[(&str, &[u8])] = &[
        (F, b"for=6.6.6.6;proto=https;host=evil.example"),
        (FOR, b"6.6.6.6"),
        (PROTO, b"https"),
        (HOST, b"evil.example"),
        (PORT, b"443"),
        (PREFIX, b"/evil"),
    ];
    let place = seen("192.0.2.9", all);
    assert_eq!(line(&place), "192.0.2.9 http inner.example:8443 -");
    assert!(!place.by_proxy && place.proxies.is_empty());
    assert_eq!(line(&seen("::ffff:192.0.2.9", all)), "192.0.2.9 http inner.example:8443 -");
    let nobody = super::place(&[], Peer { address: None, encrypted: true }, Some("a.example:443"), |_| {
        vec![b"6.6.6.6".as_slice()]
    });
    assert_eq!(line(&nobody), "- https a.example -");
}

#[test]
fn a_listed_unix_socket_is_believed_and_adds_no_address() {
    let place = seen("unix", &[(FOR, b"192.0.2.1, 10.0.0.2"), (PROTO, b"https")]);
    assert_eq!(line(&place), "192.0.2.1 https inner.example:8443 -");
    assert_eq!(place.proxies, ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(line(&seen("unix", &[])), "- http inner.example:8443 -");
}

#[test]
fn the_chain_is_the_client_then_every_proxy_up_to_the_peer() {
    let chain =
        |place: Place| place.chain().map(|address| address.to_string()).collect::<Vec<_>>().join(", ");
    assert_eq!(
        chain(seen("10.0.0.1", &[(FOR, b"6.6.6.6, 192.0.2.1, 10.0.0.3, 10.0.0.2")])),
        "192.0.2.1, 10.0.0.3, 10.0.0.2, 10.0.0.1"
    );
    assert_eq!(chain(seen("192.0.2.1", &[(FOR, b"6.6.6.6")])), "192.0.2.1");
}

#[test]
fn an_inserted_prefix_is_taken_from_a_listed_proxy_only() {
    for (peer, told, inserted, taken) in [
        ("10.0.0.1", "", "/psa", true),
        ("10.0.0.1", "/psa/", "/psa", true),
        ("10.0.0.1", "/other", "/psa", false),
        ("10.0.0.1", "", "/psa/", false),
        ("10.0.0.1", "", "/../psa", false),
        ("192.0.2.1", "", "/psa", false),
    ] {
        let mut place = seen(peer, &[(PREFIX, told.as_bytes())]);
        assert_eq!(place.take_inserted(inserted), taken, "{peer} {told} {inserted}");
        assert_eq!(place.prefix == "/psa", taken);
    }
}

/// `length` pieces that the grammar cares about, drawn by a generator of its own.
fn noise(state: &mut u64, length: u64) -> String {
    const PIECES: [&str; 24] = [
        "\"",
        "\"",
        "\\",
        ",",
        ";",
        "=",
        "[",
        "]",
        ":",
        " ",
        "\t",
        "for=",
        "proto=https",
        "host=",
        "evil.example",
        "6.6.6.6",
        "10.0.0.9",
        "[2001:db8::6]",
        "unknown",
        "_x",
        "for=\"",
        "for=6.6.6.6,",
        "\u{e9}",
        "%00",
    ];
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    };
    let count = next() % length;
    (0..count).map(|_| PIECES[(next() % PIECES.len() as u64) as usize]).collect()
}

#[test]
fn whatever_a_client_puts_in_front_of_what_a_proxy_appends_it_gains_nothing() {
    let mut state = 0x5eed;
    let (client, peer): (Option<IpAddr>, Option<IpAddr>) =
        ("192.0.2.1".parse().ok(), "10.0.0.1".parse().ok());
    for _ in 0..5_000 {
        let made_up = noise(&mut state, 12);
        for appended in [
            "for=192.0.2.1;host=gate.example",
            "for=\"192.0.2.1\";host=\"gate.example\"",
            "host=\"gate.example\";for=\"192.0.2.1:4711\"",
        ] {
            let place = seen("10.0.0.1", &[(F, format!("{made_up}, {appended}").as_bytes())]);
            assert!(place.client == client || place.client == peer, "{made_up}: {place:?}");
            let host = place.host.as_deref();
            assert!(matches!(host, Some("gate.example" | "inner.example:8443")), "{made_up}: {place:?}");
            let lines = [(F, made_up.as_bytes()), (F, appended.as_bytes())];
            assert_eq!(seen("10.0.0.1", &lines).client, client, "{made_up}");
        }
        let listed = format!("{made_up}, 192.0.2.1");
        let place = seen("10.0.0.1", &[(FOR, listed.as_bytes()), (HOST, listed.as_bytes())]);
        assert_eq!(line(&place), "192.0.2.1 http 192.0.2.1 -", "{made_up}");
        let place =
            seen("10.0.0.1", &[FOR, PROTO, HOST, PORT, PREFIX, F].map(|name| (name, made_up.as_bytes())));
        assert!(place.host.is_none_or(|host| authority(&host, place.scheme).as_ref() == Some(&host)));
    }
}

//! The configuration: what is read from where, and what a person is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use figment::providers::{Format as _, Toml};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sidegate::audit::SinkConfig;
use sidegate::config::{Config, IssuerConfig, Problems, environment, known_keys, load, ops_address, report};
use sidegate::gate::admin::AgentSpec;
use sidegate::units::{Size, Span};

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sidegate.toml");

/// What has no default and is always asked for.
const REQUIRED: [(&str, &str); 5] = [
    ("SIDEGATE__STORE__URL", "sqlite:///tmp/sidegate.db"),
    ("SIDEGATE__PSA__URL", "https://psa.example.com"),
    ("SIDEGATE__PSA__TENANT", "6f2c9a52-0f3e-4a59-9d0c-6a1b4a0d7a11"),
    ("SIDEGATE__PSA__DATABASE_URL", "postgres://sidegate@db/psa"),
    ("SIDEGATE__PSA__CATALOG_KEY", "k"),
];

fn required() -> impl Iterator<Item = (String, String)> {
    REQUIRED.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// A directory with the files of one test, `sidegate.toml` among them.
struct World {
    dir: tempfile::TempDir,
    env: Vec<(String, String)>,
}

impl World {
    /// With what is required as variables.
    fn with(toml: &str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap(), env: required().collect() };
        world.file("sidegate.toml", toml);
        world
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(given, _)| given != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Config, Problems> {
        load(Some(&self.dir.path().join("sidegate.toml")), self.env.iter().cloned())
    }

    fn config(&self) -> Config {
        self.load().unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The problems, one a line, with the directory cut off.
    fn problems(&self) -> Vec<String> {
        let problems = self.load().expect_err("this configuration has problems");
        let dir = format!("{}/", self.dir.path().display());
        problems.to_string().lines().map(|line| line.replace(&dir, "")).collect()
    }
}

fn values(config: &Config) -> Value {
    serde_json::to_value(config).unwrap()
}

#[test]
fn nothing_but_what_is_required_gives_the_defaults() {
    let config = load(None, required()).unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:8443"]);
    assert_eq!(config.server.max_body, Size(1 << 20));
    assert_eq!(config.psa.key_ttl, Span::seconds(300));
    assert_eq!(config.psa.url, "https://psa.example.com");
    assert!(config.agents.is_empty());
}

#[test]
fn a_variable_wins_over_the_file_and_the_file_over_the_default() {
    let config = World::with(
        r#"
        [server]
        max_in_flight = 7
        grace = "5s"
        "#,
    )
    .env("SIDEGATE__SERVER__MAX_IN_FLIGHT", "9")
    .config();
    assert_eq!(config.server.max_in_flight, 9);
    assert_eq!(config.server.grace, Span::seconds(5));
    assert_eq!(config.server.call_timeout, Span::seconds(60));
}

#[test]
fn all_problems_are_told_at_once_with_file_and_key() {
    let world = World::with(
        r#"
        listen = "127.0.0.1:1"
        [server]
        listn = ["127.0.0.1:1"]
        max_body = "1 parsec"
        allow_plaintext = "yes"
        mcp_path = "api"
        key_ttl = "5m"
        [idp]
        allow_private_networks = ["10.0.0.0/8", "10.0.0.0/33", "here"]
        [servers]
        a = 1
        [policy]
        default_max_effect = "everything"
        [[issuers]]
        issuer = "https://login.example.com"
        leeway = 60
        [[agents]]
        name = "assistant"
        issuer = "https://login.example.com"
        subject = "a"
        [[agents]]
        name = "other"
        issuer = "https://login.example.com"
        subjekt = "b"
        [log]
        format = "xml"
        "#,
    );
    let expected = [
        "sidegate.toml: listen: unknown key; did you mean server.listen?",
        "sidegate.toml: servers: unknown section; did you mean server?",
        "sidegate.toml: server.key_ttl: unknown key; did you mean psa.key_ttl?",
        "sidegate.toml: server.listn: unknown key; did you mean server.listen?",
        "sidegate.toml: server.allow_plaintext: found string \"yes\", expected a boolean",
        "sidegate.toml: server.max_body: found string \"1 parsec\", expected a number of bytes, such as 65536, \"64KiB\" or \"1MiB\"",
        "sidegate.toml: idp.allow_private_networks[1]: invalid IP address syntax",
        "sidegate.toml: idp.allow_private_networks[2]: invalid IP address syntax",
        "sidegate.toml: policy.default_max_effect: `everything` is not known; write one of read, write, destroy",
        "sidegate.toml: log.format: `xml` is not known; write one of text, json",
        "sidegate.toml: issuers[0].leeway: found signed int `60`, expected a string",
        "sidegate.toml: agents[1].subjekt: unknown key; did you mean agents[1].subject?",
        "sidegate.toml: server.mcp_path: must begin with /",
    ];
    assert_eq!(world.problems(), expected);
}

#[test]
fn the_report_counts_the_problems_and_lists_them() {
    let world = World::with("[server]\nlistn = []\nbody = 1\n");
    let text = report(&world.load().unwrap_err());
    assert!(text.starts_with("2 problems in the configuration:\n  "), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.contains("sidegate.toml: server.listn: unknown key; did you mean server.listen?"), "{text}");
}

#[test]
fn an_unknown_variable_is_told_by_its_own_name() {
    let world = World::with("")
        .env("SIDEGATE__SERVER__LISTN", "127.0.0.1:1")
        .env("SIDEGATE__SERVR__LISTEN", "127.0.0.1:1")
        .env("SIDEGATE__COLOUR", "blue")
        .env("SIDEGATE_CONFIG", "is not one of ours")
        .env("PATH", "/bin");
    assert_eq!(
        world.problems(),
        [
            "SIDEGATE__COLOUR: colour: unknown key",
            "SIDEGATE__SERVR__LISTEN: servr: unknown section; did you mean server?",
            "SIDEGATE__SERVER__LISTN: server.listn: unknown key; did you mean SIDEGATE__SERVER__LISTEN?",
        ]
    );
}

#[test]
fn a_variable_takes_the_type_of_its_key() {
    let config = World::with("")
        .env("SIDEGATE__SERVER__ALLOW_PLAINTEXT", "true")
        .env("SIDEGATE__SERVER__MAX_IN_FLIGHT", "12")
        .env("SIDEGATE__SERVER__MAX_BODY", "65536")
        .env("SIDEGATE__SERVER__CALL_TIMEOUT", "250ms")
        .env("SIDEGATE__SERVER__LISTEN", "127.0.0.1:1, [::1]:2")
        .env("SIDEGATE__SERVER__ALLOWED_HOSTS", r#"["a.example", "b.example"]"#)
        .env("SIDEGATE__SERVER__ALLOWED_ORIGINS", "")
        .env("SIDEGATE__IDP__ALLOW_PRIVATE_NETWORKS", "127.0.0.0/8,::1/128")
        .env("SIDEGATE__TENANT__ID", "0042")
        .env("SIDEGATE__TENANT__NAME", "true")
        .env("SIDEGATE__POLICY__DEFAULT_MAX_EFFECT", "write")
        .env("SIDEGATE__ISSUERS", r#"[{ issuer = "https://login.example.com", max_age = "1h" }]"#)
        .config();
    assert!(config.server.allow_plaintext);
    assert_eq!(config.server.max_in_flight, 12);
    assert_eq!(config.server.max_body, Size(65_536));
    assert_eq!(config.server.call_timeout.0, Duration::from_millis(250));
    assert_eq!(config.server.listen, ["127.0.0.1:1", "[::1]:2"]);
    assert_eq!(config.server.allowed_hosts, ["a.example", "b.example"]);
    assert!(config.server.allowed_origins.is_empty());
    assert_eq!(config.idp.allow_private_networks.len(), 2);
    assert_eq!((config.tenant.id.as_str(), config.tenant.name.as_str()), ("0042", "true"));
    assert_eq!(values(&config)["policy"]["default_max_effect"], "write");
    assert_eq!(config.issuers[0].max_age, Some(Span::seconds(3600)));
}

#[test]
fn a_variable_that_fits_no_reading_is_told_what_was_expected() {
    let world = World::with("")
        .env("SIDEGATE__SERVER__ALLOW_PLAINTEXT", "yes")
        .env("SIDEGATE__SERVER__GRACE", "5")
        .env("SIDEGATE__SERVER__MAX_IN_FLIGHT", "-1")
        .env("SIDEGATE__AGENTS__NAME", "assistant");
    let problems = world.problems();
    assert_eq!(problems.len(), 4, "{problems:?}");
    for (name, said) in [
        ("SIDEGATE__SERVER__ALLOW_PLAINTEXT: server.allow_plaintext: ", "expected a boolean"),
        ("SIDEGATE__SERVER__GRACE: server.grace: ", "such as 250ms"),
        ("SIDEGATE__SERVER__MAX_IN_FLIGHT: server.max_in_flight: ", "-1"),
        ("SIDEGATE__AGENTS__NAME: agents: ", "SIDEGATE__AGENTS=["),
    ] {
        assert!(
            problems.iter().any(|line| line.starts_with(name) && line.contains(said)),
            "{name} {problems:?}"
        );
    }
}

#[test]
fn a_secret_that_looks_like_a_number_stays_text() {
    for secret in ["0042", "1e3", "true", "[1]", "\"quoted\"", "a,b"] {
        let config = World::with("").env("SIDEGATE__PSA__DEMO_SECRET", secret).config();
        assert_eq!(config.psa.demo_secret.expose(), secret);
    }
}

#[test]
fn a_secret_comes_from_the_file_that_its_key_names() {
    let world = World::with("");
    let path = world.file("secret", "0042 \r\n\n");
    for world in [
        World::with(&format!("[psa]\ndemo_secret_file = {:?}", path.display().to_string())),
        World::with("").env("SIDEGATE__PSA__DEMO_SECRET_FILE", &path.display().to_string()),
    ] {
        assert_eq!(world.config().psa.demo_secret.expose(), "0042 ");
    }
}

#[test]
fn a_secret_file_that_cannot_give_a_secret_is_a_problem() {
    let world = World::with("");
    let empty = world.file("empty", "\n").display().to_string();
    let large = world.file("large", &"x".repeat(70_000)).display().to_string();
    let one = world.file("one", "one").display().to_string();
    for (toml, said) in [
        ("demo_secret_file = \"/nowhere/at/all\"".to_owned(), "the file cannot be read: No such file"),
        ("demo_secret_file = \"/\"".to_owned(), "the file cannot be read"),
        ("demo_secret_file = 7".to_owned(), "must be a path in quotes"),
        (format!("demo_secret_file = {empty:?}"), "the file is empty"),
        (format!("demo_secret_file = {large:?}"), "the file is larger than 65536 bytes"),
        (format!("demo_secret_file = {one:?}\ndemo_secret = \"two\""), "demo_secret is given as well"),
    ] {
        let problems = World::with(&format!("[psa]\n{toml}")).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with("sidegate.toml: psa.demo_secret_file: "), "{problems:?}");
        assert!(problems[0].contains(said), "{problems:?}");
    }
}

#[test]
fn a_secret_and_its_file_are_too_much_even_from_two_sources() {
    let world = World::with("[psa]\ndemo_secret = \"hunter2\"").env("SIDEGATE__PSA__DEMO_SECRET_FILE", "/x");
    assert_eq!(
        world.problems(),
        [
            "SIDEGATE__PSA__DEMO_SECRET_FILE: psa.demo_secret_file: demo_secret is given as well; leave out one of them"
        ]
    );
}

#[test]
fn no_problem_and_no_output_shows_a_secret() {
    let secrets = [
        "[psa]\ndemo_secret = 777111777",
        "[psa]\ndemo_secret = [\"777111777\"]",
        "[psa]\ndemo_secret = { a = \"777111777\" }",
        "[psa]\ndemo_secret = x777111777",
        "[psa]\ndemo_secret = \"777111777",
        "[psa]\ndemo_secrte = \"777111777\"",
        "[psa]\ndemo_secret_file = \"777111777\"",
        "[psa]\ndemo_secret_file = \"/etc/hosts\"\ndemo_secret = \"777111777\"",
        "demo_secret = \"777111777\"",
        "[psaa]\ndemo_secret = \"777111777\"",
    ];
    for toml in secrets {
        let problems = World::with(toml).load().unwrap_err();
        for shown in [problems.to_string(), format!("{problems:?}"), report(&problems)] {
            assert!(!shown.contains("777111777"), "{toml}: {shown}");
        }
    }
    let config = World::with("").env("SIDEGATE__PSA__DEMO_SECRET", "777111777").config();
    assert_eq!(config.psa.demo_secret.expose(), "777111777");
    assert!(!format!("{config:?}{}", values(&config)).contains("777111777"));
}

#[test]
fn bad_toml_is_told_with_file_line_and_column_and_nothing_else_is_guessed() {
    let world = World::with("[server]\nlisten = [\n  \"127.0.0.1:1\"\ngrace = 5\n")
        .env("SIDEGATE__SERVER__GRAZE", "1s");
    let problems = world.problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("sidegate.toml: line 4, column 1: "), "{problems:?}");
    assert!(problems[1].starts_with("SIDEGATE__SERVER__GRAZE: "), "{problems:?}");
}

#[test]
fn a_file_that_is_not_there_is_a_problem() {
    let problems = load(Some(Path::new("/nowhere/sidegate.toml")), std::iter::empty()).unwrap_err();
    assert_eq!(
        problems.to_string(),
        "/nowhere/sidegate.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn a_section_in_the_wrong_shape_is_told_the_right_one() {
    let problems = World::with("ops = 1\n[[server]]\ngrace = \"1s\"\n[issuers]\nissuer = \"x\"").problems();
    assert_eq!(
        problems,
        [
            "sidegate.toml: server: is a section; write [server] and its keys under it",
            "sidegate.toml: ops: is a section; write [ops] and its keys under it",
            "sidegate.toml: issuers: is a list; write [[issuers]] for each",
        ]
    );
}

#[test]
fn no_variable_replaces_a_whole_section_or_another_variable_unseen() {
    let problems =
        World::with("tenant = \"acme\"\n[server]\ngrace = \"1s\"\n[[issuers]]\nissuer = \"https://a\"")
            .env("SIDEGATE__SERVER", "x")
            .env("SIDEGATE__ISSUERS__LEEWAY", "1s")
            .env("SIDEGATE__TENANT__ID", "b")
            .env("SIDEGATE__LOG__FILTER", "info")
            .env("SIDEGATE__log__filter", "debug")
            .problems();
    assert_eq!(
        problems,
        [
            "SIDEGATE__ISSUERS__LEEWAY: issuers.leeway: does not go with sidegate.toml: give issuers whole or key by key",
            "SIDEGATE__SERVER: server: does not go with sidegate.toml: give server whole or key by key",
            "SIDEGATE__TENANT__ID: tenant.id: does not go with sidegate.toml: give tenant whole or key by key",
            "SIDEGATE__log__filter: log.filter: is given by SIDEGATE__LOG__FILTER as well; leave out one of them",
            "sidegate.toml: tenant: is a section; write [tenant] and its keys under it",
        ]
    );
}

#[test]
fn a_list_element_that_is_no_table_keeps_the_others_in_place() {
    let world = World::with("").env("SIDEGATE__ISSUERS", r#"[1, { issuer = "login" }]"#);
    assert_eq!(
        world.problems(),
        [
            "SIDEGATE__ISSUERS: issuers[0]: must be a table of keys",
            "SIDEGATE__ISSUERS: issuers[1].issuer: must be an absolute http or https URL",
        ]
    );
}

#[test]
fn text_that_is_not_utf_8_is_refused_and_not_mangled() {
    let problems = World::with("").env("SIDEGATE__TENANT__NAME", "caf\u{fffd}").problems();
    assert_eq!(problems, ["SIDEGATE__TENANT__NAME: tenant.name: is not valid UTF-8"]);
}

#[test]
fn the_environment_is_given_without_what_is_not_ours() {
    assert!(environment().all(|(name, _)| name.starts_with("SIDEGATE__")));
}

#[test]
fn a_listener_that_others_can_reach_needs_tls_and_a_name() {
    let keys = |toml: &str| -> Vec<String> {
        World::with(toml).load().err().into_iter().flat_map(|all| all.0).map(|problem| problem.key).collect()
    };
    for listen in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"] {
        let server = format!("[server]\nlisten = [\"127.0.0.1:2\", {listen:?}]\n");
        assert_eq!(keys(&server), ["server.tls_cert_file", "server.public_url"], "{listen}");
        let open = format!("{server}allow_plaintext = true\n");
        assert_eq!(keys(&open), ["server.public_url"], "{listen}");
        assert_eq!(keys(&format!("{open}allowed_hosts = [\"a\"]")), [""; 0], "{listen}");
        assert_eq!(keys(&format!("{open}public_url = \"https://a.example\"")), [""; 0], "{listen}");
        // A name that is only misspelt is not said to be missing as well.
        assert_eq!(
            keys(&format!("{open}public_ulr = \"https://a.example\"")),
            ["server.public_ulr"],
            "{listen}"
        );
    }
    for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        assert_eq!(keys(&format!("[server]\nlisten = [{listen:?}]")), [""; 0], "{listen}");
    }
    assert_eq!(keys("[server]\nlisten = []"), ["server.listen"]);
    assert_eq!(keys("[ops]\nlisten = \"localhost\""), ["ops.listen"]);
    assert_eq!(keys("[server]\nlisten = [\"127.0.0.1\"]"), ["server.listen[0]"]);
}

#[test]
fn tls_files_come_in_pairs_that_belong_together() {
    let pair = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (good, other) = (pair(), pair());
    let world = World::with("");
    let cert = world.file("cert.pem", &good.cert.pem()).display().to_string();
    let key = world.file("key.pem", &good.signing_key.serialize_pem()).display().to_string();
    let wrong = world.file("wrong.pem", &other.signing_key.serialize_pem()).display().to_string();
    let tls = |cert: &str, key: &str| {
        let cert = if cert.is_empty() { String::new() } else { format!("tls_cert_file = {cert:?}\n") };
        let key = if key.is_empty() { String::new() } else { format!("tls_key_file = {key:?}\n") };
        World::with(&format!("[server]\n{cert}{key}"))
    };
    assert!(tls(&cert, &key).load().is_ok());
    for (cert, key, start) in [
        (
            cert.as_str(),
            "",
            "sidegate.toml: server.tls_key_file: is missing, but server.tls_cert_file is set",
        ),
        ("", &key, "sidegate.toml: server.tls_cert_file: is missing, but server.tls_key_file is set"),
        (&cert, &wrong, "sidegate.toml: server.tls_key_file: does not go with server.tls_cert_file"),
        (&cert, &cert, "sidegate.toml: server.tls_key_file: holds no unencrypted private key"),
        (&key, &key, "sidegate.toml: server.tls_cert_file: holds no certificate"),
        ("/nowhere", &key, "sidegate.toml: server.tls_cert_file: cannot be read: No such file"),
    ] {
        let problems = tls(cert, key).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(start), "{problems:?}");
    }
}

#[test]
fn the_ways_to_the_psa_and_to_issuers_are_checked_file_by_file() {
    let pair = || rcgen::generate_simple_self_signed(["client".to_owned()]).unwrap();
    let (good, other) = (pair(), pair());
    let world = World::with("");
    let cert = world.file("cert.pem", &good.cert.pem()).display().to_string();
    let key = world.file("key.pem", &good.signing_key.serialize_pem()).display().to_string();
    let wrong = world.file("wrong.pem", &other.signing_key.serialize_pem()).display().to_string();
    for (at, section) in
        [("psa", "[psa]\n"), ("issuers[0]", "[[issuers]]\nissuer = \"https://login.example.com\"\n")]
    {
        let way = |lines: String| World::with(&format!("{section}{lines}"));
        let client =
            |cert: &str, key: &str| way(format!("client_cert_file = {cert:?}\nclient_key_file = {key:?}\n"));
        assert!(client(&cert, &key).load().is_ok());
        assert!(way(format!("ca_file = {cert:?}\nserver_name = \"psa.internal\"")).load().is_ok());
        for (world, start) in [
            (client(&cert, &wrong), format!("{at}.client_key_file: does not go with {at}.client_cert_file")),
            (client(&cert, &cert), format!("{at}.client_key_file: holds no unencrypted private key")),
            (client("/nowhere", &key), format!("{at}.client_cert_file: cannot be read")),
            (way(format!("client_cert_file = {cert:?}")), format!("{at}.client_key_file: is missing")),
            (way(format!("ca_file = {key:?}")), format!("{at}.ca_file: holds no certificate")),
            (way("server_name = \"a b\"".to_owned()), format!("{at}.server_name: is neither")),
        ] {
            let problems = world.problems();
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(&format!("sidegate.toml: {start}")), "{start}: {problems:?}");
        }
    }
}

#[test]
fn a_unix_socket_goes_with_plain_http_and_a_folder_that_is_there() {
    let world = |lines: &str| World::with(&format!("[psa]\n{lines}"));
    let plain = |world: World| world.env("SIDEGATE__PSA__URL", "http://psa.internal");
    assert!(plain(world("unix_socket = \"/tmp/psa.sock\"")).load().is_ok());
    for (world, start) in [
        (
            world("unix_socket = \"/tmp/psa.sock\""),
            "psa.unix_socket: goes with a URL that begins with http://",
        ),
        (
            plain(world("unix_socket = \"/nowhere/psa.sock\"")),
            "psa.unix_socket: the folder /nowhere does not",
        ),
        (plain(world("server_name = \"psa\"")), "psa.server_name: has no effect"),
    ] {
        let problems = world.problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains(start), "{problems:?}");
    }
}

#[test]
fn the_public_url_and_the_path_are_plain() {
    for (url, said) in [
        ("mcp.example.com", "must be an absolute URL"),
        ("ftp://mcp.example.com", "must begin with https://"),
        ("https://mcp.example.com?a=b", "neither a query nor a fragment"),
        ("https://mcp.example.com#a", "neither a query nor a fragment"),
        ("https://a:b@mcp.example.com", "neither a user name nor a password"),
    ] {
        let problems = World::with(&format!("[server]\npublic_url = {url:?}")).problems();
        assert!(problems.len() == 1 && problems[0].contains(said), "{url}: {problems:?}");
    }
    for path in ["", "/", "api", "/api/", "/a//b", "/a/../b", "/a?b", "/a b", "/a%2fb"] {
        let problems = World::with(&format!("[server]\nmcp_path = {path:?}")).problems();
        assert!(problems.len() == 1 && problems[0].contains("server.mcp_path"), "{path}: {problems:?}");
    }
    World::with("[server]\npublic_url = \"https://mcp.example.com/prefix\"\nmcp_path = \"/mcp\"").config();
}

#[test]
fn agents_and_issuers_must_refer_to_each_other() {
    let world = World::with(
        r#"
        [[issuers]]
        issuer = "https://login.example.com"
        [[issuers]]
        issuer = "https://login.example.com"
        [[issuers]]
        issuer = "login"
        [[agents]]
        name = "one"
        issuer = "https://login.example.com"
        subject = "a"
        [[agents]]
        name = "one"
        issuer = "https://login.example.com"
        subject = "a"
        "#,
    );
    assert_eq!(
        world.problems(),
        [
            "sidegate.toml: issuers[2].issuer: must be an absolute http or https URL",
            "sidegate.toml: issuers[1].issuer: is the same as issuers[0].issuer; an issuer is written once",
            "sidegate.toml: agents[1].name: `one` is also the name of agents[0]; names are unique",
            "sidegate.toml: agents[1].subject: agent `one` has the issuer and the subject of agents[0]; \
             a token can mean one agent only",
        ]
    );
    let world = World::with(
        r#"
        [[issuers]]
        issuer = "https://login.example.com"
        [[agents]]
        name = "one"
        issuer = "https://elsewhere.example.com"
        subject = "a"
        [[agents]]
        "#,
    );
    assert_eq!(
        world.problems(),
        [
            "sidegate.toml: agents[1].name: is missing; write a name for people and records",
            "sidegate.toml: agents[1].issuer: is missing; write the issuer of its tokens, one of [[issuers]]",
            "sidegate.toml: agents[1].subject: is missing; write the value of its tokens' subject claim",
            "sidegate.toml: agents[0].issuer: agent `one` has tokens from https://elsewhere.example.com, \
             which is none of [[issuers]]; add it there",
        ]
    );
}

/// The keys that are wrong in `toml`, each with what is said.
fn said(toml: &str) -> Vec<(String, String)> {
    let problems = World::with(toml).load().err().into_iter().flat_map(|all| all.0);
    problems.map(|problem| (problem.key, problem.message)).collect()
}

#[track_caller]
fn only(toml: &str, key: &str, message: &str) {
    let said = said(toml);
    assert!(said.len() == 1 && said[0].0 == key && said[0].1.contains(message), "{toml}\n{said:?}");
}

#[test]
fn an_issuer_is_refused_here_as_idp_add_refuses_it() {
    let issuer = |lines: &str| format!("[[issuers]]\n{lines}");
    for (lines, key, message) in [
        ("issuer = \"http://169.254.169.254\"", "issuer", "never reached"),
        ("issuer = \"http://10.0.0.1\"", "issuer", "allow_private_networks"),
        ("issuer = \"https://a:b@x.example/\"", "issuer", "neither a user name"),
        ("issuer = \"https://x.example/?q=1#f\"", "issuer", "neither a query"),
        ("issuer = \"https://x.example\"\nleeway = \"3650d\"", "leeway", "0 to 300 seconds"),
        ("issuer = \"https://x.example\"\nsubject_claim = \"\"", "subject_claim", "is missing"),
        ("issuer = \"https://x.example\"\nmax_age = \"0s\"", "max_age", "at least 1s"),
        ("issuer = \"https://x.example\"\njwks_uri = \"https://[fe80::1]/k\"", "jwks_uri", "never reached"),
    ] {
        only(&issuer(lines), &format!("issuers[0].{key}"), message);
    }
    let private =
        "[idp]\nallow_private_networks = [\"10.0.0.0/8\"]\n[[issuers]]\nissuer = \"http://10.0.0.1\"";
    assert_eq!(said(private), []);
}

#[test]
fn a_provider_that_is_known_needs_no_more_than_differs_between_customers() {
    let config = World::with(
        r#"
        [[issuers]]
        kind = "google"
        [[issuers]]
        kind = "microsoft"
        entra_tenant_id = "8F1C2D3E-4A5B-4C6D-8E7F-0123456789AB"
        audiences = ["77c0ffee-0000-4000-8000-00000000000a"]
        [[agents]]
        name = "one"
        issuer = "https://login.microsoftonline.com/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/v2.0"
        subject = "a"
        "#,
    )
    .config();
    let [google, entra] = &config.issuers[..] else { panic!("two issuers") };
    assert_eq!(google.trusted().issuer, "https://accounts.google.com");
    assert_eq!((entra.trusted().subject_claim.as_str(), entra.trusted().audiences.len()), ("azp", 2));
    let microsoft = |id: &str| format!("[[issuers]]\nkind = \"microsoft\"\nentra_tenant_id = {id:?}");
    only(&microsoft("common"), "issuers[0].entra_tenant_id", "every directory there is");
    only("[[issuers]]\nkind = \"microsoft\"", "issuers[0].entra_tenant_id", "is missing");
    let both = "[[issuers]]\nissuer = \"https://sts.windows.net/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/\"\n";
    let both = format!("{both}{}", microsoft("8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab"));
    only(&both, "issuers[1].issuer", "an `iss` means one issuer");
    let agent = "[[agents]]\nname = \"one\"\nsubject = \"a\"\nissuer = ";
    let by_alias = "\"https://sts.windows.net/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/\"";
    let by_alias = format!("{}\n{agent}{by_alias}", microsoft("8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab"));
    only(&by_alias, "agents[0].issuer", "is an alias");
}

#[test]
fn a_hosted_application_makes_its_providers_known_to_agents() {
    let agents = |issuer: &str| format!("[[agents]]\nname = \"one\"\nsubject = \"a\"\nissuer = {issuer:?}\n");
    let google = agents("https://accounts.google.com");
    let entra = agents("https://login.microsoftonline.com/8f1c2d3e-4a5b-4c6d-8e7f-0123456789ab/v2.0");
    for agent in [&google, &entra] {
        only(agent, "agents[0].issuer", "none of [[issuers]]");
    }
    assert_eq!(said(&format!("[idp]\ngoogle_client_id = \"g\"\n{google}")), []);
    assert_eq!(said(&format!("[idp]\nmicrosoft_client_id = \"m\"\n{entra}")), []);
    only("[idp]\ngoogle_client_id = \"\"", "idp.google_client_id", "client id");
}

#[test]
fn an_agent_is_refused_here_as_agent_add_refuses_it() {
    let agent = |lines: &str| {
        format!(
            "[[issuers]]\nissuer = \"https://x.example\"\n[[agents]]\nissuer = \"https://x.example\"\n{lines}"
        )
    };
    let long = format!("name = {:?}\nsubject = \"s\"", "n".repeat(300));
    only(&agent(&long), "agents[0].name", "at most 255");
    let bot = "name = \"bot\"\nsubject = \"s\"\nprovision = true\n";
    only(&agent(bot), "agents[0].roles", "at least one role");
    let both = format!("{bot}roles = [\"Technician\"]\npsa_user = \"u\"");
    only(&agent(&both), "agents[0].psa_user", "either the user or provision");
    assert_eq!(said(&agent(&format!("{bot}roles = [\"Technician\"]"))), []);
}

#[test]
fn files_and_folders_that_serve_needs_are_looked_for() {
    let file = "[[sinks]]\nkind = \"file\"\npath = \"/nowhere/a.jsonl\"";
    only(file, "sinks[0].path", "/nowhere does not exist");
    only(&format!("[idp]\nca_file = {SHIPPED:?}"), "idp.ca_file", "holds no certificate");
    only("[idp]\nca_file = \"/nowhere/ca.pem\"", "idp.ca_file", "readable file");
    let world = World::with("").env("SIDEGATE__STORE__URL", "sqlite:///nowhere/at/all/sidegate.db");
    let problems = world.problems();
    assert!(
        problems.len() == 1 && problems[0].contains("store.url: the folder /nowhere/at/all does not exist"),
        "{problems:?}"
    );
}

#[test]
fn sinks_have_names_files_and_certificates_of_their_own() {
    let world = World::with("");
    let token = world.file("token", "t0ken\n").display().to_string();
    let world = World::with(&format!(
        r#"
        [[sinks]]
        kind = "stdout"
        [[sinks]]
        name = "stdout"
        kind = "file"
        path = "/nowhere/at/all/audit.jsonl"
        [[sinks]]
        kind = "file"
        path = "/nowhere/at/all/audit.jsonl"
        [[sinks]]
        name = "more"
        kind = "stdout"
        [[sinks]]
        name = "siem"
        kind = "http"
        url = "https://siem.example.com/in"
        token_file = {token:?}
        ca_file = "/nowhere/ca.pem"
        [[sinks]]
        kind = "syslog"
        transport = "smoke"
        address = "siem.example.com:6514"
        token = "t0ken"
        "#
    ));
    let problems = world.problems();
    let keys: Vec<_> = problems.iter().filter_map(|problem| problem.split(": ").nth(1)).collect();
    assert_eq!(
        keys,
        [
            "sinks[5].transport",
            "sinks[5].token",
            "sinks[1].path",
            "sinks[2].path",
            "sinks[4].ca_file",
            "sinks[1].name",
            "sinks[3].kind",
        ],
        "{problems:#?}"
    );
    assert!(!problems.join(" ").contains("t0ken"));
    let read =
        World::with(&format!("[[sinks]]\nkind = \"http\"\nurl = \"https://a/in\"\ntoken_file = {token:?}"));
    assert_eq!(read.config().sinks[0].token.as_ref().unwrap().expose(), "t0ken");
}

#[test]
fn keys_from_files_are_looked_for_and_make_no_users() {
    let world = World::with("");
    let good = world.file("good", "a key\n").display().to_string();
    let empty = world.file("empty", " \n").display().to_string();
    let world = World::with(&format!(
        r#"
        [psa]
        keys = "static"
        static_keys = {{ good = {good:?}, gone = "/nowhere/key", empty = {empty:?} }}
        [[issuers]]
        issuer = "https://x.example"
        [[agents]]
        name = "good"
        issuer = "https://x.example"
        subject = "s"
        provision = true
        roles = ["Technician"]
        "#
    ));
    let problems = world.load().unwrap_err().0;
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(
        keys,
        ["psa.static_keys.empty", "psa.static_keys.gone", "agents[0].provision"],
        "{problems:?}"
    );
}

#[test]
fn two_listeners_on_one_address_are_told_apart_from_two_ports() {
    only(
        "[server]\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
        "server.listen[1]",
        "taken by server.listen[0]",
    );
    only("[server]\nlisten = [\"127.0.0.1:9464\"]", "ops.listen", "taken by server.listen[0]");
    assert_eq!(said("[server]\nlisten = [\"127.0.0.1:0\", \"127.0.0.1:0\"]"), []);
}

#[test]
fn probes_and_metrics_are_open_to_other_machines_only_where_that_is_said() {
    for listen in ["0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464"] {
        let ops = format!("[ops]\nlisten = {listen:?}\n");
        only(&ops, "ops.listen", "ops.allow_plaintext = true");
        assert_eq!(said(&format!("{ops}allow_plaintext = true")), [], "{listen}");
    }
    only("[ops]\nlisten = \"localhost\"", "ops.listen", "not an IP address with a port");
}

#[test]
fn a_listener_may_be_a_unix_socket_that_is_nobody_elses_and_no_secret_to_other_machines() {
    assert_eq!(said("[server]\nlisten = [\"unix:/run/a.sock\", \"127.0.0.1:1\", \"unix:/run/b.sock\"]"), []);
    let twice = "[server]\nlisten = [\"unix:/run/a.sock\", \"unix:/run/a.sock\"]";
    only(twice, "server.listen[1]", "taken by server.listen[0]");
    only("[server]\nlisten = [\"unix:a.sock\"]", "server.listen[0]", "absolute path");
    only("[ops]\nlisten = \"unix:/run/a.sock\"", "ops.listen", "not an IP address with a port");
}

#[test]
fn client_certificates_need_tls_and_an_authority() {
    let folder = tempfile::tempdir().unwrap();
    let ca = sidegate::demo::write_certificates(folder.path()).unwrap();
    let file = |name: &str| folder.path().join(name);
    let tls =
        format!("[server]\ntls_cert_file = {:?}\ntls_key_file = {:?}\n", file("tls.crt"), file("tls.key"));
    for kind in ["optional", "required"] {
        let asking = format!("client_certificates = {kind:?}\n");
        assert_eq!(said(&format!("{tls}{asking}client_ca_file = {ca:?}")), []);
        only(&format!("{tls}{asking}"), "server.client_ca_file", "name the authorities");
        only(
            &format!("{tls}{asking}client_ca_file = {:?}", file("tls.key")),
            "server.client_ca_file",
            "no certificate",
        );
        only(
            &format!("[server]\n{asking}client_ca_file = {ca:?}"),
            "server.client_certificates",
            "needs TLS",
        );
    }
    only(&format!("{tls}client_ca_file = {ca:?}"), "server.client_certificates", "is off");
}

#[test]
fn the_operators_address_is_found_whatever_else_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sidegate.toml");
    let asked = |toml: &str, env: &[(&str, &str)]| {
        std::fs::write(&file, toml).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        ops_address(Some(&file), env).map(|address| address.to_string())
    };
    let of = |address: &str| Ok(address.to_owned());
    assert_eq!(asked("", &[]), of("127.0.0.1:9464"));
    assert_eq!(asked("[ops]\nlisten = \"0.0.0.0:1\"\n[server]\nnonsense = 1", &[]), of("127.0.0.1:1"));
    assert_eq!(asked("[ops]\nlisten = \"[::]:2\"", &[]), of("[::1]:2"));
    assert_eq!(asked("[ops]\nlisten = \"10.0.0.7:3\"", &[]), of("10.0.0.7:3"));
    let variable = [("SIDEGATE__OPS__LISTEN", "0.0.0.0:4")];
    assert_eq!(asked("[ops]\nlisten = \"0.0.0.0:1\"", &variable), of("127.0.0.1:4"));
    assert_eq!(asked("[[ spoilt", &variable), of("127.0.0.1:4"));
    assert_eq!(asked("", &[("SIDEGATE__OPS", "{ listen = \"127.0.0.1:5\" }")]), of("127.0.0.1:5"));
    for wrong in ["[ops]\nlisten = \"localhost\"", "[ops]\nlisten = \"127.0.0.1:0\""] {
        assert!(asked(wrong, &[]).unwrap_err().starts_with("ops.listen: "), "{wrong}");
    }
}

/// The shipped file, with (`true`) or without what is commented out in it.
fn shipped(with_examples: bool) -> Map<String, Value> {
    let is_key = |line: &str| {
        let name = line.split_once(" = ").map_or("", |(name, _)| name);
        line.starts_with("[[")
            || (!name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()))
    };
    let text = std::fs::read_to_string(SHIPPED).unwrap();
    let lines = text.lines().map(|line| match line.strip_prefix("# ") {
        Some(rest) if with_examples && is_key(rest) => rest,
        _ => line,
    });
    Toml::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap()
}

/// Whether a default says nothing, so that an example may stand in for it.
fn says_nothing(default: &Value) -> bool {
    [json!(null), json!(""), json!([]), json!({}), json!("[secret]")].contains(default)
}

#[test]
fn the_shipped_file_says_what_the_code_does() {
    let defaults = load(None, required()).unwrap();
    let config = load(Some(Path::new(SHIPPED)), required()).unwrap_or_else(|problems| panic!("{problems}"));
    for (section, default) in values(&defaults).as_object().unwrap() {
        assert_eq!(
            values(&config)[section],
            *default,
            "left: [{section}] as the file has it; right: the default"
        );
    }
    let written = shipped(false);
    // That file's folder is there on few machines: it was required above.
    assert_eq!(written["store"]["url"], Config::default().store.url.expose());
    for (section, default) in values(&Config::default()).as_object().unwrap() {
        for (key, default) in default.as_object().into_iter().flatten() {
            let given = !written[section][key].is_null();
            assert!(given || says_nothing(default), "{section}.{key} has the default {default}: write it");
        }
    }
    let examples = shipped(true);
    shows_its_defaults::<IssuerConfig>(&examples["issuers"][0]);
    shows_its_defaults::<AgentSpec>(&examples["agents"][0]);
    shows_its_defaults::<SinkConfig>(&examples["sinks"][0]);
}

/// Each key of `example` shows the default of `T`, where there is one.
fn shows_its_defaults<T: Default + Serialize + DeserializeOwned>(example: &Value) {
    for (key, default) in serde_json::to_value(T::default()).unwrap().as_object().unwrap() {
        let alone: T = serde_json::from_value(json!({ key: example[key] })).unwrap();
        let shown = &serde_json::to_value(alone).unwrap()[key];
        assert!(says_nothing(default) || shown == default, "{key} is {default}, not {shown}");
    }
}

#[test]
fn the_shipped_file_names_every_key_and_no_other() {
    let mut named = BTreeSet::new();
    for (section, value) in shipped(true) {
        let (at, keys) = match value {
            Value::Array(elements) => (format!("{section}[]"), elements[0].clone()),
            value => (section, value),
        };
        named.extend(keys.as_object().unwrap().keys().map(|key| format!("{at}.{key}")));
    }
    assert_eq!(named, known_keys().into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn what_an_issuers_tokens_need_is_read_and_judged_list_by_list() {
    let issuer = |lines: &str| format!("[[issuers]]\nissuer = \"https://login.example.com\"\n{lines}");
    let config = World::with(&issuer("required_scopes = { write = [\"psa.write\"] }")).config();
    let trusted = config.issuers[0].trusted();
    assert_eq!(trusted.required_scopes.write, ["psa.write"]);
    assert!(trusted.required_scopes.read.is_empty() && !trusted.require_bound_tokens);
    let world = World::with(&issuer(
        "required_scopes = { read = [\"psa read\"], write = [\"offline_access\"], destroy = [\"fine\"] }",
    ));
    let expected = [
        "sidegate.toml: issuers[0].required_scopes.read: each must be one scope: printable ASCII without spaces, quotes and backslashes",
        "sidegate.toml: issuers[0].required_scopes.write: offline_access is between a client and its issuer; leave it out",
    ];
    assert_eq!(world.problems(), expected);
    let told = World::with(&issuer("require_bound_tokens = true")).problems();
    let expected = "sidegate.toml: issuers[0].require_bound_tokens: needs the clients' certificates; set \
                    server.client_certificates to optional or required";
    assert_eq!(told, [expected]);
    let told = World::with(&issuer("required_scopes = { reed = [\"psa.read\"] }")).problems();
    assert!(told.len() == 1 && told[0].contains("issuers[0].required_scopes.reed"), "{told:?}");
}

#[test]
fn an_administrators_listener_that_others_can_reach_needs_tls_and_a_name() {
    assert_eq!(said("[admin]\nlisten = []"), []);
    assert_eq!(said("[admin]\nlisten = [\"127.0.0.1:0\", \"[::1]:0\"]"), []);
    only("[admin]\nlisten = [\"localhost\"]", "admin.listen[0]", "not an IP address with a port");
    only("[admin]\nlisten = [\"127.0.0.1:9464\"]", "admin.listen[0]", "taken by ops.listen");
    let open = "[admin]\nlisten = [\"0.0.0.0:1\"]\n";
    let named = format!("{open}allowed_hosts = [\"admin.example\"]\n");
    only(&named, "admin.tls_cert_file", "allow_plaintext");
    assert_eq!(said(&format!("{named}allow_plaintext = true")), []);
    only(&format!("{open}allow_plaintext = true"), "admin.allowed_hosts", "name the hosts");
    only("[admin]\ntls_cert_file = \"/nowhere\"", "admin.tls_key_file", "TLS needs both");
    only("[admin]\nallowed_origins = [\"*\"]", "admin.allowed_origins[0]", "is no origin");
    only("[admin]\nmax_connections = 0", "admin.max_connections", "more than nothing");
    let ca = said("[admin]\nclient_ca_file = \"/nowhere/ca.pem\"");
    assert!(
        ca.len() == 1 && ca[0].0 == "admin.client_ca_file" && ca[0].1.contains("cannot be read"),
        "{ca:?}"
    );
}

#[test]
fn everything_that_is_wrong_with_an_overlay_is_told_with_its_row() {
    let world = World::with("[catalog]\noverlay_file = \"overlay.toml\"\n");
    let file =
        world.file("overlay.toml", "[[entries]]\nentry = \"/x\"\n[[entries]]\nentry = \"a\"\nsend = 1\n");
    world.file("sidegate.toml", &format!("[catalog]\noverlay_file = \"{}\"\n", file.display()));
    let problems = world.load().unwrap_err().to_string();
    for part in ["catalog.overlay_file", "entries[0] (`/x`).entry", "entries[1] (`a`): unknown field `send`"]
    {
        assert!(problems.contains(part), "{problems}");
    }
    world.file("sidegate.toml", "[catalog]\noverlay_file = \"/nowhere/overlay.toml\"\n");
    assert!(world.load().unwrap_err().to_string().contains("cannot be read"));
}

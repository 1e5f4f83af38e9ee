//! `sidegate init`: four answers become a configuration that `check` accepts, or nothing is written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sidegate::clock::Clock;

use crate::support::process::{Ended, Process};
use crate::support::tls;
use crate::support::world::World;

/// A world to answer the probes, and a folder with a certificate for `localhost`.
struct Site {
    world: World,
    folder: PathBuf,
    out: PathBuf,
}

impl Site {
    async fn new() -> Self {
        let world = World::start().await;
        let folder = world.folder.path().join("site");
        for name in ["", "state", "log"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        tls::write(&folder);
        let out = folder.join("etc/sidegate.toml");
        Self { world, folder, out }
    }

    fn at(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Good answers, each of which `instead` may replace or, with an empty text, leave out.
    fn flags(&self, instead: &[(&str, &str)]) -> Vec<String> {
        let good = [
            ("--psa-url", self.world.psa.url.clone()),
            ("--public-url", "https://localhost:8443".to_owned()),
            ("--tls-cert", self.at("tls.crt")),
            ("--tls-key", self.at("tls.key")),
            ("--issuer", self.world.issuer.issuer.clone()),
            ("--allow-private-network", "127.0.0.0/8".to_owned()),
            ("--state-dir", self.at("state")),
            ("--log-dir", self.at("log")),
            ("--out", self.out.display().to_string()),
        ];
        let answer = |flag: &str, good: String| {
            instead.iter().find(|(name, _)| *name == flag).map_or(good, |(_, value)| (*value).to_owned())
        };
        let answers = good.into_iter().map(|(flag, good)| (flag, answer(flag, good)));
        answers
            .filter(|(_, value)| !value.is_empty())
            .flat_map(|(flag, value)| [flag.to_owned(), value])
            .collect()
    }

    async fn init(&self, instead: &[(&str, &str)], more: &[&str]) -> Ended {
        let flags = self.flags(instead);
        let mut arguments: Vec<&str> = vec!["init"];
        arguments.extend(flags.iter().map(String::as_str));
        sidegate(&[&arguments, more].concat()).await
    }
}

async fn sidegate(arguments: &[&str]) -> Ended {
    Process::run(Command::new(env!("CARGO_BIN_EXE_sidegate")).env_clear().args(arguments)).await
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn good_answers_become_a_configuration_that_check_accepts_and_that_serves() {
    let site = Site::new().await;
    let done = site.init(&[], &[]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    for found in ["PSA          ok", "public URL   ok", "certificate  ok", "issuer       ok", "1 key (ES256)"]
    {
        assert!(done.out.contains(found), "{found} in {}", done.out);
    }
    for key in
        ["psa.catalog_key_file", "psa.static_keys", "database-url-file", "agent add", "systemctl enable"]
    {
        assert!(done.out.contains(key), "{key} in {}", done.out);
    }
    assert_eq!(mode(&site.out), 0o640);
    let key = site.out.with_file_name("keys").join("assistant");
    assert_eq!((mode(&key), mode(key.parent().unwrap())), (0o640, 0o750));

    let config = site.out.display().to_string();
    let checked = sidegate(&["check", "--config", &config]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.out.contains("still to do: psa.static_keys.assistant"), "{checked:?}");
    fs::write(&key, "a-real-key\n").unwrap();
    let checked = sidegate(&["check", "--config", &config]).await;
    assert!(!checked.out.contains("static_keys"), "{checked:?}");
    let issuer = &site.world.issuer.issuer;
    let added = sidegate(&[
        "agent",
        "add",
        "assistant",
        "--issuer",
        issuer,
        "--subject",
        "demo-reader",
        "--config",
        &config,
    ])
    .await;
    assert_eq!(added.code, Some(0), "the next step works as it is told: {added:?}");
}

#[tokio::test]
async fn each_bad_answer_is_told_with_its_remedy_and_nothing_is_written() {
    let site = Site::new().await;
    let other = tempfile::tempdir().unwrap();
    tls::write(other.path());
    let other_key = other.path().join("tls.key").display().to_string();
    let slash = format!("{}/", site.world.issuer.issuer);
    for (instead, says) in [
        (("--psa-url", "http://127.0.0.1:1"), "cannot be reached"),
        (("--psa-url", "psa.example.com"), "mend --psa-url"),
        (("--public-url", "localhost"), "mend --public-url"),
        (("--public-url", "http://localhost:8443"), "https://"),
        (("--public-url", "https://mcp.example.invalid"), "is not for mcp.example.invalid"),
        (("--tls-cert", "/no/such.crt"), "mend --tls-cert"),
        (("--tls-key", "/no/such.key"), "mend --tls-key"),
        (("--tls-key", other_key.as_str()), "do not belong together"),
        (("--issuer", slash.as_str()), "exactly"),
        (("--issuer", "http://127.0.0.1:1"), "reachable from here"),
        (("--allow-private-network", "10.0.0.0/8"), "--allow-private-network"),
    ] {
        let done = site.init(&[instead], &[]).await;
        assert_eq!(done.code, Some(1), "{instead:?} {done:?}");
        assert!(done.out.contains("NO") && done.out.contains(says), "{instead:?}: {says} in {done:?}");
        assert!(done.err.contains("nothing was written"), "{done:?}");
    }
    assert!(!site.out.exists() && !site.out.with_file_name("keys").exists());
}

/// A certificate of its own for `localhost`, until then.
fn certificate(site: &Site, until: time::OffsetDateTime) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = until;
    let (cert_file, key_file) = (site.at("other.crt"), site.at("other.key"));
    fs::write(&cert_file, params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    (cert_file, key_file)
}

#[tokio::test]
async fn a_certificate_that_is_over_is_refused_and_one_that_ends_soon_is_told() {
    let site = Site::new().await;
    let now = time::OffsetDateTime::from_unix_timestamp(Clock::System.now_seconds()).unwrap();
    let with = async |(cert, key): (String, String)| {
        site.init(&[("--tls-cert", &cert), ("--tls-key", &key)], &[]).await
    };
    let over = with(certificate(&site, now - time::Duration::DAY)).await;
    assert_eq!(over.code, Some(1), "{over:?}");
    assert!(over.out.contains("which is not now"), "{over:?}");
    let soon = with(certificate(&site, now + time::Duration::DAY)).await;
    assert_eq!(soon.code, Some(0), "{soon:?}");
    assert!(soon.out.contains("certificate  note") && soon.out.contains("ends soon"), "{soon:?}");
}

#[tokio::test]
async fn what_is_missing_is_named_by_its_flag_where_nobody_can_be_asked() {
    let site = Site::new().await;
    let done = site.init(&[("--issuer", ""), ("--tls-key", "")], &[]).await;
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("--tls-key, --issuer") && !done.err.contains("--psa-url"), "{done:?}");
}

#[tokio::test]
async fn what_is_there_is_written_over_only_by_force_or_where_it_sets_nothing() {
    let site = Site::new().await;
    fs::create_dir(site.out.parent().unwrap()).unwrap();
    fs::write(&site.out, "[psa]\nurl = \"http://mine\"\n").unwrap();
    let refused = site.init(&[], &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("--force"), "{refused:?}");
    assert!(fs::read_to_string(&site.out).unwrap().contains("http://mine"));
    assert_eq!(site.init(&[], &["--force"]).await.code, Some(0));
    assert!(!fs::read_to_string(&site.out).unwrap().contains("http://mine"));
    fs::write(&site.out, "# nothing yet\n").unwrap();
    assert_eq!(site.init(&[], &[]).await.code, Some(0));
}

#[tokio::test]
async fn a_key_that_is_there_is_kept_and_a_failure_leaves_no_new_ones() {
    let site = Site::new().await;
    let keys = site.out.with_file_name("keys");
    let gone = site.at("nowhere");
    let refused = site.init(&[("--log-dir", &gone)], &[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("sinks[0].path") && refused.err.contains("sidegate.toml"), "{refused:?}");
    assert!(!site.out.exists() && !keys.join("catalog").exists());
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("catalog"), "mine\n").unwrap();
    assert_eq!(site.init(&[], &[]).await.code, Some(0));
    assert_eq!(fs::read_to_string(keys.join("catalog")).unwrap(), "mine\n");
}

#[tokio::test]
async fn with_a_database_keys_are_minted_there() {
    let site = Site::new().await;
    let (file, tenant) = (site.at("database"), site.world.psa.tenant.to_string());
    let user = site.world.psa.catalog_user.to_string();
    fs::write(&file, "postgres://sidegate@127.0.0.1/psa\n").unwrap();
    let more = ["--tenant", &tenant, "--database-url-file", &file, "--catalog-user", &user];
    let done = site.init(&[], &more).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let text = fs::read_to_string(&site.out).unwrap();
    assert!(text.contains("keys = \"postgres\"") && !site.out.with_file_name("keys").exists(), "{text}");
}

#[tokio::test]
async fn nobody_is_asked_where_probes_are_skipped() {
    let site = Site::new().await;
    let nobody = [("--psa-url", "http://127.0.0.1:1"), ("--issuer", "http://127.0.0.1:1")];
    let done = site.init(&nobody, &["--skip-probes"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("was not asked"), "{done:?}");
}

#[tokio::test]
async fn at_a_terminal_what_is_missing_is_asked_for() {
    let site = Site::new().await;
    let mut flags = site.flags(&[("--issuer", ""), ("--psa-url", "")]);
    flags.insert(0, "init".to_owned());
    let command = format!("{} {}", env!("CARGO_BIN_EXE_sidegate"), flags.join(" "));
    // script(1) makes the terminal.
    let mut asked = Process::start(Command::new("script").args(["-qec", &command, "/dev/null"]));
    asked.say(&format!("{}\n\n{}\n", site.world.psa.url, site.world.issuer.issuer));
    let done = asked.ended().await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.out.contains("PSA URL") && !done.out.contains("Public URL"), "{done:?}");
    assert!(site.out.exists());
}

//! What `init` writes and says, from the answers alone: touches neither files nor the network.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use url::Url;

/// What stands in a file for a key until somebody puts one there. `check` reminds of it.
pub const PLACEHOLDER: &str = "put-the-PSA-API-key-here";

/// The one agent that a configuration with static keys names.
pub const AGENT: &str = "assistant";

/// The answers.
#[derive(Clone, Debug)]
pub struct Plan {
    pub psa_url: String,
    pub public_url: String,
    pub tls_cert: PathBuf,
    pub tls_key: PathBuf,
    pub issuer: String,
    pub listen: Option<SocketAddr>,
    pub tenant: Option<String>,
    pub keys: Keys,
    /// Where the catalogue's key is, where none is minted for it.
    pub catalog_file: PathBuf,
    pub private_networks: Vec<IpNet>,
    pub idp_ca: Option<PathBuf>,
    pub state: PathBuf,
    pub log: PathBuf,
}

/// Where the PSA keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// From files: what needs nothing that was not asked.
    Static { agent_file: PathBuf },
    /// Minted in the PSA's database.
    Postgres { database_url_file: PathBuf, catalog_user: Option<String> },
}

/// True where no line of a configuration file says anything.
pub fn sets_nothing(text: &str) -> bool {
    text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
}

/// `text` as a TOML basic string: JSON's escapes are among TOML's, but for DEL.
fn quoted(text: impl AsRef<str>) -> String {
    serde_json::Value::from(text.as_ref()).to_string().replace('\u{7f}', "\\u007f")
}

fn path(path: &Path) -> String {
    quoted(path.to_string_lossy())
}

impl Plan {
    /// Where the server listens: as told, else on all addresses at the public URL's port.
    pub fn address(&self) -> SocketAddr {
        let url = Url::parse(&self.public_url).ok();
        let port = url.and_then(|url| url.port_or_known_default()).unwrap_or(443);
        self.listen.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, port).into())
    }

    /// The files that hold a key that is yet to come.
    pub fn placeholders(&self) -> Vec<PathBuf> {
        match &self.keys {
            Keys::Static { agent_file } => vec![self.catalog_file.clone(), agent_file.clone()],
            Keys::Postgres { catalog_user: None, .. } => vec![self.catalog_file.clone()],
            Keys::Postgres { .. } => Vec::new(),
        }
    }

    /// The configuration file.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# Written by `sidegate init`. Whatever is not here has its default; every key is explained in\n\
             # sidegate.toml.sample (in the package under /usr/share/sidegate). `sidegate check` names each mistake.\n",
        );
        let mut section = |name: &str, lines: &[Option<(&str, String)>]| {
            let _ = writeln!(text, "\n{name}");
            for (key, value) in lines.iter().flatten() {
                let _ = writeln!(text, "{key} = {value}");
            }
        };
        section(
            "[server]",
            &[
                Some(("listen", format!("[{}]", quoted(self.address().to_string())))),
                Some(("public_url", quoted(&self.public_url))),
                Some(("tls_cert_file", path(&self.tls_cert))),
                Some(("tls_key_file", path(&self.tls_key))),
            ],
        );
        let database = self.state.join("sidegate.db");
        section("[store]", &[Some(("url", quoted(format!("sqlite://{}", database.display()))))]);
        let networks: Vec<_> = self.private_networks.iter().map(|net| quoted(net.to_string())).collect();
        if !networks.is_empty() || self.idp_ca.is_some() {
            section(
                "[idp]",
                &[
                    Some(("allow_private_networks", format!("[{}]", networks.join(", ")))),
                    self.idp_ca.as_deref().map(|file| ("ca_file", path(file))),
                ],
            );
        }
        let catalog_file = || Some(("catalog_key_file", path(&self.catalog_file)));
        let mut psa = vec![
            Some(("url", quoted(&self.psa_url))),
            self.tenant.as_ref().map(|tenant| ("tenant", quoted(tenant))),
        ];
        psa.extend(match &self.keys {
            Keys::Static { agent_file } => [
                Some(("keys", quoted("static"))),
                catalog_file(),
                Some(("static_keys", format!("{{ {} = {} }}", quoted(AGENT), path(agent_file)))),
            ],
            Keys::Postgres { database_url_file, catalog_user } => [
                Some(("keys", quoted("postgres"))),
                Some(("database_url_file", path(database_url_file))),
                match catalog_user {
                    Some(user) => Some(("catalog_user", quoted(user))),
                    None => catalog_file(),
                },
            ],
        });
        section("[psa]", &psa);
        let record = self.log.join("audit.jsonl");
        section("[[sinks]]", &[Some(("kind", quoted("file"))), Some(("path", path(&record)))]);
        section("[[issuers]]", &[Some(("issuer", quoted(&self.issuer)))]);
        text
    }

    /// What is left to do, in this order, each with the keys that decide it.
    pub fn next(&self, out: &Path) -> Vec<String> {
        let mut steps = Vec::new();
        let file = |file: &Path| file.display().to_string();
        let catalog = format!(
            "{}: of a PSA user for whom the catalogue is read (psa.catalog_key_file)",
            file(&self.catalog_file)
        );
        match &self.keys {
            Keys::Static { agent_file } => {
                steps.push(format!(
                    "Make two API keys in the PSA's settings and write each into its file:\n{catalog}\n\
                     {}: of the PSA user whose permissions the agent `{AGENT}` is to have (psa.static_keys)",
                    file(agent_file)
                ));
                steps.push(
                    "Or have short-lived keys minted in the PSA's database: run this again with --force, --tenant, \
                     --database-url-file\nand --catalog-user (psa.keys = \"postgres\"; what its login must be \
                     granted is in the README)."
                        .to_owned(),
                );
            }
            Keys::Postgres { catalog_user: None, .. } => {
                steps.push(format!(
                    "Make an API key in the PSA's settings and write it into its file:\n{catalog}"
                ));
            }
            Keys::Postgres { .. } => {}
        }
        if self.address().port() < 1024 {
            steps.push(format!(
                "Let the service listen at port {} (server.listen):\ninstall -D -m 644 -t \
                 /etc/systemd/system/sidegate.service.d /usr/share/sidegate/privileged-port.conf && systemctl \
                 daemon-reload",
                self.address().port()
            ));
        }
        steps.push(format!(
            "Look it over and start it:\nsidegate check --config {}\nsystemctl enable --now sidegate",
            out.display()
        ));
        let user = match self.keys {
            Keys::Static { .. } => "",
            Keys::Postgres { .. } => " --provision --role <ROLE>",
        };
        steps.push(format!(
            "Add the agent; the claim of its tokens that names it is `sub` ([[issuers]] subject_claim), and it may \
             only read\nunless --max-effect says more (policy.default_max_effect):\n\
             runuser -u sidegate -- sidegate agent add {AGENT} --issuer {} --subject <SUBJECT>{user}",
            self.issuer
        ));
        let resource = format!("{}/api/mcp", self.public_url.trim_end_matches('/'));
        steps.push(format!(
            "Have the issuer make tokens for the resource (audience) {resource}, which is also the MCP endpoint.\n\
             `sidegate token explain < token` says why one is accepted or refused."
        ));
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            psa_url: "https://psa.example.com".into(),
            public_url: "https://mcp.example.com".into(),
            tls_cert: "/etc/tls/a \"quoted\"\\name.crt".into(),
            tls_key: "/etc/tls/tls.key".into(),
            issuer: "https://login.example.com".into(),
            listen: None,
            tenant: None,
            keys: Keys::Static { agent_file: "/etc/sidegate/keys/assistant".into() },
            catalog_file: "/etc/sidegate/keys/catalog".into(),
            private_networks: Vec::new(),
            idp_ca: None,
            state: "/var/lib/sidegate".into(),
            log: "/var/log/sidegate".into(),
        }
    }

    fn read(text: &str) -> serde_json::Value {
        use figment::providers::{Format, Toml};
        figment::Figment::from(Toml::string(text)).extract().expect(text)
    }

    #[test]
    fn the_text_says_what_was_answered() {
        let told = read(&plan().text());
        assert_eq!(told["server"]["listen"][0], "0.0.0.0:443");
        assert_eq!(told["server"]["tls_cert_file"], "/etc/tls/a \"quoted\"\\name.crt");
        assert_eq!(told["psa"]["keys"], "static");
        assert_eq!(told["psa"]["static_keys"][AGENT], "/etc/sidegate/keys/assistant");
        assert_eq!(told["issuers"][0]["issuer"], "https://login.example.com");
        assert_eq!(told.get("idp"), None);
    }

    #[test]
    fn an_answer_can_begin_no_line_of_its_own() {
        let told = read(&Plan { issuer: "x\"\n[psa]\nurl = \"y\u{7f}".into(), ..plan() }.text());
        assert_eq!(told["issuers"][0]["issuer"], "x\"\n[psa]\nurl = \"y\u{7f}");
        assert_eq!(told["psa"]["url"], "https://psa.example.com");
    }

    #[test]
    fn with_a_database_nothing_is_left_to_put_into_files() {
        let keys = |user: Option<&str>| Keys::Postgres {
            database_url_file: "/etc/sidegate/keys/database".into(),
            catalog_user: user.map(str::to_owned),
        };
        let minted = Plan { keys: keys(Some("u")), tenant: Some("t".into()), ..plan() };
        assert!(minted.placeholders().is_empty());
        let told = read(&minted.text());
        assert_eq!((&told["psa"]["tenant"], &told["psa"]["catalog_user"]), (&"t".into(), &"u".into()));
        assert_eq!(Plan { keys: keys(None), ..plan() }.placeholders().len(), 1);
    }

    #[test]
    fn a_low_port_is_named_among_what_is_left_to_do() {
        let says = |url: &str| Plan { public_url: url.into(), ..plan() }.next(Path::new("/x")).concat();
        assert!(says("https://mcp.example.com").contains("port 443"));
        assert!(!says("https://mcp.example.com:8443").contains("privileged-port"));
    }

    #[test]
    fn a_file_of_comments_sets_nothing() {
        assert!(sets_nothing("") && sets_nothing("# a\n\n  # b\n"));
        assert!(!sets_nothing("# a\n[psa]\n"));
    }
}

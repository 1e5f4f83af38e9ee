//! What a world is to be like, and the configuration file that says so.

use std::net::SocketAddr;
use std::path::Path;

use sidegate::demo::DemoPsa;
use sidegate::tool::table::{ToolRow, standard_rows};

/// What differs from everything as the demo has it, in plain HTTP.
pub struct Plan<'a> {
    /// The tools on offer.
    pub rows: Vec<ToolRow>,
    /// A further listener, in quotation marks; it is the test that serves it.
    pub listen: &'a str,
    /// Further lines for `[server]`.
    pub server: &'a str,
    /// Further lines for `[admin]`.
    pub admin: &'a str,
    /// Further lines for `[idp]`.
    pub idp: &'a str,
    /// The lines of `[psa]` instead of the demo's.
    pub psa: Option<&'a str>,
    /// The lines of `[limits]`; by default there are none.
    pub limits: &'a str,
    /// The PSA's address where it is not the demo's, which still makes the keys.
    pub psa_url: Option<&'a str>,
    /// Further text at the end.
    pub more: &'a str,
    /// TLS under the name `localhost`, with a CA of its own: [`World::ca_file`].
    pub tls: bool,
    /// Further lines for the `[[issuers]]` that is trusted.
    pub issuer: &'a str,
    /// A wire before the PSA that keeps what passes: [`World::sent`].
    pub tapped: bool,
    /// Where the store is, if not in a file of the world's own.
    pub store: Option<&'a str>,
    /// Whom to trust instead of the demo's issuer.
    pub trusted: Option<Trusted<'a>>,
}

const NO_LIMITS: &str = "failed_auth_per_minute = 0\ncalls_per_minute = 0\ncalls_in_flight = 0";

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            rows: standard_rows(),
            listen: "",
            server: "",
            admin: "",
            idp: "",
            psa: None,
            limits: NO_LIMITS,
            more: "",
            tls: false,
            issuer: "",
            tapped: false,
            psa_url: None,
            store: None,
            trusted: None,
        }
    }
}

/// An issuer, and the agents bound to its subjects.
pub struct Trusted<'a> {
    pub issuer: &'a str,
    /// Name, subject, and which of the PSA's users it is: `technician` or `reader`.
    pub agents: Vec<(&'a str, String, &'a str)>,
}

impl Trusted<'_> {
    fn text(&self, psa: &DemoPsa, lines: &str) -> String {
        let issuer = self.issuer;
        let mut text = format!("[[issuers]]\nissuer = \"{issuer}\"\n{lines}\n");
        for (name, subject, user) in &self.agents {
            let user = if *user == "reader" { psa.reader() } else { psa.technician() };
            text += &format!(
                "[[agents]]\nname = \"{name}\"\nissuer = \"{issuer}\"\nsubject = \"{subject}\"\n\
                 psa_user = \"{user}\"\nmax_effect = \"destroy\"\n"
            );
        }
        text
    }
}

/// `url` is where calls go, `keys_url` where keys are made.
fn demo_psa(psa: &DemoPsa, url: &str, keys_url: &str) -> String {
    format!(
        "url = \"{url}\"\ndemo_url = \"{keys_url}\"\ntenant = \"{}\"\nkeys = \"demo\"\ndemo_secret = \"{}\"\ncatalog_user = \"{}\"",
        psa.tenant,
        psa.control_secret.expose(),
        psa.catalog_user
    )
}

/// What the configuration ties together.
pub struct Ends<'a> {
    /// What clients call the server.
    pub base: &'a str,
    pub address: SocketAddr,
    pub ops: SocketAddr,
    pub admin: SocketAddr,
    pub folder: &'a Path,
    pub psa: &'a DemoPsa,
    /// Where Sidegate finds it.
    pub psa_url: &'a str,
    /// The demo's issuer.
    pub issuer: &'a str,
}

impl Plan<'_> {
    /// The configuration file's text.
    pub fn configuration(&self, ends: &Ends<'_>) -> String {
        let Ends { base, address, ops, admin, folder, psa, psa_url, issuer } = ends;
        let folder = folder.display();
        let tls = match self.tls {
            true => format!(
                "public_url = \"{base}\"\ntls_cert_file = \"{folder}/tls.crt\"\ntls_key_file = \"{folder}/tls.key\""
            ),
            false => String::new(),
        };
        let agents = ["technician", "reader"].map(|name| (name, format!("demo-{name}"), name));
        let demo = Trusted { issuer, agents: agents.into() };
        format!(
            r#"
[server]
listen = ["{address}", {listen}]
{tls}
{server}
[ops]
listen = "{ops}"
[admin]
listen = ["{admin}"]
{administered}
[store]
url = "{store}"
[tenant]
id = "demo"
[psa]
{psa}
[idp]
allow_private_networks = ["127.0.0.0/8"]
min_refresh_interval = "1s"
{idp}
[limits]
{limits}
[[sinks]]
kind = "file"
path = "{folder}/record/audit.jsonl"
{trusted}
{more}
"#,
            listen = self.listen,
            store = self.store.map_or_else(|| format!("sqlite://{folder}/sidegate.db"), str::to_owned),
            server = self.server,
            administered = self.admin,
            psa = self
                .psa
                .map_or_else(|| demo_psa(psa, self.psa_url.unwrap_or(psa_url), psa_url), str::to_owned),
            idp = self.idp,
            limits = self.limits,
            trusted = self.trusted.as_ref().unwrap_or(&demo).text(psa, self.issuer),
            more = self.more,
        )
    }
}

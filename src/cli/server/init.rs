//! `sidegate init`: a first configuration out of four answers, each of them tried before it is written.

mod probes;
mod text;

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use ipnet::IpNet;

use super::Done;
use crate::app::AppError;
use crate::config;
use probes::Mark;
use text::{Keys, Plan};

pub use text::PLACEHOLDER;

/// Where `serve` looks, and the package's unit.
const USUAL: &str = "/etc/sidegate/sidegate.toml";

#[derive(Debug, Args)]
pub struct InitArguments {
    /// Where the PSA's REST API is, such as https://psa.example.com.
    #[arg(long, value_name = "URL")]
    psa_url: Option<String>,
    /// The URL under which agents reach this server, such as https://mcp.example.com:8443.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The certificate chain for that name, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Its private key, in PEM.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Whose tokens are accepted: exactly their `iss`.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The tenant's UUID in the PSA.
    #[arg(long, value_name = "UUID")]
    tenant: Option<String>,
    /// A file with the URL of the PSA's database, where keys are to be minted there.
    #[arg(long, value_name = "FILE", requires = "tenant")]
    database_url_file: Option<PathBuf>,
    /// The PSA user for whom the catalogue's key is minted there.
    #[arg(long, value_name = "UUID", requires = "database_url_file")]
    catalog_user: Option<String>,
    /// A private network inside which the issuer may be; may be repeated.
    #[arg(long = "allow-private-network", value_name = "NETWORK")]
    private_networks: Vec<IpNet>,
    /// Authorities in PEM that the issuer's certificate may come from, beside the system's.
    #[arg(long, value_name = "FILE")]
    idp_ca: Option<PathBuf>,
    /// Where to listen; without it on all addresses, at the public URL's port.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where Sidegate's own database will be.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/sidegate")]
    state_dir: PathBuf,
    /// Where the audit record will be.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/log/sidegate")]
    log_dir: PathBuf,
    /// The file to write; without it that of --config, then /etc/sidegate/sidegate.toml.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over a configuration that is there already.
    #[arg(long)]
    force: bool,
    /// Ask neither the PSA nor DNS nor the issuer.
    #[arg(long)]
    skip_probes: bool,
}

pub async fn run(config: Option<&Path>, given: InitArguments) -> Done {
    let out = given.out.clone().or_else(|| config.map(Path::to_path_buf));
    let out = absolute(&out.unwrap_or_else(|| USUAL.into()))?;
    may_write(&out, given.force)?;
    let (force, skip) = (given.force, given.skip_probes);
    let plan = plan(given, &out)?;

    let findings = probes::all(&plan, skip, &out).await;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().any(|finding| finding.mark == Mark::Bad) {
        return Err(AppError(
            "nothing was written; mend what is marked NO and run it again (--skip-probes asks nobody: neither \
             the PSA nor DNS nor the issuer)"
                .to_owned(),
        ));
    }
    may_write(&out, force)?;
    write(&plan, &out)?;
    println!("\n{} is written, and `sidegate check` accepts it.\n\nNext:", out.display());
    for (index, step) in plan.next(&out).iter().enumerate() {
        println!("{:>2}. {}", index + 1, step.replace('\n', "\n    "));
    }
    Ok(())
}

/// The answers, asked for where they are not given and somebody is there to ask.
fn plan(given: InitArguments, out: &Path) -> Result<Plan, AppError> {
    let missing = [
        ("--psa-url", given.psa_url.is_none()),
        ("--public-url", given.public_url.is_none()),
        ("--tls-cert", given.tls_cert.is_none()),
        ("--tls-key", given.tls_key.is_none()),
        ("--issuer", given.issuer.is_none()),
    ];
    let missing: Vec<_> = missing.iter().filter(|(_, missing)| *missing).map(|(flag, _)| *flag).collect();
    if !missing.is_empty() && !io::stdin().is_terminal() {
        return Err(AppError(format!(
            "standard input is no terminal, so nothing can be asked; add {}",
            missing.join(", ")
        )));
    }
    let file = |given: Option<PathBuf>, question: &str| -> Result<PathBuf, AppError> {
        absolute(&given.map_or_else(|| ask(question).map(PathBuf::from), Ok)?)
    };
    let word = |given: Option<String>, question: &str| given.map_or_else(|| ask(question), Ok);
    let psa_url = word(given.psa_url, "PSA URL (such as https://psa.example.com): ")?;
    let public_url =
        word(given.public_url, "Public URL of this server (such as https://mcp.example.com:8443): ")?;
    let tls_cert = file(given.tls_cert, "Certificate chain for that name, a PEM file: ")?;
    let tls_key = file(given.tls_key, "Its private key, a PEM file: ")?;
    let issuer = word(given.issuer, "Issuer, exactly the `iss` of the agents' tokens: ")?;
    let beside = |name: &str| out.parent().unwrap_or(Path::new("/")).join("keys").join(name);
    let keys = match given.database_url_file {
        Some(file) => {
            Keys::Postgres { database_url_file: absolute(&file)?, catalog_user: given.catalog_user }
        }
        None => Keys::Static { agent_file: beside(text::AGENT) },
    };
    Ok(Plan {
        psa_url,
        public_url,
        tls_cert,
        tls_key,
        issuer,
        listen: given.listen,
        tenant: given.tenant,
        keys,
        catalog_file: beside("catalog"),
        private_networks: given.private_networks,
        idp_ca: given.idp_ca.as_deref().map(absolute).transpose()?,
        state: absolute(&given.state_dir)?,
        log: absolute(&given.log_dir)?,
    })
}

/// One line from the terminal, asked for until there is one.
fn ask(question: &str) -> Result<String, AppError> {
    let unread = |error: io::Error| AppError(format!("the answer cannot be read: {error}"));
    loop {
        eprint!("{question}");
        io::stderr().flush().map_err(unread)?;
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).map_err(unread)? == 0 {
            return Err(AppError("there was no answer; nothing was written".to_owned()));
        }
        if !line.trim().is_empty() {
            return Ok(line.trim().to_owned());
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, AppError> {
    std::path::absolute(path).map_err(|error| AppError(format!("{}: {error}", path.display())))
}

/// A file that sets nothing, such as the package's own, may be replaced by anybody.
fn may_write(out: &Path, force: bool) -> Done {
    if force {
        return Ok(());
    }
    match fs::read_to_string(out) {
        Ok(text) if text::sets_nothing(&text) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(AppError(format!("{} is there already; --force writes over it", out.display()))),
        Err(error) => Err(AppError(format!("{} cannot be read: {error}", out.display()))),
    }
}

/// Writes the file whole or not at all, and only where `check` accepts it.
fn write(plan: &Plan, out: &Path) -> Done {
    let told = |path: &Path, error: io::Error| AppError(format!("{}: {error}", path.display()));
    let folder = out.parent().unwrap_or(Path::new("/"));
    fs::DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(|error| told(folder, error))?;
    let mut made = Vec::new();
    let written = (|| {
        for file in plan.placeholders() {
            if placeholder(&file).map_err(|error| told(&file, error))? {
                made.push(file);
            }
        }
        let mut new = tempfile::NamedTempFile::new_in(folder).map_err(|error| told(folder, error))?;
        new.write_all(plan.text().as_bytes()).map_err(|error| told(new.path(), error))?;
        // Its directory says whose group it is: the package's belongs to the service's.
        new.as_file().set_permissions(fs::Permissions::from_mode(0o640)).map_err(|e| told(new.path(), e))?;
        new.as_file().sync_all().map_err(|error| told(new.path(), error))?;
        config::load(Some(new.path()), config::environment()).map_err(|problems| {
            let named = problems.to_string();
            let named = named.replace(&new.path().display().to_string(), &out.display().to_string());
            AppError(format!("nothing was written, since `sidegate check` would refuse it\n{named}"))
        })?;
        new.persist(out).map_err(|error| told(out, error.error))?;
        Ok(())
    })();
    if written.is_err() {
        for file in made {
            // What is left there says itself what it is.
            let _ = fs::remove_file(file);
        }
    }
    written
}

/// A file for a key that is yet to come; false where there is one already.
fn placeholder(file: &Path) -> io::Result<bool> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
    }
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o640).open(file) {
        Ok(mut new) => writeln!(new, "{PLACEHOLDER}").map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

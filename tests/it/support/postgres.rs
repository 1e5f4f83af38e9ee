//! A real PostgreSQL 15 for the tests: one server a test process, started when
//! first asked for and gone with the process; one database a test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Keeps the guard's standard input open; when the process ends, however it ends, the
/// pipe closes and the guard stops the server and removes its directory.
struct Server {
    directory: PathBuf,
    _guard: Child,
}

/// A database of a test's own, and a connection to look into it.
pub struct Database {
    /// `postgres://` URL of the database, over the server's socket.
    pub url: String,
    pub connection: PgConnection,
}

/// A new, empty database in which `schema` was run.
pub async fn database(schema: &'static str) -> Database {
    static SERVER: OnceLock<Server> = OnceLock::new();
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(start);
    let name = format!("t{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let mut admin = PgConnection::connect(&url(&server.directory, "postgres")).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    let url = url(&server.directory, &name);
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(schema).execute(&mut connection).await.unwrap();
    Database { url, connection }
}

/// A server of a test's own, which it may restart.
pub struct Own(Server);

impl Own {
    pub fn start() -> Self {
        Self(start())
    }

    pub fn url(&self) -> String {
        url(&self.0.directory, "postgres")
    }

    /// Ends every connection and starts again.
    pub fn restart(&self) {
        let data = self.0.directory.join("data");
        let program = format!("{BIN}/pg_ctl");
        let mut words = as_user(other_user());
        words.extend([program, "restart".to_owned(), "--mode=fast".to_owned(), "--silent".to_owned()]);
        let done = Command::new(&words[0])
            .args(&words[1..])
            .args(["--wait", "--log=/dev/null", "--pgdata"])
            .arg(data)
            .current_dir(&self.0.directory)
            .stdin(Stdio::null())
            .status();
        assert!(done.unwrap().success(), "PostgreSQL was not restarted");
    }
}

/// Where a server would be, were there one.
pub fn url_of_nobody(directory: &Path) -> String {
    url(directory, "postgres")
}

fn url(directory: &Path, database: &str) -> String {
    format!("postgres://sidegate@localhost/{database}?host={}", directory.display())
}

fn start() -> Server {
    assert!(
        Path::new(BIN).join("postgres").exists(),
        "this test needs PostgreSQL 15: install Debian's package postgresql-15"
    );
    // Not under TMPDIR: the path of a socket may have at most 107 bytes.
    let directory = tempfile::Builder::new().prefix("sgpg-").tempdir_in("/tmp").unwrap().keep();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let user = other_user();
    if let Some((uid, gid)) = user {
        chown(&directory, Some(uid), Some(gid)).unwrap();
    }
    let mut guard = Command::new("sh")
        .args(["-c", GUARD, "guard", BIN])
        .arg(&directory)
        .args(as_user(user))
        .current_dir(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until_ready(guard.stderr.take().unwrap());
    Server { directory, _guard: guard }
}

/// $1 is where the programs are, $2 the directory, the rest a command that runs another as a user.
/// The traps do nothing but keep the guard alive. Before its socket is there a server may have no
/// handlers yet, and the signal to stop would be lost.
const GUARD: &str = r#"
trap : INT TERM HUP
bin=$1 directory=$2
shift 2
if "$@" "$bin/initdb" --username=sidegate --auth=trust --no-sync --locale=C --encoding=UTF8 -D "$directory/data" >&2
then
    "$@" "$bin/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= -c max_connections=200 \
        -c fsync=off -c full_page_writes=off -c synchronous_commit=off &
    server=$!
    read -r _
    tries=0
    while [ ! -S "$directory/.s.PGSQL.5432" ] && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
    # Not the one that was started here, where it was restarted since.
    restarted=$(head -n 1 "$directory/data/postmaster.pid" 2>/dev/null)
    kill -QUIT "${restarted:-$server}"
    while kill -0 "${restarted:-$server}" 2>/dev/null && [ $tries -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
    wait "$server"
fi
rm -rf "$directory"
"#;

/// Reads the server's log until it accepts connections, and goes on reading it
/// so that it never waits for a full pipe.
fn wait_until_ready(log: impl std::io::Read + Send + 'static) {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut seen = String::new();
        let mut ready = false;
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            if !ready {
                ready = line.contains("ready to accept connections");
                seen.push_str(&line);
                seen.push('\n');
                if ready {
                    let _ = tell.send(Ok(()));
                }
            }
        }
        let _ = tell.send(Err(seen));
    });
    if let Err(log) = told.recv().unwrap() {
        panic!("PostgreSQL did not start:\n{log}");
    }
}

/// PostgreSQL refuses to run as root: root becomes `postgres` or else `nobody`.
fn other_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(str::parse);
        Some((fields.next()?.ok()?, fields.next()?.ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).unwrap_or((65_534, 65_534)))
}

fn as_user(user: Option<(u32, u32)>) -> Vec<String> {
    user.map_or_else(Vec::new, |(uid, gid)| {
        let change = format!("setpriv --reuid={uid} --regid={gid} --clear-groups");
        change.split(' ').map(str::to_owned).collect()
    })
}

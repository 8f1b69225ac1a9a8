//! A throw-away PostgreSQL cluster from the machine's own binaries: one per test process, gone with it.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A running server.
#[derive(Debug)]
pub struct Cluster {
    port: u16,
    databases: AtomicU32,
    /// Its standard input is a pipe that closes when this process ends, however it ends; then it stops the server.
    _keeper: Child,
}

/// The cluster of this process, started at the first use. `None`, loudly, where the machine has no PostgreSQL; under
/// `CI` that is a failure, since a promise kept on one engine is not kept.
pub fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| {
            binaries()
                .map(|folder| Cluster::start(&folder))
                .or_else(without_postgres)
        })
        .as_ref()
}

fn without_postgres() -> Option<Cluster> {
    let message = "PostgreSQL's server binaries (initdb, pg_ctl) were not found: its half of the tests is NOT run";
    assert!(
        std::env::var_os("CI").is_none(),
        "{message}, and under CI that is a failure"
    );
    // Straight to the terminal: the test harness hides what passing tests print.
    let _ = writeln!(std::io::stderr(), "\n*** {message} ***\n");
    None
}

/// The newest server's folder: Debian keeps them out of the PATH.
fn binaries() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let debian = debian.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = debian.chain(std::env::split_paths(&path)).collect();
    folders.retain(|folder| {
        folder.join("initdb").is_file() && folder.join("pg_ctl").is_file() && folder.join("postgres").is_file()
    });
    folders.into_iter().max()
}

/// The user that runs the server: PostgreSQL refuses to run as root.
struct ServerUser {
    uid: u32,
    gid: u32,
}

fn server_user() -> Option<ServerUser> {
    let number = |arguments: &[&str]| -> Option<u32> {
        let output = Command::new("id").args(arguments).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    if number(&["-u"])? != 0 {
        return None;
    }
    let name = if number(&["-u", "postgres"]).is_some() {
        "postgres"
    } else {
        "nobody"
    };
    Some(ServerUser {
        uid: number(&["-u", name])?,
        gid: number(&["-g", name])?,
    })
}

impl Cluster {
    fn start(binaries: &Path) -> Self {
        let user = server_user();
        let folder = tempfile::Builder::new()
            .prefix("dmp-postgres-")
            .tempdir()
            .unwrap()
            .keep();
        if let Some(user) = &user {
            chown(&folder, Some(user.uid), Some(user.gid)).unwrap();
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command
                .current_dir(&folder)
                .env("LC_ALL", "C.UTF-8")
                .stdout(Stdio::null());
            if let Some(user) = &user {
                command.uid(user.uid).gid(user.gid);
            }
            command
        };
        let data = folder.join("data");
        let made = command(&binaries.join("initdb"))
            .args([
                "--username=dmp",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-sync",
                "--pgdata",
            ])
            .arg(&data)
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let port = free_port();
        let settings = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=400 \
             -c shared_buffers=128MB"
        );
        let started = command(&binaries.join("pg_ctl"))
            .args(["-w", "-l"])
            .arg(folder.join("log"))
            .args(["-o", &settings, "start", "-D"])
            .arg(&data)
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(started.success(), "PostgreSQL did not start");
        let keeper = command(Path::new("/bin/sh"))
            .args([
                "-c",
                "read -r _; \"$1\" -m immediate -D \"$2/data\" stop; rm -rf \"$2\"",
                "keeper",
            ])
            .arg(binaries.join("pg_ctl"))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            // Out of reach of a Ctrl-C or a time limit that ends the tests: it has the server to stop.
            .process_group(0)
            .spawn()
            .unwrap();
        Self {
            port,
            databases: AtomicU32::new(0),
            _keeper: keeper,
        }
    }

    /// Makes an empty database and answers its address.
    pub async fn new_database(&self) -> String {
        use sqlx::{AssertSqlSafe, Connection, Executor};
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let mut admin = sqlx::PgConnection::connect(&self.url("postgres")).await.unwrap();
        admin
            .execute(sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))))
            .await
            .unwrap();
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://dmp@127.0.0.1:{}/{database}", self.port)
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

//! The binary under a service manager: what it tells it, and when.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::wait::until;
use crate::support::world::World;

/// A manager that listens, and a server of its own in front of a world's PSA and issuer.
struct Managed {
    world: World,
    folder: TempDir,
    file: PathBuf,
    text: String,
    manager: UnixDatagram,
    serving: Process,
}

impl Managed {
    async fn start(watchdog: Option<&str>) -> Self {
        let world = World::start().await;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("notify");
        let manager = UnixDatagram::bind(&place).unwrap();
        manager.set_nonblocking(true).unwrap();
        let text = world.beside(folder.path());
        let file = folder.path().join("own.toml");
        fs::write(&file, &text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sidegate"));
        command.env_clear().env("NOTIFY_SOCKET", &place).args(["serve", "--config"]).arg(&file);
        if let Some(watchdog) = watchdog {
            command.env("WATCHDOG_USEC", watchdog);
        }
        let serving = Process::start(&mut command);
        Self { world, folder, file, text, manager, serving }
    }

    fn heard(&self) -> Option<String> {
        let mut bytes = [0; 1000];
        let length = self.manager.recv(&mut bytes).ok()?;
        Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
    }

    /// The next that is said, signs of life left out.
    async fn said(&self) -> String {
        until(|| async { self.heard().filter(|said| said != "WATCHDOG=1") }).await
    }

    fn rewrite(&self, text: &str) {
        let new = self.folder.path().join("new.toml");
        fs::write(&new, text).unwrap();
        fs::rename(new, &self.file).unwrap();
    }
}

#[tokio::test]
async fn a_manager_hears_of_the_start_of_each_reload_and_of_the_end() {
    let mut managed = Managed::start(None).await;
    assert_eq!(managed.said().await, "READY=1\nSTATUS=Serving");
    managed.rewrite(&managed.text.replace("calls_per_minute = 0", "calls_per_minute = 100"));
    managed.serving.signal("HUP");
    assert!(managed.said().await.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(managed.said().await, "READY=1\nSTATUS=Serving");
    managed.rewrite("nonsense");
    managed.serving.signal("HUP");
    // The file's own watch may have come first, and comes again.
    until(|| async { managed.heard().filter(|said| said.contains("was refused")) }).await;
    managed.serving.terminate();
    let end = until(|| async { managed.heard().filter(|said| said.starts_with("STOPPING=1\n")) }).await;
    assert!(end.contains("EXTEND_TIMEOUT_USEC=40000000\n"), "{end}");
    assert_eq!(managed.serving.ended().await.code, Some(0));
    assert!(managed.heard().is_none(), "nothing is said after the end but signs of life");
}

#[tokio::test]
async fn signs_of_life_come_twice_within_the_managers_patience_whether_the_psa_is_there_or_not() {
    let managed = Managed::start(Some("400000")).await;
    assert_eq!(managed.said().await, "READY=1\nSTATUS=Serving");
    managed.world.psa.stop();
    let mut beats = 0;
    let until_then = tokio::time::Instant::now() + Duration::from_secs(2);
    while tokio::time::Instant::now() < until_then {
        beats += usize::from(managed.heard().is_some_and(|said| said == "WATCHDOG=1"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // 10 in the two seconds; a machine under load may be late.
    assert!((4..=12).contains(&beats), "{beats}");
}

#[tokio::test]
async fn a_process_that_does_not_run_gives_no_sign_of_life() {
    let managed = Managed::start(Some("200000")).await;
    managed.said().await;
    managed.serving.signal("STOP");
    tokio::time::sleep(Duration::from_millis(300)).await;
    while managed.heard().is_some() {}
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(managed.heard(), None);
    managed.serving.signal("CONT");
    until(|| async { managed.heard() }).await;
}

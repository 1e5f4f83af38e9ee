//! What a service manager is told (sd_notify(3)): ready, reloading, stopping, and that the process
//! is alive. Without a manager that listens nothing is said, and nothing here can make a server fail.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock::monotonic;

/// The line to the service manager.
#[derive(Debug, Default)]
pub struct Notify {
    line: Option<(UnixDatagram, SocketAddr)>,
    /// How long the manager waits for a sign of life.
    patience: Option<Duration>,
}

impl Notify {
    /// The line that `said`, variables of the service manager's, describes.
    pub fn new(said: impl Iterator<Item = (String, OsString)>) -> Self {
        let mut notify = Self::default();
        let mut meant = true;
        for (name, value) in said {
            match name.as_str() {
                "NOTIFY_SOCKET" => notify.line = line(&value),
                "WATCHDOG_USEC" => notify.patience = number(&value).map(Duration::from_micros),
                "WATCHDOG_PID" => meant = number(&value) == Some(u64::from(std::process::id())),
                _ => {}
            }
        }
        notify.patience = notify.patience.filter(|patience| meant && !patience.is_zero());
        notify
    }

    /// Requests are answered.
    pub fn ready(&self, status: &str) {
        self.say(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A changed configuration is being looked at; [`Self::ready`] ends that.
    pub fn reloading(&self) {
        let now = monotonic().as_micros();
        self.say(&format!("RELOADING=1\nMONOTONIC_USEC={now}\nSTATUS=Reading the configuration again"));
    }

    /// The end has begun and may take this long.
    pub fn stopping(&self, limit: Duration) {
        let limit = limit.as_micros();
        self.say(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=Waiting for calls in flight"));
    }

    /// Gives a sign of life twice within the manager's patience for as long as new tasks get their
    /// turn. Whether the PSA or an issuer answers is not life: a restart would not mend them.
    pub async fn live(&self) {
        let Some(patience) = self.patience.filter(|_| self.line.is_some()) else { return };
        let mut beat = tokio::time::interval(patience / 2);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            if tokio::spawn(tokio::task::yield_now()).await.is_ok() {
                self.say("WATCHDOG=1");
            }
        }
    }

    fn say(&self, words: &str) {
        if let Some((socket, manager)) = &self.line
            && let Err(error) = socket.send_to_addr(words.as_bytes(), manager)
        {
            tracing::debug!("the service manager cannot be told: {error}");
        }
    }
}

/// A socket's path, or after `@` an abstract name.
fn line(place: &OsString) -> Option<(UnixDatagram, SocketAddr)> {
    let address = match place.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(place),
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        _ => return None,
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A manager that does not listen must not stop us.
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}

fn number(text: &OsString) -> Option<u64> {
    text.to_str()?.parse().ok()
}

/// A second line would be a second variable.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &[(&str, &str)]) -> Notify {
        Notify::new(lines.iter().map(|(name, value)| ((*name).to_owned(), OsString::from(value))))
    }

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 500];
        let length = socket.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    #[test]
    fn each_state_is_one_message_on_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("notify");
        let name = format!("sidegate-test-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).expect("a name");
        for (manager, place) in [
            (UnixDatagram::bind(&path).expect("bound"), path.display().to_string()),
            (UnixDatagram::bind_addr(&abstract_name).expect("bound"), format!("@{name}")),
        ] {
            let notify = said(&[("NOTIFY_SOCKET", &place)]);
            notify.ready("Serving\nMAINPID=1");
            assert_eq!(heard(&manager), "READY=1\nSTATUS=Serving MAINPID=1");
            notify.reloading();
            assert!(heard(&manager).starts_with("RELOADING=1\nMONOTONIC_USEC="));
            notify.stopping(Duration::from_secs(2));
            assert!(heard(&manager).starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=2000000\n"));
        }
    }

    #[test]
    fn without_a_manager_nothing_fails() {
        for place in ["", "relative", "vsock:1:2", "/no/such/socket"] {
            said(&[("NOTIFY_SOCKET", place)]).ready("Serving");
        }
        Notify::default().ready("Serving");
    }

    #[test]
    fn signs_of_life_are_given_where_they_are_asked_of_this_process() {
        let me = std::process::id().to_string();
        let patience = |lines: &[(&str, &str)]| said(lines).patience;
        let second = Some(Duration::from_secs(1));
        assert_eq!(patience(&[("WATCHDOG_USEC", "1000000")]), second);
        assert_eq!(patience(&[("WATCHDOG_USEC", "1000000"), ("WATCHDOG_PID", &me)]), second);
        assert_eq!(patience(&[("WATCHDOG_PID", "1"), ("WATCHDOG_USEC", "1000000")]), None);
        assert_eq!(patience(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(patience(&[("WATCHDOG_USEC", "soon")]), None);
        assert_eq!(patience(&[]), None);
    }
}

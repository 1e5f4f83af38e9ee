//! A unix socket to listen on: takes its place in the file system, and leaves it again.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Who may connect: owner and group. Who else is kept out is the directory's business.
const MODE: u32 = 0o660;

/// A unix socket whose file lives as long as this value.
pub struct UnixSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// Removes the file when it goes.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl UnixSocket {
    /// Binds `path`. A socket file that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// In words: a path that is taken, by a live socket or by something else, or cannot be bound.
    pub fn bind(path: &Path) -> Result<Self, String> {
        make_room(path)?;
        let refused = |error: std::io::Error| format!("cannot bind: {error}");
        let listener = UnixListener::bind(path).map_err(refused)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(MODE)).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Self { listener, file })
    }

    /// The listener, and the file that must go before it.
    pub fn into_parts(self) -> (UnixListener, SocketFile) {
        (self.listener, self.file)
    }
}

fn make_room(path: &Path) -> Result<(), String> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("cannot be looked at: {error}")),
    };
    if !there.file_type().is_socket() {
        return Err("something that is no socket is there; move it away or choose another path".to_owned());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err("another process listens there; stop it or choose another path".to_owned()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| format!("the old socket cannot be removed: {error}"))
        }
        Err(error) => Err(format!("whether another process listens there cannot be found out: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(path: &Path) -> String {
        UnixSocket::bind(path).map(|_| ()).expect_err("refused")
    }

    #[test]
    fn a_socket_that_nobody_listens_on_is_replaced_and_the_new_one_goes_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener of the system leaves its file");
        let socket = UnixSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_live_socket_a_plain_file_and_a_missing_folder_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let _live = UnixSocket::bind(&path).unwrap();
        assert!(said(&path).contains("another process"), "{}", said(&path));
        let plain = folder.path().join("plain");
        fs::write(&plain, "kept").unwrap();
        assert!(said(&plain).contains("no socket"), "{}", said(&plain));
        assert_eq!(fs::read_to_string(&plain).unwrap(), "kept");
        assert!(said(&folder.path().join("none/a.sock")).contains("cannot bind"));
    }
}

//! What a public listener listens on, as the configuration writes it. Pure.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What begins the address of a unix socket.
const UNIX: &str = "unix:";

/// Where a listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// IP address and port; port 0 is any that is free.
    Tcp(SocketAddr),
    /// The absolute path of a unix socket.
    Unix(PathBuf),
}

impl Address {
    /// Reads `127.0.0.1:8443`, `[::1]:8443` or `unix:/run/sidegate/mcp.sock`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix(UNIX) {
            Some(path) if path.starts_with('/') && !path.ends_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(format!(
                "`{text}` does not name an absolute path; write such as unix:/run/sidegate/mcp.sock"
            )),
            None => text.parse().map(Self::Tcp).map_err(|_| {
                format!(
                    "`{text}` is not an IP address with a port; write such as 127.0.0.1:8443, [::1]:8443 \
                     or unix:/run/sidegate/mcp.sock"
                )
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_socket_address_or_an_absolute_path() {
        assert_eq!(Address::parse("[::1]:1"), Ok(Address::Tcp("[::1]:1".parse().unwrap())));
        assert_eq!(Address::parse("unix:/run/a.sock"), Ok(Address::Unix("/run/a.sock".into())));
        for text in ["unix:", "unix:a.sock", "unix:/run/", "localhost:1", "127.0.0.1", "/run/a.sock", ""] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}

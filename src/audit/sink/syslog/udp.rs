//! Messages as datagrams (RFC 5426).

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::net::UdpSocket;

use super::{Address, Writer};
use crate::audit::sink::table::{Sink, Undelivered};
use crate::record::Record;

pub(super) struct Udp {
    address: Address,
    writer: Writer,
    socket: Option<UdpSocket>,
}

impl Udp {
    pub fn new(address: Address, writer: Writer) -> Self {
        Self { address, writer, socket: None }
    }

    async fn connect(&self) -> Result<UdpSocket, String> {
        let mut why = String::new();
        for address in self.address.resolve().await? {
            let any: SocketAddr = match address {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let connected = async {
                let socket = UdpSocket::bind(any).await?;
                socket.connect(address).await?;
                Ok::<_, io::Error>(socket)
            };
            match connected.await {
                Ok(socket) => return Ok(socket),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    async fn send(&mut self, records: &[Arc<Record>]) -> Result<(), String> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect().await?,
        };
        for record in records {
            socket.send(&self.writer.message(record)).await.map_err(|error| error.to_string())?;
        }
        // What the receiver's machine said of one that was sent before: the socket keeps it until it is asked.
        if let Some(error) = socket.take_error().ok().flatten() {
            return Err(error.to_string());
        }
        self.socket = Some(socket);
        Ok(())
    }
}

#[async_trait]
impl Sink for Udp {
    async fn deliver(&mut self, records: &[Arc<Record>]) -> Result<(), Undelivered> {
        // An error tells that some datagram did not arrive, and not which.
        self.send(records).await.map_err(|why| Undelivered { taken: 0, why })
    }
}

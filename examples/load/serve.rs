//! The servers: each one thread.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, UdpSocket};

use chunkcast::auth::seal::NetworkKey;
use chunkcast::driver;
use chunkcast::node::{Network, NodeConfig};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

/// Sends back as many bytes of each datagram as its first two bytes say.
pub(crate) fn echo() -> io::Result<()> {
    let socket = UdpSocket::bind(LOOPBACK)?;
    serving(socket.local_addr()?)?;
    let mut buffer = [0; 1201];
    loop {
        let (_, from) = socket.recv_from(&mut buffer)?;
        let answer = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
        socket.send_to(&buffer[..answer.min(buffer.len())], from)?;
    }
}

/// Of the closed network.
pub(crate) const KEY: NetworkKey = NetworkKey([0x5a; 32]);

/// The shipped driver around a node that is alone on its ring. Its rates have no bound, but are counted.
pub(crate) fn node(network: Network) -> io::Result<()> {
    let mut config = NodeConfig {
        network,
        ..NodeConfig::default()
    };
    config.guard.rates.per_second = 1_000_000_000;
    config.guard.rates.burst = u32::MAX;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let node = driver::spawn(config, LOOPBACK, Vec::new())
            .await
            .map_err(io::Error::other)?;
        serving(node.local_addr())?;
        std::future::pending().await
    })
}

/// Tells the owner where this listens, and ends this process when the owner does.
fn serving(addr: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{addr}")?;
    out.flush()?;
    std::thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    Ok(())
}

//! opentracker's UDP announces (BEP 15) for comparison.

use std::io;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

use crate::ask::{Asker, Load};
use crate::messages::LARGE;
use crate::process::{Child, pinned};

const INFOHASH: [u8; 20] = [0xab; 20];
const MAGIC: u64 = 0x0417_2710_1980;
const CONNECT: u32 = 0;
const ANNOUNCE: u32 = 1;
/// Peers asked for: as many as a lookup.
const WANTED: u32 = 4;

/// opentracker on a free port; `None`, with a line that says so, when it is not installed.
pub(crate) fn start(core: usize) -> io::Result<Option<Child>> {
    let installed = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|dir| dir.join("opentracker").is_file())
    });
    if !installed {
        eprintln!("skipped: opentracker's announces (it is not installed)");
        return Ok(None);
    }
    let dir = List::write()?;
    let addr = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let port = addr.port().to_string();
    let mut command = pinned("opentracker", core);
    // Debian's opentracker serves only listed torrents; started as root it changes its root directory to that of the
    // list, which it then knows by its bare name.
    command
        .current_dir(&dir.0)
        .args([
            "-i",
            "127.0.0.1",
            "-p",
            &port,
            "-P",
            &port,
            "-w",
            "list",
            "-d",
        ])
        .arg(&dir.0);
    let mut child = Child::foreign(command, addr)?;
    let mut asker = Asker::new(addr, 1)?;
    match asker.ask(&connect()) {
        Ok(_) => Ok(Some(child)),
        Err(_) if child.has_ended() => {
            eprintln!("skipped: opentracker's announces (it ends at once)");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// The directory of the list of torrents: read at the start only, so gone soon after.
struct List(PathBuf);

impl List {
    fn write() -> io::Result<Self> {
        let dir = std::env::temp_dir().join(format!("chunkcast-load-{}", std::process::id()));
        std::fs::create_dir(&dir)?;
        let list = Self(dir);
        let hex: String = INFOHASH.iter().map(|b| format!("{b:02x}")).collect();
        std::fs::write(list.0.join("list"), hex + "\n")?;
        readable(&list.0)?;
        readable(&list.0.join("list"))?;
        Ok(list)
    }
}

/// opentracker leaves root before it reads.
fn readable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

impl Drop for List {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn connect() -> Vec<u8> {
    let mut out = MAGIC.to_be_bytes().to_vec();
    out.extend(CONNECT.to_be_bytes());
    out.extend(7u32.to_be_bytes());
    out
}

/// Announces of 512 peers of one torrent, each for 4 others.
#[derive(Debug)]
pub(crate) struct Announces {
    datagrams: Vec<Vec<u8>>,
}

impl Announces {
    /// Gets a connection id and makes the peers known.
    pub(crate) fn new(asker: &mut Asker) -> io::Result<Self> {
        let answer = asker.ask(&connect())?;
        let id = answer
            .get(8..16)
            .ok_or_else(|| io::Error::other("opentracker gave no connection id"))?;
        let datagrams = (0..LARGE).map(|n| announce(id, n)).collect();
        let announces = Self { datagrams };
        for datagram in &announces.datagrams {
            asker.ask(datagram)?;
        }
        Ok(announces)
    }
}

fn announce(connection: &[u8], n: u16) -> Vec<u8> {
    let mut out = connection.to_vec();
    out.extend(ANNOUNCE.to_be_bytes());
    out.extend(u32::from(n).to_be_bytes()); // transaction
    out.extend(INFOHASH);
    let mut peer = [b'-'; 20];
    peer[..2].copy_from_slice(&n.to_be_bytes());
    out.extend(peer);
    out.extend(0u64.to_be_bytes()); // downloaded
    out.extend(1u64.to_be_bytes()); // left
    out.extend(0u64.to_be_bytes()); // uploaded
    out.extend(0u32.to_be_bytes()); // no event
    out.extend(0u32.to_be_bytes()); // the source's address
    out.extend(u32::from(n).to_be_bytes()); // key
    out.extend(WANTED.to_be_bytes());
    out.extend((10_000 + n).to_be_bytes()); // port
    out
}

impl Load for Announces {
    fn request(&mut self, n: u32) -> &[u8] {
        &self.datagrams[(n % u32::from(LARGE)) as usize]
    }

    fn is_answer(&self, datagram: &[u8]) -> bool {
        datagram.starts_with(&ANNOUNCE.to_be_bytes()) && datagram.len() == 20 + 6 * WANTED as usize
    }
}

//! What is told to systemd, if it started us and wants to know (sd_notify(3)).

use std::os::unix::net::UnixDatagram;

/// Where it is told.
#[derive(Debug)]
pub(super) struct Notify(Option<UnixDatagram>);

impl Notify {
    /// The socket that `NOTIFY_SOCKET` names.
    pub(super) fn new() -> Self {
        let path = std::env::var_os("NOTIFY_SOCKET");
        Self(path.and_then(|path| connect(&path).ok()))
    }

    /// Tells one state, such as `READY=1`. Nobody waits for it.
    pub(super) fn say(&self, state: &str) {
        if let Some(socket) = &self.0 {
            let _ = socket.send(state.as_bytes());
        }
    }
}

fn connect(path: &std::ffi::OsStr) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match name(path) {
        #[cfg(target_os = "linux")]
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            let addr = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
            socket.connect_addr(&addr)?;
        }
        _ => socket.connect(path)?,
    }
    Ok(socket)
}

/// A name that is no file: written with an @ before it.
fn name(path: &std::ffi::OsStr) -> Option<&[u8]> {
    std::os::unix::ffi::OsStrExt::as_bytes(path).strip_prefix(b"@")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_at_a_path_hears_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("notify");
        let listener = UnixDatagram::bind(&path).expect("a socket");
        Notify(connect(path.as_os_str()).ok()).say("READY=1");
        let mut heard = [0; 16];
        let length = listener.recv(&mut heard).expect("a datagram");
        assert_eq!(&heard[..length], b"READY=1");
        Notify(connect(dir.path().as_os_str()).ok()).say("READY=1"); // nobody is there
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn who_listens_at_a_name_hears_it() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("chunkcast-{}", std::process::id());
        let addr = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = UnixDatagram::bind_addr(&addr).expect("a socket");
        let path = format!("@{name}");
        Notify(connect(path.as_ref()).ok()).say("STOPPING=1");
        let mut heard = [0; 16];
        let length = listener.recv(&mut heard).expect("a datagram");
        assert_eq!(&heard[..length], b"STOPPING=1");
    }
}

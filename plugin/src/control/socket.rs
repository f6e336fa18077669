//! Unix domain sockets that only the owner of the process can use.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};

/// Why there is no socket.
#[derive(Debug)]
pub(crate) enum SocketError {
    /// Another process answers there.
    InUse,
    /// Something else is there.
    InTheWay,
    /// The system refuses.
    Io(io::Error),
}

/// The file of a socket that is listened to, removed with this.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A listener that only the owner of the process can connect to, from its first moment. A socket that a dead process left
/// there is replaced. Needs a tokio runtime.
pub(crate) fn listen(path: &Path) -> Result<(UnixListener, SocketFile), SocketError> {
    make_way(path)?;
    let listener = bind(path)
        .and_then(UnixListener::from_std)
        .map_err(SocketError::Io)?;
    Ok((listener, SocketFile(path.to_owned())))
}

/// Whether the other end is the owner of the process, or root: a file mode does not keep everyone out on every system.
pub(crate) fn is_of_owner(stream: &UnixStream) -> bool {
    let us = rustix::process::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|c| c.uid() == us || c.uid() == 0)
}

/// Removes a socket that nobody serves any more.
fn make_way(path: &Path) -> Result<(), SocketError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(SocketError::InTheWay);
    }
    match StdStream::connect(path) {
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(SocketError::Io)
        }
        _ => Err(SocketError::InUse),
    }
}

fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Linux gives the file the mode of the socket; elsewhere the line after the bind does.
    let _ = fchmod(&socket, Mode::RUSR | Mode::WUSR);
    socket.bind(&SockAddr::unix(path)?)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(64)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

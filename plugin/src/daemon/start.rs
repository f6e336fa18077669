//! Starting a daemon, and what starts it has of it.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::actor::{Actor, Note, Parts, blocklist};
use super::clock::Clock;
use super::facts::Facts;
use super::handle::{Daemon, channel};
use super::paths::Roots;
use super::settings::Settings;
use super::store::{self, Lock, LockError, Places, Writer};
use crate::session::{IndexNode, Session, SessionConfig, SessionError};

/// What a daemon needs to know.
#[derive(Clone, Debug)]
pub struct DaemonConfig {
    /// The engine. Its rates are those of `settings`.
    pub session: SessionConfig,
    /// What can be changed while it runs.
    pub settings: Settings,
    /// Where it keeps what survives it; no other daemon may use it.
    pub state_dir: PathBuf,
    /// Data may be in these directories and all below them, and below [`Settings::download_dir`].
    pub allowed: Vec<PathBuf>,
    /// The download directory that the operator named, which holds data too where a client has chosen another since.
    pub download_dir: PathBuf,
    /// The time.
    pub clock: Clock,
}

impl DaemonConfig {
    /// One with the system's clock that allows the download directory alone.
    pub fn new(session: SessionConfig, settings: Settings, state_dir: PathBuf) -> Self {
        Self {
            session,
            state_dir,
            allowed: Vec::new(),
            download_dir: settings.download_dir.clone(),
            settings,
            clock: Clock::default(),
        }
    }
}

/// Why a daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] LockError),
    /// The sockets.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// A daemon that runs. Dropped it goes on; [`Running::stop`] or [`Daemon::shutdown`] ends it.
#[derive(Debug)]
pub struct Running {
    /// Its handle.
    pub daemon: Daemon,
    /// Where peers can connect to.
    pub listen: SocketAddr,
    /// Its index node, or its client of others'.
    pub index: Option<IndexNode>,
    allowed: Vec<PathBuf>,
    notes: mpsc::Sender<Note>,
    task: JoinHandle<()>,
}

/// Starts a daemon: locks its state directory, opens the sockets, takes up what was kept. Torrents begin as the queue allows.
///
/// # Errors
/// [`StartError`]: one line that names what is in the way.
pub async fn start(config: DaemonConfig) -> Result<Running, StartError> {
    let DaemonConfig {
        mut session,
        settings,
        state_dir,
        allowed,
        download_dir,
        clock,
    } = config;
    let places = Places::new(&state_dir);
    let (lock, loaded, blocklist) = {
        let uses_list = settings.blocklist;
        let (state_dir, places) = (state_dir.clone(), places.clone());
        let open = move || {
            let lock = Lock::take(&state_dir)?;
            let loaded = store::load(&places)?;
            // before a torrent begins
            let list = uses_list.then(|| Ok(blocklist::copy(&places.blocklist())));
            Ok::<_, LockError>((lock, loaded, list))
        };
        let opened = tokio::task::spawn_blocking(open).await;
        opened.unwrap_or_else(|e| std::panic::resume_unwind(e.into_panic()))?
    };
    session.limits.connections = settings.connections;
    let mut facts = Facts {
        state_dir,
        dht: session.dht,
        pex: session.pex,
        lsd: session.lsd,
        utp: session.transports != crate::session::Transports::Tcp,
        port_mapping: session.map_ports.is_some(),
        encryption: session.conn.encryption,
        ..Facts::default()
    };
    let session = Session::start(session).await?;
    let (listen, index) = (session.listen_addr(), session.index().cloned());
    facts.peer_port = Some(listen.port());
    let downloads = [download_dir, settings.download_dir.clone()];
    let roots = Roots::new([&allowed[..], &downloads].concat());
    let (writer, writing) = Writer::spawn();
    let (daemon, inbox) = channel();
    let parts = Parts {
        session,
        settings,
        roots,
        places,
        writer,
        loaded,
        blocklist,
        clock,
        facts,
        daemon: daemon.clone(),
    };
    let (actor, notes) = Actor::new(inbox, parts);
    let task = tokio::spawn(async move {
        actor.run().await;
        // the directory stays locked until all is written
        let _ = writing.await;
        drop(lock);
    });
    Ok(Running {
        daemon,
        listen,
        index,
        allowed,
        notes,
        task,
    })
}

impl Running {
    /// The configuration was read anew: these settings hold from now on, and what was changed while the daemon ran is forgotten.
    pub async fn reload(&self, settings: Settings) {
        let mut allowed = self.allowed.clone();
        allowed.push(settings.download_dir.clone());
        let note = Note::Reload(Box::new(settings), Roots::new(allowed));
        // one that has ended needs none
        let _ = self.notes.send(note).await;
    }

    /// Waits until the daemon has ended.
    pub async fn wait(&mut self) {
        if let Err(e) = (&mut self.task).await
            && let Ok(panic) = e.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }

    /// Ends the daemon in an orderly way, within ten seconds.
    pub async fn stop(mut self) {
        // one that has ended has ended
        let _ = self.daemon.shutdown().await;
        self.wait().await;
    }
}

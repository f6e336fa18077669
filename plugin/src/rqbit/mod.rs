//! Near peers for programs that embed librqbit.
//!
//! [`Rqbit`] starts an index node and a tracker on loopback, and sets an unmodified `librqbit::Session` up to use them: the session
//! asks that tracker for peers, and gets those that hold what it lacks, the nearest first; a storage around its own tells
//! which pieces it has completed, and these are published. What a torrent has from before is read as it is from any
//! client, by connecting to the session, which therefore has to listen.
//!
//! The session goes on choosing peers and pieces by its own rules; `chunkcast get` does more.

mod storage;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use librqbit::storage::StorageFactoryExt;
use librqbit::storage::filesystem::FilesystemStorageFactory;
use librqbit::{AddTorrentOptions, SessionOptions};
use url::Url;

use self::storage::Telling;
use crate::facade::{Facade, FacadeConfig, FacadeError, FacadeStats};
use crate::limits::{Limits, LimitsConfig};
use crate::session::{IndexNode, IndexSettings, SessionError, start_colocated_node};

/// When a torrent that has everything announces itself again. A librqbit session asks no tracker before the minimum interval
/// is over, so that this is what it is told for both.
const SEED_INTERVAL: Duration = Duration::from_secs(300); // guess

/// How the plugin takes part in the directory.
#[derive(Clone, Debug, Default)]
pub struct RqbitConfig {
    /// Index nodes to join through; none: others on the local network, if `index.lan` is set, or nobody.
    pub bootstrap: Vec<SocketAddr>,
    /// UDP address of the index node; `None`: port 4240 of any address, or a free one.
    pub index_listen: Option<SocketAddr>,
    /// Who the index node is, and who takes part.
    pub index: IndexSettings,
    /// Lookups and connections.
    pub limits: LimitsConfig,
}

/// Why the plugin cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RqbitError {
    /// No index node.
    #[error(transparent)]
    Index(#[from] SessionError),
    /// No tracker on loopback.
    #[error(transparent)]
    Tracker(#[from] FacadeError),
}

/// The directory for librqbit sessions of this process. Dropping it ends it; [`Rqbit::shutdown`] also takes back what it has
/// published.
#[derive(Debug)]
pub struct Rqbit {
    facade: Facade,
    node: IndexNode,
    tracker: Url,
}

impl Rqbit {
    /// Starts an index node, and a tracker on a free port of loopback.
    ///
    /// # Errors
    /// [`RqbitError`] when an address is taken.
    pub async fn start(config: RqbitConfig) -> Result<Self, RqbitError> {
        let RqbitConfig {
            bootstrap,
            index_listen,
            index,
            limits,
        } = config;
        let node = start_colocated_node(index_listen, bootstrap.clone(), index).await?;
        let started = start_facade(&node, &bootstrap, &limits).await;
        match started {
            Ok((facade, tracker)) => Ok(Self {
                facade,
                node,
                tracker,
            }),
            Err(e) => {
                node.shutdown().await;
                Err(e.into())
            }
        }
    }

    /// Sets a session up: for the torrents added to it, magnet links included, it asks the directory for peers, and those with
    /// the session's own storage tell of their pieces. The rest of `options` stays as it is; without `listen` the session
    /// gets peers, and nobody is told what it has.
    pub fn session(&self, options: &mut SessionOptions) {
        options.trackers.insert(self.tracker.clone());
        let own = options.default_storage_factory.take();
        let own = own.unwrap_or_else(|| FilesystemStorageFactory::default().boxed());
        options.default_storage_factory = Some(Telling::new(own, self.facade.feeds()).boxed());
    }

    /// Sets one torrent up, in a session that is not, or has a storage of its own for it: a magnet link in a session that is not
    /// set up needs [`Rqbit::tracker`] in the link, as librqbit takes the trackers of `options` for .torrent files only.
    /// `interval` is how often the directory is asked, whatever it suggests.
    pub fn torrent(&self, options: &mut AddTorrentOptions, interval: Option<Duration>) {
        let trackers = options.trackers.get_or_insert_default();
        trackers.push(self.tracker.to_string());
        options.force_tracker_interval = interval.or(options.force_tracker_interval);
        let own = options.storage_factory.take();
        let own = own.unwrap_or_else(|| FilesystemStorageFactory::default().boxed());
        options.storage_factory = Some(Telling::new(own, self.facade.feeds()).boxed());
    }

    /// Where the directory answers as a tracker.
    pub fn tracker(&self) -> &Url {
        &self.tracker
    }

    /// The index node.
    pub fn node(&self) -> &IndexNode {
        &self.node
    }

    /// What was asked and answered so far.
    pub fn stats(&self) -> FacadeStats {
        self.facade.stats()
    }

    /// Takes back what was published, and leaves the directory.
    pub async fn shutdown(self) {
        self.facade.shutdown();
        self.node.shutdown().await;
    }
}

async fn start_facade(
    node: &IndexNode,
    bootstrap: &[SocketAddr],
    limits: &LimitsConfig,
) -> Result<(Facade, Url), FacadeError> {
    let config = FacadeConfig {
        // a session asks again when the minimum interval is over: it is as long as the interval itself
        min_interval: SEED_INTERVAL,
        seed_interval: SEED_INTERVAL,
        // three times that, in case one is late
        forget: 3 * SEED_INTERVAL,
        in_process: true,
        ..FacadeConfig::beside(node.local_addr(), bootstrap)
    };
    let listen = [SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)];
    let directory = Arc::new(node.clone());
    let facade = Facade::start(&listen, config, directory, Limits::new(limits), &[]).await?;
    let at = facade.listen_addrs()[0];
    let tracker = format!("http://{at}/announce");
    let tracker = Url::parse(&tracker).expect("an address makes a URL");
    Ok((facade, tracker))
}

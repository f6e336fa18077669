//! Stock clients with their default settings, each on a host of its own with a private address: what they do when
//! nobody holds their hand (encryption preferred, uTP first, local discovery on).

use chunkcast_compat_tests::netns::{Host, Lan};
use chunkcast_compat_tests::scene::{DEADLINE, Made, Scene};
use chunkcast_compat_tests::stock::{
    At, Mode, Transmission, aria2, libtorrent, libtorrent_installed,
};
use chunkcast_compat_tests::{Proc, wait_for};

/// Three hosts on a switch.
struct Net {
    tracker: Host,
    us: Host,
    them: Host,
    _lan: Lan,
}

impl Net {
    fn new(skipped: &str) -> Option<Self> {
        let lan = Lan::new(skipped)?;
        Some(Self {
            tracker: lan.host("tracker"),
            us: lan.host("us"),
            them: lan.host("them"),
            _lan: lan,
        })
    }

    fn scene(&self, made: Made) -> Option<Scene<'_>> {
        Scene::new(At::Host(&self.tracker), made)
    }

    fn us(&self) -> At<'_> {
        At::Host(&self.us)
    }

    fn them(&self) -> At<'_> {
        At::Host(&self.them)
    }
}

/// The client under test. Transmission 3.00 tries uTP first, and after that hangs up on whoever speaks only TCP (aria2
/// as well) and comes back a quarter of an hour later. As `TransmissionTcp` it has uTP switched off and dials us at
/// once; as `Transmission`, with its default settings, it is dialled by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stock {
    Transmission,
    TransmissionTcp,
    Aria2,
    Libtorrent,
}

/// A stock client that runs; the fields keep it alive.
enum Running<'a> {
    Transmission(Transmission<'a>),
    Other(Proc),
}

impl Stock {
    /// Starts it; `None` when it is not installed.
    fn start<'a>(
        self,
        at: At<'a>,
        scene: &Scene<'_>,
        torrent: &str,
        mode: Mode,
    ) -> Option<Running<'a>> {
        let dir = scene.dir.path();
        let data = if mode == Mode::Get {
            scene.copy()
        } else {
            scene.source()
        };
        match self {
            Self::Transmission | Self::TransmissionTcp => {
                let client = Transmission::start(dir, at)?;
                if self == Self::TransmissionTcp {
                    client.remote(&["--no-utp"]).expect("uTP is switched off");
                }
                client.add(torrent, &data);
                Some(Running::Transmission(client))
            }
            Self::Aria2 => aria2(dir, at, torrent, &data, mode).map(Running::Other),
            Self::Libtorrent => libtorrent_installed()
                .then(|| Running::Other(libtorrent(dir, at, torrent, &data, mode))),
        }
    }
}

impl Running<'_> {
    /// Waits until it has everything.
    fn done(&mut self) {
        match self {
            Self::Transmission(client) => {
                wait_for("Transmission is done", DEADLINE, || {
                    client.percent().filter(|p| *p >= 100.0)
                });
            }
            Self::Other(proc) => {
                let status = proc.wait(DEADLINE);
                assert!(status.success(), "{}", proc.log());
            }
        }
    }
}

/// The stock client downloads from us, from a torrent or only a magnet link.
fn from_us(stock: Stock, made: Made, magnet: bool) {
    let Some(net) = Net::new(&format!("{stock:?} with default settings")) else {
        return;
    };
    let Some(scene) = net.scene(made) else {
        return;
    };
    let source = if magnet {
        scene.magnet(&scene.urls[0])
    } else {
        scene.torrent()
    };
    let they_dial = stock != Stock::Transmission;
    let mut seed = they_dial.then(|| scene.we_seed(net.us()));
    let Some(mut get) = stock.start(net.them(), &scene, &source, Mode::Get) else {
        return;
    };
    if !they_dial {
        scene.announced(0, 1);
        seed = Some(scene.we_start_seeding(net.us()));
    }
    get.done();
    scene.assert_equal(!matches!(
        stock,
        Stock::Transmission | Stock::TransmissionTcp
    ));
    drop(seed);
}

/// We download from the stock client.
fn to_us(stock: Stock, made: Made) {
    let Some(net) = Net::new(&format!("{stock:?} with default settings")) else {
        return;
    };
    let Some(scene) = net.scene(made) else {
        return;
    };
    let torrent = scene.torrent();
    let Some(_seed) = stock.start(net.them(), &scene, &torrent, Mode::Seed) else {
        return;
    };
    scene.announced(1, 0);
    scene.we_get(net.us(), &torrent);
}

#[test]
fn transmission_with_default_settings_downloads_from_us() {
    from_us(Stock::Transmission, Made::ByUs, false);
}

#[test]
fn transmission_dials_us_and_downloads() {
    from_us(Stock::TransmissionTcp, Made::ByUs, false);
}

#[test]
fn transmission_seeds_to_us() {
    to_us(Stock::Transmission, Made::ByUs);
}

#[test]
fn transmission_gets_the_metadata_of_a_magnet_link_from_us() {
    from_us(Stock::TransmissionTcp, Made::ByUs, true);
}

#[test]
fn transmission_that_knows_no_padding_downloads_it_from_us() {
    if libtorrent_installed() {
        from_us(Stock::TransmissionTcp, Made::Padded, false);
    }
}

#[test]
fn aria2_downloads_from_us() {
    from_us(Stock::Aria2, Made::ByUs, false);
}

#[test]
fn aria2_seeds_to_us() {
    to_us(Stock::Aria2, Made::ByUs);
}

#[test]
fn aria2_gets_the_metadata_of_a_magnet_link_from_us() {
    from_us(Stock::Aria2, Made::ByUs, true);
}

#[test]
fn libtorrent_downloads_from_us() {
    from_us(Stock::Libtorrent, Made::ByUs, false);
}

#[test]
fn libtorrent_seeds_to_us() {
    to_us(Stock::Libtorrent, Made::ByUs);
}

#[test]
fn libtorrent_gets_the_metadata_of_a_padded_torrent_from_us() {
    if libtorrent_installed() {
        from_us(Stock::Libtorrent, Made::Padded, true);
    }
}

#[test]
fn libtorrent_seeds_a_padded_torrent_to_us() {
    if libtorrent_installed() {
        to_us(Stock::Libtorrent, Made::Padded);
    }
}

#[test]
fn libtorrent_downloads_a_hybrid_torrent_from_us() {
    if libtorrent_installed() {
        from_us(Stock::Libtorrent, Made::Hybrid, false);
    }
}

#[test]
fn libtorrent_seeds_a_hybrid_torrent_to_us() {
    if libtorrent_installed() {
        to_us(Stock::Libtorrent, Made::Hybrid);
    }
}

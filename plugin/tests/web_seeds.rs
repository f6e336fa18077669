//! Web seeds (BEP 19): whole downloads from web servers of this test, good ones and bad ones.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod web_common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use chunkcast_bittorrent::metadata::Magnet;
use chunkcast_bittorrent::session::{
    AddTorrent, DataPath, Progress, Session, SessionConfig, TorrentEvent, TorrentSource,
};
use chunkcast_bittorrent::swarm::DropReason;
use tokio::sync::watch;
use web_common::*;

const PIECE: usize = 64 << 10;

fn good(_: usize, _: &Asked) -> Answer {
    Answer::Good
}

/// No peer, no tracker: the web server alone is enough, and patience with peers is not lost while it answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_file_comes_from_a_web_server_alone_each_byte_once() {
    let files = [file("film.bin", 5_000_001)];
    let web = Web::start(&[("/d/other%20name.bin", &files[0].data)], good).await;
    let meta = torrent("film.bin", &files, PIECE, &[web.url("d/other%20name.bin")]);
    let get = Get::start(Get::of(meta), Duration::from_secs(3)).await;
    let (last, warnings) = get.finish("film.bin", &files).await;
    assert_eq!(warnings, [""; 0]);
    assert_eq!(last.downloaded, 5_000_001);
    assert_eq!((last.wasted, last.near, last.far), (0, 0, 0));
    assert_eq!(web.asked_bytes("/d/other%20name.bin"), 5_000_001);
    let row = &last.peers[0];
    let url = web.url("d/other%20name.bin");
    assert_eq!((row.source, row.webseed.as_ref()), ("webseed", Some(&url)));
    assert_eq!(row.downloaded, 5_000_001);

    let seen = web.seen();
    let connections: BTreeSet<usize> = seen.iter().map(|a| a.connection).collect();
    assert!(connections.len() <= 4, "{connections:?}");
    assert!(seen.len() > connections.len(), "connections are used again");
    // a request for a whole piece or more at a time, not for every block
    assert!(
        seen.len() < 5_000_001 / (32 << 10),
        "{} requests",
        seen.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_ends_in_a_slash_gets_the_name() {
    let files = [file("a film#1.bin", 300_000)];
    let web = Web::start(&[("/d/a%20film%231.bin", &files[0].data)], good).await;
    let meta = torrent("a film#1.bin", &files, PIECE, &[web.url("d/")]);
    let get = Get::start(Get::of(meta), DEADLINE).await;
    get.finish("a film#1.bin", &files).await;
}

fn folder() -> Vec<File> {
    vec![
        file("one", 1),
        file("sub dir/odd.bin", 100_003),
        file("empty", 0),
        padding(PIECE - (100_004 % PIECE)),
        file("sub dir/ü?%41", 70_000),
        file("small", 3),
        file("last", 200_000),
    ]
}

async fn folder_server(files: &[File], plan: fn(usize, &Asked) -> Answer) -> Web {
    let of = |path: &str| &files.iter().find(|f| f.path == path).unwrap().data[..];
    let served = [
        ("/m/my%20name/one", of("one")),
        ("/m/my%20name/sub%20dir/odd.bin", of("sub dir/odd.bin")),
        ("/m/my%20name/sub%20dir/%C3%BC%3F%2541", of("sub dir/ü?%41")),
        ("/m/my%20name/small", of("small")),
        ("/m/my%20name/last", of("last")),
    ];
    Web::start(&served, plan).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_folder_are_asked_for_each_alone_and_neither_padding_nor_empty_ones() {
    let files = folder();
    let web = folder_server(&files, good).await;
    for base in ["m", "m/"] {
        let meta = torrent("my name", &files, PIECE, &[web.url(base)]);
        let get = Get::start(Get::of(meta), DEADLINE).await;
        let (_, warnings) = get.finish("my name", &files).await;
        assert_eq!(warnings, [""; 0]);
    }
    let paths: BTreeSet<String> = web.seen().into_iter().map(|a| a.path).collect();
    assert_eq!(paths.len(), 5, "{paths:?}");
    assert_eq!(web.asked_bytes("/m/my%20name/last"), 2 * 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_selection_only_its_pieces_are_fetched_and_a_magnet_link_names_web_seeds() {
    let files = folder();
    let web = folder_server(&files, good).await;
    let meta = torrent("my name", &files, PIECE, &[]);
    // the metadata comes from a peer that has none of the data
    let mut other = Get::with(config(), Get::of(meta.clone()), DEADLINE, vec![]).await;
    other.until(|p, _| p.pieces_total > 0).await.unwrap();
    let mut magnet = Magnet::parse(&meta.magnet()).unwrap();
    magnet.web_seeds = vec![web.url("m/")];
    magnet = Magnet::parse(&format!("{magnet}&so=4")).unwrap();
    let peers = vec![other.session.listen_addr()];
    let source = TorrentSource::Magnet(magnet);
    let mut get = Get::with(config(), source, DEADLINE, peers).await;
    get.complete().await;
    let path = get.dir.path().join("my name/sub dir/ü?%41");
    assert_same(&path, &files[4].data);
    let pieces = 2 * PIECE as u64;
    assert_eq!(
        (get.last.total_bytes, get.last.downloaded),
        (pieces, pieces)
    );
    let asked: u64 = web
        .seen()
        .into_iter()
        .flat_map(|a| a.range)
        .map(|r| r.end - r.start)
        .sum();
    assert_eq!(asked, pieces);
    assert!(web.asked_bytes("/m/my%20name/sub%20dir/odd.bin") == 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_torrent_has_its_own_web_seeds_and_none_of_a_link() {
    let files = [file("f", 100_000)];
    let web = Web::start(&[("/f", &files[0].data)], good).await;
    let meta = torrent("f", &files, PIECE, &[web.url("f")]);
    let private = [&meta.info[..meta.info.len() - 1], b"7:privatei1e", b"e"].concat();
    let whole = [&b"d4:info"[..], &private, b"e"].concat();
    let named = format!("8:url-list{}:{}e", web.url("f").len(), web.url("f"));
    let own = [&whole[..whole.len() - 1], named.as_bytes()].concat();
    let read =
        |bytes: &[u8]| chunkcast_bittorrent::metadata::Metainfo::from_torrent(bytes).unwrap();
    let (bare, own) = (read(&whole), read(&own));
    assert!(own.private);
    let get = Get::start(Get::of(own), DEADLINE).await;
    get.finish("f", &files).await;
    let before = web.seen().len();

    let mut other = Get::start(Get::of(bare.clone()), DEADLINE).await;
    other.until(|p, _| p.pieces_total > 0).await.unwrap();
    let mut magnet = Magnet::parse(&bare.magnet()).unwrap();
    magnet.web_seeds = vec![web.url("f")];
    let peers = vec![other.session.listen_addr()];
    let source = TorrentSource::Magnet(magnet);
    let mut get = Get::with(config(), source, DEADLINE, peers).await;
    get.until(|p, _| p.far + p.near > 0 && p.pieces_total > 0)
        .await
        .unwrap();
    // longer than web seeds take to begin
    let reports = AtomicU32::new(0);
    let later = |_: &Progress, _: &[String]| reports.fetch_add(1, Relaxed) == 4;
    get.until(later).await.unwrap();
    assert_eq!((get.last.web_seeds, web.seen().len()), (0, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_web_seeds_the_one_that_lies_is_banned_and_the_other_finishes() {
    let files = [file("f", 2_000_000)];
    let liar = Web::start(&[("/f", &files[0].data)], |_, _| Answer::Lie).await;
    let honest = Web::start(&[("/f", &files[0].data)], good).await;
    let seeds = [liar.url("f"), honest.url("f")];
    let meta = torrent("f", &files, PIECE, &seeds);
    let get = Get::start(Get::of(meta), DEADLINE).await;
    let (last, warnings) = get.finish("f", &files).await;
    assert_eq!(last.banned, 1);
    assert!(last.bad_pieces > 0);
    let line = format!(
        "the web seed at 127.0.0.1:{} is not used any more: it sent bytes that are not the torrent's; put the torrent's \
         data there",
        liar.port
    );
    assert_eq!(warnings, [line]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_ranges_serves_small_files_and_is_given_up_for_large_ones() {
    let small = [file("small", 700_000)];
    let large = [file("large", 6_000_000)];
    let served = [("/small", &small[0].data[..]), ("/large", &large[0].data)];
    let web = Web::start(&served, |_, _| Answer::Whole).await;
    let meta = torrent("small", &small, PIECE, &[web.url("small")]);
    let get = Get::start(Get::of(meta), DEADLINE).await;
    let (last, warnings) = get.finish("small", &small).await;
    assert_eq!((last.wasted, warnings.len()), (0, 0));

    let meta = torrent("large", &large, PIECE, &[web.url("large")]);
    let mut get = Get::start(Get::of(meta), Duration::from_secs(12)).await;
    let error = get.until(|_, _| false).await.unwrap_err();
    assert!(error.starts_with("no peer for `large`"), "{error}");
    assert_eq!(get.warnings.len(), 1);
    assert!(
        get.warnings[0].contains("range requests"),
        "{:?}",
        get.warnings
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_given_up_at_once_with_a_line_and_another_takes_its_place() {
    let files = [file("f", 500_000)];
    let mut webs = Vec::new();
    for status in [404, 403, 410, 416] {
        let plan = move |_: usize, _: &Asked| Answer::Status(status, String::new());
        webs.push(Web::start(&[("/f", &files[0].data)], plan).await);
    }
    // the ninth has its turn when one of the eight is given up
    let mut seeds: Vec<String> = Vec::new();
    for web in &webs {
        seeds.extend([web.url("f"), web.url("f?secret=1")]);
    }
    let last = Web::start(&[("/f", &files[0].data)], good).await;
    seeds.push(last.url("f"));
    let meta = torrent("f", &files, PIECE, &seeds);
    let get = Get::start(Get::of(meta), DEADLINE).await;
    let (_, warnings) = get.finish("f", &files).await;
    assert_eq!(
        warnings.iter().collect::<BTreeSet<_>>().len(),
        warnings.len().min(8)
    );
    assert!(
        warnings.iter().any(|w| w.contains("HTTP status 404")),
        "{warnings:?}"
    );
    assert!(
        warnings.iter().any(|w| w.contains("another length")),
        "{warnings:?}"
    );
    assert!(!warnings.concat().contains("secret"), "{warnings:?}");
    for web in &webs {
        assert!(
            web.seen().iter().all(|a| !a.path.contains('?')),
            "not asked on loopback"
        );
        assert!(web.seen().len() <= 4);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_after_as_long_as_it_says() {
    let files = [file("f", 500_000)];
    let web = Web::start(&[("/f", &files[0].data)], |n, _| match n {
        0 => Answer::Status(503, "Retry-After: 1\r\n".into()),
        1 => Answer::Status(429, String::new()),
        _ => Answer::Good,
    })
    .await;
    let meta = torrent("f", &files, PIECE, &[web.url("f")]);
    let get = Get::start(Get::of(meta), DEADLINE).await;
    let (last, warnings) = get.finish("f", &files).await;
    assert_eq!((last.banned, warnings.len()), (0, 0));
    assert_eq!(web.asked_bytes("/f") - 500_000, {
        let refused = web.seen().into_iter().take(2).filter_map(|a| a.range);
        refused.map(|r| r.end - r.start).sum::<u64>()
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_bodies_lack_is_asked_for_again_and_what_is_too_much_is_not_used() {
    let files = [file("f", 1_500_000)];
    for (plan, times, bad) in [
        (Answer::Truncated(10_000), 2, true),
        (Answer::Part(20_000), 8, false),
        (Answer::Endless, 2, true),
    ] {
        let what = format!("{plan:?}");
        let plan = move |n: usize, _: &Asked| match n < times {
            true => plan.clone(),
            false => Answer::Good,
        };
        let web = Web::start(&[("/f", &files[0].data)], plan).await;
        let meta = torrent("f", &files, 256 << 10, &[web.url("f")]);
        let get = Get::start(Get::of(meta), DEADLINE).await;
        let (last, warnings) = get.finish("f", &files).await;
        assert_eq!(
            (last.banned, last.bad_pieces, warnings.len()),
            (0, 0, 0),
            "{what}"
        );
        assert_eq!(
            last.drops.contains_key(&DropReason::BadAnswer),
            bad,
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_are_followed_but_not_in_circles_nor_to_other_schemes() {
    let files = [file("f", 300_000)];
    let goal = Web::start(&[("/f", &files[0].data)], good).await;
    let to = |location: String| {
        move |_: usize, _: &Asked| Answer::Status(302, format!("Location: {location}\r\n"))
    };
    let first = Web::start(&[("/f", b"x")], to(goal.url("f"))).await;
    let circle = Web::start(&[("/f", b"x")], to("/f".into())).await;
    let file = Web::start(&[("/f", b"x")], to("file:///etc/passwd".into())).await;
    let query = Web::start(&[("/f", b"x")], to(goal.url("f?do=something"))).await;
    let seeds = [&circle, &file, &query, &first].map(|w| w.url("f"));
    let meta = torrent("f", &files, PIECE, &seeds);
    let mut get = Get::start(Get::of(meta), DEADLINE).await;
    get.until(|_, warnings| warnings.len() == 3).await.unwrap();
    let warnings = get.warnings.join("\n");
    let get_last = get.finish("f", &files).await;
    assert!(warnings.contains("more than 5 redirects"), "{warnings}");
    assert!(warnings.contains("a file: address"), "{warnings}");
    assert!(warnings.contains("a loopback address"), "{warnings}");
    assert!(goal.seen().iter().all(|a| a.path == "/f"));
    assert_eq!(get_last.1.len(), 3);
}

/// One that sends a byte a second is left alone, and the download goes on without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_drips_costs_a_few_blocks_and_no_download() {
    let files = [file("f", 400_000)];
    let slow = Web::start(&[("/f", &files[0].data)], |_, _| Answer::Drip).await;
    let fast = Web::start(&[("/f", &files[0].data)], good).await;
    let meta = torrent("f", &files, PIECE, &[slow.url("f"), fast.url("f")]);
    let get = Get::start(Get::of(meta), DEADLINE).await;
    let (last, _) = get.finish("f", &files).await;
    assert_eq!(last.banned, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_web_seeds_none_is_asked_and_a_dead_one_is_no_peer() {
    let files = [file("f", 300_000)];
    let web = Web::start(&[("/f", &files[0].data)], good).await;
    let meta = torrent("f", &files, PIECE, &[web.url("f")]);
    let off = SessionConfig {
        web_seeds: false,
        ..config()
    };
    let patience = Duration::from_secs(4);
    let mut get = Get::with(off, Get::of(meta), patience, vec![]).await;
    let error = get.until(|_, _| false).await.unwrap_err();
    assert!(error.starts_with("no peer for `f`"), "{error}");
    assert!(web.seen().is_empty());

    let url = web.url("f");
    drop(web);
    let meta = torrent("f", &files, PIECE, &[url]);
    let mut get = Get::start(Get::of(meta), patience).await;
    let error = get.until(|_, _| false).await.unwrap_err();
    assert!(error.starts_with("no peer for `f`"), "{error}");
}

/// What a near peer has comes from there: a web server is everyone's far server.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_near_peer_has_is_not_fetched_from_the_web_server() {
    let files = [file("f", 8_000_000)];
    // on a busy machine the peer may take longer to be found than the web server is given
    let (found, is_found) = watch::channel(false);
    let plan = move |_: usize, _: &Asked| Answer::Once(is_found.clone());
    let web = Web::start(&[("/f", &files[0].data)], plan).await;
    let meta = torrent("f", &files, PIECE, &[web.url("f")]);
    let bare = torrent("f", &files, PIECE, &[]);
    // one that shows all that it has at once
    let mut open = config();
    open.client.superseed = false;
    let seeding = Session::start(open).await.unwrap();
    let dir = chunkcast_compat_tests::scratch();
    std::fs::write(dir.path().join("f"), &files[0].data).unwrap();
    let add = AddTorrent {
        seed_only: true,
        ..AddTorrent::new(Get::of(bare), DataPath::OutputDir(dir.path().to_path_buf()))
    };
    let mut seed = seeding.add(add).await.unwrap();
    loop {
        match seed.next().await.unwrap() {
            TorrentEvent::Complete(_) => break,
            TorrentEvent::Failed(e) => panic!("{e}"),
            _ => {}
        }
    }
    let peers = vec![seeding.listen_addr()];
    let mut get = Get::with(config(), Get::of(meta), DEADLINE, peers).await;
    get.until(|p, _| p.near > 0).await.unwrap();
    found.send_replace(true);
    let (last, _) = get.finish("f", &files).await;
    let from_web: u64 = last
        .peers
        .iter()
        .filter(|p| p.webseed.is_some())
        .map(|p| p.downloaded)
        .sum();
    println!(
        "{from_web} of {} bytes from the web server",
        last.downloaded
    );
    assert!(from_web < 4_000_000, "{from_web} bytes from the web server");
}

/// Ten clients of one site: the pieces are shared out among them, and each comes from the web server about once.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_fetches_about_one_copy_from_the_web_server() {
    let files = [file("f", 4_000_000)];
    let web = Web::start(&[("/f", &files[0].data)], good).await;
    let meta = torrent("f", &files, PIECE, &[web.url("f")]);
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(Session::start(config()).await.unwrap());
    }
    let addrs: Vec<_> = sessions.iter().map(Session::listen_addr).collect();
    let mut gets = Vec::new();
    for session in sessions {
        let own = session.listen_addr();
        let peers = addrs.iter().copied().filter(|a| *a != own).collect();
        gets.push(Get::add(session, Get::of(meta.clone()), DEADLINE, peers).await);
    }
    futures::future::join_all(gets.iter_mut().map(Get::complete)).await;
    let copies = web.asked_bytes("/f") as f64 / 4e6;
    println!("{copies} copies from the web server");
    assert!(copies < 3.0, "{copies} copies");
}

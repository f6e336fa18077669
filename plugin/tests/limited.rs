//! Whole transfers between sessions under rate limits: what waits for a limit is not asked for twice, and nobody is
//! taken for slow or silent because of it.

#![allow(
    clippy::disallowed_types,
    reason = "the helpers hold hand-written peers, which are sockets"
)]

mod hostile_common;

use chunkcast_bittorrent::limits::{Rate, Rates};
use hostile_common::*;

/// Four blocks a second, for all torrents of the downloader.
const SLOW: u64 = 64 << 10;

fn down(bytes: u64) -> Rates {
    Rates {
        down: Some(Rate::new(bytes)),
        up: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_download_from_several_seeds_asks_for_each_block_once() {
    let content = Content::new(1, 32 << 14, 1 << 14);
    let mut seeds = Vec::new();
    for _ in 0..4 {
        seeds.push(seed(&content, vec![]).await);
    }
    let peers = seeds.iter().map(|(s, ..)| s.listen_addr()).collect();
    let leech = Leech::start(content.torrent(), peers).await;
    leech.session.limiters().set(down(SLOW));
    let last = leech.finish("the download", &content).await;
    assert_eq!(last.downloaded, 32 << 14, "{last:?}");
    assert_eq!((last.wasted, last.banned), (0, 0));
    for (session, handle, _dir) in seeds {
        handle.stop().await;
        session.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_seed_serves_everybody_and_each_block_goes_to_each_once() {
    let content = Content::new(2, 16 << 14, 1 << 14);
    let (session, handle, _dir) = seed(&content, vec![]).await;
    handle.limiters().set(Rates {
        up: Some(Rate::new(SLOW)),
        down: None,
    });
    let mut leeches = Vec::new();
    for _ in 0..2 {
        let seeds = vec![session.listen_addr()];
        leeches.push(Leech::start(content.torrent(), seeds).await);
    }
    for leech in leeches {
        let last = leech.finish("the download", &content).await;
        assert_eq!((last.downloaded, last.wasted), (16 << 14, 0), "{last:?}");
    }
    let seed = handle.stop().await;
    assert_eq!(seed.uploaded, 32 << 14, "nothing in vain");
    session.shutdown().await;
}

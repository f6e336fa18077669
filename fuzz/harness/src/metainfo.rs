//! Torrents, magnet links, and metadata from peers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Component;

use bytes::Bytes;
use chunkcast_bittorrent::metadata::{
    AssemblyConfig, METADATA_PIECE, Magnet, MetadataAssembly, MetadataLimits, Metainfo, Outcome,
    PeerHint, metadata_piece, metadata_pieces,
};
use sha1::{Digest, Sha1};

use crate::input::Input;

/// A .torrent file: what is accepted is safe to open, and its info dict and magnet link say the same.
pub fn torrent(data: &[u8]) {
    let Ok(meta) = Metainfo::from_torrent(data) else {
        return;
    };
    safe(&meta);
    let limits = MetadataLimits::default();
    assert!(meta.trackers.iter().map(Vec::len).sum::<usize>() <= limits.trackers);
    assert!(meta.web_seeds.len() <= limits.web_seeds);
    let bare = Metainfo::from_info(meta.info.clone(), Some(meta.info_hash));
    let bare = bare.expect("the info dict of an accepted torrent is accepted");
    assert_eq!(bare.layout, meta.layout);
    if let Ok(magnet) = Magnet::parse(&meta.magnet()) {
        assert_eq!(magnet.info_hash, meta.info_hash);
    }
}

/// An info dict from peers.
pub fn info_dict(data: &[u8]) {
    if let Ok(meta) = Metainfo::from_info(Bytes::copy_from_slice(data), None) {
        assert_eq!(meta.info, data);
        safe(&meta);
    }
}

/// Everything below the output directory, every piece and file where it should be, no arithmetic out of range.
fn safe(meta: &Metainfo) {
    assert_eq!(<[u8; 20]>::from(Sha1::digest(&meta.info)), meta.info_hash);
    let layout = &meta.layout;
    let mut end = 0u64;
    for file in &layout.files {
        assert_eq!(file.offset, end);
        end = end.checked_add(file.length).expect("lengths fit 64 bits");
        assert!(file.path.components().count() > 0);
        let plain = |c: Component<'_>| matches!(c, Component::Normal(_));
        assert!(file.path.components().all(plain), "{:?}", file.path);
    }
    assert_eq!(end, layout.total_length);
    let written = || layout.files.iter().filter(|f| !f.padding);
    let paths: BTreeSet<_> = written().map(|f| &f.path).collect();
    assert_eq!(paths.len(), written().count(), "two files in one place");

    let pieces = layout.piece_count();
    assert!(pieces > 0 && layout.hashes.len() == pieces as usize * 20);
    for piece in [0, pieces / 2, pieces - 1] {
        let len = layout.piece_len(piece);
        assert!(len > 0 && len <= layout.piece_length);
        let from = layout.piece_offset(piece);
        let slices = layout.slices(from..from + u64::from(len));
        assert_eq!(slices.map(|s| s.len).sum::<u64>(), u64::from(len));
        let last = layout.block_count(piece) - 1;
        assert!((1..=16 << 10).contains(&layout.block_len(piece, last)));
        assert!(layout.contains(piece, 0, len) && !layout.contains(piece, 1, len));
        let _ = layout.piece_hash(piece);
    }
    for file in 0..layout.files.len().min(100) {
        assert!(layout.pieces_of_file(file).end <= pieces);
    }
}

/// A magnet link: what is read can be written and reads the same.
pub fn magnet(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let recognised = Magnet::recognises(&text);
    let Ok(magnet) = Magnet::parse(&text) else {
        return;
    };
    assert!(recognised, "read, but not recognised");
    let limits = MetadataLimits::default();
    assert!(magnet.trackers.len() <= limits.trackers);
    assert!(magnet.web_seeds.len() <= limits.web_seeds);
    assert!(magnet.peers.len() <= limits.magnet_peers);
    assert!(magnet.peers.iter().all(|p| match p {
        PeerHint::Addr(addr) => addr.port() != 0,
        PeerHint::Host { host, port } => !host.is_empty() && *port != 0,
    }));
    if let Some(select) = &magnet.select {
        assert!(select.ranges().len() <= limits.selection_ranges);
        assert!(select.files(1000).all(|f| f < 1000));
    }
    let link = magnet.to_string();
    if link.len() <= limits.magnet_bytes {
        let again = Magnet::parse(&link).expect("what was written can be read");
        assert_eq!(
            again,
            Magnet {
                left_out: 0,
                ..magnet
            }
        );
    }
}

/// What several peers say of one info dict, in any order: only the right one is ever handed out, memory stays within
/// the budget, and a peer that says nothing but the truth is not banned.
pub fn metadata_assembly(data: &[u8]) {
    let mut input = Input::new(data);
    let truth: Bytes = (0..20_000u32).map(|i| i.to_le_bytes()[0] ^ 0x5a).collect();
    let true_size = u32::try_from(truth.len()).expect("20,000");
    let config = AssemblyConfig {
        max_size: 80_000,
        budget: 100_000,
        max_peers: 5,
        ..AssemblyConfig::default()
    };
    let hash = Sha1::digest(&truth).into();
    let mut assembly = MetadataAssembly::with_config(hash, config.clone());
    let mut sizes = BTreeMap::new();
    let mut open: BTreeSet<(u64, u32)> = BTreeSet::new();
    let mut liars = BTreeSet::new();
    let mut done = false;
    while !input.is_done() {
        let peer = u64::from(input.byte() % 8);
        match input.byte() % 9 {
            0 | 1 => {
                let size = match input.byte() % 4 {
                    0 => input.u32(),
                    1 => u32::from(input.u16()),
                    _ => true_size,
                };
                if size != true_size {
                    liars.insert(peer);
                }
                if assembly.on_size(peer, size) {
                    assert!((1..=config.max_size).contains(&size) && !done);
                    if sizes.insert(peer, size) != Some(size) {
                        open.retain(|(p, _)| *p != peer);
                    }
                }
            }
            2 | 3 => {
                if let Some(piece) = assembly.next_request(peer) {
                    let size = sizes.get(&peer).expect("only who named a size is asked");
                    assert!(piece < metadata_pieces(*size) && !done);
                    assert!(!assembly.is_banned(peer));
                    open.insert((peer, piece));
                }
            }
            4 | 5 => {
                let asked = open.iter().filter(|(p, _)| *p == peer).nth(input.below(2));
                let piece = asked.map_or(input.byte().into(), |(_, piece)| *piece);
                let size = sizes.get(&peer).copied().unwrap_or(true_size);
                let honest = metadata_piece(&truth, piece).filter(|_| size == true_size);
                let lie = input.byte();
                let (size, data) = match honest {
                    Some(data) if lie < 192 => (size, data),
                    _ => {
                        liars.insert(peer);
                        let len = match lie % 3 {
                            0 => input.u16().into(),
                            _ => size.saturating_sub(piece.saturating_mul(METADATA_PIECE)),
                        };
                        let len = len.min(METADATA_PIECE) as usize;
                        (size ^ u32::from(lie == 255), vec![lie; len].into())
                    }
                };
                match assembly.on_data(peer, piece, size, &data) {
                    Outcome::Complete(info) => {
                        assert!(!done && info == truth);
                        done = true;
                    }
                    Outcome::BadPeer(who) => {
                        assert!(liars.contains(&who), "{who} is banned for the truth");
                        assert!(assembly.is_banned(who));
                    }
                    Outcome::Progress => assert!(open.contains(&(peer, piece))),
                    Outcome::Ignored => {}
                }
            }
            6 => assembly.on_reject(peer, input.byte().into()),
            7 if input.bool() => assembly.on_timeout(peer),
            7 => assembly.retry(peer),
            _ => {
                assembly.on_gone(peer);
                sizes.remove(&peer);
                open.retain(|(p, _)| *p != peer);
            }
        }
        assert!(assembly.stored_bytes() as u64 <= config.budget);
        assert_eq!(assembly.is_complete(), done);
    }
}

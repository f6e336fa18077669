//! Every file of `fuzz/corpus/` through its target: a panic means a bug. The corpus holds valid examples, and the inputs
//! with which fuzzing has found something.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "everything here is a test; a failure names its input"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chunkcast_fuzz_harness::TARGETS;

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The names in a folder of `fuzz/`, without extensions.
fn names(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(fuzz_dir().join(folder)).unwrap();
    entries
        .map(|e| {
            let path = e.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect()
}

fn replay(target: &str) {
    let (_, run) = TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let mut files: Vec<_> = fs::read_dir(fuzz_dir().join("corpus").join(target))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let data = fs::read(&file).unwrap();
        println!("{}", file.display());
        run(&data);
        // a program that breaks off is a program too
        run(&data[..data.len() / 2]);
    }
}

macro_rules! replays {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        #[test]
        fn every_target_is_replayed_and_has_a_fuzz_target_and_a_corpus() {
            let replayed: BTreeSet<_> = [$(stringify!($target).to_owned()),*].into();
            let bodies = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            assert_eq!(replayed, bodies);
            assert_eq!(replayed, names("fuzz_targets"));
            assert_eq!(replayed, names("corpus"));
        }
    };
}

replays! {
    bencode bits blocklist cc_status config control_request datagram extended_handshake handshake info_dict
    lan_announcement lsd magnet metadata_assembly mse node peer_frames sealed signed state_file swarm_messages torrent
    announce_http announce_udp gateway http_request tracker_http tracker_udp transmission_request ut_metadata ut_pex utp_packet web_seed
}

//! Where the blocklist comes from.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use chunkcast_bittorrent::daemon::{DaemonError, SettingsChange};
use chunkcast_compat_tests::write;
use tokio::time::{sleep, timeout};

use crate::support::*;

/// A list of so many ranges.
fn list(rig: &Rig, name: &str, ranges: usize) -> Option<String> {
    let path = rig.settings.download_dir.join(name);
    let lines: String = (0..ranges).map(|n| format!("192.0.{n}.1\n")).collect();
    write(&path, lines.as_bytes());
    Some(path.display().to_string())
}

async fn until_ranges(rig: &Rig, ranges: usize) {
    let there = async {
        while rig.daemon().blocklist_len().await != Ok(ranges) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let there = timeout(DEADLINE, there).await;
    there.unwrap_or_else(|_| panic!("no list of {ranges} ranges"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_source_is_soon_replaced() {
    let mut rig = Rig::prepared(|s| s.blocklist = true);
    rig.settings.blocklist_source = list(&rig, "one", 1);
    rig.start().await;
    until_ranges(&rig, 1).await;
    rig.stop().await;
    // named while nothing ran
    rig.settings.blocklist_source = list(&rig, "two", 2);
    rig.start().await;
    until_ranges(&rig, 2).await;
    rig.stop().await;
    // and together with the switch
    rig.settings.blocklist = false;
    rig.start().await;
    let change = SettingsChange {
        blocklist: Some(true),
        blocklist_source: Some(list(&rig, "three", 3)),
        ..SettingsChange::default()
    };
    rig.daemon().change_settings(change).await.expect("changed");
    until_ranges(&rig, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_cannot_be_read_is_fetched_again() {
    let mut rig = Rig::prepared(|s| s.blocklist = true);
    rig.settings.blocklist_source = list(&rig, "one", 1);
    std::fs::create_dir_all(rig.path("state/blocklist")).expect("in its way");
    rig.start().await;
    until_ranges(&rig, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_gets_at_what_is_elsewhere_or_has_no_end() {
    let rig = Rig::new(|_| {}).await;
    let daemon = rig.daemon();
    let from = |source: PathBuf| SettingsChange {
        blocklist_source: Some(Some(source.display().to_string())),
        ..SettingsChange::default()
    };
    for outside in ["outside/list", "outside/x://list"] {
        let refused = daemon.change_settings(from(rig.path(outside))).await;
        let refused = refused.expect_err("it is outside");
        assert!(matches!(refused, DaemonError::Outside(_)), "{refused}");
    }
    let downloads = rig.settings.download_dir.clone();
    write(&downloads.join("list"), b"192.0.2.1\n");
    let endless = File::create(downloads.join("endless")).expect("a file");
    endless.set_len(1 << 40).expect("a file with a hole");
    for (name, words) in [("endless", "longer than"), ("", "no file")] {
        let change = from(downloads.join(name));
        daemon.change_settings(change).await.expect("it is inside");
        let refused = daemon.update_blocklist().await;
        let refused = refused.expect_err("it cannot be read").to_string();
        assert!(refused.contains(words), "{refused}");
    }
}

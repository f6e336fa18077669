//! Where data may be.

use std::time::Duration;

use chunkcast_bittorrent::daemon::{DaemonConfig, DaemonError, SettingsChange, State, start};
use chunkcast_compat_tests::write;
use tokio::time::{sleep, timeout};

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_configured_download_directory_is_allowed_whatever_a_client_has_chosen() {
    let content = Content::file(110, 40_000);
    let mut rig = Rig::prepared(|_| {});
    let downloads = rig.settings.download_dir.clone();
    content.copy_to(&downloads);
    rig.start().await;
    rig.add(&content, &[]).await;
    rig.until_state(content.hash, State::Seeding).await;
    rig.stop().await;
    // as a start after a client has changed it
    rig.settings.download_dir = downloads.join("below");
    let config = DaemonConfig {
        download_dir: downloads.clone(),
        ..rig.config()
    };
    let running = start(config).await.expect("a daemon");
    let removed = running.daemon.remove(content.hash, true).await;
    removed.expect("removed");
    wait("its data goes", || !downloads.join(content.name()).exists()).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_no_download_directory() {
    let rig = Rig::new(|_| {}).await;
    let file = rig.settings.download_dir.join("file");
    write(&file, b"in its way");
    let change = SettingsChange {
        download_dir: Some(file),
        ..SettingsChange::default()
    };
    let refused = rig.daemon().change_settings(change).await;
    let refused = refused.expect_err("nothing can be in it").to_string();
    assert!(refused.contains("is a file"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_moves_the_download_directory() {
    let content = Content::file(111, 40_000);
    let rig = Rig::new(|_| {}).await;
    let mut settings = rig.settings.clone();
    settings.download_dir = rig.path("elsewhere");
    rig.running().reload(settings.clone()).await;
    let reloaded = async {
        while rig.daemon().settings().await.as_ref() != Ok(&settings) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let reloaded = timeout(DEADLINE, reloaded).await;
    reloaded.expect("it is reloaded");
    let added = rig.add(&content, &[]).await;
    assert_eq!(rig.summary(added).options.dir, settings.download_dir);
    let old = rig.path("downloads");
    let refused = rig.daemon().relocate(added, old.clone(), false).await;
    assert_eq!(
        refused,
        Err(DaemonError::Outside(old)),
        "as after a restart"
    );
}

//! What anybody says to the daemon's API.

use std::path::{Component, Path};
use std::sync::Arc;
use std::time::Duration;

use chunkcast_bittorrent::api::{ApiConfig, serve_stream};
use chunkcast_bittorrent::daemon::{
    Added, Change, Command, Counts, Daemon, DaemonError, Detail, Facts, History, Inbox, InfoHash,
    Limit, Listing, SettingsChange, channel,
};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use crate::rpc::{settings, torrent};

/// Who hears nothing for so long goes.
const SILENCE: Duration = Duration::from_millis(100);

/// A connection's bytes to an API that wants a password, if the first byte is odd: it is answered, nothing is asked of the daemon
/// without the password, nothing is changed without the header for that, and what is asked is within bounds.
pub fn http_request(data: &[u8]) {
    let Some((flags, bytes)) = data.split_first() else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let locked = flags & 1 == 1;
    runtime.expect("a runtime").block_on(async {
        let (daemon, inbox) = channel();
        let torrents = vec![Arc::new(torrent(1))];
        inbox.listing.send_replace(Arc::new(Listing {
            torrents,
            ..Listing::default()
        }));
        let said = Said::of(bytes, locked);
        let actor = tokio::spawn(serve(inbox, said));
        let answered = timeout(Duration::from_secs(20), answer(daemon, bytes, locked));
        let answers = answered.await.expect("it ends with its input");
        // a panic of the actor is one of the target
        actor.await.expect("what was asked is within bounds");
        check(&answers);
    });
}

async fn answer(daemon: Daemon, bytes: &[u8], locked: bool) -> Vec<u8> {
    let config = ApiConfig {
        password: locked.then(|| "secret".to_owned()),
        hosts: vec!["box.lan".to_owned()],
        ..ApiConfig::default()
    };
    let (ours, theirs) = duplex(1 << 20);
    let (mut read, mut write) = tokio::io::split(ours);
    let mut answers = Vec::new();
    let asking = async {
        tokio::join!(
            async {
                // it may have had enough before the end
                let _ = write.write_all(bytes).await;
                let _ = write.shutdown().await;
            },
            async {
                // a stream of events has no end
                while let Ok(Ok(1..)) = timeout(SILENCE, read.read_buf(&mut answers)).await {}
            },
        );
        drop((read, write));
    };
    tokio::join!(serve_stream(&config, daemon, theirs), asking);
    answers
}

/// Answers look like such, and those of the API itself have the headers that all have.
fn check(answers: &[u8]) {
    if answers.is_empty() {
        return;
    }
    assert!(answers.starts_with(b"HTTP/1."), "no answer");
    let text = String::from_utf8_lossy(answers).to_lowercase();
    assert!(
        !text.contains("access-control-"),
        "pages of others may read it"
    );
    let text = text.trim_start_matches("http/1.1 100 continue\r\n\r\n");
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    if !body.is_empty() {
        assert!(head.contains("content-security-policy: default-src 'self'"));
        assert!(head.contains("x-content-type-options: nosniff"));
    }
}

/// What the input has in it, whether or not it is in its place.
struct Said {
    password: bool,
    change: bool,
}

impl Said {
    fn of(bytes: &[u8], locked: bool) -> Self {
        let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
        let headers = ["x-chunkcast", "x-transmission-session-id"];
        Self {
            password: !locked || text.contains("authorization"),
            change: headers.iter().any(|h| text.contains(h)),
        }
    }
}

async fn serve(mut inbox: Inbox, said: Said) {
    let known = |which: InfoHash| match which {
        InfoHash(hash) if hash == [1; 20] => Ok(()),
        other => Err(DaemonError::Unknown(other)),
    };
    while let Some(command) = inbox.commands.recv().await {
        let probe = matches!(command, Command::Facts(_));
        assert!(probe || said.password, "{command:?} without a password");
        let reads = matches!(
            command,
            Command::Detail(..)
                | Command::Facts(_)
                | Command::Settings(_)
                | Command::FreeSpace(..)
                | Command::BlocklistLen(_)
                | Command::Index(_)
                | Command::History(_)
                | Command::Counts(_)
        );
        assert!(reads || said.change, "{command:?} without its header");
        match command {
            Command::Add(new, reply) => {
                assert!(new.dir.is_none_or(|dir| is_plain(&dir)));
                within_bounds(&new.change);
                let added = Added {
                    id: 9,
                    info_hash: InfoHash([9; 20]),
                    name: "nine".to_owned(),
                    duplicate: false,
                };
                let _ = reply.send(Ok(added));
            }
            Command::Change(which, change, reply) => {
                within_bounds(&change);
                let _ = reply.send(known(which));
            }
            Command::Relocate(which, dir, _, reply) => {
                assert!(is_plain(&dir), "{dir:?}");
                let _ = reply.send(known(which));
            }
            Command::ChangeSettings(change, reply) => {
                settings_within_bounds(&change);
                let _ = reply.send(Ok(()));
            }
            Command::Start(which, _, reply) | Command::Remove(which, _, reply) => {
                let _ = reply.send(known(which));
            }
            Command::Pause(which, reply)
            | Command::Verify(which, reply)
            | Command::Reannounce(which, reply) => {
                let _ = reply.send(known(which));
            }
            Command::Detail(which, reply) => {
                let _ = reply.send(known(which).map(|()| Detail::default()));
            }
            Command::Trace(which, reply) => {
                let _ = reply.send(known(which).map(|()| json!({})));
            }
            Command::Settings(reply) => {
                let _ = reply.send(Ok(settings()));
            }
            Command::Facts(reply) => {
                // no directory: nothing is written
                let _ = reply.send(Ok(Facts {
                    state_dir: "/dev/null/x".into(),
                    ..Facts::default()
                }));
            }
            Command::BlocklistLen(reply) => {
                let _ = reply.send(Ok(0));
            }
            Command::History(reply) => {
                let _ = reply.send(Ok(History::default()));
            }
            Command::Counts(reply) => {
                let _ = reply.send(Ok(Box::new(Counts::default())));
            }
            _ => {} // who asks hears that the daemon is ending
        }
    }
}

fn within_bounds(change: &Change) {
    for limit in [change.seed_idle, change.seed_time].into_iter().flatten() {
        if let Limit::Own(time) = limit {
            assert!(time.as_secs() < 1 << 32);
        }
    }
    if let Some(Limit::Own(ratio)) = change.seed_ratio {
        assert!(ratio.is_finite() && ratio >= 0.0);
    }
}

fn settings_within_bounds(change: &SettingsChange) {
    let schedule = change.schedule;
    let mut minutes = [schedule.from, schedule.to].into_iter().flatten();
    assert!(minutes.all(|m| m < 1440) && schedule.days.is_none_or(|d| d < 128));
    let ratio = change.seed_ratio.flatten().unwrap_or_default();
    assert!(ratio.is_finite() && ratio >= 0.0);
    assert!(change.download_dir.as_deref().is_none_or(is_plain));
}

fn is_plain(path: &Path) -> bool {
    let up = path.components().any(|c| c == Component::ParentDir);
    path.is_absolute() && !up && !path.to_string_lossy().contains('\0')
}

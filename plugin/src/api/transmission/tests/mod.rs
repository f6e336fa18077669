mod any;
mod done;
mod get;
mod http;
mod session;
mod set;

use std::sync::Arc;

use serde_json::{Value, json};

use super::fake::{Fake, settings, torrent};
use crate::daemon::{Options, Settings, Summary};

fn with(change: impl FnOnce(&mut Summary)) -> Summary {
    let mut torrent = torrent(1);
    change(&mut torrent);
    torrent
}

fn options(change: impl FnOnce(&mut Options)) -> Summary {
    with(|torrent| change(Arc::make_mut(&mut torrent.options)))
}

/// The one torrent's fields.
async fn get(torrent: Summary, fields: &[&str]) -> Value {
    get_with(torrent, settings(), fields).await
}

async fn get_with(torrent: Summary, settings: Settings, fields: &[&str]) -> Value {
    let fake = Fake::new(vec![torrent], settings);
    let request = json!({"method": "torrent-get", "arguments": {"fields": fields}});
    let mut answer = fake.call(request).await;
    assert_eq!(answer["result"], "success");
    answer["arguments"]["torrents"][0].take()
}

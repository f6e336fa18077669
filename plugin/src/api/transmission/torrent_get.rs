//! `torrent-get`.

use std::pin::pin;
use std::sync::Arc;

use futures::{StreamExt, stream};
use serde_json::{Map, Value};

use super::arguments::Arguments;
use super::error::{NO_FIELDS, RpcError};
use super::fields::{Field, Source, View, field, wants_all};
use super::ids::{Ids, RECENT};
use crate::daemon::{Daemon, DaemonError, Detail, Settings, Summary};

/// Torrents whose depth is asked for at a time.
const AT_ONCE: usize = 16; // guess: the actor answers them side by side

/// What is asked.
struct Question {
    ids: Ids,
    /// Known ones, each once.
    fields: Vec<&'static Field>,
    table: bool,
}

impl Question {
    fn of(arguments: Arguments<'_>) -> Result<Self, RpcError> {
        // some clients put `null` among the names
        let names = arguments.raw("fields").and_then(Value::as_array);
        let names = names.ok_or(NO_FIELDS)?.iter().filter_map(Value::as_str);
        let mut fields: Vec<&'static Field> = Vec::new();
        for asked in names.filter_map(field) {
            if !fields.iter().any(|known| known.name == asked.name) {
                fields.push(asked);
            }
        }
        Ok(Self {
            ids: Ids::of(arguments)?,
            fields,
            table: arguments.text("format")? == Some("table"),
        })
    }

    /// Whether a torrent must be looked at in depth.
    fn is_deep(&self, torrent: &Summary) -> bool {
        self.fields.iter().any(|field| match field.source {
            Source::Summary => false,
            Source::Selection => !wants_all(torrent),
            Source::Detail => true,
        })
    }

    fn values<'a>(&'a self, view: &'a View<'a>) -> impl Iterator<Item = Value> + 'a {
        self.fields.iter().map(|field| (field.value)(view))
    }

    fn object(&self, view: &View<'_>) -> Value {
        let names = self.fields.iter().map(|field| field.name.to_owned());
        let object: Map<_, _> = names.zip(self.values(view)).collect();
        object.into()
    }

    fn row(&self, view: &View<'_>) -> Value {
        self.values(view).collect()
    }
}

pub(super) async fn answer(
    daemon: &Daemon,
    arguments: Arguments<'_>,
    now: u64,
) -> Result<Value, RpcError> {
    let question = Question::of(arguments)?;
    let listing = daemon.list();
    let settings = daemon.settings().await?;
    let torrents = question.ids.of_listing(&listing, now);
    let looked = stream::iter(torrents).map(|torrent| look(daemon, &question, torrent));
    let mut looked = pin!(looked.buffered(AT_ONCE));
    let mut torrents: Vec<Value> = Vec::new();
    if question.table {
        let names = question.fields.iter().map(|field| field.name);
        torrents.push(names.collect::<Value>());
    }
    while let Some(looked) = looked.next().await {
        if let Some((torrent, detail)) = looked? {
            torrents.push(shown(&question, &torrent, &detail, &settings, now));
        }
        // all fields of thousands of torrents take a while
        tokio::task::consume_budget().await;
    }
    // `json!` would copy them all
    let mut out = Map::new();
    out.insert("torrents".to_owned(), torrents.into());
    if question.ids == Ids::Recent {
        let removed = listing.removed.iter();
        let removed = removed.filter(|gone| gone.at.saturating_add(RECENT) >= now);
        let removed = removed.map(|gone| gone.id).collect();
        out.insert("removed".to_owned(), removed);
    }
    Ok(out.into())
}

type Looked = Option<(Arc<Summary>, Option<Detail>)>;

/// A torrent with its depth if that is needed; `None`: it has gone meanwhile.
async fn look(
    daemon: &Daemon,
    question: &Question,
    torrent: Arc<Summary>,
) -> Result<Looked, DaemonError> {
    if !question.is_deep(&torrent) {
        return Ok(Some((torrent, None)));
    }
    match daemon.detail(torrent.info_hash).await {
        Ok(detail) => Ok(Some((torrent, Some(detail)))),
        Err(DaemonError::Unknown(_)) => Ok(None),
        Err(e) => Err(e),
    }
}

fn shown(
    question: &Question,
    torrent: &Summary,
    detail: &Option<Detail>,
    settings: &Settings,
    now: u64,
) -> Value {
    let view = View {
        torrent,
        detail: detail.as_ref(),
        settings,
        now,
    };
    if question.table {
        question.row(&view)
    } else {
        question.object(&view)
    }
}

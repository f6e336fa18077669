//! Torrents: shown, added, changed, removed.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use super::openapi::{HashParam, Problem};
use super::types::{
    Added, Files, Lookups, NewTorrentRequest, Peers, Pieces, QueueRequest, RelocateRequest,
    RemoveParams, StartRequest, TorrentChange, TorrentDetail, Torrents, Trace, Trackers,
    UploadParams,
};
use crate::api::extract::{self, Hash, Params};
use crate::api::{ApiError, ApiState};
use crate::daemon::{Daemon, DaemonError, InfoHash, NewTorrent, Summary};

/// What a .torrent file is.
const TORRENT: &str = "application/x-bittorrent";

/// All torrents.
#[utoipa::path(get, path = "/api/v1/torrents", responses((status = 200, body = Torrents), Problem))]
pub(super) async fn list(State(state): State<ApiState>) -> Json<Torrents> {
    Json((&*state.daemon.list()).into())
}

/// Adds a torrent. The body is JSON that says what, or, as `application/x-bittorrent`, the .torrent file itself. When this
/// is answered it is on disk, and no end of the daemon loses it.
#[utoipa::path(post, path = "/api/v1/torrents", params(UploadParams),
    request_body(content(
        (NewTorrentRequest = "application/json"),
        (String = "application/x-bittorrent"),
    )),
    responses((status = 201, body = Added, description = "It is new"),
        (status = 200, body = Added, description = "It was there; nothing was changed"), Problem))]
pub(super) async fn add(
    State(state): State<ApiState>,
    Params(params): Params<UploadParams>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Added>), ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let new: NewTorrent = match kind {
        Some(kind) if kind.eq_ignore_ascii_case(TORRENT) => params.of(body)?,
        _ if !params.is_empty() => {
            let why = format!("`dir` and `start` in the query go with a body of {TORRENT}");
            return Err(ApiError::Invalid(why));
        }
        _ => extract::read::<NewTorrentRequest>(&body)?.try_into()?,
    };
    let added = state.daemon.add(new).await?;
    let status = match added.duplicate {
        true => StatusCode::OK,
        false => StatusCode::CREATED,
    };
    Ok((status, Json(added.into())))
}

/// One torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{hash}", params(HashParam),
    responses((status = 200, body = TorrentDetail), Problem))]
pub(super) async fn show(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<TorrentDetail>, ApiError> {
    let summary = summary(&state.daemon, which)?;
    let detail = state.daemon.detail(which).await?;
    Ok(Json(TorrentDetail::new(&summary, detail)))
}

/// Changes what is said of a torrent: all of it, or nothing where a part cannot be.
#[utoipa::path(patch, path = "/api/v1/torrents/{hash}", params(HashParam), request_body = TorrentChange,
    responses((status = 204), Problem))]
pub(super) async fn change(
    State(state): State<ApiState>,
    Hash(which): Hash,
    extract::Json(change): extract::Json<TorrentChange>,
) -> Result<StatusCode, ApiError> {
    state.daemon.change(which, change.try_into()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a torrent.
#[utoipa::path(delete, path = "/api/v1/torrents/{hash}", params(HashParam, RemoveParams),
    responses((status = 204), Problem))]
pub(super) async fn remove(
    State(state): State<ApiState>,
    Hash(which): Hash,
    Params(params): Params<RemoveParams>,
) -> Result<StatusCode, ApiError> {
    state.daemon.remove(which, params.data).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Starts a torrent when the queue has a place for it.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/start", params(HashParam),
    request_body = Option<StartRequest>, responses((status = 204), Problem))]
pub(super) async fn start(
    State(state): State<ApiState>,
    Hash(which): Hash,
    extract::Json(start): extract::Json<StartRequest>,
) -> Result<StatusCode, ApiError> {
    state.daemon.start(which, start.now).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Stops a torrent.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/pause", params(HashParam),
    responses((status = 204), Problem))]
pub(super) async fn pause(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<StatusCode, ApiError> {
    state.daemon.pause(which).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hashes all data of a torrent again.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/verify", params(HashParam),
    responses((status = 204), Problem))]
pub(super) async fn verify(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<StatusCode, ApiError> {
    state.daemon.verify(which).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Asks trackers and the DHT for peers as soon as they allow.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/reannounce", params(HashParam),
    responses((status = 204), Problem))]
pub(super) async fn reannounce(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<StatusCode, ApiError> {
    state.daemon.reannounce(which).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Has a torrent's data in another directory. This is answered when that has begun; `moving` of the torrent says how far it
/// is, `trouble` what went wrong.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/relocate", params(HashParam),
    request_body = RelocateRequest, responses((status = 204), Problem))]
pub(super) async fn relocate(
    State(state): State<ApiState>,
    Hash(which): Hash,
    extract::Json(to): extract::Json<RelocateRequest>,
) -> Result<StatusCode, ApiError> {
    state.daemon.relocate(which, to.dir()?, to.r#move).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves a torrent in the queue.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/queue", params(HashParam),
    request_body = QueueRequest, responses((status = 204), Problem))]
pub(super) async fn queue(
    State(state): State<ApiState>,
    Hash(which): Hash,
    extract::Json(queue): extract::Json<QueueRequest>,
) -> Result<StatusCode, ApiError> {
    summary(&state.daemon, which)?;
    state
        .daemon
        .queue_move(vec![which], queue.to.into())
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The files of a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{hash}/files", params(HashParam),
    responses((status = 200, body = Files), Problem))]
pub(super) async fn files(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<Files>, ApiError> {
    Ok(Json(state.daemon.detail(which).await?.into()))
}

/// The peers of a torrent, and why each is one.
#[utoipa::path(get, path = "/api/v1/torrents/{hash}/peers", params(HashParam),
    responses((status = 200, body = Peers), Problem))]
pub(super) async fn peers(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<Peers>, ApiError> {
    Ok(Json(state.daemon.detail(which).await?.into()))
}

/// The pieces of a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{hash}/pieces", params(HashParam),
    responses((status = 200, body = Pieces), Problem))]
pub(super) async fn pieces(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<Pieces>, ApiError> {
    let summary = summary(&state.daemon, which)?;
    let detail = state.daemon.detail(which).await?;
    Ok(Json(Pieces::new(&summary, detail)))
}

/// The trackers of a torrent.
#[utoipa::path(get, path = "/api/v1/torrents/{hash}/trackers", params(HashParam),
    responses((status = 200, body = Trackers), Problem))]
pub(super) async fn trackers(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<Trackers>, ApiError> {
    Ok(Json(state.daemon.detail(which).await?.into()))
}

/// The last questions to the directory.
#[utoipa::path(get, path = "/api/v1/torrents/{hash}/lookups", params(HashParam),
    responses((status = 200, body = Lookups), Problem))]
pub(super) async fn lookups(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<Lookups>, ApiError> {
    Ok(Json(state.daemon.detail(which).await?.into()))
}

/// Asks the directory now for a torrent's peers, and shows each index node on the way.
#[utoipa::path(post, path = "/api/v1/torrents/{hash}/trace", params(HashParam),
    responses((status = 200, body = Trace), Problem))]
pub(super) async fn trace(
    State(state): State<ApiState>,
    Hash(which): Hash,
) -> Result<Json<Trace>, ApiError> {
    Ok(Json(Trace(state.daemon.trace(which).await?)))
}

/// A torrent of the listing.
fn summary(daemon: &Daemon, which: InfoHash) -> Result<Arc<Summary>, ApiError> {
    let listing = daemon.list();
    let found = listing.torrents.iter().find(|s| s.info_hash == which);
    Ok(found.cloned().ok_or(DaemonError::Unknown(which))?)
}

//! The daemon: settings, totals, the directory, its end.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::openapi::Problem;
use super::types::{Directory, History, Session, SessionChange};
use crate::api::extract;
use crate::api::{ApiError, ApiState};

/// Settings, totals, and what the daemon was started with.
#[utoipa::path(get, path = "/api/v1/session", responses((status = 200, body = Session), Problem))]
pub(super) async fn session(State(state): State<ApiState>) -> Result<Json<Session>, ApiError> {
    let daemon = &state.daemon;
    let settings = daemon.settings().await?;
    let space = daemon.free_space(settings.download_dir.clone()).await;
    Ok(Json(Session {
        version: env!("CARGO_PKG_VERSION"),
        network: daemon.facts().await?.into(),
        totals: (&daemon.list().totals).into(),
        space: space.ok().map(Into::into),
        blocklist_ranges: daemon.blocklist_len().await?,
        settings: settings.into(),
    }))
}

/// Changes what holds for all torrents: all of it, or nothing where a part cannot be. It is kept over a restart.
#[utoipa::path(patch, path = "/api/v1/session", request_body = SessionChange,
    responses((status = 204), Problem))]
pub(super) async fn change(
    State(state): State<ApiState>,
    extract::Json(change): extract::Json<SessionChange>,
) -> Result<StatusCode, ApiError> {
    state.daemon.change_settings(change.try_into()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The index node: status, coordinate, routing table, objects. 409 where there is none.
#[utoipa::path(get, path = "/api/v1/directory", responses((status = 200, body = Directory), Problem))]
pub(super) async fn directory(State(state): State<ApiState>) -> Result<Json<Directory>, ApiError> {
    Ok(Json(Directory(state.daemon.index().await?)))
}

/// Bytes from and to near and far peers over time.
#[utoipa::path(get, path = "/api/v1/history", responses((status = 200, body = History), Problem))]
pub(super) async fn history(State(state): State<ApiState>) -> Result<Json<History>, ApiError> {
    Ok(Json(state.daemon.history().await?.into()))
}

/// Ends the daemon in an orderly way. This is answered before it begins.
#[utoipa::path(post, path = "/api/v1/shutdown", responses((status = 202), Problem))]
pub(super) async fn shutdown(State(state): State<ApiState>) -> StatusCode {
    // the answer has to be out before the end takes this server along
    tokio::spawn(async move { state.daemon.shutdown().await });
    StatusCode::ACCEPTED
}

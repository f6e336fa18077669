//! The API of our own: what Transmission's cannot say.

use axum::Router;

use super::ApiState;

/// Its routes, below `/api/v1`.
pub(super) fn routes() -> Router<ApiState> {
    Router::new()
}

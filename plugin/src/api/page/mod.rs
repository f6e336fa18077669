//! The page.

use axum::Router;

use super::ApiState;

/// Its routes.
pub(super) fn routes() -> Router<ApiState> {
    Router::new()
}

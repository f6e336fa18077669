//! Requests by route, method and status.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::extract::MatchedPath;
use axum::http::{Method, StatusCode};

use super::text::Samples;

/// Counts requests.
#[derive(Default)]
pub(in crate::api) struct Requests {
    by: Mutex<BTreeMap<(String, &'static str, u16), u64>>,
}

impl Requests {
    /// Counts one. Who asks for what is not here, or in a way that is not HTTP's own, makes no new rows.
    pub(in crate::api) fn count(
        &self,
        route: Option<&MatchedPath>,
        method: &Method,
        status: StatusCode,
    ) {
        const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let known = METHODS.into_iter().find(|m| *m == method.as_str());
        let route = route.map_or("none", MatchedPath::as_str).to_owned();
        let row = (route, known.unwrap_or("other"), status.as_u16());
        let mut by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        *by.entry(row).or_default() += 1;
    }

    pub(super) fn write(&self, samples: &mut Samples<'_>) {
        let by = self.by.lock().unwrap_or_else(PoisonError::into_inner);
        for ((route, method, status), count) in &*by {
            let code = status.to_string();
            let labels = [
                ("route", route.as_str()),
                ("method", method),
                ("code", &code),
            ];
            samples.with(&labels, *count);
        }
    }
}

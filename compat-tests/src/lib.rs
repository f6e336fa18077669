//! Helpers for tests against stock clients.

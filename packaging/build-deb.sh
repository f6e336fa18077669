#!/usr/bin/env bash
# Builds target/debian/chunkcast_*.deb: the program, its unit, manual, completions and example configuration.
# Needs cargo-deb (cargo install cargo-deb).
set -euo pipefail
cd "$(dirname "$0")/.."
target="${CARGO_TARGET_DIR:-target}"

cargo build --release --package chunkcast-bittorrent --no-default-features --bin chunkcast
packaging/generate.sh "$target/release/chunkcast"
cargo deb --no-build --strip --package chunkcast-bittorrent "$@"

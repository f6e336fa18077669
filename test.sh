#!/usr/bin/env bash
# Builds ChunkCast and runs every test, against stock clients too.
#   ./test.sh              installs the stock clients and the browser that are missing (Debian packages, PyPI), then runs everything
#   ./test.sh --no-compat  runs without them and says what was skipped
set -euo pipefail
cd "$(dirname "$0")"

compat=yes
for arg in "$@"; do
  case "$arg" in
    --no-compat) compat=no ;;
    -h|--help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
    *) echo "test.sh: unknown argument \`$arg\`; try --help" >&2; exit 2 ;;
  esac
done

step() { printf '\n== %s\n' "$*"; }

if [ "$compat" = yes ]; then
  missing=()
  for pair in transmission-daemon:transmission-daemon transmission-show:transmission-cli \
    transmission-remote:transmission-cli aria2c:aria2 openssl:openssl \
    qbittorrent-nox:qbittorrent-nox opentracker:opentracker \
    chromium:chromium chromedriver:chromium-driver \
    ip:iproute2 kill:procps python3:python3; do
    type -P "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
  done
  python3 -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  if [ "${#missing[@]}" -gt 0 ]; then
    step "installing stock clients and a browser: ${missing[*]}"
    if [ "$(id -u)" != 0 ]; then
      echo "test.sh: ${missing[*]} are missing and only root can install them; install them or run ./test.sh --no-compat" >&2
      exit 1
    fi
    apt-get update -qq
    # the packages' own services must not start
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d.chunkcast
    chmod +x /usr/sbin/policy-rc.d.chunkcast
    [ -e /usr/sbin/policy-rc.d ] || { ln -s policy-rc.d.chunkcast /usr/sbin/policy-rc.d; policy=ours; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
    [ "${policy:-}" != ours ] || rm -f /usr/sbin/policy-rc.d
    rm -f /usr/sbin/policy-rc.d.chunkcast
  fi
  for module in libtorrent:libtorrent transmission_rpc:transmission-rpc; do
    python3 -c "import ${module%%:*}" 2>/dev/null && continue
    step "installing ${module##*:} for Python"
    python3 -m pip install -q --disable-pip-version-check "${module##*:}" ||
      python3 -m pip install -q --disable-pip-version-check --break-system-packages "${module##*:}"
  done
fi

if [ "${CI:-}" != "" ]; then
  step "format and lints"
  cargo fmt --all --check
  cargo clippy --workspace --all-targets --all-features -- -D warnings
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features --quiet
fi

step "unit and integration tests"
cargo test --workspace --exclude chunkcast-compat-tests --exclude chunkcast-netlab --all-features

step "the program itself"
cargo build -p chunkcast-bittorrent --bins --example rqbit

if [ "$compat" = yes ]; then
  step "against stock clients"
  cargo run -q -p chunkcast-compat-tests --bin compat-matrix -- --clear
  failed=
  # most of the time is waiting; every cell is tried, also after one that fails
  cargo test -p chunkcast-compat-tests --no-fail-fast -- --test-threads=8 || failed=yes
  step "docs/compat.md and what was found"
  cargo run -q -p chunkcast-compat-tests --bin compat-matrix -- --check
  [ -z "$failed" ] || exit 1
  step "the measuring harness"
  cargo test -p chunkcast-netlab -- --test-threads=1
else
  step "the measuring harness, without its networks"
  cargo test -p chunkcast-netlab --bins
  step "skipped (--no-compat): every test against Transmission, aria2, qBittorrent, libtorrent and opentracker (the cells of docs/compat.md), of the daemon's page in Chromium, and of netlab's networks"
fi

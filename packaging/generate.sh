#!/usr/bin/env bash
# generate.sh CHUNKCAST: has the program write its manual and completions to packaging/generated.
set -euo pipefail
program="$(realpath "$1")"
cd "$(dirname "$0")"
rm -rf generated
mkdir -p generated/man generated/completions
"$program" man --dir generated/man
"$program" completions bash > generated/completions/chunkcast
"$program" completions zsh > generated/completions/_chunkcast
"$program" completions fish > generated/completions/chunkcast.fish
gzip -9n generated/man/*.1

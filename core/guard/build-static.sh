#!/bin/sh
# Builds the shipped guard: static (no loader, no shared library whose pages would be locked too), small, aborting on panic.
# Prints the path of the binary. The flags stay out of .cargo/config.toml because they hold for this binary only; hence a target
# directory of its own, too.
set -eu
cd "$(dirname "$0")/../.."
target=$(rustc -vV | sed -n 's/^host: //p')
CARGO_TARGET_DIR=target/guard RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static" \
    cargo build --quiet --package tanist-guard --bin tanist-guard --profile guard --target "$target" >&2
echo "$PWD/target/guard/$target/guard/tanist-guard"

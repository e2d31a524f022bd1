#!/usr/bin/env bash
# Builds the simulator for long hunts: once so that it counts what it does, and, after some thousand schedules, again, optimised by that.
# Prints where it is. The profile changes the speed and nothing else: seeds, traces and hashes are those of any other build.
#
#   $(core/sim/build-hunt.sh) fuzz --schedules 10000000 --seed 1
#
# Needs llvm-profdata (rustup's component llvm-tools) and installs it. Where that cannot be, it says so and builds without a profile.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { printf 'build-hunt: %s\n' "$*" >&2; }
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(cd "$target" && pwd)

plain() {
    say "$1; building without a profile, which is some fifth slower"
    cargo build -p tanist-sim --profile hunt >&2
    echo "$target/hunt/tanist-sim"
    exit
}

host=$(rustc -vV | sed -n 's/^host: //p')
profdata=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
if [ ! -x "$profdata" ]; then
    command -v rustup >/dev/null || plain "no rustup, and no llvm-profdata"
    say "installing rustup's component llvm-tools"
    rustup component add llvm-tools >&2 || plain "llvm-tools could not be installed"
fi

counts=$target/hunt-counts
profile=$counts/tanist-sim.profdata
build() { # build DIRECTORY FLAG; with a target given the flag is not for build scripts
    RUSTFLAGS="${RUSTFLAGS:-} $2" CARGO_TARGET_DIR=$1 cargo build -p tanist-sim --profile hunt --target "$host" >&2
}
build "$counts" "-Cprofile-generate=$counts/raw"
counting=$counts/$host/hunt/tanist-sim
if [ ! "$profile" -nt "$counting" ]; then
    rm -rf "$counts/raw"
    say "running 6400 schedules to count what they do"
    "$counting" fuzz --schedules 6400 --seed 900000 >/dev/null 2>&1 || say "one of them breaks something: make sim will tell"
    "$profdata" merge -o "$profile" "$counts/raw"
fi
build "$target/hunt-profiled" "-Cprofile-use=$profile"
echo "$target/hunt-profiled/$host/hunt/tanist-sim"

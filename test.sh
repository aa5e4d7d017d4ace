#!/usr/bin/env bash
# Everything that has to hold before a change goes in; CI runs exactly this.
#
#   ./test.sh          all of it
#
# It needs Rust, cc, make and perl for the C libraries, and Java 17 or newer with Maven for
# Apache Kafka, which the tests fetch by its coordinates and start themselves. Services in Python, Node
# and Go are tried where those are installed. On Debian and
# Ubuntu, as root, it installs what is missing; elsewhere it says what to install.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

started=$SECONDS
declare -a summary=()
step_name=""

say() { printf '\n== %s\n' "$*"; }

# Runs a step and keeps its time for the summary.
step() {
    step_name=$1
    shift
    say "$step_name: $*"
    local from=$SECONDS
    "$@"
    summary+=("$(printf '%5d s  %s' $((SECONDS - from)) "$step_name")")
    step_name=""
}

java_is_new_enough() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    [ -n "$version" ] && [ "$version" -ge 17 ]
}

# The packages that are missing, by their Debian names.
missing_packages() {
    command -v cc >/dev/null || echo gcc
    command -v c++ >/dev/null || echo g++
    command -v make >/dev/null || echo make
    command -v perl >/dev/null || echo perl
    java_is_new_enough 2>/dev/null || echo default-jdk-headless
    command -v mvn >/dev/null || echo maven
}

prerequisites() {
    if ! command -v cargo >/dev/null; then
        echo "Rust is missing: install it from https://rustup.rs" >&2
        return 1
    fi
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # one word for each package
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing
        missing=$(missing_packages | tr '\n' ' ')
        [ -n "$missing" ] || return 0
    fi
    echo "Missing (by their Debian names): $missing" >&2
    echo "Java has to be 17 or newer. On Debian or Ubuntu: sudo apt-get install $missing" >&2
    return 1
}

# Every test that docs/guarantees.md names exists, and every promise names one.
guarantees() {
    local file=docs/guarantees.md reference path name missing=0
    for reference in $(grep -oE '[a-z]+/[A-Za-z0-9_/.-]+\.rs::[A-Za-z0-9_]+' "$file" | sort -u); do
        path=${reference%%::*} name=${reference##*::}
        if ! grep -qE "fn $name\b" "$path" 2>/dev/null; then
            echo "$file names $reference, which does not exist" >&2
            missing=1
        fi
    done
    return "$missing"
}

# The bugs are in a build of their own, so that no other one is built anew for it.
canaries() {
    RUSTFLAGS="--cfg tidegate_canary" CARGO_TARGET_DIR=target/canary \
        cargo test --release -p tidegate-sim --test canaries -- --nocapture
}

deny() {
    if cargo deny --version >/dev/null 2>&1; then
        cargo deny check
    else
        echo "LEFT OUT: licences and advisories are not checked, cargo-deny is not installed" \
            "(cargo install cargo-deny --locked)"
    fi
}

# Some thirty test programs link the C libraries; optimising each as a whole would take minutes.
export CARGO_PROFILE_RELEASE_LTO=off

# The test kit marks every broker with this, so that this run is judged by its own brokers only.
TIDEGATE_TEST_RUN="$$-$(date +%s)"
export TIDEGATE_TEST_RUN

# The process ids of brokers of this run that are still alive.
leftovers() {
    local folder
    for folder in /proc/[0-9]*; do
        # A process may end between the listing and the look.
        if grep -qzxF -- "-Dtidegate.test.run=$TIDEGATE_TEST_RUN" "$folder/cmdline" 2>/dev/null; then
            echo "${folder#/proc/}"
        fi
    done
}

nothing_left() {
    local left _
    # A watchdog may need a moment after its test process has ended.
    for _ in $(seq 50); do
        left=$(leftovers | tr '\n' ' ')
        [ -n "$left" ] || return 0
        sleep 0.2
    done
    echo "Brokers are still running: $left" >&2
    return 1
}

finish() {
    local status=$?
    if [ "$status" -ne 0 ]; then
        summary+=("failed:  ${step_name:-the script}")
    fi
    say "summary"
    printf '%s\n' "${summary[@]}"
    printf '%5d s  in all\n' $((SECONDS - started))
    exit "$status"
}
trap finish EXIT

step "prerequisites" prerequisites
step "format" cargo fmt --all --check
step "promises and their tests" guarantees
step "lints" cargo clippy --release --workspace --all-targets --all-features -- -D warnings
step "engine, simulation, runtime and fuzz corpora, debug assertions on" \
    cargo test -p tidegate-engine -p tidegate-sim -p tidegate-runtime -p tidegate-fuzz \
    --features tidegate-runtime/tower
step "simulation, a minute of new schedules" \
    cargo run --release -p tidegate-sim -- --seconds 60
step "planted bugs" canaries
# Those above are the same without debug assertions, and would only be built once more.
step "all other tests" cargo test --release --workspace --all-features \
    --exclude tidegate-engine --exclude tidegate-sim --exclude tidegate-runtime
step "licences and advisories" deny
step "nothing left running" nothing_left

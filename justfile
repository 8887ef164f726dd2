# `just --list` shows what there is. `.ci/run` decides whether a change lands; `ci` is its quick part, with licences.

ci: fmt-check clippy test doc deny

fmt-check:
    cargo fmt --check

clippy:
    cargo clippy --all-targets -- -D warnings

test:
    cargo test

doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# Licences, advisories and sources of dependencies (`cargo install cargo-deny --locked`).
deny:
    cargo deny check

# Rewrites the pages that are generated.
docs:
    UPDATE_DOCS=1 cargo test --test docs

bench *args:
    cargo bench {{args}}

# Throughput and latency beside a null service (Linux; `just load --list`). See loadtest/README.md.
load *args:
    loadtest/run {{args}}

# Half an hour of load, changes, rotations, bursts and strangers at once (Linux). See loadtest/README.md.
soak *args:
    cargo build --release
    cargo build --release --manifest-path loadtest/client/Cargo.toml
    loadtest/soak {{args}}

# The load client's own tests, with what needs iamd.
load-test:
    cargo build --release
    cargo test --manifest-path loadtest/client/Cargo.toml -- --include-ignored

# The chart, the rules, the dashboard and so on, with the tools that are here (deploy/README.md).
deploy *args:
    deploy/check {{args}}

# So long per target, each from its corpus and its seeds (`cargo install cargo-fuzz`, and a nightly toolchain).
fuzz seconds="600":
    #!/usr/bin/env bash
    set -euo pipefail
    for target in policy pattern store request session; do
        words=(); [ ! -f "fuzz/$target.dict" ] || words=("-dict=fuzz/$target.dict")
        mkdir -p "fuzz/corpus/$target"
        cargo +nightly fuzz run -O "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
            "${words[@]}" -max_total_time={{seconds}} -timeout=10 -rss_limit_mb=2048
    done

# `just` alone lists what there is.
default:
    @just --list

# What must hold before anything is called done: the same lines as .ci/run.
check:
    bash .ci/run

# All tests.
test:
    cargo test --workspace

# Speed, each figure beside something to compare it with in the same run.
bench:
    cargo bench --package benches

# Licences, advisories and sources of what we build on (needs cargo-deny).
deny:
    cargo deny check

# `just` alone lists what there is.
default:
    @just --list

# What must hold before anything is called done: the same lines as .ci/run.
check:
    bash .ci/run

# All tests.
test:
    cargo test --workspace

# Kills, power cuts, bad disks and every flipped byte, in many rounds; the ordinary tests run a few. KAIGI_TORTURE_SEED repeats a run.
torture kills="200" cuts="200":
    KAIGI_TORTURE_KILLS={{kills}} KAIGI_TORTURE_CUTS={{cuts}} cargo test --release --package tests --test torture
    KAIGI_TORTURE_FLIPS=all cargo test --release --package tests --test store_damage -- --nocapture each_flipped_byte

# Attacks that once succeeded, repeated against the real program at full size, and a table of what held. Names choose some: `just attack memory reads`.
[positional-arguments]
attack *names:
    cargo build --quiet --release --workspace --lib --bins
    target/release/attack "$@"

# Two processes, up to a thousand commands at once, leaders that die: so many seconds of it, with so many milliseconds an answer; the ordinary tests take a few seconds and no latency.
load seconds="60" latency_ms="0":
    KAIGI_LOAD_SECONDS={{seconds}} KAIGI_LOAD_LATENCY_MS={{latency_ms}} cargo test --release --package tests --test cluster -- --nocapture loaded::

# The program that puts any store to the contract and prints what held: copy it to where a server is.
store-contract-build:
    cargo build --release --package tests --bin store-contract

# The same at once: `just store-contract --resign 'esdb://...'`, or `--help`.
[positional-arguments]
store-contract *options:
    cargo run --quiet --release --package tests --bin store-contract -- "$@"

# Speed, each figure beside something to compare it with in the same run.
bench:
    cargo bench --package benches

# The store beside a bare file, SQLite and cqrs-es: a quarter of an hour (`just bench-store --help`).
bench-store *options:
    cargo run --quiet --release --manifest-path benches/peers/Cargo.toml -- {{options}}

# The service beside UmaDB's, both over the loopback; building UmaDB needs `protoc` (`just bench-umadb --help`).
bench-umadb *options:
    cargo build --quiet --profile dist --package kaigi
    cargo run --quiet --release --features umadb --manifest-path benches/peers/Cargo.toml -- umadb {{options}}

# Licences, advisories and sources of what we build on (needs cargo-deny).
deny:
    cargo deny check

//! The core on one core: deciding, writing, reading, folding.

use benches::{by_call, day, events, play, stored_events};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use domain::StoreId;
use domain::stored::{Payload, decode, encode};
use projections::{
    ActiveCalls, AllFour, Checkpointed, HandleTimes, Monitoring, Projection, WrapUpQueue,
};
use std::hint::black_box;
use std::time::Duration;
use uuid::Uuid;

/// How many events are replayed.
const REPLAYED: usize = 1_000_000;

/// Nothing is kept, so whose checkpoint it would be does not matter.
const NO_STORE: StoreId = StoreId(Uuid::nil());

fn deciding(c: &mut Criterion) {
    let day = day(2_000);
    let calls = by_call(&day);
    let mut group = c.benchmark_group("decide + evolve");
    group.throughput(Throughput::Elements(day.len() as u64));
    group.bench_function("a simulated day, per command", |b| {
        b.iter(|| calls.iter().map(|call| play(black_box(call))).sum::<u64>());
    });
    group.finish();
}

fn payloads(c: &mut Criterion) {
    let stored = stored_events(20_000);
    let events = events(&stored);
    let mut group = c.benchmark_group("payload");
    group.throughput(Throughput::Elements(stored.len() as u64));
    group.bench_function("encode", |b| {
        b.iter(|| {
            for event in &events {
                black_box(encode(black_box(event), None));
            }
        });
    });
    let payloads: Vec<&Payload> = stored
        .iter()
        .map(|stored| &stored.recorded.payload)
        .collect();
    group.bench_function("decode", |b| {
        b.iter(|| {
            for payload in &payloads {
                black_box(decode(black_box(payload), None)).expect("what was encoded is decoded");
            }
        });
    });
    group.bench_function("hash", |b| {
        b.iter(|| {
            for stored in &stored {
                black_box(stored.recorded.hash_after(black_box(stored.recorded.hash)));
            }
        });
    });
    group.finish();
}

fn replaying(c: &mut Criterion) {
    let events = stored_events(REPLAYED);
    let mut group = c.benchmark_group("replay of 1 million events");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    group.throughput(Throughput::Elements(events.len() as u64));
    // At once, as a service keeps them: each call is looked up and evolved once for all four.
    one::<AllFour>(&mut group, &events);
    // One by one, as `kaigi show` resumes them, each from its own checkpoint.
    one::<ActiveCalls>(&mut group, &events);
    one::<WrapUpQueue>(&mut group, &events);
    one::<HandleTimes>(&mut group, &events);
    one::<Monitoring>(&mut group, &events);
    group.finish();
}

fn one<P: Projection>(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    events: &[domain::StoredEvent],
) {
    group.bench_function(P::NAME, |b| {
        let fold = |mut model: Checkpointed<P>| {
            for page in events.chunks(4096) {
                model.fold(page);
            }
            model
        };
        b.iter_batched(
            || Checkpointed::new(NO_STORE),
            fold,
            BatchSize::PerIteration,
        );
    });
}

criterion_group!(core, deciding, payloads, replaying);
criterion_main!(core);

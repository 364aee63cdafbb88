// One scenario through npm's `@kurrent/kurrentdb-client`, against the stand-in whose connection string is the argument.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createRequire } from "node:module";

// The client lies where the tests installed it, not beside this script.
const require = createRequire(`${process.env.CLIENTS_FOLDER}/`);
const {
  ANY,
  BACKWARDS,
  END,
  KurrentDBClient,
  NO_STREAM,
  START,
  StreamDeletedError,
  StreamNotFoundError,
  WrongExpectedVersionError,
  excludeSystemEvents,
  jsonEvent,
  streamNameFilter,
} = require("@kurrent/kurrentdb-client");

// A stand-in that never answers must not keep the test.
setTimeout(() => {
  console.error("it took too long");
  process.exit(1);
}, 60_000).unref();

const client = KurrentDBClient.connectionString(process.argv[2]);
const stream = `call-${randomUUID()}`;
const event = (type) => jsonEvent({ id: randomUUID(), type, data: { kind: type }, metadata: { who: "node" } });
const append = (events, streamState) => client.appendToStream(stream, events, { streamState });
const types = (events) => events.map((event) => event.type);

async function collected(reading) {
  const events = [];
  for await (const resolved of reading) events.push(resolved.event);
  return events;
}

await assert.rejects(collected(client.readStream(stream)), StreamNotFoundError);
const [a, b, c] = ["a", "b", "c"].map(event);
const first = await append([a], NO_STREAM);
const second = await append([b, c], 0n);
assert.deepEqual([first.nextExpectedRevision, second.nextExpectedRevision], [0n, 2n]);
assert(first.position.commit < second.position.commit, "positions grow");

for (const state of [0n, ANY]) {
  const again = await append([b, c], state);
  assert.deepEqual([again.nextExpectedRevision, again.position], [2n, second.position], "a retry is recognised");
}

for (const [events, state] of [[[event("x")], NO_STREAM], [[event("x")], 1n], [[b, event("x")], 0n]]) {
  await assert.rejects(append(events, state), (error) => {
    assert(error instanceof WrongExpectedVersionError, error);
    assert.equal(error.actualState, 2n);
    return true;
  });
}

const read = await collected(client.readStream(stream));
assert.deepEqual(types(read), ["a", "b", "c"]);
assert.deepEqual(read.map((event) => event.revision), [0n, 1n, 2n]);
assert.deepEqual([read[0].id, read[0].data, read[0].metadata], [a.id, a.data, a.metadata]);
assert.equal(read[0].isJson, true);
const backwards = client.readStream(stream, { direction: BACKWARDS, fromRevision: END, maxCount: 2 });
assert.deepEqual(types(await collected(backwards)), ["c", "b"]);
assert.deepEqual(types(await collected(client.readStream(stream, { fromRevision: 2n }))), ["c"]);

const calls = streamNameFilter({ prefixes: [stream] });
const all = (options) => collected(client.readAll(options));
assert((await all({ fromPosition: START })).some((event) => event.type.startsWith("$")));
assert(!(await all({ fromPosition: START, filter: excludeSystemEvents() })).some((event) => event.type.startsWith("$")));
assert.deepEqual(types(await all({ fromPosition: first.position, filter: calls })), ["a", "b", "c"]);
const before = { direction: BACKWARDS, fromPosition: second.position, maxCount: 1, filter: calls };
assert.deepEqual(types(await all(before)), ["b"]);

const seen = [];
const fromFirst = client.subscribeToAll({ fromPosition: first.position, filter: calls });
for await (const { event: appeared } of fromFirst) {
  seen.push(appeared.type);
  if (appeared.type === "c") await append([event("d")], 2n);
  if (appeared.type === "d") break;
}
assert.deepEqual(seen, ["b", "c", "d"], "after the event at its position, and on");
for await (const { event: appeared } of client.subscribeToStream(stream, { fromRevision: 1n })) {
  assert.equal(appeared.type, "c");
  break;
}

await client.deleteStream(stream, { expectedRevision: 3n });
await assert.rejects(collected(client.readStream(stream)), StreamNotFoundError);
const recreated = await append([event("e")], NO_STREAM);
assert.equal(recreated.nextExpectedRevision, 4n, "the numbering goes on");
assert.deepEqual(types(await collected(client.readStream(stream))), ["e"]);

await client.tombstoneStream(stream, { expectedRevision: 4n });
await assert.rejects(collected(client.readStream(stream)), StreamDeletedError);
await assert.rejects(append([event("f")], ANY), StreamDeletedError);

await client.dispose();
console.log("the scenario ended well");

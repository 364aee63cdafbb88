// Reads what `kaigi` wrote, through npm's `@kurrent/kurrentdb-client`: the argument is the connection string, standard
// input the events as `kaigi events` tells them. What docs/eventstoredb.md promises is compared.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

// The client lies where the tests installed it, not beside this script.
const require = createRequire(`${process.env.CLIENTS_FOLDER}/`);
const { KurrentDBClient, START, streamNameFilter } = require("@kurrent/kurrentdb-client");

// A stand-in that never answers must not keep the test.
setTimeout(() => {
  console.error("it took too long");
  process.exit(1);
}, 60_000).unref();

const OBJECT_IDENTIFIERS = "6ba7b8129dad11d180b400c04fd430c8";

// UUID version 5 in that namespace.
function named(name) {
  const hash = createHash("sha1").update(Buffer.from(OBJECT_IDENTIFIERS, "hex")).update(name).digest().subarray(0, 16);
  hash[6] = (hash[6] & 0x0f) | 0x50;
  hash[8] = (hash[8] & 0x3f) | 0x80;
  return hash.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

async function collected(reading) {
  const events = [];
  for await (const resolved of reading) events.push(resolved.event);
  return events;
}

function compare(event, expected, before) {
  const where = `event ${event.revision} of ${event.streamId}`;
  const { position, type, data, ...told } = expected;
  const { $correlationId, $causationId, previous, stored, ...shown } = event.metadata;
  assert.equal(event.isJson, true, where);
  assert.deepEqual([event.type, event.data, event.position.commit], [type, data, BigInt(position)], where);
  assert.deepEqual(shown, told, where);
  assert.deepEqual([$causationId, $correlationId], [told.command, told.correlation ?? told.command], where);
  assert.equal(event.id, named(told.hash), where);
  assert.equal(previous, before, where);
  assert.deepEqual(Object.keys(stored), ["index", "payload", "personal"], where);
  return told.hash;
}

const client = KurrentDBClient.connectionString(process.argv[2]);
const expected = JSON.parse(readFileSync(0, "utf8"));
const calls = new Set(expected.map((event) => event.call));
for (const call of calls) {
  const told = expected.filter((event) => event.call === call);
  const stream = await collected(client.readStream(`call-${call}`));
  assert.deepEqual(stream.map((event) => Number(event.revision)), [...told.keys()], `numbers of call-${call}`);
  stream.reduce((before, event, number) => compare(event, told[number], before), "0".repeat(64));
}

const filter = streamNameFilter({ prefixes: ["call-"] });
const all = await collected(client.readAll({ fromPosition: START, filter }));
const order = all.map((event) => Number(event.position.commit));
assert.deepEqual(order, expected.map((event) => event.position), "the order of all events");

const personal = all.filter((event) => event.metadata.stored.personal !== null).length;
await client.dispose();
console.log(JSON.stringify({ events: expected.length, calls: calls.size, personal }));

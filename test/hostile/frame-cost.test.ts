import assert from "node:assert/strict";
import { test } from "node:test";
import { benignFrame, randomShape } from "../support/frame-shapes.ts";
import { assertError, assertLives, provoke, randomOf } from "../support/hostile.ts";
import { startTestServer } from "../support/server.ts";
import type { Wire } from "../support/wire.ts";

const SEED = Number(process.env.MUSTER_FUZZ_SEED ?? 20_300_102);
const SHAPES = 1_000;
/** Bytes of a frame: as much as a stranger may send, and as much as anybody may. */
const STRANGERS = 15_000;
const SIZES = [STRANGERS, STRANGERS, 120_000, 1_000_000];
const MOST_CPU_MS = 50;
const MOST_RATIO = 4;

/** Processor time of this whole process, server and client, until the frame is answered, in milliseconds. */
async function costOf(wire: Wire, frame: Uint8Array): Promise<number> {
  const before = process.cpuUsage();
  const answer = await provoke(wire, wire.codec === "json" ? Buffer.from(frame).toString() : frame);
  const { user, system } = process.cpuUsage(before);
  if (answer.error) assertError(answer);
  return (user + system) / 1_000;
}

async function medianCost(wire: Wire, frame: Uint8Array): Promise<number> {
  const costs: number[] = [];
  for (let i = 0; i < 5; i++) costs.push(await costOf(wire, frame));
  return costs.sort((one, other) => one - other)[2] ?? Number.POSITIVE_INFINITY;
}

for (const codec of ["json", "msgpack"] as const)
  test(`a frame costs what its bytes cost, whatever they say (${SHAPES} shapes in ${codec})`, async (t) => {
    t.diagnostic(`MUSTER_FUZZ_SEED=${SEED}`);
    const server = await startTestServer(t);
    const random = randomOf(SEED);
    const owner = await server.wire({ codec });
    const host = await server.wire({ codec, token: null });
    const benign = new Map<number, number>();
    for (const size of SIZES) benign.set(size, await medianCost(owner, benignFrame(codec, size)));
    for (let i = 0; i < SHAPES; i++) {
      const size = SIZES[i % SIZES.length] ?? STRANGERS;
      const { about, frame } = randomShape(codec, size, random);
      const wire = size === STRANGERS ? host : owner;
      const most = Math.max(MOST_CPU_MS, MOST_RATIO * (benign.get(size) ?? 0));
      if ((await costOf(wire, frame)) > most) {
        const cost = await medianCost(wire, frame);
        assert.ok(cost <= most, `${Math.round(cost)} ms of ${Math.round(most)} for ${about}`);
      }
      // Who sends rubbish all the time is closed.
      if (i % 100 === 0) server.clock.advance(1_001);
    }
    await assertLives(server, owner);
  });

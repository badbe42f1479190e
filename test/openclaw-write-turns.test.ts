import assert from "node:assert/strict";
import { test } from "node:test";
import { WriteTurns } from "../src/gateways/openclaw/write-turns.ts";

/** Writes that end when they are told to, and in which order they began. */
class Writes {
  readonly turns = new WriteTurns();
  readonly begun: string[] = [];
  readonly #ends = new Map<string, (error?: Error) => void>();

  run(name: string, signal?: AbortSignal): Promise<string> {
    const write = () => {
      this.begun.push(name);
      return new Promise<string>((resolve, reject) => {
        this.#ends.set(name, (error) => (error ? reject(error) : resolve(name)));
      });
    };
    return this.turns.run(write, signal);
  }

  end(name: string, error?: Error): void {
    this.#ends.get(name)?.(error);
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("one write follows the other, in order, also after one that failed", async () => {
  const writes = new Writes();
  const failed = assert.rejects(writes.run("first"), /no/);
  const [second, third] = [writes.run("second"), writes.run("third")];
  await settled();
  assert.deepEqual(writes.begun, ["first"]);
  writes.end("first", new Error("no"));
  await failed;
  await settled();
  assert.deepEqual(writes.begun, ["first", "second"]);
  writes.end("second");
  assert.equal(await second, "second");
  await settled();
  writes.end("third");
  assert.equal(await third, "third");
});

test("who calls off a write is told at once, and the next one waits until it has ended all the same", async () => {
  const writes = new Writes();
  const off = new AbortController();
  const first = assert.rejects(writes.run("first", off.signal), /called off/);
  const second = writes.run("second");
  await settled();
  off.abort();
  await first;
  await settled();
  assert.deepEqual(writes.begun, ["first"]);
  writes.end("first", new Error("nobody asks any more"));
  await settled();
  assert.deepEqual(writes.begun, ["first", "second"]);
  writes.end("second");
  await second;
});

test("a write that is called off before its turn is never made", async () => {
  const writes = new Writes();
  const off = new AbortController();
  const first = writes.run("first");
  const second = assert.rejects(writes.run("second", off.signal), /called off/);
  const third = writes.run("third");
  off.abort();
  await second;
  await assert.rejects(writes.run("fourth", off.signal), /called off/);
  await settled();
  writes.end("first");
  await first;
  await settled();
  assert.deepEqual(writes.begun, ["first", "third"]);
  writes.end("third");
  await third;
});

test("writes that wait have a bound", async () => {
  const writes = new Writes();
  const off = new AbortController();
  const waiting = Array.from({ length: 10_000 }, () => writes.run("one", off.signal));
  await assert.rejects(writes.run("one too many"), /Too many/);
  off.abort();
  for (const { status } of await Promise.allSettled(waiting)) assert.equal(status, "rejected");
});

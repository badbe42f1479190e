import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { type ClientOptions, type ClientState, connect, MusterError } from "../../src/client/index.ts";
import { type FakeServer, fakeServer, type Handler } from "./fake-server.ts";
import { TurnedClock } from "./turned-clock.ts";

/** States in the order in which they came; a test awaits the one it needs. */
export class States<T extends { state: string }> {
  readonly seen: T[] = [];
  #waiting: (() => void)[] = [];

  readonly add = (state: T) => {
    this.seen.push(state);
    for (const tell of this.#waiting.splice(0)) tell();
  };

  async next<S extends T["state"]>(name: S, index = 0): Promise<Extract<T, { state: S }>> {
    for (;;) {
      const found = this.seen.filter((state): state is Extract<T, { state: S }> => state.state === name)[
        index
      ];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }
}

/** A fake server for one test. */
export async function start(t: TestContext, handlers: Record<string, Handler> = {}): Promise<FakeServer> {
  const server = await fakeServer(handlers);
  t.after(() => server.close());
  return server;
}

/** A connected client, its clock and its session at the server. */
export async function open(t: TestContext, server: FakeServer, options: Partial<ClientOptions> = {}) {
  const clock = new TurnedClock();
  const states = new States<ClientState>();
  const client = await connect({
    url: server.url,
    token: "t",
    clock,
    random: () => 0.5,
    onState: states.add,
    ...options,
  });
  t.after(() => client.close());
  return { client, clock, states, session: await server.session(0) };
}

/** For assert.rejects: a MusterError of this reason. */
export function reasonIs(reason: string, mayHaveBeenDone?: boolean) {
  return (error: unknown) => {
    assert.ok(error instanceof MusterError, String(error));
    assert.equal(error.reason, reason, error.message);
    if (mayHaveBeenDone !== undefined) assert.equal(error.details.may_have_been_done, mayHaveBeenDone);
    return true;
  };
}

/** The next step of a live view that goes on. */
export async function value<T>(watch: AsyncIterator<T>): Promise<T> {
  const step = await watch.next();
  assert.equal(step.done ?? false, false);
  return step.value;
}

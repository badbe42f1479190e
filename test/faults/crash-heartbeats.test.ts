import assert from "node:assert/strict";
import { test } from "node:test";
import { bundledServer } from "../support/bundled-server.ts";
import { crashing } from "../support/crash-fixture.ts";
import { seeded } from "../support/seeded.ts";
import type { Message, Wire } from "../support/wire.ts";

const AGENTS = 50;
const ROUNDS = 20;
/** The server dies within so many milliseconds after it has acknowledged something. */
const MOST_MS = 250;
/** Numbers that are under way at most: the load keeps pace with the server. */
const AHEAD = 300;

/** What was sent of one agent, by the number of the message. */
interface Sent {
  n: number;
  at: number;
  /** It also said something of itself, with this number in it. */
  reported: boolean;
}

async function directAgents(owner: Wire): Promise<{ id: string; token: string }[]> {
  const { gateway } = await owner.call("gateway.create", { name: "Themselves", kind: "direct" });
  const { board } = await owner.call("board.create", { name: "Harbour", gateway_id: gateway.id });
  const made: { id: string; token: string }[] = [];
  while (made.length < AGENTS) {
    const names = Array.from({ length: 50 }, (_, index) => `Agent ${made.length + index}`);
    const answers = await Promise.all(
      names.map((name) => owner.call("agent.create", { name, board_id: board.id })),
    );
    made.push(...answers.map(({ agent, token }: Message) => ({ id: agent.id, token })));
  }
  return made;
}

async function attachAll(host: Wire, agents: { token: string }[]): Promise<number[]> {
  const channels: number[] = [];
  for (let from = 0; from < agents.length; from += 50) {
    const some = agents.slice(from, from + 50);
    const answers = await Promise.all(some.map(({ token }) => host.call("agent.attach", { token })));
    channels.push(...answers.map(({ ch }: Message) => ch));
  }
  return channels;
}

/** Everything acknowledged of every agent is what the server has after its restart. */
async function assertKept(owner: Wire, ids: string[], sent: Sent[][], acked: number): Promise<void> {
  const { items } = await owner.call("agent.list", { limit: 500 });
  const byId = new Map<string, Message>(items.map((agent: Message) => [agent.id, agent]));
  ids.forEach((id, position) => {
    const agent = byId.get(id);
    assert.ok(agent, "an agent whose create was answered is there");
    const known = (sent[position] ?? []).filter(({ n }) => n <= acked);
    const last = known.at(-1);
    if (!last) return;
    assert.ok(
      Date.parse(agent.last_seen_at) >= last.at,
      `agent ${position}: ${last.n} of ${acked} was acknowledged and is not there`,
    );
    const said = known.findLast(({ reported }) => reported);
    if (said)
      assert.ok(agent.reported.stats.n >= said.n, `agent ${position}: what it said in ${said.n} is lost`);
  });
}

/** One server's time: heartbeats of every way, as many as it takes, until the connection is gone. */
class Load {
  readonly sent: Sent[][];
  readonly #host: Wire;
  readonly #channels: number[];
  readonly #random: () => number;
  n = 0;

  constructor(host: Wire, channels: number[], random: () => number) {
    this.#host = host;
    this.#channels = channels;
    this.#random = random;
    this.sent = channels.map(() => []);
  }

  /** The greatest number that was acknowledged; 0: none. */
  get acked(): number {
    return this.#host.received.findLast(({ method }) => method === "ack")?.params.n ?? 0;
  }

  burst(): void {
    for (let count = 0; count < 5 && this.n - this.acked < AHEAD; count += 1) {
      this.n += 1;
      const share = this.#random();
      if (share < 0.2) this.#one({ stats: { n: this.n } });
      // Its next one goes through its machine.
      else if (share < 0.25) this.#one({ status: "offline" });
      else this.#many(this.#random());
    }
  }

  #one(report: object): void {
    const position = Math.floor(this.#random() * this.#channels.length);
    const at = Date.now();
    this.#host.notify("heartbeat", { n: this.n, ch: this.#channels[position], ...report });
    this.sent[position]?.push({ n: this.n, at, reported: "stats" in report });
  }

  #many(share: number): void {
    const chosen = this.sent.flatMap((_, position) => (this.#random() < share ? [position] : []));
    const at = Date.now();
    this.#host.notify("heartbeats", { n: this.n, chs: chosen.map((position) => this.#channels[position]) });
    for (const position of chosen) this.sent[position]?.push({ n: this.n, at, reported: false });
  }
}

test(`B8 kill -9 under full load at ${ROUNDS} random moments: after each restart every acknowledged heartbeat is there`, async (t) => {
  const random = seeded(t);
  const server = await crashing(t, [await bundledServer(t)]);
  await server.start();
  const agents = await directAgents(await server.wire());
  const ids = agents.map(({ id }) => id);
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const host = await server.wire(null);
    const load = new Load(host, await attachAll(host, agents), random);
    const moment = random() * MOST_MS;
    let since: number | undefined;
    let killed: Promise<void> | undefined;
    while (host.closed === undefined) {
      load.burst();
      await new Promise(setImmediate);
      if (load.acked > 0) since ??= performance.now();
      if (since !== undefined && performance.now() - since >= moment) killed ??= server.kill();
    }
    await killed;
    assert.ok(load.acked > 0, "something was acknowledged");
    acknowledged += load.acked;
    await server.start();
    await assertKept(await server.wire(), ids, load.sent, load.acked);
  }
  t.diagnostic(`${acknowledged} messages were acknowledged`);
});

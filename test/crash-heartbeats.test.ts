import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { type Crashing, crashing } from "./support/crash-fixture.ts";
import { seeded } from "./support/seeded.ts";
import type { Message, Wire } from "./support/wire.ts";

const AGENTS = 200;
const ROUNDS = 5;
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

/** Everything acknowledged of every agent is in Postgres. */
async function assertKept(server: Crashing, ids: string[], sent: Sent[][], acked: number): Promise<void> {
  const rows = await server.database<{ id: string; last_seen_at: Date | null; reported: Message }[]>`
    select a.id, s.last_seen_at, p.reported
    from agents a join presence p on p.agent_no = a.no join last_seen s on s.agent_no = a.no`;
  const byId = new Map(rows.map((row) => [row.id, row]));
  ids.forEach((id, position) => {
    const row = byId.get(id);
    assert.ok(row, "an agent whose create was answered is there");
    const known = (sent[position] ?? []).filter(({ n }) => n <= acked);
    const last = known.at(-1);
    if (!last) return;
    const seenAt = row.last_seen_at?.getTime() ?? 0;
    assert.ok(
      seenAt >= last.at,
      `agent ${position}: ${last.n} of ${acked} was acknowledged and is not there`,
    );
    const said = known.findLast(({ reported }) => reported);
    if (said)
      assert.ok(row.reported.stats.n >= said.n, `agent ${position}: what it said in ${said.n} is lost`);
  });
}

test("B8 kill -9 under load at a random moment, again and again: every acknowledged heartbeat is in Postgres", async (t) => {
  const random = seeded(t);
  const server = await crashing(t);
  await server.start();
  const agents = await directAgents(await server.wire());
  let n = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const host = await server.wire(null);
    const channels = await attachAll(host, agents);
    const sent: Sent[][] = agents.map(() => []);
    const acks = () => host.received.filter(({ method }) => method === "ack");
    const before = n;
    const acked = () => acks().at(-1)?.params.n ?? before;
    const killAfter = 1 + Math.floor(random() * 40);
    while (acks().length < killAfter && host.closed === undefined) {
      for (let burst = 0; burst < 5 && n - acked() < AHEAD; burst += 1) {
        n += 1;
        const at = Date.now();
        if (random() < 0.2) {
          const position = Math.floor(random() * AGENTS);
          host.notify("heartbeat", { n, ch: channels[position], stats: { n } });
          sent[position]?.push({ n, at, reported: true });
        } else {
          const share = random();
          const chosen = agents.flatMap((_, position) => (random() < share ? [position] : []));
          host.notify("heartbeats", { n, chs: chosen.map((position) => channels[position]) });
          for (const position of chosen) sent[position]?.push({ n, at, reported: false });
        }
      }
      await new Promise(setImmediate);
    }
    await server.kill();
    await until(() => host.closed, { what: "the socket to end" });
    assert.ok(acked() > before, "something was acknowledged");
    await assertKept(
      server,
      agents.map(({ id }) => id),
      sent,
      acked(),
    );
    await server.start();
  }
});

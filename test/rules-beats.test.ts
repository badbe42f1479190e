import assert from "node:assert/strict";
import { test } from "node:test";
import { read } from "./support/agents.ts";
import { refused } from "./support/refused.ts";
import { startTestServer } from "./support/server.ts";
import type { Message } from "./support/wire.ts";

test("heartbeats in numbers, and what they say", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const direct = await server.board(owner);
  const make = async (name: string): Promise<{ agent: Message; token: string }> =>
    owner.call("agent.create", { name, board_id: direct.board.id });
  const nowAt = () => new Date(server.clock.now()).toISOString();

  await t.test("B8 heartbeats are acknowledged once for many, when Postgres has them", async () => {
    const host = await server.wire({ token: null, codec: "msgpack" });
    const agents = await Promise.all(Array.from({ length: 20 }, (_, n) => make(`Fleet ${n}`)));
    const chs: number[] = [];
    for (const { token } of agents) chs.push((await host.call("agent.attach", { token })).ch);
    host.notify("heartbeats", { n: 1, chs });
    await host.next("the first acknowledgement", (m) => m.method === "ack" && m.params.n === 1);
    const versions = await Promise.all(agents.map(({ agent }) => read(owner, agent)));
    server.clock.advance(5_000);
    const packed = Buffer.alloc(4 * chs.length);
    for (const [position, ch] of chs.entries()) packed.writeUInt32LE(ch, 4 * position);
    for (let n = 2; n <= 200; n++)
      if (n % 2 === 0) host.notify("heartbeats", { n, chs: packed });
      else host.notify("heartbeat", { n, ch: chs[n % chs.length] });
    await host.next("the last acknowledgement", (m) => m.method === "ack" && m.params.n === 200);
    const rows = await server.database`
      select p.last_seen_at from last_seen p join agents a on a.no = p.agent_no where a.name like 'Fleet %'`;
    assert.deepEqual([...new Set(rows.map((row) => row.last_seen_at.toISOString()))], [nowAt()]);
    const acks = host.received.flatMap((m) => (m.method === "ack" ? [m.params.n] : []));
    assert.deepEqual(
      acks,
      acks.toSorted((one, other) => one - other),
    );
    assert.ok(acks.length < 50, `${acks.length} acknowledgements`);
    const after = await Promise.all(agents.map(({ agent }) => read(owner, agent)));
    assert.deepEqual(
      after.map(({ version }) => version),
      versions.map(({ version }) => version),
    );
  });

  await t.test(
    "B9 a heartbeat says online or offline, what it is doing, and figures; all else is refused",
    async () => {
      const { agent, token } = await make("Reporter");
      const self = await server.wire({ token });
      await self.call("heartbeat", { status: "online", activity: "busy", stats: { jobs: 3 } });
      assert.deepEqual((await read(owner, agent)).reported, {
        status: "online",
        activity: "busy",
        stats: { jobs: 3 },
      });
      for (const bad of [
        ...[{ status: "updating" }, { status: "Online" }, { status: null }, { activity: "asleep" }],
        ...[
          { stats: [] },
          { stats: "x" },
          { stats: { blob: "x".repeat(4_097) } },
          { mood: "good" },
          { n: -1 },
        ],
      ]) {
        await refused(self.call("heartbeat", bad), "invalid_params");
        if (!("n" in bad))
          await refused(self.call("agent.heartbeat", { agent_id: agent.id, ...bad }), "invalid_params");
      }
      await self.call("heartbeat", { stats: { blob: "x".repeat(4_000) } });
      const from = self.received.length;
      self.notify("heartbeat", { n: 9, status: "deleting" });
      const error = await self.next("the refusal", (m) => m.error, from);
      assert.deepEqual([error.id, error.error.data.reason], [null, "invalid_params"]);
      self.notify("heartbeat", {});
      await self.next("the second refusal", (m) => m.error && /\bn\b/.test(m.error.message), from + 1);
      assert.equal((await self.call("heartbeat")).agent.status, "online");
    },
  );
});

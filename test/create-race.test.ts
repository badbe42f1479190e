import assert from "node:assert/strict";
import { test } from "node:test";
import { until } from "./support/await.ts";
import { startTestServer, type TestServer } from "./support/server.ts";
import type { Message, Wire } from "./support/wire.ts";

interface Attempt {
  name: string;
  answer: Message;
}

/** All at once, each over a connection of its own. */
function createAll(wires: readonly Wire[], boardIds: readonly string[], names: readonly string[]) {
  return Promise.all(
    names.map(async (name, position): Promise<Attempt> => {
      const board_id = boardIds[position % boardIds.length];
      const wire = wires[position % wires.length];
      if (!wire) throw new Error("there is no connection");
      return { name, answer: await wire.ask({ method: "agent.create", params: { name, board_id } }) };
    }),
  );
}

const winnersOf = (attempts: readonly Attempt[]) => attempts.filter(({ answer }) => answer.result);

/** Those who did not win were told why, and nobody anything else. */
function assertRefused(attempts: readonly Attempt[], message: RegExp): void {
  for (const { name, answer } of attempts) {
    if (answer.result) continue;
    assert.deepEqual([answer.error.code, answer.error.data.status], [-32009, 409], name);
    assert.match(answer.error.message, message, name);
  }
}

/** Postgres, the registry and the log hold these agents and nothing of any other. */
async function assertOnly(server: TestServer, ids: readonly string[]): Promise<void> {
  const { database, services } = server;
  const rows = await database<{ id: string; tokens: number; events: number; present: boolean }[]>`
    select a.id, p.agent_no is not null as present,
      (select count(*) from agent_tokens t where t.agent_id = a.id) as tokens,
      (select count(*) from activity e where e.agent_id = a.id and e.type = 'agent.created') as events
    from agents a left join presence p on p.agent_no = a.no`;
  assert.deepEqual(rows.map(({ id }) => id).sort(), [...ids].sort());
  for (const row of rows) assert.deepEqual([row.present, row.tokens, row.events], [true, 1, 1]);
  const [left] = await database`
    select (select count(*) from activity where type = 'agent.created') as events,
      (select count(*) from agent_tokens) as tokens, (select count(*) from presence) as presence`;
  assert.deepEqual({ ...left }, { events: ids.length, tokens: ids.length, presence: ids.length });
  assert.equal(services.registry.size, ids.length);
  for (const id of ids) assert.equal(services.registry.idOf(services.registry.indexOf(id) ?? -1), id);
}

test("P9 two creates of one name at once: one wins, the other is told of the conflict, and nothing half-made is left", async (t) => {
  const server = await startTestServer(t);
  const wires = [await server.wire(), await server.wire({ codec: "msgpack" })];
  const [owner] = wires;
  assert.ok(owner);
  const { board } = await server.board(owner);
  const ids: string[] = [];
  for (let round = 0; round < 20; round++) {
    const names = [`Agent ${round}`, round % 2 === 0 ? `Agent ${round}` : `  aGENT ${round} `];
    const attempts = await createAll(wires, [board.id], names);
    const [winner, ...others] = winnersOf(attempts);
    assert.ok(winner, `round ${round}: nobody won`);
    assert.deepEqual(others, [], `round ${round}: both won`);
    assertRefused(attempts, /already exists on this board|already exists in this gateway workspace/);
    ids.push(winner.answer.result.agent.id);
  }
  await assertOnly(server, ids);
});

test("P9 a crowd of names that collide in every way: one of each kind wins, and it works", async (t) => {
  const server = await startTestServer(t);
  const wires = await Promise.all(Array.from({ length: 6 }, () => server.wire()));
  const [owner] = wires;
  assert.ok(owner);
  const { board, gateway } = await server.board(owner);
  const { board: second } = await owner.call("board.create", { name: "Second", gateway_id: gateway.id });
  const ids: string[] = [];
  for (let round = 0; round < 10; round++) {
    // One name on two boards of a gateway, other names with its slug, and three that are in nobody's way.
    const names = [
      `Night Owl ${round}`,
      `night owl ${round}`,
      `Night-Owl ${round}`,
      `night_owl_${round}`,
      `NIGHT OWL  ${round}`,
      `(night) owl ${round}!`,
      `Day Owl ${round}`,
      `Day Owl% ${round}0`,
      `День ${round}`,
    ];
    const attempts = await createAll(wires, [board.id, second.id], names);
    assertRefused(attempts, /already exists|would collide/);
    const winners = winnersOf(attempts).map(({ name }) => name);
    assert.equal(winners.filter((name) => /night/i.test(name)).length, 1, `round ${round}: ${winners}`);
    assert.equal(winners.filter((name) => !/night/i.test(name)).length, 3, `round ${round}: ${winners}`);
    ids.push(...winnersOf(attempts).map(({ answer }) => answer.result.agent.id));
  }
  await assertOnly(server, ids);
});

test("P9 creates, renames and deletes of one name at once leave at most one holder, who is whole", async (t) => {
  const server = await startTestServer(t);
  const wires = await Promise.all(Array.from({ length: 4 }, () => server.wire()));
  const [owner, one, two, three] = wires;
  assert.ok(owner && one && two && three);
  const { board } = await server.board(owner);
  for (let round = 0; round < 10; round++) {
    const wanted = `Wanted ${round}`;
    const { agent: holder } = await owner.call("agent.create", { name: wanted, board_id: board.id });
    const { agent: other } = await owner.call("agent.create", { name: `Other ${round}`, board_id: board.id });
    const answers: Message[] = await Promise.all([
      one.ask({ method: "agent.delete", params: { agent_id: holder.id } }),
      two.ask({ method: "agent.update", params: { agent_id: other.id, name: wanted } }),
      three.ask({ method: "agent.create", params: { name: wanted, board_id: board.id } }),
    ]);
    assert.ok(answers[0].result);
    for (const { error } of answers) if (error) assert.equal(error.data.reason, "conflict");
    const { items } = await owner.call("agent.list", { name: wanted });
    assert.ok(items.length <= 1, `round ${round}: ${items.length} hold the name`);
    const { registry } = server.services;
    for (const item of items) {
      const index = registry.indexOf(item.id);
      assert.ok(index !== undefined);
      assert.equal(registry.nameOf(index), wanted);
    }
  }
  const [{ count } = { count: -1 }] = await server.database`select count(*) from agents`;
  await until(() => server.services.registry.size === count, {
    what: "the registry to hold what Postgres has",
  });
});

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { until } from "../support/await.ts";
import { assertWhole, during, localBoard, moments, PATIENCE, settled } from "../support/crash-checks.ts";
import { crashing } from "../support/crash-fixture.ts";

test("B4 B7 kill -9 around each step of an update: the workspace's token is always good, the update ends once", async (t) => {
  const server = await crashing(t);
  await server.start();
  const owner = await server.wire();
  const board = await localBoard(owner);
  const { agent } = await owner.call("agent.create", { name: "Ada", board_id: board.id, wait: true });
  await settled(server, agent.id);
  const folder = (await server.workspace("ada")) ?? "";
  await writeFile(join(folder, "MEMORY.md"), "what Ada keeps in mind");
  let done = 0;
  for (const moment of [...moments("update"), undefined])
    await during(moment, async () => {
      await settled(server, agent.id);
      await until(
        async () => {
          const [tokens] =
            await server.database`select count(*) from agent_tokens where agent_id = ${agent.id}`;
          return tokens?.count === 1;
        },
        { what: "the new token to be used", ...PATIENCE },
      );
      await assertWhole(server, agent.id, "ada");
      const events = await server.events("Ada");
      assert.equal(events["agent.update.direct"] ?? 0, done);
      assert.equal(events["agent.update.requested"] ?? 0, done);
      assert.equal(events["agent.wakeup.sent"], done + 1);
      assert.equal(await readFile(join(folder, "MEMORY.md"), "utf8"), "what Ada keeps in mind");
      if (moment === undefined) return;
      const { token: before } = (await server.workspaceToken("ada")) ?? {};
      const again = await server.wire();
      await server.crashAt(moment);
      done += 1;
      await again.ask({ method: "agent.update", params: { agent_id: agent.id, name: `Ada ${done}` } });
      await server.crashed();
      const row = await server.row(agent.id);
      assert.equal(row.status, "updating");
      assert.equal(row.provision_step, moment.split(":")[1]);
      assert.equal(row.name, `Ada ${done}`);
      const held = await server.workspaceToken("ada");
      assert.equal(held?.isGood, true);
      const isBrought = ["files:after", "wake:before", "wake:after"].some((late) => moment.endsWith(late));
      assert.equal(held?.token !== before, isBrought);
      await server.start();
    });
});

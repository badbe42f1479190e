import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { startTestServer } from "./support/server.ts";

test("a page of agents with large templates ends before it is too large for a frame, and the list is whole", async (t) => {
  const server = await startTestServer(t);
  const owner = await server.wire();
  const { board } = await server.board(owner);
  const names = Array.from({ length: 60 }, (_, n) => `Agent ${n}`);
  for (const name of names)
    await owner.call("agent.create", {
      name,
      board_id: board.id,
      // Random, so that it is stored as large as it is.
      soul_template: randomBytes(45_000).toString("base64"),
      identity_template: randomBytes(45_000).toString("base64"),
    });
  const seen: string[] = [];
  let cursor: string | null = null;
  let pages = 0;
  do {
    const page: { items: { name: string }[]; total: number; next_cursor: string | null } = await owner.call(
      "agent.list",
      { limit: 500, ...(cursor && { cursor }) },
    );
    assert.ok(JSON.stringify(page).length < 1_048_576);
    assert.equal(page.total, names.length);
    seen.push(...page.items.map(({ name }) => name));
    cursor = page.next_cursor;
    pages += 1;
  } while (cursor !== null);
  assert.ok(pages > 5);
  assert.deepEqual(seen.sort(), names.sort());
});

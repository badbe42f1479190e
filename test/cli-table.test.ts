import assert from "node:assert/strict";
import { test } from "node:test";
import { AgentsView } from "../src/cli/agents-view.ts";
import { suggest } from "../src/cli/suggest.ts";
import { renderTable } from "../src/cli/table.ts";
import { ago, fit, showJson } from "../src/cli/text.ts";
import { hasFields } from "../src/client/guards.ts";
import { agentItem } from "../src/client/items.ts";
import { agent as agentSchema } from "../src/protocol/agents.ts";
import { showUnseen } from "../src/unseen.ts";
import { agentRecord, ID } from "./support/fake-server.ts";

test("a table fits its terminal, whatever the names are", () => {
  const view = new AgentsView();
  const agents = [
    agentRecord(1, { name: "evil\u001b[2J\u202ename\nsecond", reported: { activity: "busy" } }),
    agentRecord(2, { name: "漢字".repeat(40), status: "offline", connected: false, board_id: ID }),
    agentRecord(10, { name: "agent 10", last_seen_at: "2026-01-01T00:00:00.000Z" }),
    agentRecord(9, { name: "agent 9" }),
  ].map((given) => agentSchema.parse(given));
  view.apply({ kind: "snapshot", items: agents, more: false });
  view.apply({ kind: "seen", at: "2026-01-01T00:01:00.000Z", agents: [[agents[3]?.id ?? "", 5_000]] });
  const options = {
    now: Date.parse("2026-01-01T00:02:00.000Z"),
    board: () => "Launch",
    notice: "",
    color: false,
  };
  const wide = renderTable(view.rows(), { ...options, columns: 100, lines: 20 });
  assert.equal(wide[0], "4 agents: 3 online, 1 offline");
  assert.match(wide[2] ?? "", /^agent 9 +online +yes +1m$/);
  assert.match(wide[3] ?? "", /^agent 10 +online +yes +2m$/);
  assert.match(wide[4] ?? "", /^evil\\u001b\[2J\\u202ename\\nsecond +online +yes +never +busy$/);
  assert.match(wide[5] ?? "", /^漢字.*… +offline +no +never +Launch$/);
  for (const columns of [5, 40, 80])
    for (const line of renderTable(view.rows(), { ...options, columns, lines: 6 }))
      assert.equal(fit(line, columns).trimEnd(), line);
  const low = renderTable(view.rows(), { ...options, columns: 80, lines: 6 });
  assert.equal(low.length, 5);
  assert.equal(low[4], "… and 2 more");
  view.apply({ kind: "change", offset: 1, upserts: [], removes: [agents[0]?.id ?? ""] });
  assert.equal(view.rows().length, 3);
  view.apply({ kind: "reset", items: [], more: false });
  assert.deepEqual(view.rows(), []);
});

test("a status that the table does not know is shown as it is, without a color", () => {
  const view = new AgentsView();
  const items: unknown[] = ["hibernating", "constructor", "online"].map((status, index) =>
    agentRecord(index + 1, { status }),
  );
  for (const item of items) {
    assert.ok(hasFields(item, agentItem));
    view.apply({ kind: "snapshot", items: [item], more: false });
  }
  const options = { now: 0, board: () => "", notice: "", color: true, columns: 100, lines: 20 };
  const lines = renderTable(view.rows(), options);
  assert.match(lines[0] ?? "", /1 hibernating/);
  assert.match(lines[2] ?? "", /^agent 1 +hibernating/);
  assert.match(lines[3] ?? "", /^agent 2 +constructor/);
  assert.equal(lines[4]?.startsWith("\u001b[32magent 3"), true);
});

test("text from elsewhere cannot steer a terminal", () => {
  assert.equal(
    showUnseen("a\u001b]0;x\u0007\u009b31m\u202eb\r\n"),
    "a\\u001b]0;x\\u0007\\u009b31m\\u202eb\\r\\n",
  );
  assert.equal(showJson({ a: "\u009b\u202e" }), '{"a":"\\u009b\\u202e"}');
  assert.equal(fit("漢字", 3), "漢…");
  assert.deepEqual([-5, 59_999, 60_000, 7_200_000, 200_000_000].map(ago), ["0s", "59s", "1m", "2h", "2d"]);
  assert.deepEqual(suggest("agents.list", ["agent.list", "task.create"]), ["agent.list"]);
});

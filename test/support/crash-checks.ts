import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { STEPS } from "../../machines/model.ts";
import { until } from "./await.ts";
import type { Crashing } from "./crash-fixture.ts";
import type { Message, Wire } from "./wire.ts";

/** A runner is a process: it may take its time to start on a busy machine. */
export const PATIENCE = { timeoutMs: 30_000 };

/** Every moment at which the server dies: around each step of the action. */
export const moments = (action: keyof typeof STEPS) =>
  STEPS[action].flatMap((step) => [`${action}:${step}:before`, `${action}:${step}:after`]);

/** Says in the error which moment it was. */
export async function during(moment: string | undefined, act: () => Promise<void>): Promise<void> {
  await act().catch((cause) => {
    throw new Error(`at ${moment ?? "the last one"}: ${cause}`, { cause });
  });
}

export async function localBoard(owner: Wire): Promise<Message> {
  const { gateway } = await owner.call("gateway.create", { name: "Here", kind: "local" });
  const { board } = await owner.call("board.create", { name: "Harbour", gateway_id: gateway.id });
  return board;
}

/** Waits until the agent is online, with no work left at its gateway. */
export const settled = (server: Crashing, agentId: string) =>
  until(
    async () => {
      const row = await server.row(agentId);
      return row?.status === "online" && row.work_state === "idle" && row;
    },
    { what: "the agent to be online and its work done", ...PATIENCE },
  );

/** What holds of an agent whose work has ended well, on both sides. */
export async function assertWhole(server: Crashing, agentId: string, slug: string): Promise<void> {
  const row = await server.row(agentId);
  assert.equal(row.last_error, null);
  assert.equal(row.provision_action, null);
  assert.equal(row.token_sealed, null, "no token is kept when the workspace has it");
  const runners = await until(
    async () => {
      const found = await server.runners(slug);
      return found.length > 0 && found;
    },
    { what: "a runner", ...PATIENCE },
  );
  assert.equal(runners.length, 1, "one process runs for the agent");
  const held = await server.workspaceToken(slug);
  assert.equal(held?.isGood, true, "the workspace's token is good");
  const [tokens] = await server.database`select count(*) from agent_tokens where agent_id = ${agentId}`;
  assert.equal(tokens?.count, 1, "it is the only one: its use has ended the older ones");
  const folder = (await server.workspace(slug)) ?? "";
  assert.match(await readFile(join(folder, "IDENTITY.md"), "utf8"), new RegExp(row.name));
  assert.equal(JSON.parse(await readFile(join(folder, ".muster", "agent.json"), "utf8")).id, agentId);
}

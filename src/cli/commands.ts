import { defineCommand } from "citty";
import { showUnseen } from "../unseen.ts";
import { findAgentId } from "./find-agent.ts";
import { printJson, printLine } from "./output.ts";
import { openClient, targetArgs } from "./target.ts";
import { fit } from "./text.ts";

const LATEST = 50;

export default defineCommand({
  meta: { name: "commands", description: "Show an agent's latest queued commands and what became of them" },
  args: {
    agent: { type: "positional", required: true, description: "The agent's name or id" },
    json: { type: "boolean", description: "Print the whole answer as JSON" },
    ...targetArgs,
  },
  async run({ args }) {
    const client = await openClient(args);
    try {
      const agent_id = await findAgentId(client, args.agent);
      const { items } = await client.request("command.list", { agent_id, limit: LATEST });
      if (args.json) return await printJson(items);
      await printLine(row("CREATED", "STATUS", "TRIES", "NAME", "ID"));
      for (const { created_at, status, attempts, name, id } of items)
        await printLine(row(created_at, status, String(attempts), name, id));
    } finally {
      await client.close();
    }
  },
});

function row(created: string, status: string, attempts: string, name: string, id: string): string {
  return [fit(created, 24), fit(status, 9), fit(attempts, 5), fit(showUnseen(name), 24), id].join("  ");
}

import { defineCommand } from "citty";
import type { Client, ClientState } from "../client/index.ts";
import { printLine, printNote } from "./output.ts";
import { openClient, targetArgs } from "./target.ts";
import { showJson } from "./text.ts";
import { watchTable } from "./watch-table.ts";

export default defineCommand({
  meta: { name: "watch", description: "Follow a topic: a live table in a terminal, JSON lines in a pipe" },
  args: {
    topic: {
      type: "positional",
      default: "agents",
      required: false,
      description: "Like agents, agents:board:ID or activity",
    },
    json: { type: "boolean", description: "JSON lines in a terminal too" },
    ...targetArgs,
  },
  async run({ args }) {
    let onState = (state: ClientState) => {
      if (state.state === "disconnected") printNote(noticeOf(state));
    };
    const client = await openClient(args, { onState: (state) => onState(state) });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => void client.close());
    try {
      if (process.stdout.isTTY && !args.json && isAgents(args.topic))
        await watchTable(client, args.topic, process.stdout, (listener) => {
          onState = (state) => listener(noticeOf(state));
        });
      else await watchLines(client, args.topic);
    } finally {
      await client.close();
    }
  },
});

async function watchLines(client: Client, topic: string): Promise<void> {
  for await (const change of client.watch(topic)) {
    await printLine(showJson(change));
    if (change.kind === "end") throw new Error(`the server ended this view: ${change.reason}`);
  }
}

function isAgents(topic: string): topic is "agents" | `agents:${string}` {
  return topic === "agents" || topic.startsWith("agents:");
}

/** What to say of the connection; nothing when it is as it should be. */
function noticeOf(state: ClientState): string {
  return state.state === "disconnected" ? `disconnected: ${state.why.message}; trying again` : "";
}

import { defineCommand } from "citty";
import { parseParams } from "./call.ts";
import { findAgentId } from "./find-agent.ts";
import { printJson } from "./output.ts";
import { openClient, targetArgs } from "./target.ts";

/** A live command's answer is waited for a little longer than the server waits for it, in milliseconds. */
const SLACK_MS = 5_000;
const TIMEOUT_MS = 30_000;

export default defineCommand({
  meta: { name: "command", description: "Send an agent a command and print its answer" },
  args: {
    agent: { type: "positional", required: true, description: "The agent's name or id" },
    name: { type: "positional", required: true, description: "Like ping; what there is, the agent decides" },
    args: { type: "positional", required: false, description: 'Arguments as JSON, like \'{"text": "hi"}\'' },
    queued: { type: "boolean", description: "Have it wait until the agent connects, and do not wait for it" },
    ...targetArgs,
  },
  async run({ args }) {
    const commandArgs = parseParams(args.args ?? "{}");
    const client = await openClient(args);
    try {
      const agent_id = await findAgentId(client, args.agent);
      const delivery = args.queued ? "queued" : "live";
      const params = { agent_id, name: args.name, args: commandArgs, delivery, timeout_ms: TIMEOUT_MS };
      const answer = await client.call("agent.command", params, { timeoutMs: TIMEOUT_MS + SLACK_MS });
      await printJson(answer);
      if (typeof answer === "object" && answer !== null && "status" in answer && answer.status === "failed")
        process.exitCode = 1;
    } finally {
      await client.close();
    }
  },
});

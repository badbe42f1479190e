import { defineCommand } from "citty";
import { Agent, type AgentState } from "../client/index.ts";
import { isReaderGone, onOutputError, print } from "./output.ts";
import { answerCommands } from "./runner-commands.ts";
import { CLIENT, findUrl, targetArgs } from "./target.ts";
import { readTokenFile, writeTokenFile } from "./token-file.ts";

/**
 * A whole agent: it connects, beats at the pace that the server asks for, takes configurations, and signs off. An agent
 * of your own starts from this, and does its work beside it.
 */
export default defineCommand({
  meta: { name: "agent", description: "Run one agent: connect, beat, apply configurations, until stopped" },
  args: {
    url: targetArgs.url,
    "token-file": {
      type: "string",
      required: true,
      description: "Holds the agent's token; rewritten when it rotates",
    },
    "parent-pipe": {
      type: "boolean",
      description: "Exit when standard input ends: never outlive the parent",
    },
  },
  async run({ args }) {
    const tokenFile = args["token-file"];

    const agent = new Agent({
      url: findUrl(args, process.env),
      token: readTokenFile(tokenFile),
      client: CLIENT,
      onState: (state) => print(describe(state)),
      // The old token stays good until the new one is used, so a crash in between loses nothing.
      onToken: (token) => writeTokenFile(tokenFile, token),
      onConfig: ({ agent: { name } }) => print(`applying the configuration of ${name}`),
    });
    agent.report({ activity: "idle" });
    answerCommands(agent);

    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const)
      process.once(signal, () => void agent.stop());
    // Without its parent nobody has asked the agent to sign off: its status is left to the deadline.
    if (args["parent-pipe"]) process.stdin.once("close", () => process.exit(0)).resume();
    else onOutputError((error) => isReaderGone(error) && void agent.stop());

    const end = await agent.ended;
    await agent.stop();
    process.stdin.removeAllListeners("close").destroy();
    if (end.state === "refused") throw end.why;
  },
});

function describe(state: AgentState): string {
  switch (state.state) {
    case "connected":
      return `connected as ${state.agent.name} (${state.agent.id}), a beat every ${state.everyMs} ms`;
    case "online":
      return "online: the first beat is committed";
    case "disconnected":
      return `disconnected: ${state.why.message}; next try in ${state.retryInMs} ms`;
    case "configured":
      return `configured: ${state.hash}`;
    case "stopped":
      return "signed off";
    case "superseded":
      return "detached: superseded by a newer connection of this agent";
    case "deleted":
      return "detached: the agent was deleted";
    case "revoked":
      return "detached: the token was revoked";
    case "refused":
      return "refused by the server";
  }
}

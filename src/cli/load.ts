import { defineCommand } from "citty";
import { type Fleet, makeFleet, readFleet } from "./load/fleet.ts";
import { readOptions } from "./load/options.ts";
import { runLoad } from "./load/run.ts";
import { summaryLines } from "./load/summary.ts";
import { printJson, printLine, printNote } from "./output.ts";
import { stopAsked } from "./stop-asked.ts";
import { findUrl, openClient, targetArgs } from "./target.ts";
import { UsageError } from "./usage.ts";

export default defineCommand({
  meta: {
    name: "load",
    description: "Have agents beat and measure how fast it is acknowledged: makes agents, and removes them",
  },
  args: {
    agents: { type: "string", description: "How many agents: sockets × channels; default 100" },
    sockets: { type: "string", description: "How many sockets; default one an agent" },
    channels: { type: "string", description: "How many agents a socket carries; default 1" },
    rate: {
      type: "string",
      description: "Heartbeats a second over all; without it the next goes out when the last is acknowledged",
    },
    batch: { type: "boolean", description: "One message for all agents of a socket instead of one each" },
    codec: { type: "string", description: "json (the default) or msgpack" },
    duration: { type: "string", description: "How long to measure; default 10s" },
    "warm-up": { type: "string", description: "How long to beat before that; default 2s" },
    tokens: { type: "string", description: "A file of agents' tokens, one a line: use these, make none" },
    keep: { type: "boolean", description: "Leave the agents that were made" },
    json: { type: "boolean", description: "Print the figures as JSON" },
    ...targetArgs,
  },
  async run({ args }) {
    if (args.tokens && args.keep)
      throw new UsageError("--keep is about agents that are made; --tokens makes none");
    const given = args.tokens ? readFleet(args.tokens) : undefined;
    const options = readOptions(args, given?.tokens.length);
    const stopping = new AbortController();
    const stop = stopping.signal;
    void stopAsked().then(() => stopping.abort(new Error("stopped before its time")));
    const onProgress = (what: string) => {
      if (!args.json) printNote(`${what} …`);
    };
    const agents = options.sockets * options.channels;
    const work = async ({ tokens }: Fleet) => {
      const url = findUrl(args, process.env);
      const summary = await runLoad({ ...options, url, tokens: tokens.slice(0, agents), stop, onProgress });
      if (args.json) await printJson(summary);
      else for (const line of summaryLines(summary)) await printLine(line);
      stop.throwIfAborted();
      if (summary.acked === 0) throw new Error("no heartbeat was acknowledged");
    };
    if (given) return work(given);
    const owner = await openClient(args);
    try {
      onProgress(`making ${agents} agents`);
      const fleet = await makeFleet(owner, agents, stop);
      await work(fleet).finally(async () => {
        if (args.keep) return onProgress(`kept ${fleet.made}`);
        onProgress("removing what was made");
        await fleet.remove().catch((error: unknown) => {
          printNote(`could not remove ${fleet.made}: ${error instanceof Error ? error.message : error}`);
        });
      });
    } finally {
      await owner.close();
    }
  },
});

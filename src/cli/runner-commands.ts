import { arch, hostname, platform } from "node:os";
import type { Agent } from "../client/index.ts";
import { version } from "../package-root.ts";

/** What the built-in runner does when it is told to: nothing that changes anything. */
export function answerCommands(agent: Agent): void {
  agent.onCommand("ping", () => ({ pong: true, at: new Date().toISOString() }));
  agent.onCommand("echo", (args) => args);
  agent.onCommand("env.info", () => ({
    muster: version,
    node: process.version,
    platform: platform(),
    arch: arch(),
    hostname: hostname(),
    pid: process.pid,
    uptime_s: Math.round(process.uptime()),
  }));
}

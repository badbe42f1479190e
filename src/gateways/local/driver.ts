import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Clock } from "../../clock.ts";
import { type AgentBrief, type Driver, type GatewayBrief, GatewayError, type Work } from "../driver.ts";
import { mayWrite, type RenderTemplate, renderWorkspace } from "../templates/workspace.ts";
import { type StartChild, startProcess } from "./child.ts";
import { asGatewayError, kindOf, readText } from "./files.ts";
import { endLeftover } from "./leftover.ts";
import { Runner } from "./runner.ts";
import { runnerCommand } from "./runner-command.ts";
import { createSerial } from "./serial.ts";
import { superseded, Workspace } from "./workspace.ts";

/** Runners that are brought back at the same time after a start of the server. */
const RESUMED_AT_ONCE = 4;

export interface LocalDriverOptions {
  /** Absolute; every workspace stays inside. Made when missing. */
  root: string;
  /** Where agents reach this server, asked at each use. */
  serverUrl: () => string;
  renderTemplate: RenderTemplate;
  log: Logger;
  clock: Clock;
  startChild?: StartChild;
  /** From 0 to 1; spreads restarts. */
  random?: () => number;
}

/**
 * The gateway on this machine: a folder and one process for each agent.
 *
 * The folder goes with the last step of a delete, before the agent's row does: that step is repeated until it is done,
 * also across a crash, so no folder outlives its agent. `cleanUp` is for what a forced delete could not remove.
 */
export function createLocalDriver({
  root,
  serverUrl,
  renderTemplate,
  log,
  clock,
  startChild = startProcess,
  random = Math.random,
}: LocalDriverOptions): Driver {
  const runners = new Map<string, Runner>();
  /** The newest piece of work seen of each agent; on disk it is in the workspace, but that goes in a delete. */
  const newest = new Map<string, number>();
  const serial = createSerial();
  let stopped = false;

  /** One step, when no other work on this agent runs. */
  const step = (work: Work, run: () => Promise<void>) =>
    serial.run(work.agent.id, async () => {
      try {
        if (stopped) throw new GatewayError("the local gateway has stopped", { transient: true });
        const { id, generation } = work.agent;
        if (work.signal.aborted || generation < (newest.get(id) ?? 0)) throw superseded();
        newest.set(id, generation);
        await run();
      } catch (error) {
        throw asGatewayError(error);
      }
    });

  async function claim({ agent, gateway }: Work): Promise<Workspace> {
    const workspace = new Workspace(root, agent, gateway);
    await workspace.claim(agent.generation);
    return workspace;
  }

  /** The workspace to take down; undefined: it is gone, another agent's, or such that it never was made. */
  async function ownWorkspace({ agent, gateway }: Work): Promise<Workspace | undefined> {
    let workspace: Workspace;
    try {
      workspace = new Workspace(root, agent, gateway);
    } catch {
      return undefined;
    }
    return (await workspace.isOurs()) ? workspace : undefined;
  }

  async function endRunner(work: Work): Promise<Workspace | undefined> {
    await runners.get(work.agent.id)?.end();
    runners.delete(work.agent.id);
    const workspace = await ownWorkspace(work);
    if (workspace) await endLeftover(workspace);
    return workspace;
  }

  const takeDown = async (work: Work) => {
    const workspace = await endRunner(work);
    await workspace?.remove();
  };

  /** The agent's one runner, in this workspace. */
  async function runnerOf({ id, generation }: AgentBrief, workspace: Workspace): Promise<Runner> {
    const known = runners.get(id);
    if (known?.workspace.folder === workspace.folder) return known;
    await known?.end();
    const runner = new Runner(
      {
        workspace,
        command: () => runnerCommand(workspace, serverUrl()),
        startChild,
        clock,
        log: log.child({ agent: id }),
        random,
        exclusively: (task) => serial.run(id, task),
      },
      generation,
    );
    runners.set(id, runner);
    return runner;
  }

  async function resumeOne({ agent, gateway }: { agent: AgentBrief; gateway: GatewayBrief }): Promise<void> {
    if (stopped) return;
    const workspace = new Workspace(root, agent, gateway);
    // What is missing here is made by work that is still to come, or was taken down by a delete under way.
    if (!(await workspace.isOurs())) return;
    for (const file of [workspace.agentFile, workspace.tokenFile])
      if ((await kindOf(file)) !== "file") return;
    await (await runnerOf(agent, workspace)).keep();
  }

  return {
    session: (work) =>
      step(work, async () => {
        await claim(work);
      }),

    roster: (work) =>
      step(work, async () => {
        const workspace = await claim(work);
        const { id, name, generation, heartbeatConfig } = work.agent;
        await workspace.writeState(workspace.agentFile, {
          id,
          name,
          generation,
          heartbeat_config: heartbeatConfig,
        });
      }),

    files: (work) =>
      step(work, async () => {
        const workspace = await claim(work);
        const { agent, gateway, token, signal } = work;
        const { tokenFile } = workspace;
        const facts = { agent, gateway, serverUrl: serverUrl(), tokenFile };
        const files = await renderWorkspace(facts, renderTemplate, signal);
        let changed = false;
        for (const [name, text] of files) {
          const path = join(workspace.folder, name);
          if (mayWrite(name, work, (await kindOf(path)) !== undefined))
            changed = (await workspace.write(path, text, 0o600)) || changed;
        }
        // Last, so that whoever finds a new token finds the rest of its generation too.
        if (token !== null && (await readText(workspace.tokenFile))?.trim() !== token)
          changed = (await workspace.write(workspace.tokenFile, `${token}\n`, 0o600)) || changed;
        const runner = runners.get(agent.id);
        if (runner && changed) runner.outdated = true;
      }),

    wake: (work) =>
      step(work, async () => {
        const workspace = await claim(work);
        if ((await kindOf(workspace.tokenFile)) !== "file")
          throw new GatewayError("the workspace holds no token; an update of the agent brings one", {
            transient: false,
          });
        const runner = await runnerOf(work.agent, workspace);
        if (runner.outdated || runner.generation < work.agent.generation) {
          await runner.end();
          runner.generation = work.agent.generation;
        }
        await runner.start().catch((error: unknown) => {
          throw new GatewayError(
            `the agent's process could not be started: ${asGatewayError(error).message}`,
            {
              transient: true,
              cause: error,
            },
          );
        });
      }),

    unroster: (work) =>
      step(work, async () => {
        const workspace = await endRunner(work);
        if (workspace) await rm(workspace.agentFile, { force: true });
      }),

    unsession: (work) => step(work, () => takeDown(work)),

    cleanUp: (work) =>
      step(work, async () => {
        await takeDown(work);
        newest.delete(work.agent.id);
      }),

    /** Resolves when each was tried; what cannot start is tried again later. The server need not wait for it. */
    async resume(agents) {
      const waiting = agents.values();
      const worker = async () => {
        for (const entry of waiting)
          await serial
            .run(entry.agent.id, () => resumeOne(entry))
            .catch((error: unknown) =>
              log.warn({ err: error, agent: entry.agent.id }, "an agent was not resumed"),
            );
      };
      await Promise.all(Array.from({ length: RESUMED_AT_ONCE }, worker));
    },

    async stop() {
      stopped = true;
      await serial.idle();
      await Promise.all([...runners.values()].map((runner) => runner.end()));
    },
  };
}

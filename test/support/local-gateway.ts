import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { pino } from "pino";
import type { Cancel } from "../../src/clock.ts";
import { type Driver, GatewayError, type Work } from "../../src/gateways/driver.ts";
import { type Child, type Command, type StartChild, startProcess } from "../../src/gateways/local/child.ts";
import { createLocalDriver } from "../../src/gateways/local/driver.ts";
import { TemplateRenderer } from "../../src/gateways/templates/renderer.ts";
import { TurnedClock } from "./turned-clock.ts";

export const TOKEN = "mst_agent_000000000000000000000001_secret";

/** A turned clock that remembers for how long it was asked to wait. */
class AskedClock extends TurnedClock {
  readonly asked: number[] = [];

  override after(ms: number, run: () => void): Cancel {
    this.asked.push(ms);
    return super.after(ms, run);
  }
}

/** Processes that only seem to run. */
export function pretended() {
  const started: { command: Command; signals: string[]; die: () => void; alive: boolean; pid: number }[] = [];
  const behaviour = { ignoresSigterm: false, refuse: undefined as Error | undefined };
  const startChild: StartChild = async (command) => {
    if (behaviour.refuse) throw behaviour.refuse;
    let die = () => {};
    const ended = new Promise<string>((resolve) => {
      die = () => resolve("exit code 1");
    }).then((how) => {
      entry.alive = false;
      return how;
    });
    // No process has a number this high.
    const entry = { command, signals: [] as string[], die, alive: true, pid: 2 ** 30 + started.length };
    started.push(entry);
    const child: Child = {
      pid: entry.pid,
      ended,
      kill(signal) {
        entry.signals.push(signal);
        if (signal === "SIGKILL" || !behaviour.ignoresSigterm) die();
      },
    };
    return child;
  };
  return { started, startChild, behaviour, alive: () => started.filter(({ alive }) => alive) };
}

/** Real processes that live until they are told to go, or their stdin ends. */
export const LIVE =
  "process.stdin.on('end', () => process.exit(0)).resume(); console.log('hello from', process.pid)";
export const DEAF = "process.on('SIGTERM', () => {}); setInterval(() => {}, 1_000); console.log('deaf')";
export const real =
  (program: string): StartChild =>
  (command) =>
    startProcess({
      ...command,
      args: ["-e", program, ...command.args.slice(command.args.indexOf("agent"))],
    });

/** Lets everything happen that waits for nothing outside. */
export const settle = async () => {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
};
/** Whether a process of this number runs (and is not merely waiting to be collected). */
export const runs = async (pid: number) =>
  (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")) !== "";

/** A driver on a folder of its own, both gone after the test. */
export async function setUp(t: TestContext, startChild: StartChild = pretended().startChild, root?: string) {
  const base = root ?? (await mkdtemp(join(tmpdir(), "muster-local-")));
  const clock = new AskedClock();
  const log = pino({ level: "silent" });
  const templates = new TemplateRenderer(log);
  const driver = createLocalDriver({
    root: join(base, "root"),
    serverUrl: () => "http://127.0.0.1:8787",
    renderTemplate: (request) => templates.render(request),
    log,
    clock,
    startChild,
    random: () => 1,
  });
  t.after(async () => {
    await driver.stop();
    await templates.stop();
    await rm(base, { recursive: true, force: true });
  });
  return { base, root: join(base, "root"), folder: join(base, "root", "ws", "workspace-ada"), clock, driver };
}

type Change = Partial<Omit<Work, "agent" | "gateway">> & {
  agent?: Partial<Work["agent"]>;
  gateway?: Partial<Work["gateway"]>;
};
/** A piece of work on Ada: provisioning, unless changed. */
export function work({ agent, gateway, ...rest }: Change = {}): Work {
  return {
    agent: {
      id: "ada-id",
      name: "Ada",
      slug: "ada",
      sessionKey: "agent:ada:main",
      isMain: false,
      isLead: false,
      heartbeatConfig: { every: "10m" },
      identityProfile: null,
      identityTemplate: null,
      soulTemplate: null,
      generation: 1,
      board: { id: "b", name: "Harbour", objective: null },
      ...agent,
    },
    gateway: {
      id: "g",
      organizationId: "o",
      name: "here",
      url: null,
      token: null,
      mainSessionKey: null,
      workspaceRoot: "ws",
      allowInsecureTls: false,
      ...gateway,
    },
    action: "provision",
    force: false,
    wakes: 0,
    token: TOKEN,
    signal: new AbortController().signal,
    remark: () => {},
    ...rest,
  };
}

/** All steps, in order. */
export async function provision(driver: Driver, given: Work = work()): Promise<void> {
  await driver.session(given);
  await driver.roster(given);
  await driver.files(given);
  await driver.wake(given);
}
/** For assert.rejects: a GatewayError with these words. */
export const refusal =
  (pattern: RegExp, transient = false) =>
  (error: unknown) =>
    error instanceof GatewayError && error.transient === transient && pattern.test(error.message);

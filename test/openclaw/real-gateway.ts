import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { z } from "zod";
import { until } from "../support/await.ts";
import { freePort } from "../support/free-port.ts";
import { REPLY, type RunningGateway } from "./contract.ts";
import type { Installed } from "./install.ts";
import { startMockModel } from "./mock-model.ts";

const entry = z.looseObject({ id: z.string().optional() });
const fileForm = z.object({
  agents: z
    .object({ entries: z.record(z.string(), entry).optional(), list: z.array(entry).optional() })
    .optional(),
});

/** Where the versions have the workspace of the gateway's own agent. */
const OWN_WORKSPACES = ["state/workspace", "home/.openclaw/workspace"];
/** Newer ones end their agents' turns first; one that is killed looks through its databases at the next start. */
const END_MS = 30_000;
/** Starts of one gateway: on a busy machine it may end because a step of its own took too long. */
const MOST_STARTS = 3;

/** Starts a real gateway on loopback, in a folder of its own, with a model that answers REPLY. */
export async function startRealGateway(installed: Installed): Promise<RunningGateway> {
  const root = await mkdtemp(join(tmpdir(), "muster-openclaw-"));
  const port = await freePort();
  const token = "secret-of-the-gateway";
  const model = await startMockModel(REPLY);
  await mkdir(join(root, "home"));
  await mkdir(join(root, "workspaces"));
  await writeFile(join(root, "openclaw.json"), JSON.stringify(configuration(port, token, root, model.url)));
  let child: ChildProcess | undefined;

  const startOnce = async () => {
    child = spawn(installed.node, [installed.script, "gateway"], {
      cwd: root,
      stdio: "ignore",
      env: {
        PATH: `${dirname(installed.node)}:/usr/bin:/bin`,
        HOME: join(root, "home"),
        TMPDIR: installed.scratch,
        OPENCLAW_STATE_DIR: join(root, "state"),
        OPENCLAW_CONFIG_PATH: join(root, "openclaw.json"),
        OPENCLAW_NO_RESPAWN: "1",
        OPENCLAW_DISABLE_BONJOUR: "1",
        OPENCLAW_SKIP_CHANNELS: "1",
        OPENCLAW_SKIP_BROWSER_CONTROL_SERVER: "1",
        OPENCLAW_SKIP_CANVAS_HOST: "1",
      },
    });
    const started = child;
    return until(
      async () => {
        if (started.exitCode !== null) return "ended";
        return (await listens(port)) && "listens";
      },
      { what: "the gateway to listen", timeoutMs: 150_000 },
    );
  };
  const start = async () => {
    for (let starts = 1; (await startOnce()) === "ended"; starts++)
      if (starts === MOST_STARTS) throw new Error(`the gateway ended: ${await logOf(root)}`);
  };
  const end = async () => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGTERM");
    const cancel = setTimeout(() => child?.kill("SIGKILL"), END_MS);
    await exited;
    clearTimeout(cancel);
  };

  await start();
  return {
    url: `ws://127.0.0.1:${port}`,
    token,
    workspaceRoot: join(root, "workspaces"),
    async file(agentId, name) {
      for (const folder of agentId === "main" ? OWN_WORKSPACES : [`workspaces/workspace-${agentId}`]) {
        const text = await readFile(join(root, folder, name), "utf8").catch(() => null);
        if (text !== null) return text;
      }
      return null;
    },
    async agent(agentId) {
      const { agents } = fileForm.parse(JSON.parse(await readFile(join(root, "openclaw.json"), "utf8")));
      return agents?.entries?.[agentId] ?? agents?.list?.find(({ id }) => id === agentId) ?? null;
    },
    async restart() {
      await end();
      await start();
    },
    async stop() {
      await end();
      await model.stop();
      await rm(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function configuration(port: number, token: string, root: string, modelUrl: string): object {
  const cost = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };
  const echo = { id: "echo", name: "Echo", reasoning: false, input: ["text"], cost };
  return {
    gateway: { mode: "local", port, bind: "loopback", auth: { mode: "token", token } },
    update: { checkOnStart: false },
    logging: { file: join(root, "gateway.log") },
    models: {
      providers: {
        fake: {
          baseUrl: modelUrl,
          apiKey: "k",
          api: "openai-completions",
          models: [{ ...echo, contextWindow: 128_000, maxTokens: 4_096 }],
        },
      },
    },
    agents: { defaults: { model: { primary: "fake/echo" } } },
  };
}

const logOf = async (root: string) =>
  (await readFile(join(root, "gateway.log"), "utf8").catch(() => "no log")).slice(-2_000);

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const answer = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}

import { createHash } from "node:crypto";
import { z } from "zod";
import { GatewayError, type Work } from "../driver.ts";
import {
  GUIDE_FILES,
  mayWrite,
  type RenderTemplate,
  renderWorkspace,
  tokenIn,
  type WorkspaceFile,
  workspaceFiles,
} from "../templates/workspace.ts";
import type { Ask } from "./ask.ts";
import { GatewayRefusal } from "./failures.ts";

/** Which files a gateway does not take, kept as long as it is the same version. */
export interface Unsupported {
  read(): Promise<ReadonlySet<string>>;
  remember(name: string): Promise<void>;
}

/** Characters of a folder's name, and of a token in a file. */
const MOST_FOLDER = 4_000;
const MOST_TOKEN = 200;

const found = z.object({
  workspace: z.string().max(MOST_FOLDER),
  file: z.object({ content: z.string().transform(known).nullish(), missing: z.boolean().nullish() }),
});
/**
 * What is known of a file at the gateway; null: it is not there. Its text is not kept: there can be much of it, and of many
 * agents at a time.
 */
type Content = { digest: string; token: string | undefined } | null;

function known(text: string): NonNullable<Content> {
  const token = tokenIn(text);
  return { digest: digestOf(text), token: token && token.length <= MOST_TOKEN ? token : undefined };
}

const digestOf = (text: string) => createHash("sha256").update(text).digest("base64");

/** An agent's workspace as its gateway has it. */
interface Workspace {
  /** The folder: the gateway's own agent has one of the gateway's choice. */
  folder: string;
  /** The files that the gateway takes. */
  files: Map<WorkspaceFile, Content>;
}

const isUnsupported = (error: unknown): boolean =>
  error instanceof GatewayRefusal && /^unsupported file/i.test(error.said);

/**
 * Writes the files of an agent's workspace that differ. The agent's own notes are left alone; what a gateway does not
 * take as a file of its own becomes a part of AGENTS.md. The file with the token comes last: who finds a new token finds
 * the rest of its generation too.
 */
export async function writeFiles(
  ask: Ask,
  unsupported: Unsupported,
  work: Work,
  at: { agentId: string; serverUrl: string; renderTemplate: RenderTemplate },
): Promise<void> {
  const { agentId } = at;
  const { folder, files: there } = await readWorkspace(ask, unsupported, agentId);
  const tokenName: WorkspaceFile = there.has("TOOLS.md") ? "TOOLS.md" : "AGENTS.md";
  const token = work.token ?? there.get(tokenName)?.token;
  if (token === undefined)
    throw new GatewayError("The workspace holds no token; an update of the agent brings one", {
      transient: false,
    });
  const { agent, gateway, signal } = work;
  const facts = { agent, gateway, serverUrl: at.serverUrl, tokenFile: `${folder}/${tokenName}`, token };
  const rendered = await renderWorkspace(facts, at.renderTemplate, signal);
  const parts = [rendered.get("AGENTS.md") ?? ""];
  for (const name of GUIDE_FILES) if (!there.has(name)) parts.push(rendered.get(name) ?? "");
  rendered.set("AGENTS.md", parts.join("\n"));
  const due = [...rendered].filter(
    ([name, text]) =>
      there.has(name) &&
      mayWrite(name, work, there.get(name) !== null) &&
      there.get(name)?.digest !== digestOf(text),
  );
  const write = ([name, content]: [WorkspaceFile, string]) =>
    ask("agents.files.set", { agentId, name, content }, z.unknown());
  try {
    await allOf(due.filter(([name]) => name !== tokenName).map(write));
    for (const entry of due) if (entry[0] === tokenName) await write(entry);
  } catch (error) {
    if (!isUnsupported(error)) throw error;
    const said = error instanceof GatewayRefusal ? error.said : "";
    const name = workspaceFiles.find((known) => there.has(known) && said.includes(`"${known}"`));
    if (name === undefined) throw error;
    // It can be read but not be written there: the others are to make up for it.
    await unsupported.remember(name);
    return writeFiles(ask, unsupported, work, at);
  }
}

async function readWorkspace(ask: Ask, unsupported: Unsupported, agentId: string): Promise<Workspace> {
  const refused = await unsupported.read();
  const files: Workspace["files"] = new Map();
  let folder = "";
  await allOf(
    workspaceFiles.map(async (name) => {
      if (refused.has(name)) return;
      try {
        const { workspace, file } = await ask("agents.files.get", { agentId, name }, found);
        folder = workspace;
        files.set(name, file.missing ? null : (file.content ?? null));
      } catch (error) {
        if (!isUnsupported(error)) throw error;
        await unsupported.remember(name);
      }
    }),
  );
  return { folder, files };
}

/** Resolves when all have, and rejects only when none is under way any more: whoever tries again must not meet them. */
async function allOf(work: Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(work))
    if (outcome.status === "rejected") throw outcome.reason;
}

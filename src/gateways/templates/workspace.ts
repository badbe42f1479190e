import type { AgentBrief, GatewayBrief, Work } from "../driver.ts";
import { compile, shellQuoted } from "./engine.ts";
import { GUIDES } from "./guides.ts";
import { NOTES } from "./notes.ts";
import { oneLine, oneLineEach } from "./one-line.ts";
import type { TemplateRequest } from "./renderer.ts";

export type WorkspaceFile = keyof typeof GUIDES | keyof typeof NOTES;

const TEMPLATES = (Object.entries({ ...GUIDES, ...NOTES }) as [WorkspaceFile, string][]).map(
  ([name, source]) => [name, compile(source)] as const,
);

/** All files of a workspace. */
export const workspaceFiles: readonly WorkspaceFile[] = TEMPLATES.map(([name]) => name);

/** The agent's own once they are there: written when missing, never overwritten. */
export const KEPT_FILES: readonly WorkspaceFile[] = ["SELF.md", "USER.md", "MEMORY.md"];
/** For the first run: the agent removes it when done, so only provisioning or force bring it back. */
export const FIRST_RUN_FILE: WorkspaceFile = "BOOTSTRAP.md";

/** What the files tell. Secrets of the agent and the gateway are left out of the templates' variables. */
export interface WorkspaceFacts {
  agent: AgentBrief;
  gateway: GatewayBrief;
  /** Where agents reach the server, without a trailing slash. */
  serverUrl: string;
  /**
   * Path of the file that holds the agent's token, as the agent sees it: a file for that alone or, where `token` is given,
   * one of these.
   */
  tokenFile: string;
  /** The token itself, for gateways that take no file beside these. */
  token?: string;
}

/** What templates can use. */
function variables({ agent, gateway, serverUrl, tokenFile, token }: WorkspaceFacts) {
  const file = shellQuoted(tokenFile);
  return {
    agent: {
      id: agent.id,
      name: oneLine(agent.name),
      slug: agent.slug,
      session_key: oneLine(agent.sessionKey),
      is_main: agent.isMain,
      is_lead: agent.isLead,
      heartbeat_every: agent.heartbeatConfig.every,
    },
    identity: oneLineEach(agent.identityProfile ?? {}),
    board: agent.board && {
      ...agent.board,
      name: oneLine(agent.board.name),
      objective: agent.board.objective && oneLine(agent.board.objective),
    },
    gateway: { id: gateway.id, name: oneLine(gateway.name) },
    server_url: serverUrl,
    token_file: tokenFile,
    token_command: token === undefined ? `cat ${file}` : `sed -n 's/^Token: //p' ${file}`,
  };
}

/** What our own templates can use besides. */
function ownVariables(facts: WorkspaceFacts, known: ReturnType<typeof variables>) {
  const { token } = facts;
  return {
    ...known,
    fact_lines: factLines(known.identity),
    ...(token === undefined ? {} : { token_line: `${TOKEN_MARK}${token}` }),
  };
}

/** The identity's facts as a list. Made here, since a loop in a template takes ten times as long over thousands of them. */
function factLines(identity: Record<string, string>): string {
  return Object.entries(identity)
    .map(([key, value]) => {
      const name = key.replaceAll("_", " ");
      const shown = `${name.charAt(0).toUpperCase()}${name.slice(1).toLowerCase()}`;
      // Behind its dash, too, a key could begin a heading, a list or a block.
      return `- ${shown.replace(/^(\d*)(?=[#>+*=~`|.)-])/, "$1\\")}: ${value}`;
    })
    .join("\n");
}

/** Renders a template of a user's, wherever that is done. */
export type RenderTemplate = (request: TemplateRequest) => Promise<string>;

/**
 * All files of a workspace, by name. The agent's own templates take the place of IDENTITY.md and SOUL.md.
 *
 * @throws GatewayError, permanent when one of the agent's own templates cannot be rendered
 */
export async function renderWorkspace(
  facts: WorkspaceFacts,
  render: RenderTemplate,
  signal: AbortSignal,
): Promise<Map<WorkspaceFile, string>> {
  const known = variables(facts);
  const own = ownVariables(facts, known);
  const files = new Map<WorkspaceFile, string>();
  for (const [name, renderOwn] of TEMPLATES) files.set(name, ended(renderOwn(own)));
  const { identityTemplate, soulTemplate } = facts.agent;
  const { organizationId } = facts.gateway;
  for (const [name, title, source] of [
    ["IDENTITY.md", "identity_template", identityTemplate],
    ["SOUL.md", "soul_template", soulTemplate],
  ] as const) {
    if (source === null) continue;
    files.set(name, ended(await render({ title, source, variables: known, organizationId, signal })));
  }
  return files;
}

/** The guides, which an agent needs: a gateway that does not take one of them gets it as a part of AGENTS.md. */
export const GUIDE_FILES: readonly WorkspaceFile[] = ["TOOLS.md", "HEARTBEAT.md", "BOOT.md"];

/** Before the token, in the file that holds it. */
const TOKEN_MARK = "Token: ";

/** The token in a file that was rendered with one. */
export function tokenIn(text: string): string | undefined {
  return /^Token: (\S+)$/m.exec(text)?.[1];
}

const ended = (text: string) => `${text.trim()}\n`;

/** Whether a piece of work may write this file. */
export function mayWrite(
  name: WorkspaceFile,
  { action, force }: Pick<Work, "action" | "force">,
  exists: boolean,
): boolean {
  if (KEPT_FILES.includes(name)) return !exists;
  if (name === FIRST_RUN_FILE) return action === "provision" || force;
  return true;
}

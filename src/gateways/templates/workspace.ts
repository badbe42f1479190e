import type { AgentBrief, GatewayBrief, Work } from "../driver.ts";
import { compile, renderHostile } from "./engine.ts";
import { GUIDES } from "./guides.ts";
import { NOTES } from "./notes.ts";

export type WorkspaceFile = keyof typeof GUIDES | keyof typeof NOTES;

const TEMPLATES = (Object.entries({ ...GUIDES, ...NOTES }) as [WorkspaceFile, string][]).map(
  ([name, source]) => [name, compile(source)] as const,
);

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
  /** Path of the file that holds the agent's token, as the agent sees it. */
  tokenFile: string;
}

/** What templates can use. */
function variables({ agent, gateway, serverUrl, tokenFile }: WorkspaceFacts) {
  return {
    agent: {
      id: agent.id,
      name: agent.name,
      slug: agent.slug,
      session_key: agent.sessionKey,
      is_main: agent.isMain,
      is_lead: agent.isLead,
      heartbeat_every: agent.heartbeatConfig.every,
    },
    identity: agent.identityProfile ?? {},
    board: agent.board,
    gateway: { id: gateway.id, name: gateway.name },
    server_url: serverUrl,
    token_file: tokenFile,
  };
}

/**
 * All files of a workspace, by name. The agent's own templates take the place of IDENTITY.md and SOUL.md.
 *
 * @throws GatewayError, permanent, when one of the agent's own templates cannot be rendered
 */
export function renderWorkspace(facts: WorkspaceFacts): Map<WorkspaceFile, string> {
  const known = variables(facts);
  const { identityTemplate, soulTemplate } = facts.agent;
  const files = new Map<WorkspaceFile, string>();
  for (const [name, render] of TEMPLATES) files.set(name, ended(render(known)));
  if (identityTemplate !== null)
    files.set("IDENTITY.md", ended(renderHostile("identity_template", identityTemplate, known)));
  if (soulTemplate !== null) files.set("SOUL.md", ended(renderHostile("soul_template", soulTemplate, known)));
  return files;
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

import type { AgentBrief, Work } from "../driver.ts";

/** What an agent is told when it is woken. The reference, by which the message is known again, is no concern of its. */
export function wakeMessage({ name }: AgentBrief, action: Work["action"], reference: string): string {
  const words =
    action === "update"
      ? `${name}, your settings were changed. Read AGENTS.md again, and IDENTITY.md and SOUL.md with it. Your token may be a new one. Then send a heartbeat as AGENTS.md or HEARTBEAT.md says.`
      : `${name}, you were set up. Read AGENTS.md, do what BOOTSTRAP.md says if it is there, and send your first heartbeat as AGENTS.md or HEARTBEAT.md says.`;
  return `${words}\n\n(${reference})`;
}

/** What a gateway's main agent is asked when another one was removed; with a reference, as above. */
export function cleanUpMessage({ name }: AgentBrief, workspace: string, reference: string): string {
  return `The agent ${name} was removed from this gateway. If its folder ${workspace} is still there, remove it. Nothing else is to be removed.\n\n(${reference})`;
}

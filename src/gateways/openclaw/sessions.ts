import { z } from "zod";
import { forEachInSlices } from "../../slices.ts";
import type { Database } from "../../store/database.ts";
import { noteSessionReset, readSessionReset, type SessionMark } from "../../store/session-resets.ts";
import type { AgentBrief } from "../driver.ts";
import type { Ask } from "./ask.ts";
import { GatewayRefusal, LinkLost } from "./failures.ts";

/** Characters of a label that every version takes. */
const MOST_LABEL = 64;
/** How often a message is sent whose link went away before the answer. */
const MOST_SENDS = 5;
/** Messages of a session that are looked through for one that was sent a moment ago. */
const HISTORY = 50;

const optional = <T extends z.ZodType>(schema: T) => schema.nullish().catch(null);
const sessions = z.object({
  sessions: z.array(
    z.object({
      key: z.string(),
      label: optional(z.string()),
      sessionId: optional(z.string()),
      updatedAt: optional(z.number()),
    }),
  ),
});
type GatewaySession = z.infer<typeof sessions>["sessions"][number];

async function findSession(ask: Ask, agentId: string, key: string): Promise<GatewaySession | undefined> {
  const { sessions: found } = await ask("sessions.list", { agentId, limit: 100 }, sessions);
  return found.find((session) => session.key === key);
}

const cut = (text: string, most: number) => [...text].slice(0, most).join("");

/** Labels for an agent's session, the best one first: they are unique at a gateway. */
function labelsFor({ name, slug, id }: AgentBrief): string[] {
  const marked = (mark: string) => `${cut(name, MOST_LABEL - mark.length - 3)} (${mark})`;
  return [cut(name, MOST_LABEL), marked(cut(slug, 30)), marked(id.slice(0, 8))];
}

/** Makes sure that the agent's session is there, with a label by which people find it. */
export async function ensureSession(ask: Ask, agent: AgentBrief, gatewayAgentId: string): Promise<void> {
  const key = agent.sessionKey;
  const labels = labelsFor(agent);
  const found = await findSession(ask, gatewayAgentId, key);
  if (found?.label && labels.includes(found.label)) return;
  for (const label of labels)
    try {
      await ask("sessions.patch", { key, label }, z.unknown());
      return;
    } catch (error) {
      if (!(error instanceof GatewayRefusal) || !/label already in use/.test(error.said)) throw error;
    }
  // All of them are another session's: it works without one.
  if (!found) await ask("sessions.patch", { key, label: null }, z.unknown());
}

/** Begins the agent's session anew, once for each generation of its work, however often it is asked for. */
export async function resetSession(
  ask: Ask,
  database: Database,
  agent: AgentBrief,
  gatewayAgentId: string,
): Promise<void> {
  const mark = async (): Promise<SessionMark> => {
    const found = await findSession(ask, gatewayAgentId, agent.sessionKey);
    return { sessionId: found?.sessionId ?? null, updatedAt: found?.updatedAt ?? null };
  };
  const noted = await readSessionReset(database, agent.id, agent.generation);
  const now = await mark();
  if (noted && (noted.sessionId !== now.sessionId || noted.updatedAt !== now.updatedAt)) return;
  if (!noted) await noteSessionReset(database, agent.id, agent.generation, now);
  await ask("sessions.reset", { key: agent.sessionKey }, z.unknown());
}

/** Whether a gateway says that the agent whose session it is asked about is gone, and the session with it. */
const isGone = (error: unknown): boolean =>
  error instanceof GatewayRefusal && /unknown agent|not found|no longer exists|is deleted/i.test(error.said);
const isKept = (error: unknown): boolean =>
  error instanceof GatewayRefusal && /cannot delete the main session/i.test(error.said);

/**
 * Ends an agent's session, or begins it anew where the gateway keeps it for good. One that is gone is fine; `begin` does
 * it once.
 */
export async function endSession(ask: Ask, key: string, begin: () => Promise<void>): Promise<void> {
  const end = ask("sessions.delete", { key, deleteTranscript: true }, z.unknown()).catch((error) => {
    if (isKept(error)) return begin();
    throw error;
  });
  await end.catch((error) => {
    if (!isGone(error)) throw error;
  });
}

/** Whether a message with this reference has reached the session, or waits in it. */
export async function hasReached(ask: Ask, key: string, reference: string): Promise<boolean> {
  const history = await ask("chat.history", { sessionKey: key, limit: HISTORY }, z.unknown());
  if (typeof history !== "object" || history === null) return false;
  let isThere = false;
  // One message at a time, of whatever part of it: there can be more of them than were asked for.
  for (const part of Object.values(history))
    await forEachInSlices(Array.isArray(part) ? part : [part], (message) => {
      isThere ||= (JSON.stringify(message) ?? "").includes(reference);
    });
  return isThere;
}

/**
 * Sends a message that nobody else would send again. Old gateways restart after a write, often just as it arrives: where
 * the link goes away before the answer, it is looked for in the session, and sent again if it is not there.
 *
 * @param message with the reference in it, by which it is found again
 * @throws GatewayError when the gateway refuses it, or stays away
 */
export async function sendUntilReached(
  ask: Ask,
  { sessionKey, message, reference }: { sessionKey: string; message: string; reference: string },
): Promise<void> {
  for (let sends = 1; ; sends++)
    try {
      await ask("chat.send", { sessionKey, message, idempotencyKey: reference }, z.unknown());
      return;
    } catch (error) {
      if (!(error instanceof LinkLost) || sends === MOST_SENDS) throw error;
      if (await hasReached(ask, sessionKey, reference)) return;
    }
}

import { z } from "zod";
import type { Clock } from "../../clock.ts";
import type { ChatEvent, GatewayReports } from "../remote.ts";

/** A session's signs of life are told at most this often, in milliseconds. */
const SEEN_MS = 30_000;
/** Sessions whose last sign of life is remembered; beyond, the oldest are forgotten. */
const MOST_SESSIONS = 10_000;
/** Characters of one entry that are passed on. */
const MOST_TEXT = 100_000;

const optional = <T extends z.ZodType>(schema: T) => schema.nullish().catch(null);
const content = z.union([
  z.string(),
  z.array(z.object({ type: z.string(), text: optional(z.string()) })).transform((parts) =>
    parts
      .filter(({ type }) => type === "text")
      .map(({ text }) => text ?? "")
      .join(""),
  ),
]);
const chat = z.object({
  runId: z.string().max(200),
  sessionKey: z.string().max(500),
  state: z.enum(["status", "delta", "final", "error", "aborted"]),
  message: optional(z.object({ content: optional(content) })),
  errorMessage: optional(z.string()),
  phase: optional(z.string()),
});
const run = z.object({
  runId: z.string().max(200),
  sessionKey: z.string().max(500),
  stream: z.string(),
  data: optional(z.object({ name: optional(z.string()), phase: optional(z.string()) })),
});

/** Turns what a gateway tells by itself into reports. What the agent itself does counts as a sign of its life. */
export function createEventReader(
  reports: GatewayReports,
  clock: Clock,
): (gatewayId: string, event: string, payload: unknown) => void {
  const told = new Map<string, number>();

  const alive = (gatewayId: string, sessionKey: string) => {
    const key = `${gatewayId}/${sessionKey}`;
    const now = clock.now();
    if (now - (told.get(key) ?? 0) < SEEN_MS) return;
    told.delete(key);
    told.set(key, now);
    if (told.size > MOST_SESSIONS) told.delete(told.keys().next().value ?? "");
    reports.seen(gatewayId, sessionKey);
  };
  const say = (gatewayId: string, sessionKey: string, event: Omit<ChatEvent, "at">) =>
    reports.chat(gatewayId, sessionKey, {
      ...event,
      text: event.text?.slice(0, MOST_TEXT) ?? null,
      at: new Date(clock.now()).toISOString(),
    });

  return (gatewayId, event, payload) => {
    if (event === "chat") {
      const told = chat.safeParse(payload).data;
      if (!told) return;
      const { runId, sessionKey, state, message, errorMessage, phase } = told;
      // An error, or that it is about to begin, is the gateway's word, not the agent's.
      if (state === "delta" || state === "final") alive(gatewayId, sessionKey);
      const text = state === "status" ? phase : (message?.content ?? errorMessage);
      say(gatewayId, sessionKey, { run_id: runId, kind: state, text: text ?? null });
    } else if (event === "agent") {
      const told = run.safeParse(payload).data;
      if (told?.stream !== "assistant" && told?.stream !== "tool") return;
      alive(gatewayId, told.sessionKey);
      if (told.stream === "tool" && told.data?.phase !== "update")
        say(gatewayId, told.sessionKey, {
          run_id: told.runId,
          kind: "tool",
          text: told.data?.name ?? null,
        });
    }
  };
}

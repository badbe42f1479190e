import type { z } from "zod";
import { LinkLost } from "./failures.ts";
import type { Link } from "./link.ts";

/** How often a question is asked whose link went away before the answer. */
const MOST_TRIES = 5;
/** What changes nothing at a gateway, and can be asked twice. */
const QUESTIONS = new Set(["agents.list", "agents.files.get", "config.get", "sessions.list", "chat.history"]);
/** What writes to a gateway's configuration. A patch does too, but has its turn together with what it was made from. */
const WRITES = new Set(["agents.create", "agents.update", "agents.delete"]);

/** Asks a gateway for something, or to do something. */
export type Ask = <T>(method: string, params: object, schema: z.ZodType<T>) => Promise<T>;

/**
 * Asks over a link, for what writes to the gateway's configuration when its turn has come. A question whose answer a
 * restart of the gateway has swallowed is asked again as soon as the link is ready; what may have had its effect is not:
 * whoever asked for it looks how things stand there first.
 */
export function asker(link: () => Link, signal?: AbortSignal): Ask {
  return async (method, params, schema) => {
    const isWrite = WRITES.has(method);
    const ask = async () => {
      for (let tries = 1; ; tries++)
        try {
          return await link().request(method, params, schema, { ...(signal ? { signal } : {}), isWrite });
        } catch (error) {
          if (!(error instanceof LinkLost) || tries === MOST_TRIES || signal?.aborted) throw error;
          if (error.wasSent && !QUESTIONS.has(method)) throw error;
        }
    };
    return isWrite ? link().inTurn(ask, signal) : ask();
  };
}

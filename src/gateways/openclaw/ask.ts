import type { z } from "zod";
import { LinkLost } from "./failures.ts";
import type { Link } from "./link.ts";

/** How often a request is made whose link went away before the answer. */
const MOST_TRIES = 5;

/** Asks a gateway for something that can be asked for twice. */
export type Ask = <T>(method: string, params: object, schema: z.ZodType<T>) => Promise<T>;

/** Asks over a link; again, as soon as the link is ready, where a restart of the gateway has swallowed the answer. */
export function asker(link: () => Link, signal?: AbortSignal): Ask {
  return async (method, params, schema) => {
    for (let tries = 1; ; tries++)
      try {
        return await link().request(method, params, schema, signal ? { signal } : {});
      } catch (error) {
        if (!(error instanceof LinkLost) || tries === MOST_TRIES || signal?.aborted) throw error;
      }
  };
}

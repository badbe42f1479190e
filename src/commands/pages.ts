import type { CursorScope } from "../auth/cursors.ts";
import type { Place } from "../store/cursor.ts";
import type { PageRequest } from "../store/page.ts";
import type { Context } from "./context.ts";

/** One list as its callers page through it: places go out sealed, and come back from the same organization only. */
export function pagesOf({ services: { cursors } }: Pick<Context, "services">, scope: CursorScope) {
  return {
    /** What is asked for. Throws `invalid_params` for a cursor that this list did not give. */
    asked(params: { limit: number; offset?: number | undefined; cursor?: string | undefined }): PageRequest {
      const { limit, offset, cursor } = params;
      return {
        limit,
        offset,
        cursor: cursor === undefined ? undefined : { place: cursors.open(cursor, scope) },
      };
    },
    /** How the next page is asked for; null: there is none. */
    next: (place: Place | null) => (place === null ? null : cursors.seal(place.place, scope)),
  };
}

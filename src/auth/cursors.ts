import { MusterError } from "../protocol/errors.ts";
import { close, open } from "./box.ts";

/** Where a cursor is good: in one list of one organization. */
export interface CursorScope {
  organizationId: string;
  /** The method that gave it. */
  list: string;
}

/** Hands places in lists out as text that says nothing, and takes them back from the same organization only. */
export class Cursors {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  seal(place: string, scope: CursorScope): string {
    return close(this.#key, Buffer.from(place), boundTo(scope)).toString("base64url");
  }

  /** Throws `invalid_params` for what is no cursor, or another list's or organization's. */
  open(cursor: string, scope: CursorScope): string {
    const place = open(this.#key, Buffer.from(cursor, "base64url"), boundTo(scope));
    if (place !== undefined) return place.toString();
    const message = "must be a next_cursor that an earlier page of this list gave";
    throw new MusterError("invalid_params", `cursor: ${message}`, { issues: [{ path: "cursor", message }] });
  }
}

function boundTo({ organizationId, list }: CursorScope): Uint8Array {
  return Buffer.from(JSON.stringify([organizationId, list]));
}

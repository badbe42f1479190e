import { MusterError } from "../protocol/errors.ts";

/** The place behind one row in a list ordered by creation, newest first. */
export interface Place {
  at: string;
  id: string;
}

const FORM = /^((?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([0-9a-zA-Z-]{1,64})$/;

/** A place as opaque text for the other side to hand back. */
export function encodeCursor(row: { created_at: Date; id: string }): string {
  return Buffer.from(`${row.created_at.toISOString()} ${row.id}`).toString("base64url");
}

/** The place that a cursor stands for. Throws invalid_params for anything that is none. */
export function decodeCursor(cursor: string): Place {
  const [, at, id] = FORM.exec(Buffer.from(cursor, "base64url").toString()) ?? [];
  if (at === undefined || id === undefined || !isInstant(at))
    throw new MusterError("invalid_params", "cursor: must be a next_cursor that an earlier page gave", {
      issues: [{ path: "cursor", message: "must be a next_cursor that an earlier page gave" }],
    });
  return { at, id };
}

/** JavaScript reads a 30th of February as a day in March; Postgres refuses it. */
function isInstant(text: string): boolean {
  const at = new Date(text);
  return !Number.isNaN(at.getTime()) && at.toISOString() === text;
}

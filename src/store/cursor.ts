import { wholeNumber } from "../whole-number.ts";
/**
 * A place in a list, as it is before anybody outside sees it: what stands there may tell of other organizations, so that it
 * leaves the server sealed only.
 */
export interface Place {
  readonly place: string;
}

/** One row of a list ordered by creation, newest first. */
export interface CreatedRow {
  at: string;
  id: string;
}

const CREATED = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) ([0-9a-zA-Z-]{1,64})$/;

/** The place behind a row in a list ordered by creation. */
export function placeOfCreated(row: { created_at: Date; id: string }): Place {
  return { place: `${row.created_at.toISOString()} ${row.id}` };
}

/** Throws for a place of another kind of list. */
export function createdAt({ place }: Place): CreatedRow {
  const [, at, id] = CREATED.exec(place) ?? [];
  if (at === undefined || id === undefined) throw new Error("this is a place in another kind of list");
  return { at, id };
}

/** Digits of the greatest number of arrival: all places are as long, as the length of a sealed text can be seen. */
const DIGITS = 19;

/** The place behind an entry in a list ordered by arrival. */
export function placeOfArrived({ seq }: { seq: number }): Place {
  return { place: String(seq).padStart(DIGITS, "0") };
}

/** The entry's number of arrival. Throws for a place of another kind of list. */
export function arrivedAt({ place }: Place): number {
  const number = place.length === DIGITS ? wholeNumber(place.replace(/^0+(?=\d)/, "")) : undefined;
  if (number === undefined) throw new Error("this is a place in another kind of list");
  return number;
}

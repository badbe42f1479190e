import { showUnseenInLines } from "../unseen.ts";

/** A value as JSON, with all that cannot be seen in it escaped. */
export function showJson(value: unknown, indent?: number): string {
  return showUnseenInLines(JSON.stringify(value, undefined, indent) ?? "null");
}

const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;
const COMBINING = /\p{Mn}/u;

/** Columns that a character takes. */
const columns = (character: string) => (COMBINING.test(character) ? 0 : WIDE.test(character) ? 2 : 1);

/** The text in exactly `width` columns: cut with an ellipsis, or filled with spaces. */
export function fit(text: string, width: number): string {
  const characters = [...text];
  const whole = characters.reduce((sum, character) => sum + columns(character), 0);
  if (whole <= width) return text + " ".repeat(width - whole);
  let kept = "";
  let taken = 0;
  for (const character of characters) {
    if (taken + columns(character) > width - 1) break;
    kept += character;
    taken += columns(character);
  }
  return width < 1 ? "" : `${kept}…${" ".repeat(width - taken - 1)}`;
}

/** How long ago, like `12s`, `5m`, `3h` or `2d`; at most 3 characters for what is under 100 days. */
export function ago(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1_000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

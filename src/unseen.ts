/*
 * Text from elsewhere (names come from users, reasons from gateways) on its way to people. A terminal obeys what is hidden
 * in it, and so does the eye: whatever is not seen is shown as JSON would write it.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** The text on one line: control characters, direction marks, line breaks and all else that is not seen as `\uXXXX`. */
export function showUnseen(text: string): string {
  return text.replace(UNSEEN, escaped);
}

/** The same for text of several lines, and for JSON, in which every other line break is escaped already. */
export function showUnseenInLines(text: string): string {
  return text.replace(UNSEEN, (found) => (found === "\n" ? found : escaped(found)));
}

/** A copy of a JSON value in which no text, key or value, has anything unseen. */
export function showUnseenWithin(value: unknown): unknown {
  if (typeof value === "string") return showUnseen(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(showUnseenWithin);
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      showUnseen(key),
      // A stack is read line by line.
      key === "stack" && typeof inner === "string" ? showUnseenInLines(inner) : showUnseenWithin(inner),
    ]),
  );
}

function escaped(found: string): string {
  const short = SHORT[found];
  if (short !== undefined) return short;
  let text = "";
  for (let unit = 0; unit < found.length; unit++)
    text += `\\u${found.charCodeAt(unit).toString(16).padStart(4, "0")}`;
  return text;
}

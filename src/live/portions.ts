/** What one notification should weigh at most, in bytes: with some of them waiting, a reader is not yet too slow. */
export const PORTION_BYTES = 262_144;
/** Its names, numbers and punctuation, about. */
const USUAL_BYTES = 400;

/** Things in the portions in which they are sent: one that is heavier than a portion goes alone. At least one portion. */
export function portionsOf(things: readonly object[]): object[][] {
  let portion: object[] = [];
  const portions = [portion];
  let bytes = 0;
  for (const thing of things) {
    const weight = weigh(thing);
    if (portion.length > 0 && bytes + weight > PORTION_BYTES) {
      portion = [];
      portions.push(portion);
      bytes = 0;
    }
    portion.push(thing);
    bytes += weight;
  }
  return portions;
}

/** About what a thing weighs on the wire. Only what can be long is looked at, because this is done for every push. */
function weigh(thing: object): number {
  let bytes = USUAL_BYTES;
  for (const value of Object.values(thing))
    if (typeof value === "string") bytes += weighText(value);
    else if (typeof value === "object" && value !== null) bytes += weighDeep(value);
  return bytes;
}

/** Characters of a text that is as long as it looks, about: what is escaped in it makes no difference. */
const SHORT = 100;

/** A long text is measured as it is written: of control characters, each takes six bytes. */
function weighText(text: string): number {
  return text.length <= SHORT ? text.length : Buffer.byteLength(JSON.stringify(text));
}

function weighDeep(value: object): number {
  let bytes = 0;
  for (const [key, part] of Object.entries(value)) {
    bytes += key.length + 8;
    if (typeof part === "string") bytes += weighText(part);
    else if (typeof part === "object" && part !== null) bytes += weighDeep(part);
  }
  return bytes;
}

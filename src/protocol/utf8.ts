/**
 * Whether bytes are well-formed UTF-8: no half characters, no overlong forms, nothing beyond U+10FFFF. A decoder says so
 * too, but by an exception for each text, and a frame can hold tens of thousands of them.
 */
export function isUtf8(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end) {
    const lead = bytes[at] ?? 0;
    at += 1;
    if (lead < 0x80) continue;
    const more = lead < 0xc2 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : lead < 0xf5 ? 3 : 0;
    if (more === 0 || at + more > end) return false;
    // What the second byte may be depends on the first: there the overlong, the surrogates and the too large are.
    const second = bytes[at] ?? 0;
    if (second < (SECOND_FROM[lead] ?? 0x80) || second > (SECOND_TO[lead] ?? 0xbf)) return false;
    for (let i = 1; i < more; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return false;
    at += more;
  }
  return true;
}

const SECOND_FROM: Record<number, number> = { 224: 0xa0, 240: 0x90 };
const SECOND_TO: Record<number, number> = { 237: 0x9f, 244: 0x8f };

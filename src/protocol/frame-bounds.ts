/** How much one frame may hold: looked at in its bytes, before anything is built of them. */
export interface FrameBounds {
  /** Values of every kind, and keys. */
  elements: number;
  /** Numbers in arrays under the key `chs`, which are not counted among the elements. */
  channelNumbers: number;
}

/** What the server takes from anybody: parsing that much stands the loop still for a few milliseconds at most. */
export const SERVER_BOUNDS: FrameBounds = { elements: 50_000, channelNumbers: 100_000 };
/** For who trusts the other side. */
export const NO_BOUNDS: FrameBounds = {
  elements: Number.POSITIVE_INFINITY,
  channelNumbers: Number.POSITIVE_INFINITY,
};

/** A frame holds more than it may. */
export class TooMuch extends Error {
  override name = "TooMuch";

  constructor({ elements, channelNumbers }: FrameBounds) {
    super(
      `it holds more than ${elements} values and keys (or ${channelNumbers} channels): send several messages`,
    );
  }
}

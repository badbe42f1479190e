/** Bytes of bodies that have not arrived whole: of one address (or network), and of all together. */
const MOST_OF_AN_ADDRESS = 4 * 1_048_576;
const MOST_BYTES = 64 * 1_048_576;

/** Bounds what requests whose bodies are still on their way make the server hold. */
export class HeldBodies {
  readonly #byPeer = new Map<string, number>();
  #bytes = 0;

  /** Whether so many more bytes of this peer may be held; they are counted then. */
  take(peer: string, bytes: number): boolean {
    const own = (this.#byPeer.get(peer) ?? 0) + bytes;
    if (own > MOST_OF_AN_ADDRESS || this.#bytes + bytes > MOST_BYTES) return false;
    this.#byPeer.set(peer, own);
    this.#bytes += bytes;
    return true;
  }

  /** So many bytes of this peer are not held any more. */
  give(peer: string, bytes: number): void {
    const own = (this.#byPeer.get(peer) ?? 0) - bytes;
    if (own > 0) this.#byPeer.set(peer, own);
    else this.#byPeer.delete(peer);
    this.#bytes -= bytes;
  }
}

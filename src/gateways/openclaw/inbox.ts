/** Takes one message; the promise of one that takes several turns of the event loop does not reject. */
type Take = (message: Buffer) => Promise<void> | undefined;

/**
 * The messages of one socket in their order, also where reading one takes several turns of the event loop: until then the
 * socket is paused, and only what it had read before is kept here.
 */
export class Inbox {
  readonly #take: Take;
  readonly #socket: { pause(): void; resume(): void };
  #waiting: Buffer[] = [];
  #isBusy = false;
  #isClosed = false;

  constructor(socket: { pause(): void; resume(): void }, take: Take) {
    this.#socket = socket;
    this.#take = take;
  }

  push(message: Buffer): void {
    if (this.#isClosed) return;
    if (this.#isBusy) {
      this.#waiting.push(message);
      return;
    }
    const taking = this.#take(message);
    if (!taking) return;
    this.#isBusy = true;
    this.#socket.pause();
    void this.#goOn(taking);
  }

  /** Takes nothing any more. */
  close(): void {
    this.#isClosed = true;
    this.#waiting = [];
  }

  async #goOn(taking: Promise<void>): Promise<void> {
    await taking;
    let next = 0;
    for (; next < this.#waiting.length; next++) {
      const message = this.#waiting[next];
      if (message) await this.#take(message);
    }
    this.#waiting = [];
    this.#isBusy = false;
    if (!this.#isClosed) this.#socket.resume();
  }
}

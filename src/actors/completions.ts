import { MusterError } from "../protocol/errors.ts";

interface Waiter {
  generation: number;
  resolve(error: string | null): void;
  reject(error: MusterError): void;
}

/** Who waits for an agent's work at its gateway to end. */
export class Completions {
  readonly #waiters = new Map<number, Waiter[]>();

  /**
   * Resolves when that generation's work has ended: with null, or with the gateway's words if it failed.
   * Rejects with `conflict` when newer work has taken its place, `unavailable` when the server stops.
   */
  wait(index: number, generation: number): Promise<string | null> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(index) ?? [];
      waiters.push({ generation, resolve, reject });
      this.#waiters.set(index, waiters);
    });
  }

  /** The work has ended. */
  end(index: number, generation: number, error: string | null): void {
    for (const waiter of this.#take(index, (waiter) => waiter.generation === generation))
      waiter.resolve(error);
  }

  /** Newer work has begun. */
  supersede(index: number, generation: number): void {
    for (const waiter of this.#take(index, (waiter) => waiter.generation < generation))
      waiter.reject(
        new MusterError("conflict", "Newer work on this agent has taken the place of this request."),
      );
  }

  /** The server stops; the work itself goes on after its next start. */
  stop(): void {
    for (const index of [...this.#waiters.keys()])
      for (const waiter of this.#take(index, () => true))
        waiter.reject(
          new MusterError(
            "unavailable",
            "The server is stopping. The work goes on after its start; look again then.",
          ),
        );
  }

  #take(index: number, which: (waiter: Waiter) => boolean): Waiter[] {
    const waiters = this.#waiters.get(index);
    if (!waiters) return [];
    const left = waiters.filter((waiter) => !which(waiter));
    if (left.length > 0) this.#waiters.set(index, left);
    else this.#waiters.delete(index);
    return waiters.filter(which);
  }
}

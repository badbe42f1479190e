import type { AgentEvent } from "../../machines/model.ts";
import { MusterError } from "../protocol/errors.ts";
import type { Committer } from "../store/committer.ts";
import { Mailbox, type Outcome, type Rider } from "./mailbox.ts";
import type { Registry } from "./registry.ts";
import { Room, type Waiting } from "./room.ts";
import { gone, type TransitionParts, Transitions } from "./transitions.ts";

/**
 * Agents whose events are under way at a time: one group with Postgres, the next one being decided on. When more come at
 * once, as after an outage, signs of life wait for their turn; commands do not.
 */
const MOST_UNDER_WAY = 1_000;

/** Takes every agent's events: one at a time each, in order of arrival, committed before anything else learns of it. */
export class Actors {
  readonly #registry: Registry;
  readonly #committer: Pick<Committer, "available">;
  readonly #transitions: Transitions;
  readonly #log: TransitionParts["log"];
  readonly #mailboxes = new Map<number, Mailbox>();
  /** Mailboxes whose first message waits for Postgres. */
  readonly #paused = new Set<number>();
  readonly #room = new Room(MOST_UNDER_WAY);
  /** Who waits to proceed, by the agent. */
  readonly #waiting = new Map<number, Waiting>();

  constructor(
    parts: TransitionParts & { committer: Pick<Committer, "commit" | "available" | "onAvailable"> },
  ) {
    this.#registry = parts.registry;
    this.#committer = parts.committer;
    this.#transitions = new Transitions(parts);
    this.#log = parts.log;
    parts.committer.onAvailable(() => {
      const paused = [...this.#paused];
      this.#paused.clear();
      for (const index of paused) {
        const mailbox = this.#mailboxes.get(index);
        if (mailbox) this.#runInTurn(index, mailbox);
      }
    });
  }

  /** Agents with events that are not through. */
  get busy(): number {
    return this.#mailboxes.size + this.#waiting.size;
  }

  /** Whether events wait for the agent. */
  isBusy(index: number): boolean {
    return this.#mailboxes.has(index) || this.#waiting.has(index);
  }

  /**
   * Gives the agent an event. Resolves when its transition is in Postgres; rejects with MusterError when it was refused
   * or, unless it is `lasting`, when Postgres is away.
   */
  send(
    index: number,
    event: AgentEvent,
    { lasting = false, rider = {} }: { lasting?: boolean; rider?: Rider } = {},
  ) {
    return new Promise<Outcome>((resolve, reject) => {
      if (!lasting && !this.#committer.available) return reject(away());
      this.#hurry(index);
      const busy = this.#mailboxes.get(index);
      // A mailbox gives the index of an agent that is gone free when it ends: there must be one only for who is there.
      if (!busy && this.#registry.idOf(index) === undefined) return reject(gone());
      const mailbox = busy ?? new Mailbox();
      try {
        mailbox.put({ event, rider, lasting, resolve, reject });
      } catch (error) {
        return reject(error);
      }
      if (!busy) {
        this.#mailboxes.set(index, mailbox);
        this.#registry.unrest(index);
        if (lasting) this.#runInTurn(index, mailbox);
        else this.#run(index);
      } else if (!lasting && mailbox.isWaiting) this.#run(index);
    });
  }

  /**
   * Lets somebody proceed who has a sign of life for the agent: at once, or when fewer are under way, but before anything
   * that comes for the agent later.
   */
  whenFree(index: number, who: Waiting): void {
    if (this.isBusy(index)) return who.proceed();
    this.#waiting.set(index, who);
    this.#room.whenFree(who);
  }

  /** Who waits with something earlier for the agent waits no longer. */
  #hurry(index: number): void {
    const earlier = this.#waiting.get(index);
    this.#waiting.delete(index);
    earlier?.proceed();
  }

  /** Runs when there is room, or when a command comes. */
  #runInTurn(index: number, mailbox: Mailbox): void {
    mailbox.isWaiting = true;
    this.#room.whenFree({
      proceed: () => {
        if (mailbox.isWaiting) this.#run(index);
      },
    });
  }

  #run(index: number): void {
    this.#room.enter();
    this.#take(index)
      .catch((error) => this.#log.error({ err: error }, "an agent's mailbox stopped"))
      .finally(() => this.#room.leave());
  }

  /** Takes an agent's messages one by one, until there are none, or Postgres is away. */
  async #take(index: number): Promise<void> {
    const mailbox = this.#mailboxes.get(index);
    if (!mailbox) return;
    mailbox.isWaiting = false;
    for (let message = mailbox.first; message; message = mailbox.first) {
      if (this.#registry.idOf(index) === undefined) {
        message.reject(gone());
        mailbox.shift();
        continue;
      }
      try {
        const outcome = await this.#transitions.carryOut(index, message);
        mailbox.shift();
        message.resolve(outcome);
      } catch (error) {
        if (error instanceof MusterError && error.reason === "unavailable") {
          mailbox.refuse(error);
          if (!mailbox.first) continue;
          if (this.#committer.available) continue;
          this.#paused.add(index);
          return;
        }
        mailbox.shift();
        message.reject(error);
      }
    }
    this.#mailboxes.delete(index);
    if (this.#registry.idOf(index) === undefined) this.#registry.release(index);
    else this.#registry.rest(index);
  }
}

function away(): MusterError {
  return new MusterError("unavailable", "The database is away; nothing was done. Try again in a moment.");
}

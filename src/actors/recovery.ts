import { WORK_STATES } from "../../machines/model.ts";
import type { Cancel, Clock } from "../clock.ts";
import type { Actors } from "./actors.ts";
import type { Registry } from "./registry.ts";

/** How soon after a gateway is back its agents go on, and how often the next of them do, in milliseconds. */
const STEP_MS = 1_000;
/** Agents that go on in one such moment: each is a commit. */
const AT_ONCE = 256;
/** How often the others are looked for: a gateway can have been of no help without having been away. In milliseconds. */
const LOOK_MS = 120_000;

const WAITING = WORK_STATES.indexOf("waiting");

/** Lets agents go on whose work was given up for now, as soon as their gateway can be reached again. */
export class Recovery {
  readonly #registry: Registry;
  readonly #actors: Actors;
  readonly #clock: Clock;
  readonly #canReach: (gatewayId: string) => boolean;
  readonly #cancel: Cancel;
  /** Gateways that have come back since the columns were gone through. */
  #back = new Set<string>();
  /** Those whose agents are looked for now. */
  #sought = new Set<string>();
  /** Whether the others' agents are looked for too. */
  #isLook = false;
  #lookAt: number;
  /** Where in the columns the next part begins. */
  #from = 0;

  constructor(parts: {
    registry: Registry;
    actors: Actors;
    clock: Clock;
    canReach: (gatewayId: string) => boolean;
  }) {
    this.#registry = parts.registry;
    this.#actors = parts.actors;
    this.#clock = parts.clock;
    this.#canReach = parts.canReach;
    this.#lookAt = parts.clock.now() + LOOK_MS;
    this.#cancel = parts.clock.every(STEP_MS, () => this.#goOn());
  }

  gatewayIsBack(gatewayId: string): void {
    this.#back.add(gatewayId);
  }

  stop(): void {
    this.#cancel();
  }

  #goOn(): void {
    const at = this.#clock.now();
    if (this.#from === 0) {
      this.#isLook = at >= this.#lookAt;
      if (this.#isLook) this.#lookAt = at + LOOK_MS;
      this.#sought = this.#back;
      this.#back = new Set();
    }
    if (!this.#isLook && this.#sought.size === 0) return;
    const { columns, extent } = this.#registry;
    let index = this.#from;
    for (let chosen = 0; index < extent && chosen < AT_ONCE; index++) {
      if (columns.work[index] !== WAITING || columns.dueAt[index] !== 0) continue;
      if (this.#registry.idOf(index) === undefined || !this.#isSought(index)) continue;
      chosen += 1;
      // What Postgres does not let happen now comes with the next look.
      this.#actors.send(index, { type: "resume", at }).catch(() => {});
    }
    this.#from = index < extent ? index : 0;
  }

  #isSought(index: number): boolean {
    const { gatewayId } = this.#registry.belongingOf(index);
    return this.#sought.has(gatewayId) || (this.#isLook && this.#canReach(gatewayId));
  }
}

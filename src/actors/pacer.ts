import { DEFAULT_EVERY_MS, jittered, LONGEST_EVERY_MS, NOTICEABLE } from "../../machines/pace.ts";
import type { Status } from "../../machines/statuses.ts";
import type { Cancel, Clock } from "../clock.ts";
import { type Fleet, Fleets } from "./fleets.ts";
import { Growth, grown } from "./growth.ts";
import type { Registry } from "./registry.ts";

/** How often some of the fleet are looked at, in milliseconds, how many then, and how many of them are told something. */
const REVIEW_MS = 1_000;
const LOOKED_AT = 10_000;
const TOLD = 1_000;
/** Agents of slowed fleets that are looked at at once to make room for one that comes. Together with later ones all get their turn. */
const SLOWED = 16;

/** Agents that there is room for at first. */
const FIRST_CAPACITY = 1_024;

/** Those who may be keeping an interval that they were told before a start. */
const BEATING: ReadonlySet<Status> = new Set(["online", "updating", "deleting"]);

/**
 * How often each attached agent is to beat, so that all together stay under a number of heartbeats a second. An organization
 * that asks for no more than its share is never slowed down, nor made to wait: while a larger one makes room for it, all may
 * be over the number for a moment. An agent that comes or goes costs the same however many there are. What changes for the
 * others they are told some at a time. An agent's deadline is longer before it is told to beat less often, and shorter only after it has been heard
 * since it was told to beat more often.
 */
export class Pacer {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #most: number;
  readonly #tell: (index: number, everyMs: number) => void;
  readonly #fleets: Fleets;
  /** By index: whose fleet an attached agent is in. */
  readonly #homes: (Fleet | undefined)[] = [];
  #attached = 0;
  /** By index: its place in its fleet's ring, from 1; 0: it is not attached. */
  #places = new Int32Array(FIRST_CAPACITY);
  /** By index: heartbeats a second that it would send by its own settings. */
  #wishes = new Float64Array(FIRST_CAPACITY);
  /** By index: the interval that it was told last, or 0, and when, in milliseconds. */
  #intervals = new Float64Array(FIRST_CAPACITY);
  #toldAt = new Float64Array(FIRST_CAPACITY);
  readonly #growth = new Growth(FIRST_CAPACITY, (capacity) => this.#stepsTo(capacity));
  /** Heartbeats a second, as everyone was told. */
  #given = 0;

  /**
   * @param most heartbeats a second that all agents together may send
   * @param tell hands an agent that is attached already its new interval
   */
  constructor(
    registry: Registry,
    clock: Clock,
    most: number,
    tell: (index: number, everyMs: number) => void,
  ) {
    this.#registry = registry;
    this.#clock = clock;
    this.#most = most;
    this.#fleets = new Fleets(most);
    this.#tell = tell;
  }

  /** Heartbeats a second that the attached agents have been told to send. */
  get given(): number {
    return this.#given;
  }

  /** Begins to look after the fleet. To be called when the registry is loaded. */
  start(): Cancel {
    this.#assume();
    return this.#clock.every(REVIEW_MS, () => this.#review());
  }

  /** An agent is attached, or attached anew; the answer to that tells it `paceOf`. */
  attach(index: number): void {
    this.detach(index);
    this.#growth.reach(index);
    const wish = this.#wishOf(index);
    const fleet = this.#fleets.of(this.#registry.belongingOf(index).organizationId);
    this.#homes[index] = fleet;
    this.#places[index] = fleet.ring.push(index);
    this.#attached += 1;
    this.#wishes[index] = wish;
    this.#fleets.wants(fleet, wish);
    this.#admit(index, fleet);
  }

  /** It is attached no more. What it was told holds for its deadline until it is told something else. */
  detach(index: number): void {
    const fleet = this.#homes[index];
    const place = this.#places[index] ?? 0;
    if (fleet === undefined || place === 0) return;
    this.#homes[index] = undefined;
    this.#places[index] = 0;
    this.#attached -= 1;
    const last = fleet.ring.pop();
    if (last !== undefined && last !== index) {
      fleet.ring[place - 1] = last;
      this.#places[last] = place;
    }
    this.#fleets.wants(fleet, -(this.#wishes[index] ?? 0));
    if (fleet.ring.length === 0) this.#fleets.leave(fleet);
    this.#take(index);
    // What adding and subtracting have left over.
    if (this.#attached === 0) this.#given = 0;
  }

  /** Its settings may have changed. Told at once if they have, as somebody waits to see it. */
  settled(index: number): void {
    const fleet = this.#homes[index];
    if (fleet === undefined) return;
    const wish = this.#wishOf(index);
    const before = this.#wishes[index] ?? 0;
    if (wish === before) return;
    this.#fleets.wants(fleet, wish - before);
    this.#wishes[index] = wish;
    this.#take(index);
    this.#admit(index, fleet);
    this.#tell(index, this.#intervals[index] ?? 0);
  }

  /** What an agent that is being attached is told. */
  paceOf(index: number): { every_ms: number; offline_after_ms: number } {
    return {
      every_ms: this.#intervals[index] || slowed(this.#wishOf(index), 1),
      offline_after_ms: this.#registry.columns.offlineAfter[index] ?? 0,
    };
  }

  /** Who is online after a start keeps, until it is told anew, what it was told before among fleets of these sizes. */
  #assume(): void {
    const { extent } = this.#registry;
    const isAlive = (index: number) =>
      this.#registry.idOf(index) !== undefined && BEATING.has(this.#registry.statusOf(index));
    const homeOf = (index: number) => fleets.of(this.#registry.belongingOf(index).organizationId);
    const fleets = new Fleets(this.#most);
    for (let index = 0; index < extent; index++)
      if (isAlive(index)) fleets.wants(homeOf(index), this.#wishOf(index));
    if (fleets.nextSlowed() === undefined) return;
    for (let index = 0; index < extent; index++) {
      if (!isAlive(index)) continue;
      const stretch = fleets.stretch(homeOf(index));
      if (stretch > 1) this.#lengthen(index, (NOTICEABLE * stretch * 1_000) / this.#wishOf(index));
    }
  }

  /** Gives an agent that has nothing yet its interval, and slows some others down if there is no room for it. */
  #admit(index: number, fleet: Fleet): void {
    const stretch = this.#fleets.stretch(fleet);
    const everyMs = slowed(this.#wishes[index] ?? 0, stretch);
    for (let count = 0; count < SLOWED && this.#given + rateOf(everyMs) > this.#most; count++) {
      const other = this.#fleets.nextSlowed();
      if (other === undefined) break;
      this.#look(other);
    }
    if (stretch === 1) return this.#give(index, everyMs);
    // Where even that is not enough it waits, at what is left, for the others' turns.
    const room = Math.max(0, this.#most - this.#given);
    this.#give(index, Math.max(everyMs, Math.min(LONGEST_EVERY_MS, Math.ceil(1_000 / room))));
  }

  #review(): void {
    let told = 0;
    for (let looked = Math.min(LOOKED_AT, this.#attached); looked > 0 && told < TOLD; looked--) {
      const fleet = this.#fleets.next();
      if (fleet && this.#look(fleet)) told += 1;
    }
  }

  /** The turn of the fleet's next agent. Whether it was told a new interval, as when its fleet has grown or shrunk noticeably. */
  #look(fleet: Fleet): boolean {
    fleet.turn = fleet.turn + 1 < fleet.ring.length ? fleet.turn + 1 : 0;
    const index = fleet.ring[fleet.turn];
    // All of it has gone meanwhile.
    if (index === undefined) return false;
    const current = this.#intervals[index] ?? 0;
    if (current === 0) return false;
    const { lastSeen } = this.#registry.columns;
    if ((lastSeen[index] ?? 0) > (this.#toldAt[index] ?? 0)) this.#registry.keep(index, current);
    const stretch = this.#fleets.stretch(fleet);
    const everyMs = slowed(this.#wishes[index] ?? 0, stretch);
    const isSlower = everyMs >= current * NOTICEABLE;
    const isFaster = everyMs <= current / NOTICEABLE;
    const total = this.#given - rateOf(current) + rateOf(everyMs);
    // Not into the room that those who come will need; but what is within a share is never held back.
    if (!isSlower && !(isFaster && (stretch === 1 || total <= this.#most / NOTICEABLE))) return false;
    this.#take(index);
    this.#give(index, everyMs);
    this.#tell(index, everyMs);
    return true;
  }

  #give(index: number, everyMs: number): void {
    this.#intervals[index] = everyMs;
    this.#toldAt[index] = this.#clock.now();
    this.#given += rateOf(everyMs);
    this.#lengthen(index, everyMs);
  }

  #take(index: number): void {
    const everyMs = this.#intervals[index] ?? 0;
    if (everyMs !== 0) this.#given -= rateOf(everyMs);
    this.#intervals[index] = 0;
  }

  #lengthen(index: number, everyMs: number): void {
    this.#registry.keep(index, Math.max(everyMs, this.#registry.columns.kept[index] ?? 0));
  }

  #stepsTo(capacity: number): (() => void)[] {
    return [
      () => {
        this.#places = grown(this.#places, new Int32Array(capacity));
      },
      () => {
        this.#wishes = grown(this.#wishes, new Float64Array(capacity));
      },
      () => {
        this.#intervals = grown(this.#intervals, new Float64Array(capacity));
      },
      () => {
        this.#toldAt = grown(this.#toldAt, new Float64Array(capacity));
      },
    ];
  }

  #wishOf(index: number): number {
    const everyMs = this.#registry.columns.every[index] || DEFAULT_EVERY_MS;
    return rateOf(jittered(everyMs, digestOf(this.#registry.idOf(index) ?? "")));
  }
}

/** Heartbeats a second. */
function rateOf(everyMs: number): number {
  return 1_000 / everyMs;
}

/** The interval for a wish in a fleet that is slowed down by a factor. */
function slowed(wish: number, stretch: number): number {
  return Math.min(LONGEST_EVERY_MS, Math.ceil((stretch * 1_000) / wish));
}

/**
 * A number for an id, evenly spread (FNV-1a). Not the agent's small key, which is counted over all organizations: what an
 * agent is told shows it, and with it how many others were made.
 */
function digestOf(id: string): number {
  let digest = 0x811c9dc5;
  for (let at = 0; at < id.length; at++) digest = Math.imul(digest ^ id.charCodeAt(at), 0x01000193);
  return digest >>> 0;
}

import { DEFAULT_EVERY_MS, jittered, LONGEST_EVERY_MS, NOTICEABLE, stretchOf } from "../../machines/pace.ts";
import type { Status } from "../../machines/statuses.ts";
import type { Cancel, Clock } from "../clock.ts";
import { Growth, grown } from "./growth.ts";
import type { Registry } from "./registry.ts";

/** How often some of the fleet are looked at, in milliseconds, how many then, and how many of them are told something. */
const REVIEW_MS = 1_000;
const LOOKED_AT = 10_000;
const TOLD = 1_000;
/** Agents that are slowed down at once to make room for one that comes. Together with later ones all get their turn. */
const SLOWED = 16;

/** Agents that there is room for at first. */
const FIRST_CAPACITY = 1_024;

/** Those who may be keeping an interval that they were told before a start. */
const BEATING: ReadonlySet<Status> = new Set(["online", "updating", "deleting"]);

/**
 * How often each attached agent is to beat, so that all together stay under a number of heartbeats a second. It keeps
 * sums: an agent that comes or goes costs the same however many there are. What changes for the others they are told some
 * at a time. An agent's deadline is longer before it is told to beat less often, and shorter only after it has been heard
 * since it was told to beat more often.
 */
export class Pacer {
  readonly #registry: Registry;
  readonly #clock: Clock;
  readonly #most: number;
  readonly #tell: (index: number, everyMs: number) => void;
  /** The indexes of those who are attached: each gets its turn to be looked at. */
  readonly #ring: number[] = [];
  /** By index: its place in the ring, from 1; 0: it is not attached. */
  #places = new Int32Array(FIRST_CAPACITY);
  /** By index: heartbeats a second that it would send by its own settings. */
  #wishes = new Float64Array(FIRST_CAPACITY);
  /** By index: the interval that it was told last, or 0, and when, in milliseconds. */
  #intervals = new Float64Array(FIRST_CAPACITY);
  #toldAt = new Float64Array(FIRST_CAPACITY);
  readonly #growth = new Growth(FIRST_CAPACITY, (capacity) => this.#stepsTo(capacity));
  #turn = 0;
  /** Heartbeats a second: by everyone's own settings, and as everyone was told. */
  #wanted = 0;
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
    this.#tell = tell;
  }

  /** Heartbeats a second that the attached agents have been told to send; never more than permitted. */
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
    this.#places[index] = this.#ring.push(index);
    this.#wishes[index] = wish;
    this.#wanted += wish;
    this.#admit(index);
  }

  /** It is attached no more. What it was told holds for its deadline until it is told something else. */
  detach(index: number): void {
    const place = this.#places[index] ?? 0;
    if (place === 0) return;
    this.#places[index] = 0;
    const last = this.#ring.pop();
    if (last !== undefined && last !== index) {
      this.#ring[place - 1] = last;
      this.#places[last] = place;
    }
    this.#wanted -= this.#wishes[index] ?? 0;
    this.#take(index);
    // What adding and subtracting have left over.
    if (this.#ring.length === 0) this.#wanted = this.#given = 0;
  }

  /** Its settings may have changed. Told at once if they have, as somebody waits to see it. */
  settled(index: number): void {
    if ((this.#places[index] ?? 0) === 0) return;
    const wish = this.#wishOf(index);
    const before = this.#wishes[index] ?? 0;
    if (wish === before) return;
    this.#wanted += wish - before;
    this.#wishes[index] = wish;
    this.#take(index);
    this.#admit(index);
    this.#tell(index, this.#intervals[index] ?? 0);
  }

  /** What an agent that is being attached is told. */
  paceOf(index: number): { every_ms: number; offline_after_ms: number } {
    return {
      every_ms: this.#intervals[index] || this.#fitting(this.#wishOf(index)),
      offline_after_ms: this.#registry.columns.offlineAfter[index] ?? 0,
    };
  }

  /** Who is online after a start keeps, until it is told anew, what it was told before in a fleet of this size. */
  #assume(): void {
    const { extent } = this.#registry;
    const isAlive = (index: number) =>
      this.#registry.idOf(index) !== undefined && BEATING.has(this.#registry.statusOf(index));
    let wanted = 0;
    for (let index = 0; index < extent; index++) if (isAlive(index)) wanted += this.#wishOf(index);
    const stretch = stretchOf(wanted, this.#most);
    if (stretch === 1) return;
    for (let index = 0; index < extent; index++)
      if (isAlive(index)) this.#lengthen(index, (NOTICEABLE * stretch * 1_000) / this.#wishOf(index));
  }

  /** Gives an agent that has nothing yet its interval, and slows some others down if there is no room for it. */
  #admit(index: number): void {
    const everyMs = this.#fitting(this.#wishes[index] ?? 0);
    for (let count = 0; count < SLOWED && this.#given + rateOf(everyMs) > this.#most; count++) this.#look();
    // Where even that is not enough it waits, at what is left, for the others' turns.
    const room = Math.max(0, this.#most - this.#given);
    this.#give(index, Math.max(everyMs, Math.min(LONGEST_EVERY_MS, Math.ceil(1_000 / room))));
  }

  #review(): void {
    let told = 0;
    for (let looked = Math.min(LOOKED_AT, this.#ring.length); looked > 0 && told < TOLD; looked--)
      if (this.#look()) told += 1;
  }

  /** The next one's turn. Whether it was told a new interval, which is so when the fleet has grown or shrunk noticeably. */
  #look(): boolean {
    this.#turn = this.#turn + 1 < this.#ring.length ? this.#turn + 1 : 0;
    const index = this.#ring[this.#turn] ?? 0;
    const current = this.#intervals[index] ?? 0;
    if (current === 0) return false;
    const { lastSeen } = this.#registry.columns;
    if ((lastSeen[index] ?? 0) > (this.#toldAt[index] ?? 0)) this.#registry.keep(index, current);
    const everyMs = this.#fitting(this.#wishes[index] ?? 0);
    const isSlower = everyMs >= current * NOTICEABLE;
    const isFaster = everyMs <= current / NOTICEABLE;
    const total = this.#given - rateOf(current) + rateOf(everyMs);
    // Not into the room that those who come will need.
    if (!isSlower && !(isFaster && total <= this.#most / NOTICEABLE)) return false;
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

  /** The interval for a wish in the fleet as it is. */
  #fitting(wish: number): number {
    const everyMs = Math.ceil((stretchOf(this.#wanted, this.#most) * 1_000) / wish);
    return Math.min(LONGEST_EVERY_MS, everyMs);
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
    const { columns } = this.#registry;
    return rateOf(jittered(columns.every[index] || DEFAULT_EVERY_MS, columns.no[index] ?? 0));
  }
}

/** Heartbeats a second. */
function rateOf(everyMs: number): number {
  return 1_000 / everyMs;
}

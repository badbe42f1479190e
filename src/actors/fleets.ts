import { type Demand, hasRoom, levelOf, stretchOf } from "../../machines/shares.ts";

/** By how much of all that is wanted it may change before the level is looked for anew, which costs a walk over all fleets. */
const DRIFT = 1 / 1_024;

/** The connected agents of one organization. */
export interface Fleet {
  readonly organizationId: string;
  /** Their indexes: each gets its turn to be looked at. */
  readonly ring: number[];
  /** Whose turn it was last. */
  turn: number;
  /** Heartbeats a second by their own settings. */
  wanted: number;
  /** Its place among the fleets. */
  place: number;
}

/**
 * The fleets of all organizations, and what each may send. It keeps sums: an agent that comes or goes costs the same however
 * many there are, and a walk over the fleets follows only when what they want has changed noticeably.
 */
export class Fleets {
  readonly #demand: Demand;
  readonly #byOrganization = new Map<string, Fleet>();
  readonly #all: Fleet[] = [];
  /** Those that are slowed down, as of the last look. */
  #slowed: Fleet[] = [];
  /** What has changed since. */
  #drift = Number.POSITIVE_INFINITY;
  #turn = 0;
  #slowedTurn = 0;
  /** Agents of the fleet whose turn it is that are still to be looked at. */
  #left = 0;

  /** @param most heartbeats a second that are permitted for all together */
  constructor(most: number) {
    this.#demand = { most, organizations: 0, wanted: 0, level: Number.POSITIVE_INFINITY };
  }

  /** The organization's fleet, made with its first agent. It goes with its last, by `leave`. */
  of(organizationId: string): Fleet {
    const known = this.#byOrganization.get(organizationId);
    if (known) return known;
    const fleet = { organizationId, ring: [], turn: 0, wanted: 0, place: this.#all.length };
    this.#byOrganization.set(organizationId, fleet);
    this.#all.push(fleet);
    this.#organizations(1);
    return fleet;
  }

  /** The fleet has no agents any more. */
  leave(fleet: Fleet): void {
    this.wants(fleet, -fleet.wanted);
    this.#byOrganization.delete(fleet.organizationId);
    const last = this.#all.pop();
    if (last !== undefined && last !== fleet) {
      this.#all[fleet.place] = last;
      last.place = fleet.place;
    }
    this.#organizations(-1);
    // What adding and subtracting have left over.
    if (this.#all.length === 0) this.#demand.wanted = 0;
  }

  /** The fleet wants so much more, or less. */
  wants(fleet: Fleet, difference: number): void {
    fleet.wanted += difference;
    this.#demand.wanted += difference;
    this.#drift += Math.abs(difference);
  }

  /** By which factor the intervals of its agents are to be longer than they want. */
  stretch(fleet: Fleet): number {
    if (hasRoom(this.#demand)) return 1;
    this.#level();
    return stretchOf(fleet.wanted, this.#demand);
  }

  /** The fleet of whose agents one is to be looked at, in turns that each agent gets one of; undefined: there is none. */
  next(): Fleet | undefined {
    if (this.#left === 0) {
      this.#turn = this.#turn + 1 < this.#all.length ? this.#turn + 1 : 0;
      this.#left = this.#all[this.#turn]?.ring.length ?? 0;
    }
    this.#left = Math.max(0, this.#left - 1);
    return this.#all[this.#turn] ?? this.#all[0];
  }

  /** The next one of those that are slowed down; undefined where none is. */
  nextSlowed(): Fleet | undefined {
    if (hasRoom(this.#demand)) return undefined;
    this.#level();
    this.#slowedTurn = this.#slowedTurn + 1 < this.#slowed.length ? this.#slowedTurn + 1 : 0;
    return this.#slowed[this.#slowedTurn];
  }

  /** One more, or one less. The shares of all change by as much. */
  #organizations(difference: 1 | -1): void {
    this.#demand.organizations += difference;
    this.#drift += this.#demand.wanted / Math.max(1, this.#demand.organizations);
  }

  #level(): void {
    if (this.#drift <= DRIFT * this.#demand.wanted) return;
    this.#drift = 0;
    this.#demand.level = levelOf(
      this.#all.map(({ wanted }) => wanted),
      this.#demand.most,
    );
    this.#slowed = this.#all.filter(({ wanted }) => stretchOf(wanted, this.#demand) > 1);
  }
}

import { FILLED } from "./pace.ts";

/** How often the level is looked for anew at most: each time brings it nearer, most often two or three are enough. */
const MOST_PASSES = 32;

/** What all organizations with connected agents ask for together. Rates are heartbeats a second. */
export interface Demand {
  /** The rate that is permitted. */
  most: number;
  /** How many organizations there are. */
  organizations: number;
  /** The rate if everyone had its way. */
  wanted: number;
  /** What each of those gets that ask for more than their share; see `levelOf`. */
  level: number;
}

/** Whether everyone may have its way. */
export function hasRoom({ most, wanted }: Pick<Demand, "most" | "wanted">): boolean {
  return wanted <= FILLED * most;
}

/** What an organization may ask for without being slowed down, whatever the others do. One alone leaves room for newcomers. */
export function shareOf({ most, organizations }: Pick<Demand, "most" | "organizations">): number {
  return organizations > 1 ? most / organizations : FILLED * most;
}

/**
 * What each organization gets that asks for more than its share: what the others leave, evenly, and what one of them does not
 * use goes to the rest. Others' fleets show in it only as far as they leave their shares unused.
 *
 * @param wants the rates that organizations want, one each
 */
export function levelOf(wants: readonly number[], most: number): number {
  const share = shareOf({ most, organizations: wants.length });
  let room = FILLED * most;
  let many = 0;
  for (const want of wants)
    if (want <= share) room -= want;
    else many += 1;
  if (many === 0) return Number.POSITIVE_INFINITY;
  let level = room / many;
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    let left = room;
    let thirsty = 0;
    for (const want of wants)
      if (want <= share) continue;
      else if (want <= level) left -= want;
      else thirsty += 1;
    const next = thirsty === 0 ? Number.POSITIVE_INFINITY : left / thirsty;
    if (next <= level) break;
    level = next;
  }
  // Shares that are all but used up leave nothing; everyone has a part of its own.
  return Math.max(level, (FILLED * most) / wants.length);
}

/**
 * By which factor the intervals of an organization's agents are longer than they want: 1 where it asks for no more than its
 * share, or where there is room for all.
 *
 * @param want the rate that the organization wants
 */
export function stretchOf(want: number, demand: Demand): number {
  if (hasRoom(demand) || want <= shareOf(demand)) return 1;
  return Math.max(1, want / demand.level);
}

import assert from "node:assert/strict";
import { Pacer } from "../../src/actors/pacer.ts";
import { Registry } from "../../src/actors/registry.ts";
import { TurnedClock } from "./turned-clock.ts";

/** How long after it is written a notification reaches its agent, in milliseconds. */
const LATENCY_MS = 200;
const STEP_MS = 100;
const OFFLINE_AFTER_MS = 1_500;

/** An agent that does as it is told. */
interface Obedient {
  index: number;
  everyMs: number;
  attached: boolean;
  /** How often it was attached: what was said on an earlier channel does not reach it on a later one. */
  channel: number;
  beatAt: number;
  nextAt: number;
}

/** A pacer, and agents that beat as it tells them, on a clock that the test turns. */
export class PacedFleet {
  readonly clock = new TurnedClock();
  readonly most: number;
  readonly registry: Registry;
  readonly pacer: Pacer;
  readonly agents: Obedient[] = [];
  /** Notifications since the last look. */
  told = 0;
  /** Numbers of agents that were silent for longer than their deadline although they did as they were told. */
  readonly lost: number[] = [];

  /**
   * @param wishes how often each agent wants to beat, in seconds
   * @param organizationOf whose the agent at a position is
   */
  constructor(
    most: number,
    wishes: readonly number[],
    organizationOf = (_position: number) => "organization",
  ) {
    this.most = most;
    this.registry = new Registry({
      offlineAfterMs: OFFLINE_AFTER_MS,
      checkinDeadlineMs: 30_000,
      recordEveryBeat: false,
    });
    this.pacer = new Pacer(this.registry, this.clock, most, (index, everyMs) => {
      this.told += 1;
      const { channel } = this.#agent(index);
      this.clock.after(LATENCY_MS, () => {
        if (this.#agent(index).channel === channel) this.#hear(index, everyMs);
      });
    });
    // Before there is anybody: what is assumed of those who are there at a start would hide what they are told.
    this.pacer.start();
    for (const [index, seconds] of wishes.entries()) {
      this.registry.add(rowOf(index + 1, seconds, organizationOf(index)));
      this.agents.push({ index, everyMs: 0, attached: false, channel: 0, beatAt: 0, nextAt: 0 });
    }
  }

  /** Attached, or attached anew when it is already; its first beat comes within a part of half an interval. */
  attach(position: number, part: number): void {
    const agent = this.#agent(position);
    const isBack = agent.attached;
    this.pacer.attach(agent.index);
    agent.attached = true;
    agent.channel += 1;
    agent.everyMs = this.pacer.paceOf(agent.index).every_ms;
    agent.nextAt = this.clock.now() + (part * agent.everyMs) / 2;
    if (!isBack) this.#beat(agent, this.clock.now());
  }

  detach(position: number): void {
    const agent = this.#agent(position);
    this.pacer.detach(agent.index);
    agent.attached = false;
  }

  want(position: number, seconds: number): void {
    const agent = this.#agent(position);
    this.registry.settle(agent.index, { every: `${seconds}s` });
    this.pacer.settled(agent.index);
  }

  pass(ms: number): void {
    for (const end = this.clock.now() + ms; this.clock.now() < end; ) {
      this.clock.advance(STEP_MS);
      const now = this.clock.now();
      for (const agent of this.agents) {
        if (!agent.attached) continue;
        const { lastSeen, offlineAfter } = this.registry.columns;
        if (now - (lastSeen[agent.index] ?? 0) > (offlineAfter[agent.index] ?? 0))
          this.lost.push(agent.index);
        if (now >= agent.nextAt) this.#beat(agent, now);
      }
    }
  }

  /** What all that are attached, or those of some positions, send in a second, added up anew. */
  total(counts = (_position: number) => true): number {
    let total = 0;
    for (const { index, attached } of this.agents)
      if (attached && counts(index)) total += 1_000 / this.pacer.paceOf(index).every_ms;
    return total;
  }

  /** What must hold at every moment; with several organizations, once the larger have made room for the smaller. */
  assertPaced(): void {
    const total = this.total();
    assert.ok(total <= this.most * (1 + 1e-9), `${total} heartbeats a second of ${this.most}`);
    this.assertHeard();
  }

  /** The pacer's sums are right, and nobody who did as told is taken for silent. */
  assertHeard(): void {
    const total = this.total();
    assert.ok(Math.abs(total - this.pacer.given) < 1e-6 * (1 + total), `${this.pacer.given} is not ${total}`);
    for (const { index, attached } of this.agents) {
      if (!attached) continue;
      const { every_ms, offline_after_ms } = this.pacer.paceOf(index);
      assert.ok(offline_after_ms >= 2 * every_ms, `${offline_after_ms} is less than twice ${every_ms}`);
    }
    assert.deepEqual(this.lost, []);
  }

  #hear(index: number, everyMs: number): void {
    const agent = this.#agent(index);
    agent.everyMs = everyMs;
    agent.nextAt = agent.beatAt + everyMs;
  }

  #beat(agent: Obedient, now: number): void {
    this.registry.columns.lastSeen[agent.index] = now;
    agent.beatAt = now;
    agent.nextAt = now + agent.everyMs;
  }

  #agent(position: number): Obedient {
    const agent = this.agents[position % this.agents.length];
    assert.ok(agent);
    return agent;
  }
}

function rowOf(no: number, seconds: number, organization: string): Parameters<Registry["add"]>[0] {
  return {
    id: `agent-${no}`,
    no,
    organization_id: organization,
    board_id: null,
    gateway_id: `gateway of ${organization}`,
    name: `Agent ${no}`,
    managed: false,
    every: `${seconds}s`,
    status: "online",
    version: 1,
    generation: 0,
    last_seen_ms: null,
    unrest: null,
  };
}

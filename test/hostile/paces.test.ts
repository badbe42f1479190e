import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FILLED, JITTER, NOTICEABLE } from "../../machines/pace.ts";
import { levelOf, shareOf, stretchOf } from "../../machines/shares.ts";
import { Pacer } from "../../src/actors/pacer.ts";
import { Registry } from "../../src/actors/registry.ts";
import { PacedFleet } from "../support/paced-fleet.ts";
import { seedOf } from "../support/seed.ts";
import { startTestServer } from "../support/server.ts";
import { TurnedClock } from "../support/turned-clock.ts";

const rate = fc.double({ min: 0.001, max: 1_000, noNaN: true });

test("B2 whatever organizations want, all together stay under the number, and who is within its share is not slowed", (t) => {
  fc.assert(
    fc.property(fc.array(rate, { minLength: 1, maxLength: 40 }), rate, (wants, most) => {
      const level = levelOf(wants, most);
      const wanted = wants.reduce((sum, want) => sum + want, 0);
      const demand = { most, organizations: wants.length, wanted, level };
      const given = wants.map((want) => want / stretchOf(want, demand));
      const total = given.reduce((sum, each) => sum + each, 0);
      assert.ok(total <= most * (1 + 1e-9), `${total} of ${most}`);
      const least = Math.min(shareOf(demand), FILLED * most) * FILLED;
      wants.forEach((want, position) => {
        const got = given[position] ?? 0;
        if (want <= shareOf(demand)) assert.equal(got, want);
        else assert.ok(got >= Math.min(want, least) * (1 - 1e-9), `${got} for ${want}`);
      });
      // Nothing is left unused while somebody is slowed, but for the room for newcomers.
      if (given.some((got, position) => got < (wants[position] ?? 0) * (1 - 1e-9)))
        assert.ok(total >= FILLED * most * (1 - 1e-6), `${total} of ${most}`);
    }),
    { seed: seedOf(t), numRuns: 2_000 },
  );
});

const SMALL = 10;
const LARGE = 1_000;
const isSmall = (position: number) => position < SMALL;

/** A small organization that asks for 10 a second at most, and a large one that asks for 1,000, where 50 are permitted. */
function besideALargeOne(): PacedFleet {
  return new PacedFleet(
    50,
    Array.from({ length: SMALL + LARGE }, () => 1),
    (position) => (isSmall(position) ? "small" : "large"),
  );
}

test("B2 an organization within its share is told its own pace, whatever another one's fleet does", () => {
  const fleet = besideALargeOne();
  const told = () => Array.from({ length: SMALL }, (_, at) => fleet.pacer.paceOf(at).every_ms);
  const assertOwnPace = (when: string) => {
    for (const everyMs of told()) assert.ok(everyMs <= 1_000 && everyMs >= 900, `${everyMs} ms ${when}`);
  };
  for (let at = SMALL; at < SMALL + LARGE; at++) fleet.attach(at, 0);
  fleet.pass(5_000);
  fleet.assertPaced();
  for (let at = 0; at < SMALL; at++) {
    fleet.attach(at, 0);
    assertOwnPaceOf(fleet, at);
  }
  const first = told();
  assertOwnPace("beside a large one");
  // Room is made by the large one, in its agents' turns.
  fleet.pass(3_000);
  fleet.assertPaced();
  for (let at = SMALL + 10; at < SMALL + LARGE; at++) fleet.detach(at);
  fleet.pass(3_000);
  assertOwnPace("beside one that has become small");
  for (let at = SMALL; at < SMALL + LARGE; at++) fleet.attach(at, 0);
  fleet.pass(5_000);
  assert.deepEqual(told(), first, "it is not told of anything");
  fleet.assertPaced();
  assert.ok(fleet.total() > 30, "what is permitted is made use of");
  assert.ok(fleet.total((at) => !isSmall(at)) <= 40);
});

function assertOwnPaceOf(fleet: PacedFleet, at: number): void {
  const { every_ms, offline_after_ms } = fleet.pacer.paceOf(at);
  assert.ok(every_ms <= 1_000 && every_ms >= 900, `${every_ms} ms when it comes`);
  assert.equal(offline_after_ms, 2_000, "its deadline tells nothing either");
}

test("B2 two that ask for more than their shares get as much as each other, however much more", () => {
  const ask = (large: number) => {
    const fleet = new PacedFleet(
      100,
      Array.from({ length: 200 + large }, () => 1),
      (position) => (position < 200 ? "one" : "other"),
    );
    for (let at = 0; at < 200 + large; at++) fleet.attach(at, 0);
    fleet.pass(10_000);
    fleet.assertPaced();
    return [fleet.total((at) => at < 200), fleet.total((at) => at >= 200)] as const;
  };
  for (const large of [150, 1_000, 3_000]) {
    const [one, other] = ask(large);
    for (const got of [one, other])
      assert.ok(got >= 40 / NOTICEABLE && got <= 40 * NOTICEABLE, `${got} of 40 beside ${large}`);
  }
});

test("B2 whatever fleets of several organizations do, they soon stay under the number, and nobody is taken for silent", (t) => {
  const position = fc.nat(59);
  const act = fc.oneof(
    fc.tuple(fc.constant("attach" as const), position),
    fc.tuple(fc.constant("detach" as const), position),
    fc.tuple(fc.constant("crowd" as const), fc.nat(2)),
    fc.tuple(fc.constant("leave" as const), fc.nat(2)),
    fc.tuple(fc.constant("pass" as const), fc.integer({ min: 100, max: 5_000 })),
  );
  fc.assert(
    fc.property(
      fc.double({ min: 2, max: 30, noNaN: true }),
      fc.array(fc.constantFrom(1, 2, 5, 30), { minLength: 60, maxLength: 60 }),
      fc.array(act, { maxLength: 40, size: "max" }),
      (most, wishes, acts) => {
        // Three organizations, of 5, 15 and 40.
        const organizationOf = (at: number) => (at < 5 ? 0 : at < 20 ? 1 : 2);
        const fleet = new PacedFleet(most, wishes, (at) => `organization ${organizationOf(at)}`);
        const each = (of: number, then: (at: number) => void) => {
          for (let at = 0; at < 60; at++) if (organizationOf(at) === of) then(at);
        };
        for (const [what, which] of acts) {
          if (what === "attach") fleet.attach(which, 0.5);
          else if (what === "detach") fleet.detach(which);
          else if (what === "crowd") each(which, (at) => fleet.attach(at, 0.5));
          else if (what === "leave") each(which, (at) => fleet.detach(at));
          else fleet.pass(which);
          fleet.assertHeard();
        }
        fleet.pass(3_000);
        fleet.assertPaced();
        const attached = new Set(
          fleet.agents.flatMap((agent) => (agent.attached ? organizationOf(agent.index) : [])),
        );
        for (const of of attached) {
          let want = 0;
          each(of, (at) => {
            if (fleet.agents[at]?.attached) want += 1 / ((1 - JITTER) * (wishes[at] ?? 1));
          });
          if (attached.size > 1 && want <= most / attached.size)
            each(of, (at) => {
              const wish = 1_000 * (wishes[at] ?? 1);
              if (fleet.agents[at]?.attached) assert.ok(fleet.pacer.paceOf(at).every_ms <= wish * NOTICEABLE);
            });
        }
      },
    ),
    { seed: seedOf(t), numRuns: 500 },
  );
});

test("B2 on a server that is full of somebody else's agents a small organization's keep their own pace", async (t) => {
  const server = await startTestServer(t, { environment: { MUSTER_MAX_HEARTBEATS_PER_SECOND: "10" } });
  const crowd = async (token: string, count: number) => {
    const wire = await server.wire({ token });
    const { board } = await server.board(wire);
    const host = await server.wire({ token: null });
    const told: number[] = [];
    for (let n = 0; n < count; n++) {
      const params = { name: `Agent ${n}`, board_id: board.id, heartbeat_config: { every: "1s" } };
      const { token } = await wire.call("agent.create", params);
      told.push((await host.call("agent.attach", { token })).heartbeat.every_ms);
    }
    return told;
  };
  const others = await server.addOrganization("Large");
  assert.ok(
    (await crowd(others.token, 40)).some((everyMs) => everyMs > 3_000),
    "the large one is slowed down",
  );
  const ours = await crowd(server.organization.token, 4);
  assert.ok(
    ours.every((everyMs) => everyMs <= 1_000 && everyMs >= 900),
    `${ours}`,
  );
});

test("B2 an agent's interval does not tell its number among all agents", () => {
  const intervalOf = (no: number, id: string) => {
    const registry = new Registry({
      offlineAfterMs: 600_000,
      checkinDeadlineMs: 30_000,
      recordEveryBeat: false,
    });
    const pacer = new Pacer(registry, new TurnedClock(), 1_000_000, () => {});
    const index = registry.add({
      id,
      no,
      organization_id: "organization",
      board_id: null,
      gateway_id: "gateway",
      name: "Agent",
      managed: false,
      every: "24d",
      status: "online",
      version: 1,
      generation: 0,
      last_seen_ms: null,
      unrest: null,
    });
    pacer.attach(index);
    return pacer.paceOf(index).every_ms;
  };
  assert.equal(intervalOf(1, "one"), intervalOf(4_711, "one"));
  const many = Array.from({ length: 4_000 }, (_, n) => intervalOf(1, `0000${n}-some-id`));
  const day = 86_400_000;
  const tenths = new Map<number, number>();
  for (const everyMs of many) {
    const tenth = Math.floor((24 * day - everyMs) / (0.24 * day));
    tenths.set(tenth, (tenths.get(tenth) ?? 0) + 1);
  }
  for (let tenth = 0; tenth < 10; tenth++) {
    const count = tenths.get(tenth) ?? 0;
    assert.ok(count > 300 && count < 500, `${count} in tenth ${tenth}: they do not lie evenly`);
  }
});

test("B2 agents of thousands of organizations come and go without a walk over all of them each time", () => {
  const organizations = 5_000;
  const fleet = new PacedFleet(
    1_000,
    Array.from({ length: 4 * organizations }, () => 1),
    (position) => `organization ${position % organizations}`,
  );
  const began = process.cpuUsage();
  for (let at = 0; at < 4 * organizations; at++) fleet.attach(at, 0);
  for (let at = 0; at < 4 * organizations; at++) fleet.detach(at);
  const { user } = process.cpuUsage(began);
  // Some 0.1 s; with a walk each time, 200 million steps.
  assert.ok(user < 2_000_000, `${user / 1_000} ms`);
  assert.equal(fleet.pacer.given, 0);
});

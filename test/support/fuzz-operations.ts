import { randomUUID } from "node:crypto";
import { until } from "./await.ts";
import type { FuzzWorld } from "./fuzz-world.ts";

/** What a world shares with others on its server. */
export interface FuzzGround {
  restart(): Promise<void>;
}

/** Changes of what is heavy, each in four topics: more than the buffers between the server and a reader take. */
const FLOOD = 30;

type Operation = (world: FuzzWorld, ground: FuzzGround) => Promise<unknown> | undefined;

const agentOf = ({ random, living }: FuzzWorld) => random.pick(living);
const watcherOf = ({ random, watchers }: FuzzWorld) => random.pick(watchers);

function topicOf({ random, boards, agents, heavyId }: FuzzWorld): string {
  const board = random.pick(boards);
  const agentId = random.chance(0.2) && heavyId ? heavyId : random.pick([...agents.keys()]);
  const topics = ["agents", `agents:board:${board?.id}`, `agents:gateway:${board?.gatewayId}`];
  topics.push("activity", `activity:board:${board?.id}`);
  if (agentId)
    topics.push(`agents:agent:${agentId}`, `activity:agent:${agentId}`, `commands:agent:${agentId}`);
  return random.pick(topics) ?? "agents";
}

function update(world: FuzzWorld, change: (world: FuzzWorld) => object) {
  const agent_id = agentOf(world)?.id;
  return agent_id ? world.caller.call("agent.update", { agent_id, ...change(world) }) : undefined;
}

async function queue(world: FuzzWorld): Promise<void> {
  const { random, caller, commands } = world;
  const agentId = agentOf(world)?.id;
  if (!agentId) return;
  const name = random.pick(["do", "do", "do", "fail", "hold"]) ?? "do";
  const n = random.below(1_000_000);
  const expires = random.chance(0.05) ? { expires_ms: 1 + random.below(60_000) } : {};
  const queued = await caller.call("agent.command", {
    agent_id: agentId,
    name,
    args: { n },
    delivery: "queued",
    idempotency_key: randomUUID(),
    ...expires,
  });
  if (queued) commands.push({ id: queued.command_id, agentId, name, n });
}

async function callLive(world: FuzzWorld): Promise<void> {
  const { random, caller } = world;
  const agent_id = agentOf(world)?.id;
  if (!agent_id) return;
  const n = random.below(1_000_000);
  const name = random.pick(["do", "do", "do", "fail", "hold"]) ?? "do";
  const params = { agent_id, name, args: { n }, delivery: "live", timeout_ms: 5_000 };
  const given = await caller.call("agent.command", params, { again: false });
  if (given?.status === "completed" && given.result?.n !== n)
    world.complain(`the live command ${given.command_id} with ${n} was answered ${JSON.stringify(given)}`);
}

async function remove(world: FuzzWorld): Promise<void> {
  const agent = agentOf(world);
  if (!agent || world.living.length < 3 || agent.id === world.heavyId) return;
  world.deleted.add(agent.id);
  await world.caller.call("agent.delete", { agent_id: agent.id });
}

/** Someone watches the heavy agent in every way and does not read, while it changes again and again. */
async function flood(world: FuzzWorld): Promise<void> {
  const { heavyId, boards, caller, slow: watcher } = world;
  if (!heavyId || !watcher) return;
  for (const topic of ["agents", `agents:agent:${heavyId}`]) watcher.subscribe(topic);
  for (const { id, gatewayId } of boards)
    for (const topic of [`agents:board:${id}`, `agents:gateway:${gatewayId}`]) watcher.subscribe(topic);
  watcher.stall();
  const topic = `agents:agent:${heavyId}`;
  const seen = () =>
    world.witness
      ?.shown()
      .find((view) => view.topic === topic)
      ?.items.get(heavyId)?.name;
  for (let i = 0; i < FLOOD; i++) {
    const name = world.nextName();
    await caller.call("agent.update", { agent_id: heavyId, name });
    // Faster ones would be told as one. Another change or a restart may have come in between: then it goes on all the same.
    await until(() => seen() === name, { what: "the change", timeoutMs: 300 }).catch(() => {});
  }
  watcher.resume();
}

/** By their weights: what happens to agents, to commands, and to those who watch. */
const OPERATIONS: Record<string, readonly [weight: number, run: Operation]> = {
  create: [5, (world) => (world.living.length < 12 ? world.addAgent() : undefined)],
  rename: [18, (world) => update(world, () => ({ name: world.nextName() }))],
  move: [14, (world) => update(world, ({ random, boards }) => ({ board_id: random.pick(boards)?.id }))],
  delete: [4, remove],
  beat: [14, async (world) => agentOf(world)?.beat()],
  report: [
    6,
    (world) => {
      const agent_id = agentOf(world)?.id;
      const stats = { n: world.random.below(1_000) };
      return agent_id ? world.caller.call("agent.heartbeat", { agent_id, stats }) : undefined;
    },
  ],
  signOff: [5, async (world) => agentOf(world)?.signOff()],
  queue: [30, queue],
  // One that is not answered ends when the hands turn, so nothing waits for it.
  live: [10, async (world) => world.track(callLive(world))],
  cancel: [
    8,
    (world) => {
      const command_id = world.random.pick(world.commands.slice(-10))?.id;
      return command_id ? world.caller.call("command.cancel", { command_id }) : undefined;
    },
  ],
  subscribe: [24, async (world) => watcherOf(world)?.subscribe(topicOf(world))],
  unsubscribe: [
    6,
    async (world) => {
      const watcher = watcherOf(world);
      const topic = world.random.pick(watcher?.shown() ?? [])?.topic;
      if (topic) watcher?.unsubscribe(topic);
    },
  ],
  drop: [8, async (world) => watcherOf(world)?.drop()],
  connect: [14, (world) => watcherOf(world)?.connect()],
  stall: [3, async (world) => watcherOf(world)?.stall()],
  resume: [6, async (world) => watcherOf(world)?.resume()],
  flood: [1, flood],
  dropAgent: [8, async (world) => agentOf(world)?.drop()],
  connectAgent: [14, (world) => agentOf(world)?.connect()],
  advance: [
    5,
    async (world) => world.server.clock.advance(world.random.pick([500, 1_000, 1_000, 6_000, 31_000]) ?? 0),
  ],
  silence: [0.5, async (world) => world.server.clock.advance(21 * 60_000)],
  restart: [0.8, (_world, ground) => ground.restart()],
};

const DRAWN = Object.entries(OPERATIONS).map(([name, [weight]]) => [weight, name] as const);
/** Operations of one world that run at the same time. */
const MOST_AT_ONCE = 12;

/** So many random operations, one after the other or at the same time, as the seed has it. */
export async function operate(world: FuzzWorld, ground: FuzzGround, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const name = world.random.weighted(DRAWN) ?? "beat";
    world.log.push(name);
    const work = OPERATIONS[name]?.[1](world, ground);
    const isAlone = world.random.chance(0.4) || world.underWay >= MOST_AT_ONCE;
    if (isAlone) await work?.catch((error) => world.complain(`${name}: ${error}`));
    else world.track(work);
  }
}

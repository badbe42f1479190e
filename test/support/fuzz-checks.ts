import type { Database } from "../../src/store/database.ts";
import { until } from "./await.ts";
import type { FuzzWorld } from "./fuzz-world.ts";
import type { Message } from "./wire.ts";

/** What a view of an agent must agree on with its row. */
const AGENT_FIELDS = ["board_id", "gateway_id", "name", "status", "version", "last_error", "reported"];
const COMMAND_FIELDS = ["agent_id", "name", "args", "status", "result", "error", "attempts"];
const ACTIVITY_FIELDS = ["type", "message", "board_id"];
/** How many of the newest a snapshot begins with. */
const LATEST = { activity: 100, commands: 200 };
/** The hands turn this far at a time, so that what is tried again later is. */
const TURN_MS = 20;
/** So many turns to a look at everything, which costs more than they do. */
const TURNS_A_LOOK = 8;
const SETTLED_WITHIN_MS = 25_000;

/** Has Postgres keep the place in the queue that each command had at first: one that is put back gets another. */
export async function keepFirstPlaces(database: Database): Promise<void> {
  await database`create table fuzz_queued (id uuid primary key, seq bigint not null)`;
  await database`
    create function fuzz_queue() returns trigger language plpgsql as $$
    begin
      insert into fuzz_queued values (new.id, new.seq);
      return null;
    end $$`;
  await database`
    create trigger fuzz_queue after insert on agent_commands for each row execute function fuzz_queue()`;
}

/** Everything that Postgres has of one organization. */
async function truthOf({ server, organization }: FuzzWorld) {
  const { database, services } = server;
  const id = organization.id;
  const agents: Message[] = await database`
    select a.*, p.reported from agents a join presence p on p.agent_no = a.no where organization_id = ${id}`;
  for (const agent of agents) {
    const index = services.registry.indexOf(agent.id);
    agent.connected = index !== undefined && services.attachments.channelOf(index) !== undefined;
  }
  const activity: Message[] = await database`
    select * from activity where organization_id = ${id} order by seq desc`;
  const commands: Message[] = await database`
    select c.*, q.seq as queued_seq from agent_commands c join fuzz_queued q using (id)
    where organization_id = ${id} order by c.seq desc`;
  return { agents, activity, commands };
}

type Truth = Awaited<ReturnType<typeof truthOf>>;

/** Makes everything go on that was held up, and waits until every view and every command is as it must be. */
export async function settle(world: FuzzWorld): Promise<string[]> {
  const { server, agents } = world;
  const watchers = allWatchers(world);
  for (const watcher of watchers) watcher.resume();
  for (const agent of agents.values()) agent.release();
  let wrong: string[] = ["nothing was looked at"];
  let looks = 0;
  const isSettled = async () => {
    server.clock.advance(TURN_MS);
    looks += 1;
    if (looks % TURNS_A_LOOK > 0) return false;
    for (const watcher of watchers) world.track(watcher.connect());
    for (const agent of world.living) world.track(agent.connect());
    const truth = await truthOf(world);
    wrong = world.underWay > 0 ? [`${world.underWay} operations are under way`] : [];
    wrong.push(...wrongCommands(world, truth), ...wrongViews(world, truth));
    return wrong.length === 0;
  };
  await until(isSettled, { what: "the views", timeoutMs: SETTLED_WITHIN_MS }).catch(() => {});
  for (const { status, attempts, seq, queued_seq } of (await truthOf(world)).commands) {
    for (const what of attempts > 1 ? [status, "delivered again"] : [status]) world.count(what);
    if (seq !== queued_seq) world.count("put back");
  }
  return [...world.complaints, ...wrong];
}

function allWatchers({ watchers, witness, slow }: FuzzWorld) {
  return [...watchers, witness, slow].filter((watcher) => watcher !== undefined);
}

function wrongViews(world: FuzzWorld, truth: Truth): string[] {
  const { deleted } = world;
  const wrong: string[] = [];
  for (const { name, shown } of allWatchers(world).map((watcher) => ({
    name: watcher.name,
    shown: watcher.shown(),
  })))
    for (const { topic, ended, ready, items } of shown) {
      const [, scope, id = ""] = topic.split(":");
      const isGone = scope === "agent" && deleted.has(id);
      if (ended !== isGone) wrong.push(`${name}, ${topic}: ended is ${ended} and gone is ${isGone}`);
      else if (!ended && !ready) wrong.push(`${name}, ${topic}: it is not live`);
      else if (!ended)
        for (const what of differences(topic, items, truth)) wrong.push(`${name}, ${topic}: ${what}`);
    }
  return wrong;
}

function differences(topic: string, items: ReadonlyMap<string, Message>, truth: Truth): string[] {
  const [kind = "", scope, id] = topic.split(":");
  const isIn = (row: Message) => !scope || row[`${scope}_id`] === id || (kind === "agents" && row.id === id);
  if (kind === "agents") return compare(items, truth.agents.filter(isIn), [...AGENT_FIELDS, "connected"]);
  if (kind === "commands") {
    const rows = truth.commands.filter(isIn);
    return compare(items, rows.slice(0, Math.max(items.size, LATEST.commands)), COMMAND_FIELDS);
  }
  // The log begins with the latest, and only grows from there.
  const rows = truth.activity.filter(isIn);
  return compare(items, rows.slice(0, Math.max(items.size, LATEST.activity)), ACTIVITY_FIELDS);
}

function compare(items: ReadonlyMap<string, Message>, rows: Message[], fields: readonly string[]): string[] {
  const wrong: string[] = [];
  for (const row of rows) {
    const item = items.get(row.id);
    if (!item)
      wrong.push(
        `${row.id} is missing (${row.name ?? row.type}); ${items.size} are there, ${rows.length} should be`,
      );
    else
      for (const field of fields)
        if (canonical(item[field]) !== canonical(row[field]))
          wrong.push(
            `${row.id} has ${field} ${canonical(item[field])}, Postgres has ${canonical(row[field])}`,
          );
  }
  const ids = new Set(rows.map((row) => row.id));
  for (const item of items.keys()) if (!ids.has(item)) wrong.push(`${item} is not in Postgres`);
  return wrong;
}

/** Text that is the same for values that are. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_key, part) =>
    part && typeof part === "object" && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([one], [other]) => (one < other ? -1 : 1)))
      : part,
  );
}

/** Queued commands come to their end, each done exactly once, in their order; who was put back has lost its place. */
function wrongCommands({ commands, agents, deleted }: FuzzWorld, truth: Truth): string[] {
  const wrong: string[] = [];
  const rows = new Map(truth.commands.map((row) => [row.id, row]));
  for (const { id, agentId, name, n } of commands) {
    if (deleted.has(agentId)) continue;
    const row = rows.get(id);
    const done = agents.get(agentId)?.done.get(id) ?? 0;
    if (!row) wrong.push(`command ${id} was lost`);
    else if (row.status === "completed" || row.status === "failed") {
      if (done !== 1) wrong.push(`command ${id} was done ${done} times`);
      if ((row.status === "failed") !== (name === "fail"))
        wrong.push(`command ${id} (${name}) is ${row.status}`);
      if (row.status === "completed" && row.result?.n !== n) wrong.push(`command ${id} has another's result`);
    } else if (row.status === "queued" || row.status === "delivered")
      wrong.push(`command ${id} (${name}) is still ${row.status}, attempts ${row.attempts}`);
    else if (done > 1) wrong.push(`command ${id}, ${row.status}, was done ${done} times`);
  }
  for (const { id, arrived } of agents.values()) {
    if (deleted.has(id)) continue;
    const order = arrived.flatMap((command) => {
      const row = rows.get(command);
      return row && row.seq === row.queued_seq ? Number(row.seq) : [];
    });
    if (order.some((seq, position) => seq < (order[position - 1] ?? 0)))
      wrong.push(`agent ${id} got its commands as ${order.join(" ")}`);
  }
  return wrong;
}

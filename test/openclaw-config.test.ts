import assert from "node:assert/strict";
import { test } from "node:test";
import { type GatewayVersion, readGatewayConfig, rosterKindOf } from "../src/gateways/openclaw/config.ts";
import { ConfigWriter } from "../src/gateways/openclaw/config-writer.ts";
import { LinkLost, refusalOf } from "../src/gateways/openclaw/failures.ts";
import { until } from "./support/await.ts";
import { FLAVOURS } from "./support/fake-gateway/flavours.ts";
import { FakeState, Refused } from "./support/fake-gateway/state.ts";
import { TurnedClock } from "./support/turned-clock.ts";

type Json = Record<string, unknown>;

/** A writer and the state of the played gateway that it writes to, without a socket in between. */
class Stand {
  readonly state: FakeState;
  readonly clock = new TurnedClock();
  readonly writer: ConfigWriter;
  /** What was asked of the gateway. */
  readonly asked: string[] = [];
  /** Right before the gateway takes a patch. */
  beforePatch: () => void = () => {};
  /** Right after it has. */
  afterPatch: () => void = () => {};

  constructor(flavour: keyof typeof FLAVOURS, ids: string[]) {
    this.state = new FakeState(FLAVOURS[flavour]);
    for (const name of ids) this.state.create({ name, workspace: `/srv/${name}` });
    this.writer = new ConfigWriter({
      clock: this.clock,
      inTurn: (write) => write(),
      gateway: () => FLAVOURS[flavour],
      ask: async (method, params, schema) => {
        this.asked.push(method);
        return schema.parse(method === "config.get" ? this.#read() : this.#patch({ ...params }));
      },
    });
  }

  #read(): Json {
    return structuredClone({ config: this.state.config, hash: this.state.hash });
  }

  #patch(params: Json): Json {
    this.beforePatch();
    try {
      const answer = this.state.patch(params, this.clock.now());
      this.afterPatch();
      return answer;
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      throw refusalOf({ code: error.code, message: error.message });
    }
  }

  want(id: string, every: string, signal = new AbortController().signal): Promise<void> {
    return this.writer.want(id, { every }, signal);
  }

  heartbeat(id: string): unknown {
    return this.state.roster.get(id)?.heartbeat;
  }

  /** As many patches as a minute allows. */
  async exhaust(id: string): Promise<void> {
    for (let count = 1; count <= this.state.flavour.patches; count++) await this.want(id, `${count}m`);
  }

  /** Waits until the writer waits for the gateway's limit. */
  async waits(): Promise<void> {
    await until(() => this.clock.timers > 0, { what: "the writer to wait for the limit" });
  }
}

test("how a gateway without agents will keep them follows from its version", () => {
  const kind = (protocol: number, version: string | null) => rosterKindOf({ protocol, version });
  assert.equal(kind(3, null), "list");
  for (const version of ["2026.5.12", "2026.6.11", "2026.7.35", "2025.12.1"])
    assert.equal(kind(4, version), "list", version);
  for (const version of ["2026.8.1", "2026.8.1-beta.2", "2026.9.6", "2026.10.1", "2027.1.1", "odd", null])
    assert.equal(kind(4, version), "entries", String(version));
});

test("what the configuration holds decides before the version does", async () => {
  const read = async (agents: Json | undefined, gateway: GatewayVersion) =>
    (
      await readGatewayConfig(
        async (_, __, schema) => schema.parse({ hash: "h", config: { agents } }),
        gateway,
      )
    ).kind;
  const old = { protocol: 4, version: "2026.6.11" };
  const fresh = { protocol: 4, version: "2026.9.6" };
  assert.equal(await read({ entries: { main: {} } }, old), "entries");
  assert.equal(await read({ list: [] }, fresh), "list");
  assert.equal(await read({ defaults: {} }, old), "list");
  assert.equal(await read(undefined, fresh), "entries");
});

test("a patch that had to wait for the limit is made from what the configuration says then", async () => {
  const stand = new Stand("middle", ["ada", "bob"]);
  await stand.exhaust("ada");
  const written = stand.want("bob", "9m");
  await stand.waits();
  stand.state.update({ agentId: "ada", name: "Changed by somebody else" });
  stand.clock.advance(61_000);
  await written;
  assert.deepEqual(stand.heartbeat("bob"), { every: "9m" });
  assert.equal(stand.asked.filter((method) => method === "config.patch").length, 4, "none was stale");
  assert.equal(stand.state.roster.get("ada")?.name, "Changed by somebody else");
});

test("what is as wanted after the wait is not written, and what was wanted in the meantime goes along", async () => {
  const stand = new Stand("middle", ["ada", "bob", "eve"]);
  await stand.exhaust("ada");
  const written = [stand.want("bob", "9m")];
  await stand.waits();
  stand.state.update({ agentId: "bob", heartbeat: { every: "9m" } });
  written.push(stand.want("eve", "8m"), stand.want("ada", "7m"));
  stand.clock.advance(61_000);
  await Promise.all(written);
  assert.deepEqual(stand.state.effectsOf("patch").at(-1), "patch 2");
  assert.equal(stand.state.effectsOf("patch").length, 4);
  assert.deepEqual(stand.state.effectsOf("needless"), []);
});

test("B5 what newer work wants, or nobody any more, is not written after the wait", async () => {
  const stand = new Stand("middle", ["ada", "bob"]);
  await stand.exhaust("ada");
  const off = new AbortController();
  const outdated = [
    assert.rejects(stand.want("ada", "8m"), /Newer work/),
    assert.rejects(stand.want("bob", "9m", off.signal), /called off/),
  ];
  await stand.waits();
  const written = stand.want("ada", "7m");
  off.abort();
  stand.clock.advance(61_000);
  await Promise.all([written, ...outdated]);
  assert.deepEqual([stand.heartbeat("ada"), stand.heartbeat("bob")], [{ every: "7m" }, undefined]);
  assert.equal(stand.state.effectsOf("patch").length, 4);
});

test("a patch whose answer was lost is looked for in the configuration, not sent again", async () => {
  const stand = new Stand("new", ["ada"]);
  stand.afterPatch = () => {
    throw new LinkLost("The gateway is restarting", { wasSent: true });
  };
  await stand.want("ada", "7m");
  assert.deepEqual(stand.asked, ["config.get", "config.patch", "config.get"]);
});

test("an agent that is gone by now gets no entry again", async () => {
  const stand = new Stand("new", ["ada", "bob"]);
  stand.beforePatch = () => {
    stand.beforePatch = () => {};
    stand.state.delete({ agentId: "ada" });
  };
  const refused = assert.rejects(stand.want("ada", "7m"), /has no agent ada/);
  await Promise.all([refused, stand.want("bob", "8m")]);
  assert.deepEqual([stand.state.roster.has("ada"), stand.heartbeat("bob")], [false, { every: "8m" }]);
});

test("B7 a gateway that never keeps what was written is not written to without end", async () => {
  const stand = new Stand("new", ["ada"]);
  stand.afterPatch = () => stand.state.update({ agentId: "ada", heartbeat: { every: "1h" } });
  await assert.rejects(stand.want("ada", "7m"), /does not keep the heartbeat of ada/);
  assert.equal(stand.state.effectsOf("patch").length, 6);
});

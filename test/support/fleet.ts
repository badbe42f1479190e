import { randomUUID } from "node:crypto";
import type { Status } from "../../machines/statuses.ts";
import { mintToken } from "../../src/auth/tokens.ts";
import type { Database } from "../../src/store/database.ts";
import type { Wire } from "./wire.ts";

/** Where agents are put. */
export interface FleetPlace {
  organizationId: string;
  boardId: string;
  gatewayId: string;
}

/**
 * Puts agents behind the server's back, while it does not run; only the first `tokens` of them can connect.
 *
 * @param at when they were made: the newest first in a snapshot, all the same when it is one instant
 */
export async function insertAgents(
  database: Database,
  { organizationId, boardId, gatewayId }: FleetPlace,
  count: number,
  {
    tokens = count,
    at = new Date(),
    template = null as string | null,
    status = "provisioning" as Status,
  } = {},
): Promise<{ ids: string[]; tokens: string[] }> {
  const ids = Array.from({ length: count }, () => randomUUID());
  await database`
    with added as (
    insert into agents (id, organization_id, board_id, gateway_id, name, name_key, slug, status, openclaw_session_id,
      heartbeat_config, soul_template, created_at, updated_at)
    select id, ${organizationId}, ${boardId}, ${gatewayId}, 'Agent ' || id, 'agent ' || id, 'a-' || id, ${status},
      'agent:' || id || ':main', '{"every":"10m"}', ${template}, ${at}, ${at}
    from unnest(${ids}::uuid[]) u (id) returning no)
    insert into presence (agent_no) select no from added`;
  const minted = ids.slice(0, tokens).map((agentId) => ({ agentId, ...mintToken("agent") }));
  await database`
    insert into agent_tokens (id, agent_id, hash, serial, used_at)
    select u.id, u.agent_id, decode(u.hash, 'hex'), 1, ${at}
    from unnest(${minted.map(({ id }) => id)}::text[], ${minted.map(({ agentId }) => agentId)}::uuid[],
      ${minted.map(({ hash }) => hash.toString("hex"))}::text[]) u (id, agent_id, hash)`;
  return { ids, tokens: minted.map(({ token }) => token) };
}

/** Agents on one socket, whose status moves to and fro: each move is one committed transition. */
export class Fleet {
  readonly #wire: Wire;
  readonly channels: number[] = [];
  readonly #online = new Set<number>();
  /** The number of the last heartbeat. */
  n = 0;

  private constructor(wire: Wire) {
    this.#wire = wire;
  }

  static async attach(wire: Wire, tokens: readonly string[]): Promise<Fleet> {
    const fleet = new Fleet(wire);
    const width = 50;
    for (let first = 0; first < tokens.length; first += width) {
      const some = tokens.slice(first, first + width);
      const attached = await Promise.all(some.map((token) => wire.call("agent.attach", { token })));
      fleet.channels.push(...attached.map(({ ch }) => ch));
    }
    return fleet;
  }

  toggle(ch: number): void {
    const comes = !this.#online.delete(ch);
    if (comes) this.#online.add(ch);
    this.n += 1;
    this.#wire.notify("heartbeat", { n: this.n, ch, ...(comes ? {} : { status: "offline" }) });
  }

  toggleAll(): void {
    for (const ch of this.channels) this.toggle(ch);
  }

  /** All that are here beat, in one message. */
  beatAll(): number {
    this.n += 1;
    this.#wire.notify("heartbeats", { n: this.n, chs: this.channels });
    return this.n;
  }

  /** All that are here sign off, a message each. */
  signOffAll(): number {
    for (const ch of this.channels) {
      this.n += 1;
      this.#wire.notify("heartbeat", { n: this.n, ch, status: "offline" });
    }
    return this.n;
  }

  acknowledged(n = this.n): Promise<unknown> {
    return this.#wire.next(`heartbeat ${n} to be acknowledged`, (m) => m.method === "ack" && m.params.n >= n);
  }
}

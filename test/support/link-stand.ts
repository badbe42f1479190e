import { randomUUID } from "node:crypto";
import { Writable } from "node:stream";
import type { TestContext } from "node:test";
import type { GatewayBrief } from "../../src/gateways/driver.ts";
import type { Link } from "../../src/gateways/openclaw/link.ts";
import { Links } from "../../src/gateways/openclaw/links.ts";
import { createLog } from "../../src/log.ts";
import type { GatewayLink, LinkState } from "../../src/protocol/gateway-links.ts";
import { closeDatabase, type Database, openDatabase } from "../../src/store/database.ts";
import { insertOrganization } from "../../src/store/organizations.ts";
import { until } from "./await.ts";
import { createTestDatabase } from "./postgres.ts";
import { TEST_SEAL } from "./seals.ts";
import { TurnedClock } from "./turned-clock.ts";

export const TOKEN = "the-gateways-own-token";

/** Links on a real Postgres, with a clock that the test turns. */
export class LinkStand {
  readonly clock = new TurnedClock();
  readonly database: Database;
  readonly statuses: GatewayLink[] = [];
  readonly events: { event: string; payload: unknown }[] = [];
  /** What was logged, as text. */
  logged = "";
  links: Links;
  readonly #organizationId = randomUUID();

  private constructor(database: Database) {
    this.database = database;
    this.links = this.#build();
  }

  static async open(t: TestContext): Promise<LinkStand> {
    const home = await createTestDatabase();
    const stand = new LinkStand(openDatabase(home.url, { maxConnections: 3 }));
    t.after(async () => {
      await stand.links.stop();
      await closeDatabase(stand.database);
      await home.drop();
    });
    await insertOrganization(stand.database, {
      organization: { id: stand.#organizationId, name: "Stand" },
      owner: { id: randomUUID(), name: "Owner" },
      at: new Date(stand.clock.now()),
    });
    return stand;
  }

  /** Everything in memory is forgotten. */
  async restart(): Promise<void> {
    await this.links.stop();
    this.links = this.#build();
  }

  /** A gateway with a row of its own. */
  async gateway(url: string | null, fields: Partial<GatewayBrief> = {}): Promise<GatewayBrief> {
    const id = randomUUID();
    await this.database`
      insert into gateways (id, organization_id, name, kind)
      values (${id}, ${this.#organizationId}, ${`Gateway ${id}`}, 'openclaw')`;
    return {
      id,
      organizationId: this.#organizationId,
      name: "There",
      url,
      token: TOKEN,
      mainSessionKey: null,
      workspaceRoot: null,
      allowInsecureTls: false,
      ...fields,
    };
  }

  /** A link that is ready. */
  async ready(url: string): Promise<Link> {
    const link = this.links.of(await this.gateway(url));
    await link.ready();
    return link;
  }

  /** The statuses' states so far, in order. */
  get states(): LinkState[] {
    return this.statuses.map(({ state }) => state);
  }

  /** Turns the clock to the link's next try. */
  toNextTry(link: Link): void {
    const { next_try_at } = link.status;
    if (next_try_at === null) throw new Error(`no try is due in ${link.status.state}`);
    this.clock.advance(Date.parse(next_try_at) - this.clock.now());
  }

  #build(): Links {
    const stream = new Writable({
      write: (chunk, _, done) => {
        this.logged += String(chunk);
        done();
      },
    });
    return new Links({
      database: this.database,
      seal: TEST_SEAL,
      clock: this.clock,
      log: createLog("trace", stream),
      random: () => 0.5,
      events: {
        status: (link) => this.statuses.push(link),
        event: (_, event, payload) => this.events.push({ event, payload }),
      },
    });
  }
}

/** Resolves once the link is in that state: its status. */
export const inState = (link: Link, state: LinkState): Promise<GatewayLink> =>
  until(() => link.status.state === state && link.status, { what: `a link that is ${state}` });

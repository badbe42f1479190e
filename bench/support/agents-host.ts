import type { Client } from "../../src/client/index.ts";
import { Wire } from "../../test/support/wire.ts";

/** Many agents on one socket, whose status a benchmark moves to and fro: each time is one committed transition. */
export class AgentsHost {
  readonly #wire: Wire;
  readonly #online: boolean[] = [];
  #n = 0;

  private constructor(wire: Wire) {
    this.#wire = wire;
  }

  /** @param soul_template a text that every pushed version of an agent carries, to make it weigh more */
  static async create(
    owner: Client,
    url: string,
    count: number,
    soul_template: string | null = null,
  ): Promise<AgentsHost> {
    const { gateway } = await owner.request("gateway.create", { name: "Bench", kind: "direct" });
    const { board } = await owner.request("board.create", { name: "Bench", gateway_id: gateway.id });
    const wire = await Wire.open({ url });
    await wire.hello();
    const host = new AgentsHost(wire);
    const width = 50;
    for (let first = 0; first < count; first += width)
      await Promise.all(
        Array.from({ length: Math.min(width, count - first) }, async (_, index) => {
          const name = `agent-${first + index}`;
          const { token } = await owner.request("agent.create", { name, board_id: board.id, soul_template });
          const { ch } = await wire.call("agent.attach", { token });
          host.#online[ch] = false;
        }),
      );
    return host;
  }

  toggle(ch: number): void {
    this.#online[ch] = !this.#online[ch];
    this.#n += 1;
    this.#wire.notify("heartbeat", { n: this.#n, ch, ...(this.#online[ch] ? {} : { status: "offline" }) });
  }

  toggleAll(): void {
    for (let ch = 0; ch < this.#online.length; ch++) this.toggle(ch);
  }

  async close(): Promise<void> {
    this.#wire.end();
  }
}

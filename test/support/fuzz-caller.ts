import { until } from "./await.ts";
import { type Message, Wire } from "./wire.ts";

/** What an owner may be told when others change the same things at the same time, or the server restarts. */
const EXPECTED = ["conflict", "not_found", "agent_offline", "timeout", "rate_limited"];

/** An owner who says everything again until it is answered. */
export class FuzzCaller {
  readonly #options: { url: string; token: string };
  readonly #complain: (what: string) => void;
  #wire: Promise<Wire> | undefined;
  #closed = false;

  constructor(options: { url: string; token: string }, complain: (what: string) => void) {
    this.#options = options;
    this.#complain = complain;
  }

  /** The result, or undefined when it was refused. `again`: also when nobody knows whether it was done. */
  async call(method: string, params: object, { again = true } = {}): Promise<Message | undefined> {
    const answer = await until(
      async () => {
        if (this.#closed) return {};
        const wire = await this.#connected();
        const given = await wire?.ask({ method, params });
        const reason = given?.error?.data?.reason;
        const isUnknown = !given || (given.error && (wire?.closed || reason === "unavailable"));
        if (isUnknown && wire?.closed) this.#wire = undefined;
        return isUnknown && (again || !given) ? undefined : given;
      },
      { what: `${method} to be answered`, timeoutMs: 60_000 },
    );
    const reason = answer.error?.data?.reason;
    if (answer.error && again && !EXPECTED.includes(reason))
      this.#complain(`${method} ${JSON.stringify(params)}: ${answer.error.message}`);
    return answer.result;
  }

  async close(): Promise<void> {
    this.#closed = true;
    (await this.#wire?.catch(() => undefined))?.end();
  }

  async #connected(): Promise<Wire | undefined> {
    this.#wire ??= this.#open();
    const connecting = this.#wire;
    const wire = await connecting.catch(() => undefined);
    if ((!wire || wire.closed) && this.#wire === connecting) this.#wire = undefined;
    return wire?.closed ? undefined : wire;
  }

  async #open(): Promise<Wire> {
    const wire = await Wire.open(this.#options);
    await wire.hello(this.#options.token).catch((error) => {
      wire.end();
      throw error;
    });
    return wire;
  }
}

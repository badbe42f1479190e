import { MusterError } from "../protocol/errors.ts";
import type { Json } from "../protocol/fields.ts";
import type { Params } from "../protocol/messages.ts";
import { assertShape } from "./guards.ts";
import { SERVER_REQUESTS } from "./server-messages.ts";

/** Commands whose outcome is remembered, so that one which is delivered again is answered and not done again. */
const MOST_REMEMBERED = 10_000;
/** Bytes of the remembered results, about: the oldest go first, those under way never. */
const MOST_BYTES = 16_777_216;

/** What an agent's program does for a command. What it throws is the command's failure, by its message. */
export type CommandHandler = (
  args: Record<string, Json>,
  command: { id: string; name: string },
) => Json | undefined | Promise<Json | undefined>;

/** The commands that an agent knows, and those that it has done: each id once, across reconnects. */
export class Commands {
  readonly #handlers = new Map<string, CommandHandler>();
  readonly #outcomes = new Map<string, { result: Promise<Json>; bytes: number; isDone: boolean }>();
  #bytes = 0;

  /** Handles commands of that name from now on, in the place of an earlier handler. */
  on(name: string, handler: CommandHandler): void {
    this.#handlers.set(name, handler);
  }

  /** Serves the server's request: the result to answer with. Rejects with what is to be answered as an error. */
  async serve(params: Params): Promise<Json> {
    assertShape("invalid_params", "this is no command", params, SERVER_REQUESTS.command);
    const { command_id, name, args } = params;
    const known = this.#outcomes.get(command_id);
    if (known) return known.result;
    const outcome = { result: this.#run(command_id, name, args), bytes: 0, isDone: false };
    this.#outcomes.set(command_id, outcome);
    const done = (result: Json) => {
      outcome.isDone = true;
      outcome.bytes = JSON.stringify(result).length;
      this.#bytes += outcome.bytes;
      this.#forgetOldest();
    };
    // A rejection is for whoever awaits it here; kept, it must not count as unhandled.
    outcome.result
      .catch(() => null)
      .then(done)
      .catch(() => {});
    return outcome.result;
  }

  #forgetOldest(): void {
    for (const [id, { bytes, isDone }] of this.#outcomes) {
      if (this.#outcomes.size <= MOST_REMEMBERED && this.#bytes <= MOST_BYTES) return;
      if (!isDone) continue;
      this.#outcomes.delete(id);
      this.#bytes -= bytes;
    }
  }

  async #run(id: string, name: string, args: Record<string, Json>): Promise<Json> {
    const handler = this.#handlers.get(name);
    // As JSON has it: what JSON has no word for is left out, or makes the command fail.
    if (handler) return JSON.parse(JSON.stringify((await handler(args, { id, name })) ?? null));
    const known = [...this.#handlers.keys()];
    throw new MusterError(
      "method_not_found",
      `this agent has no command ${name}${known.length > 0 ? `; it has ${known.join(", ")}` : ""}`,
    );
  }
}

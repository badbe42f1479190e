import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Client, MusterError } from "../../client/index.ts";
import { inParallel } from "./in-parallel.ts";

/** Agents that are looked up and removed at a time. */
const PAGE = 500;
/** Nothing is removed when the server does not answer within this time, in milliseconds. */
const BACK_MS = 5_000;
/** Removing waits for the server's own work on each agent, in milliseconds. */
const REMOVE_MS = 60_000;

/** Agents that a load runs, by their tokens. */
export interface Fleet {
  tokens: readonly string[];
  /** What was made for the load, for people; undefined: nothing. */
  made: string | undefined;
  /** Removes what was made for the load. */
  remove(): Promise<void>;
}

/**
 * Makes a gateway of kind `direct`, a board and agents that enrol themselves there. When it fails or is stopped, what was
 * made so far is removed again.
 */
export async function makeFleet(owner: Client, count: number, stop: AbortSignal): Promise<Fleet> {
  const name = `Load ${randomBytes(4).toString("hex")}`;
  const undo: (() => Promise<unknown>)[] = [];
  const remove = async () => {
    for (const step of undo.toReversed()) await step();
  };
  try {
    const { gateway } = await owner.request("gateway.create", { name, kind: "direct" });
    undo.push(() => owner.request("gateway.delete", { gateway_id: gateway.id }));
    const { board } = await owner.request("board.create", { name, gateway_id: gateway.id });
    undo.push(() => owner.request("board.delete", { board_id: board.id }));
    undo.push(() => removeAgents(owner, board.id));
    const { enrolment, token } = await owner.request("enrolment.create", {
      board_id: board.id,
      uses: count,
      expires_in: "1d",
    });
    undo.push(() =>
      owner.request("enrolment.delete", { enrolment_id: enrolment.id }, { timeoutMs: BACK_MS }),
    );
    const numbers = Array.from({ length: count }, (_, position) => position + 1);
    const tokens = await inParallel(numbers, async (number) => {
      stop.throwIfAborted();
      return (await owner.request("agent.enroll", { token, name: `${name} ${number}` })).token;
    });
    return { tokens, made: `the gateway and the board "${name}" and their agents`, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** Agents that exist already: their tokens, one a line. Throws when the file has none. */
export function readFleet(path: string): Fleet {
  const tokens = readFileSync(path, "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  if (tokens.length === 0) throw new Error(`${path} holds no tokens; it should have one a line`);
  return { tokens, made: undefined, remove: async () => {} };
}

/** Looked up, not remembered: an enrolment whose answer was lost has made an agent all the same. */
async function removeAgents(owner: Client, board_id: string): Promise<void> {
  for (;;) {
    const { items } = await owner.request("agent.list", { board_id, limit: PAGE });
    if (items.length === 0) return;
    await inParallel(items, ({ id }) =>
      owner
        .request("agent.delete", { agent_id: id, wait: true }, { timeoutMs: REMOVE_MS })
        .catch((error: unknown) => {
          // Somebody else was faster.
          if (!(error instanceof MusterError) || error.reason !== "not_found") throw error;
        }),
    );
  }
}

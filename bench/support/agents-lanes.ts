import { AgentsSession } from "../../src/cli/load/agents-session.ts";
import { inParallel } from "../../src/cli/load/in-parallel.ts";
import { Lane } from "../../src/cli/load/lane.ts";

/** Agents attached to a server of ours, ready to be measured. */
export interface AgentsLanes {
  lanes: Lane[];
  /** Throws when a server said that something was wrong, or a socket was lost. */
  check(): void;
  close(): Promise<void>;
}

/** Spreads agents over so many sockets. Rejects when one cannot be attached. */
export async function openAgents(
  url: string,
  tokens: readonly string[],
  { sockets, batch, codec }: { sockets: number; batch: boolean; codec: "json" | "msgpack" },
): Promise<AgentsLanes> {
  const channels = tokens.length / sockets;
  const lanes = Array.from({ length: sockets }, (_, position) => new Lane(position, batch ? channels : 1));
  let wrong: Error | undefined;
  let fail = (_: Error) => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  const note = (error: Error) => {
    wrong ??= error;
    fail(error);
  };
  const sessions = lanes.map((lane, position) => {
    const own = tokens.slice(position * channels, (position + 1) * channels);
    return new AgentsSession({ url, codec, batch, tokens: own }, lane, {
      error: (message) => note(new Error(message)),
      reconnecting: () => note(new Error("a socket was lost")),
      failed: note,
    });
  });
  const close = async () => {
    await Promise.all(sessions.map((session) => session.close()));
  };
  try {
    await inParallel(sessions, (session) => Promise.race([session.start(), failed]));
  } catch (error) {
    await close();
    throw error;
  }
  return {
    lanes,
    check() {
      if (wrong) throw wrong;
    },
    close,
  };
}

/** How the played gateways differ, each after a version that is in use. */
export interface Flavour {
  protocol: 3 | 4;
  /** How the configuration keeps agents. */
  roster: "list" | "entries";
  /** Whether a patch of the list puts another in its place. */
  replacesList: boolean;
  /** Whether of two writes of the configuration at once one is lost, though both are answered well. */
  losesWrites: boolean;
  /** How long a new agent is in the configuration only and not known otherwise, in milliseconds. */
  knowsAfterMs: number;
  /** After which writes it restarts. */
  restartsAfter: "every write" | "patches" | "nothing";
  maxPayload: number;
  /** Patches a minute. */
  patches: number;
  /** Files that an agent's workspace can have. */
  files: readonly string[];
  mainSessionsAreKept: boolean;
  version: string;
}

const FILES = ["AGENTS.md", "SOUL.md", "USER.md", "BOOTSTRAP.md", "MEMORY.md", "IDENTITY.md"];

export const FLAVOURS = {
  /** February 2026: a list that is replaced, and a restart after every write. */
  old: {
    protocol: 3,
    roster: "list",
    replacesList: true,
    losesWrites: true,
    knowsAfterMs: 0,
    restartsAfter: "every write",
    maxPayload: 524_288,
    patches: Number.POSITIVE_INFINITY,
    files: [...FILES, "TOOLS.md", "HEARTBEAT.md"],
    mainSessionsAreKept: false,
    version: "dev",
  },
  /** June 2026: a list that is merged, hot, and three patches a minute. */
  middle: {
    protocol: 4,
    roster: "list",
    replacesList: false,
    losesWrites: false,
    knowsAfterMs: 0,
    restartsAfter: "nothing",
    maxPayload: 26_214_400,
    patches: 3,
    files: [...FILES, "TOOLS.md", "HEARTBEAT.md"],
    mainSessionsAreKept: false,
    version: "2026.6.11",
  },
  /** September 2026: a map of entries, hot. */
  new: {
    protocol: 4,
    roster: "entries",
    replacesList: false,
    losesWrites: false,
    knowsAfterMs: 50,
    restartsAfter: "nothing",
    maxPayload: 26_214_400,
    patches: 30,
    files: FILES,
    mainSessionsAreKept: true,
    version: "2026.9.6",
  },
} as const satisfies Record<string, Flavour>;
export type FlavourName = keyof typeof FLAVOURS;

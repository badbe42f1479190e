import type { Pick, PickBounds } from "./json-picker.ts";

/** What is read of an answer, and how much of it at most. */
export interface AnswerPick {
  pick: Pick;
  bounds: PickBounds;
}

/** Bytes of one text or one entry in an answer, such as a workspace file with all its escapes. */
const WHOLE_BYTES = 8 * 1_048_576;
/** Values in what is kept of a gateway's list of agents: some 300,000 agents. */
const ROSTER_BOUNDS: PickBounds = { values: 2_000_000, wholeBytes: WHOLE_BYTES };
const LARGE_BOUNDS: PickBounds = { values: 50_000, wholeBytes: WHOLE_BYTES };

const file: Pick = { fields: { content: "all", missing: "all" } };
const session: Pick = { fields: { key: "all", label: "all", sessionId: "all", updatedAt: "all" } };
const listed: Pick = { fields: { id: "all", name: "all", workspace: "all" } };

/**
 * The methods whose answers may be large, with what is read of each: a gateway's configuration, for instance, has each
 * agent three times, and once is enough. The answer's schema takes both this and the whole.
 */
export const PICKS: ReadonlyMap<string, AnswerPick> = new Map<string, AnswerPick>([
  [
    "agents.list",
    { pick: { fields: { defaultId: "all", agents: { each: listed } } }, bounds: ROSTER_BOUNDS },
  ],
  [
    "config.get",
    {
      pick: {
        fields: {
          hash: "all",
          config: { fields: { agents: { fields: { entries: { each: "all" }, list: { each: "all" } } } } },
        },
      },
      bounds: ROSTER_BOUNDS,
    },
  ],
  // These give back what was written, and more: nothing of it is looked at.
  ["config.patch", { pick: { fields: {} }, bounds: LARGE_BOUNDS }],
  ["agents.files.set", { pick: { fields: {} }, bounds: LARGE_BOUNDS }],
  ["agents.files.get", { pick: { fields: { workspace: "all", file } }, bounds: LARGE_BOUNDS }],
  ["sessions.list", { pick: { fields: { sessions: { each: session } } }, bounds: LARGE_BOUNDS }],
  ["chat.history", { pick: { each: { each: "all" } }, bounds: LARGE_BOUNDS }],
]);

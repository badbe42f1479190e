import { ACTIVITIES } from "../protocol/agent-activities.ts";
import { invalid, within } from "../protocol/content.ts";
import { MusterError } from "../protocol/errors.ts";
import { isJsonObject, jsonFault } from "../protocol/json-fault.ts";
import { MAX_STATS_BYTES } from "../protocol/limits.ts";
import type { ParamsIn } from "../protocol/methods.ts";

/** What an agent says of itself with its heartbeats. */
export type AgentReport = Pick<ParamsIn<"heartbeat">, "activity" | "stats">;

/**
 * A report with what is new in it. It is looked at here, as nobody answers a heartbeat that cannot be read. Throws
 * MusterError `invalid_params`.
 */
export function withReport(known: AgentReport, added: AgentReport): AgentReport {
  const { activity, stats } = { ...known, ...added };
  if (activity !== undefined && !ACTIVITIES.includes(activity))
    throw new MusterError("invalid_params", `activity must be ${ACTIVITIES.join(", ")}`);
  if (stats !== undefined && !isJsonObject(stats))
    throw new MusterError("invalid_params", "stats must be an object");
  const fault = stats === undefined ? undefined : jsonFault(stats, MAX_STATS_BYTES);
  if (fault) throw invalid([within("stats", fault)]);
  return { activity, stats };
}

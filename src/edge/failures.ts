import { randomUUID } from "node:crypto";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import { MusterError } from "../protocol/errors.ts";
import { failure, type MessageId } from "../protocol/messages.ts";
import { refusalOf } from "../store/refusals.ts";

/** The answer that tells of an error. What is no MusterError is a fault of ours: the log has it, under the ref that is told. */
export type Failed = (id: MessageId | null, method: string, error: unknown) => object;

export function createFailures({ metrics, log }: { metrics: Metrics; log: Log }): Failed {
  return (id, method, error) => {
    const known = refusalOf(error) ?? error;
    if (known instanceof MusterError) {
      metrics.countError(known.reason);
      return failure(id, known);
    }
    const ref = randomUUID();
    log.error({ err: error, ref, method }, "a request failed");
    metrics.countError("internal");
    const told = "Something went wrong here. The log has it under the ref.";
    return failure(id, new MusterError("internal", told, { ref }));
  };
}

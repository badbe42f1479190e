import { text } from "node:stream/consumers";
import { defineCommand } from "citty";
import { METHODS } from "../protocol/methods.ts";
import { printJson } from "./output.ts";
import { suggest } from "./suggest.ts";
import { openClient, targetArgs } from "./target.ts";
import { UsageError } from "./usage.ts";

/** Work that a request waits for (`wait`) can take its time, in milliseconds. */
const WAIT_TIMEOUT_MS = 600_000;

export default defineCommand({
  meta: { name: "call", description: "Call a method and print its result as JSON" },
  args: {
    method: { type: "positional", required: true, description: "Like agent.list" },
    params: {
      type: "positional",
      required: false,
      description: "Params as JSON, like '{\"limit\": 5}'; - reads them from standard input",
    },
    ...targetArgs,
  },
  async run({ args }) {
    const { method } = args;
    if (!Object.hasOwn(METHODS, method)) throw unknownMethod(method);
    const params = parseParams(args.params === "-" ? await text(process.stdin) : (args.params ?? "{}"));
    const client = await openClient(args);
    try {
      const timeoutMs = "wait" in params && params.wait === true ? WAIT_TIMEOUT_MS : undefined;
      await printJson(await client.call(method, params, { timeoutMs }));
    } finally {
      await client.close();
    }
  },
});

function unknownMethod(method: string): UsageError {
  const known = Object.keys(METHODS);
  const near = suggest(method, known);
  return new UsageError(
    near.length > 0
      ? `there is no method ${method}; did you mean ${near.join(" or ")}?`
      : `there is no method ${method}; there are ${known.join(", ")}`,
  );
}

/** An argument that is a JSON object. Throws UsageError. */
export function parseParams(json: string): object {
  let params: unknown;
  try {
    params = JSON.parse(json);
  } catch (error) {
    throw new UsageError(`the params are not JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (typeof params !== "object" || params === null || Array.isArray(params))
    throw new UsageError('the params must be an object, like {"limit": 5}');
  return params;
}

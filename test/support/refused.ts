import assert from "node:assert/strict";
import { ERRORS, type Reason } from "../../src/protocol/errors.ts";
import { type Message, WireFailure } from "./wire.ts";

/**
 * Asserts that a call is refused for this reason, with the code and the status that belong to it.
 *
 * @param words the whole message, or a pattern in it
 */
export async function refused(
  call: Promise<unknown>,
  reason: Reason,
  words?: string | RegExp,
): Promise<Message> {
  const failure = await call.then(
    (result) => assert.fail(`answered ${JSON.stringify(result)} instead of ${reason}`),
    (error: unknown) => error,
  );
  if (!(failure instanceof WireFailure)) throw failure;
  const { error } = failure;
  assert.equal(error.data?.reason, reason, failure.message);
  assert.deepEqual({ code: error.code, status: error.data.status }, ERRORS[reason]);
  if (typeof words === "string") assert.equal(error.message, words);
  else if (words) assert.match(error.message, words);
  return error;
}

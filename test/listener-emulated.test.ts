import assert from "node:assert/strict";
import { test } from "node:test";

// Everything that the listener promises holds over the emulation too. It is chosen when the module is first loaded.
process.env.UWS_USE_FALLBACK = "1";
const { uwsFlavor } = await import("../src/edge/uws.ts");
await import("./listener.test.ts");
await import("./routing.test.ts");

test("the emulation is used when it is asked for, and says that it is none of the native servers", () => {
  assert.equal(uwsFlavor.native, false);
  assert.equal(uwsFlavor.package, "ws");
});

import { deriveKeys } from "../../src/auth/keys.ts";
import { createSeal } from "../../src/auth/seal.ts";

/** A seal with a key that every test knows. */
export const TEST_SEAL = createSeal(await deriveKeys("for tests", Buffer.alloc(16)));

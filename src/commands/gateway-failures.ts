import { GatewayError } from "../gateways/driver.ts";
import { MusterError } from "../protocol/errors.ts";

/** What a gateway said no to, or did not answer, as the caller's error. */
export async function askingGateway<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw new MusterError("gateway_failed", error.message, {}, { cause: error });
  }
}

import { Fleet } from "../../test/support/fleet.ts";
import { Wire } from "../../test/support/wire.ts";

/*
 * A process with many agents, over as many hosts' sockets as they need. Started with: URL. Its parent first sends it the
 * agents' tokens, and is answered when all are attached; then each message makes all beat at once, or sign off, and is
 * answered when all are acknowledged, with how long that took in milliseconds.
 */
const A_SOCKET = 10_000;

const [url = ""] = process.argv.slice(2);
const hosts: { wire: Wire; fleet: Fleet }[] = [];

process.on("message", async ({ tokens, leave = false }: { tokens?: string[]; leave?: boolean }) => {
  if (tokens) {
    await attach(tokens);
    return process.send?.({ attached: tokens.length });
  }
  const began = performance.now();
  await Promise.all(
    hosts.map(({ wire, fleet }) => acknowledged(wire, leave ? fleet.signOffAll() : fleet.beatAll())),
  );
  process.send?.({ ms: performance.now() - began });
});
process.on("disconnect", () => process.exit(0));
process.send?.({ ready: true });

async function attach(tokens: string[]): Promise<void> {
  const shares = Array.from({ length: Math.ceil(tokens.length / A_SOCKET) }, (_, at) =>
    tokens.slice(at * A_SOCKET, (at + 1) * A_SOCKET),
  );
  hosts.push(
    ...(await Promise.all(
      shares.map(async (share) => {
        const wire = await Wire.open({ url, codec: "msgpack" });
        await wire.hello();
        return { wire, fleet: await Fleet.attach(wire, share) };
      }),
    )),
  );
}

function acknowledged(wire: Wire, n: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const lost = () => reject(new Error("a host's socket was closed"));
    const read = () => {
      for (const { method, params } of wire.received.splice(0)) {
        if (method !== "ack" || params.n < n) continue;
        wire.socket.off("message", read).off("close", lost);
        resolve();
      }
    };
    wire.socket.on("message", read).on("close", lost);
  });
}

import { once } from "node:events";
import { createServer } from "node:net";

/**
 * A port that is free now. For a server that is to start again on its port: asked for any port, the socket library does
 * not set SO_REUSEADDR, and connections that have just ended would keep the port from it for a minute.
 */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
  return address.port;
}

import { once } from "node:events";
import { setTimeout as pause } from "node:timers/promises";
import WebSocket from "ws";

/** Several times: what the first time is only made free of its last holder goes with the next, and the heap shrinks step by step. */
const TIMES = 4;
/** V8 gives pages back some time after it has emptied them, in milliseconds. */
const SETTLE_MS = 300;

/** Collects this process's garbage, so that its memory is what it holds. It must have been started with --expose-gc. */
export async function collectGarbage(): Promise<void> {
  for (let count = 0; count < TIMES; count++) {
    globalThis.gc?.();
    await pause(SETTLE_MS);
  }
}

/** The same of another process, by its inspector at this port. */
export async function collectGarbageAt(port: number): Promise<void> {
  const targets = await fetch(`http://127.0.0.1:${port}/json/list`);
  const [target]: { webSocketDebuggerUrl: string }[] = JSON.parse(await targets.text());
  if (!target) throw new Error(`nothing is inspected at port ${port}`);
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await once(socket, "open");
  for (let id = 1; id <= TIMES; id++) {
    socket.send(JSON.stringify({ id, method: "HeapProfiler.collectGarbage" }));
    await once(socket, "message");
    await pause(SETTLE_MS);
  }
  socket.close();
}

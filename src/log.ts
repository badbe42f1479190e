import type { Writable } from "node:stream";
import { type Logger, pino } from "pino";
import { prettyFactory } from "pino-pretty";
import { showUnseenInLines, showUnseenWithin } from "./unseen.ts";

export type Log = Logger;

/** Where a log goes. */
export type LogStream = Writable & { isTTY?: boolean };

/** Keys under which a secret could come, at the top and one or two levels down. */
const SECRETS = [
  "token",
  "tokens",
  "secret",
  "password",
  "bearer",
  "authorization",
  "x-agent-token",
  "secretKey",
  "secretKeyOld",
  "metricsToken",
  "databaseUrl",
];
/** Keys under which what a peer said could come. */
const FRAMES = ["frame", "body", "params", "args"];

const everywhere = (key: string) => [`["${key}"]`, `*["${key}"]`, `*.*["${key}"]`];

/**
 * Bytes of the log that may wait for whoever reads it. A line that would come on top is left out, and how many were is told
 * once there is room again: a reader that stands still neither holds the server up nor fills its memory.
 */
const MOST_WAITING = 1_048_576;

/**
 * The log of one server, on standard output: JSON lines, or readable ones in a terminal. Secrets and the content of frames
 * are left out even if someone hands them over; what cannot be seen is escaped.
 */
export function createLog(level: string, stream: LogStream = process.stdout): Log {
  if (stream.isTTY) unblock(stream);
  const shape = stream.isTTY ? readable() : showUnseenInLines;
  let leftOut = 0;
  const log = pino(
    {
      level,
      base: null,
      redact: { paths: [...SECRETS, ...FRAMES].flatMap(everywhere), censor: "[left out]" },
    },
    {
      write(line) {
        if (stream.writableLength > MOST_WAITING) {
          leftOut += 1;
          return;
        }
        const lines = leftOut;
        leftOut = 0;
        if (lines > 0)
          log.warn({ lines }, "lines of the log were left out: whoever reads it did not keep up");
        stream.write(shape(line));
      },
    },
  );
  return log;
}

/** Resolves when the log is written, or when `withinMs` is over and its reader still takes none of it. */
export async function flushLog(withinMs: number, stream: LogStream = process.stdout): Promise<void> {
  if (stream.writableLength === 0) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, withinMs);
  });
  // An empty write comes to its end after all that was written before; whether well or not, it is over.
  await Promise.race([late, new Promise<void>((resolve) => stream.write("", () => resolve()))]);
  clearTimeout(timer);
}

function readable(): (line: string) => string {
  const pretty = prettyFactory({ ignore: "pid,hostname", singleLine: true });
  return (line) => pretty(showUnseenWithin(JSON.parse(line)));
}

/**
 * Node has writes to a terminal wait, and with them the whole server while somebody holds the terminal (Ctrl+S) or its
 * network stands still. There is no public way to say otherwise; where this one is missing, they wait.
 */
function unblock(stream: LogStream): void {
  const handle: unknown = Reflect.get(stream, "_handle");
  if (typeof handle !== "object" || handle === null || !("setBlocking" in handle)) return;
  if (typeof handle.setBlocking === "function") handle.setBlocking(false);
}

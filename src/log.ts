import { type Logger, pino } from "pino";
import { PinoPretty } from "pino-pretty";

export type Log = Logger;

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
  "databaseUrl",
];
/** Keys under which what a peer said could come. */
const FRAMES = ["frame", "body", "params", "args"];

const everywhere = (key: string) => [`["${key}"]`, `*["${key}"]`, `*.*["${key}"]`];

/**
 * The log of one server, on standard output: JSON lines, or readable ones in a terminal. Secrets and the content of frames
 * are left out even if someone hands them over.
 */
export function createLog(
  level: string,
  stream: NodeJS.WritableStream & { isTTY?: boolean } = process.stdout,
): Log {
  return pino(
    {
      level,
      base: null,
      redact: { paths: [...SECRETS, ...FRAMES].flatMap(everywhere), censor: "[left out]" },
    },
    stream.isTTY
      ? PinoPretty({ sync: true, destination: stream, ignore: "pid,hostname", singleLine: true })
      : stream,
  );
}

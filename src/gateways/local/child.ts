import { spawn } from "node:child_process";
import { codeOf } from "./files.ts";
import { RunnerLog } from "./runner-log.ts";

/** What to run. Secrets have no place in here: arguments and environment are open to others on the machine. */
export interface Command {
  file: string;
  args: string[];
  /** Absolute. */
  cwd: string;
  env: Record<string, string>;
  /** File for what it prints. */
  logFile: string;
}

/** A process that runs, or has run. */
export interface Child {
  readonly pid: number;
  /** Resolves when the process is gone and its output is written: how it ended, in words. Never rejects. */
  readonly ended: Promise<string>;
  kill(signal: "SIGTERM" | "SIGKILL"): void;
}

/** Starts a process; rejects when that cannot be done. */
export type StartChild = (command: Command) => Promise<Child>;

/** How long output may still come after the end of a process: others may have inherited its pipes. */
const OUTPUT_GRACE_MS = 500;

/**
 * Starts a real process. Its stdin is a pipe that nobody writes to: it ends when this server does, even by kill -9, so
 * the process can know. It leads a process group of its own: a Ctrl-C in the server's terminal is not meant for it, and
 * signals reach what it has started itself.
 */
export const startProcess: StartChild = ({ file, args, cwd, env, logFile }) =>
  new Promise((resolve, reject) => {
    const started = spawn(file, args, { cwd, env, stdio: ["pipe", "pipe", "pipe"], detached: true });
    const { stdin, stdout, stderr } = started;
    // The other end may be closed at any time; nothing is ever written to it.
    stdin.on("error", () => {});
    started.once("error", reject);
    started.once("spawn", () => {
      const { pid } = started;
      if (pid === undefined) return reject(new Error("the process has no id"));
      started.off("error", reject);
      // A later error is a signal that could not be sent: the process is gone by then.
      started.on("error", () => {});
      const log = new RunnerLog(logFile);
      // A log that cannot be written must not hold up the runner: its output is then read and dropped.
      const drained = [stdout, stderr].map((stream) => log.drain(stream).catch(() => stream.resume()));
      const ended = new Promise<string>((resolveEnd) => {
        started.once("exit", (code, signal) => {
          const giveUp = setTimeout(() => {
            stdout.destroy();
            stderr.destroy();
          }, OUTPUT_GRACE_MS);
          void Promise.all(drained).then(async () => {
            clearTimeout(giveUp);
            await log.close().catch(() => {});
            resolveEnd(signal === null ? `exit code ${code}` : `signal ${signal}`);
          });
        });
      });
      resolve({ pid, ended, kill: (signal) => signalGroup(pid, signal) });
    });
  });

/** Signals a process and what it has started; one that is gone already is fine. */
export function signalGroup(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if (codeOf(error) !== "ESRCH") throw error;
  }
}

import { isReaderGone, onOutputError } from "./output.ts";

/** One Ctrl+C can reach the process twice, from the terminal and from npm: what follows within this time is its echo. */
const ECHO_MS = 1_000;
const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

/**
 * Resolves with what asks for an end first: a signal, its name, or that nobody reads standard output any more. A signal
 * that comes later ends the process at once. A closed terminal is both, in any order.
 *
 * @param onUncaught what is to be done with an error that nobody has caught, which then asks for an end too, with exit
 *   code 1; without it such an error ends the process, as Node has it
 */
export function stopAsked(onUncaught?: (error: unknown) => void): Promise<string> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    const ask = (by: string) => {
      askedAt ??= performance.now();
      resolve(by);
    };
    for (const signal of SIGNALS)
      process.on(signal, () => {
        if (askedAt !== undefined && performance.now() - askedAt > ECHO_MS) process.exit(1);
        ask(signal);
      });
    // What a promise was rejected with, and nobody has taken, comes here too.
    if (onUncaught)
      process.on("uncaughtException", (error) => {
        process.exitCode = 1;
        onUncaught(error);
        ask("an uncaught error");
      });
    onOutputError((error) => {
      // Any other failure, like that of a full disk, passes.
      if (isReaderGone(error)) ask("nobody reads the output any more");
    });
  });
}

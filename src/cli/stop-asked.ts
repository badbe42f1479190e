/** One Ctrl+C can reach the process twice, from the terminal and from npm: what follows within this time is its echo. */
const ECHO_MS = 1_000;

/** Resolves with the first signal that asks for an end; a later one ends the process at once. */
export function stopAsked(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let askedAt: number | undefined;
    for (const signal of ["SIGTERM", "SIGINT"] as const)
      process.on(signal, () => {
        if (askedAt !== undefined && performance.now() - askedAt > ECHO_MS) process.exit(1);
        askedAt ??= performance.now();
        resolve(signal);
      });
  });
}

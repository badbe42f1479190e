/**
 * Which of the known words someone may have meant, nearest first, three at most: those that are a few letters away,
 * and those that contain what was typed.
 */
export function suggest(typed: string, known: readonly string[]): string[] {
  const word = typed.toLowerCase().slice(0, 100);
  const reach = Math.max(1, Math.floor(word.length / 3));
  return known
    .map((candidate) => ({ candidate, distance: distance(word, candidate) }))
    .filter(({ candidate, distance: far }) => far <= reach || (word.length > 2 && candidate.includes(word)))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** Levenshtein's: letters to add, to take away or to change. */
function distance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...to].entries())
      next.push(
        Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)),
      );
    row = next;
  }
  return row[to.length] ?? 0;
}

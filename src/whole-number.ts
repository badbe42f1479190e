/**
 * The number that digits and nothing else stand for; undefined for any other text, also an empty one (which is 0 to
 * `Number`), and past what a number holds exactly.
 */
export function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}

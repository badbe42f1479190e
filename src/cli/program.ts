/**
 * How a hint tells people to call the program. `--no` is what keeps a line that is typed in a wrong folder from fetching
 * and running the package of that name, which is somebody else's.
 */
export const PROGRAM = "npx --no muster";

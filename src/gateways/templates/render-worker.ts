import { setPriority } from "node:os";
import { renderHostile } from "./hostile.ts";
import { PROGRESS, type Rendered, type RenderTask } from "./render-task.ts";

/*
 * What a worker thread runs: the one place where templates of users are parsed and rendered.
 */

// On Linux this is the priority of the calling thread alone, elsewhere of the whole process: templates are to leave the
// processors to the server.
if (process.platform === "linux") setPriority(10);

/** Renders one template. Never throws. */
export default function render({ source, variables, progress }: RenderTask): Rendered {
  Atomics.store(progress, 0, PROGRESS.started);
  return renderHostile(source, variables, () => Atomics.load(progress, 0) === PROGRESS.over);
}

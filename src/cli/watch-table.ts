import type { WriteStream } from "node:tty";
import type { Client } from "../client/index.ts";
import { AgentsView } from "./agents-view.ts";
import { Screen } from "./screen.ts";
import { renderTable } from "./table.ts";

/** Between two drawings, at least, in milliseconds. */
const DRAW_MS = 200;
/** Times on the screen are this old at most, in drawings. */
const REDRAW_EVERY = 5;

/**
 * Shows the agents of a topic as a table that is drawn again in place, until the client is closed.
 *
 * @param onNotice takes a listener for words about the connection
 */
export async function watchTable(
  client: Client,
  topic: "agents" | `agents:${string}`,
  terminal: WriteStream,
  onNotice: (listener: (notice: string) => void) => void,
): Promise<void> {
  const view = new AgentsView();
  const boards = new BoardNames(client);
  const screen = new Screen(terminal);
  let notice = "";
  let changed = true;
  let ticks = 0;
  const draw = () => {
    ticks += 1;
    if (!changed && ticks % REDRAW_EVERY !== 0) return;
    changed = false;
    screen.draw(
      renderTable(view.rows(), {
        columns: terminal.columns,
        lines: terminal.rows,
        now: Date.now(),
        board: (id) => boards.name(id),
        notice,
        color: process.env.NO_COLOR === undefined,
      }),
    );
  };
  onNotice((next) => {
    notice = next;
    changed = true;
  });
  const resized = () => {
    screen.clear();
    changed = true;
  };
  terminal.on("resize", resized);
  const timer = setInterval(draw, DRAW_MS);
  try {
    for await (const change of client.watch(topic)) {
      view.apply(change);
      changed = true;
      if (change.kind === "end") throw new Error(`the server ended this view: ${change.reason}`);
    }
  } finally {
    clearInterval(timer);
    terminal.removeListener("resize", resized);
    screen.restore();
  }
}

/** Boards' names, each asked for once; until it is known, or when it may not be known, the beginning of its id. */
class BoardNames {
  readonly #client: Client;
  readonly #names = new Map<string, string>();

  constructor(client: Client) {
    this.#client = client;
  }

  name(id: string): string {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const short = id.slice(0, 8);
    this.#names.set(id, short);
    this.#client
      .request("board.get", { board_id: id })
      .then(({ board }) => this.#names.set(id, board.name))
      .catch(() => short);
    return short;
  }
}

import { showUnseen } from "../unseen.ts";
import type { Row } from "./agents-view.ts";
import { ago, fit } from "./text.ts";

export interface TableOptions {
  /** The terminal's size in characters. */
  columns: number;
  lines: number;
  /** Milliseconds since the epoch. */
  now: number;
  /** A board's name, as far as it is known. */
  board(id: string): string;
  /** A word about the connection when it is not as it should be. */
  notice: string;
  color: boolean;
}

/** A later server can have more of them: these are shown without a color. */
const COLORS = new Map<string, number>([
  ["online", 32],
  ["offline", 90],
  ["provisioning", 33],
  ["updating", 36],
  ["deleting", 31],
]);
const MOST_NAME = 40;
const FIXED = { status: 12, connected: 9, seen: 9, activity: 8 } as const;
const GAP = "  ";

/** The table of agents, line by line: no line is wider and no table higher than the terminal. */
export function renderTable(rows: Row[], options: TableOptions): string[] {
  const { columns, lines } = options;
  const fixed = Object.values(FIXED).reduce((sum, width) => sum + width + GAP.length, 0);
  const free = Math.max(0, columns - fixed - GAP.length);
  const name = Math.max(8, Math.min(MOST_NAME, Math.ceil(free * 0.6)));
  const board = Math.max(0, free - name);
  const cells = (texts: [string, string, string, string, string, string]) => {
    const widths = [name, FIXED.status, FIXED.connected, FIXED.seen, FIXED.activity, board];
    return texts.map((text, index) => fit(showUnseen(text), widths[index] ?? 0)).join(GAP);
  };
  // Title, heads and the line about what does not fit, and the line below that the cursor stands on.
  const room = Math.max(0, lines - 4);
  const shown = rows.slice(0, room);
  const body = shown.map(({ agent, seenAt }) => {
    const { activity } = agent.reported ?? {};
    const line = cells([
      agent.name,
      agent.status,
      agent.connected ? "yes" : "no",
      seenAt === undefined ? "never" : ago(options.now - seenAt),
      typeof activity === "string" ? activity : "",
      agent.board_id === null ? "" : options.board(agent.board_id),
    ]);
    return paint(cut(line, columns), COLORS.get(agent.status), options.color);
  });
  const hidden = rows.length - shown.length;
  return [
    cut(summary(rows, options.notice), columns),
    paint(
      cut(cells(["NAME", "STATUS", "CONNECTED", "LAST SEEN", "ACTIVITY", "BOARD"]), columns),
      1,
      options.color,
    ),
    ...body,
    ...(hidden > 0 ? [cut(`… and ${hidden} more`, columns)] : []),
  ];
}

function summary(rows: Row[], notice: string): string {
  const counts = new Map<string, number>();
  for (const { agent } of rows) counts.set(agent.status, (counts.get(agent.status) ?? 0) + 1);
  const parts = [...counts].map(([status, count]) => `${count} ${status}`);
  const agents = `${rows.length} agent${rows.length === 1 ? "" : "s"}`;
  return showUnseen(
    [parts.length > 0 ? `${agents}: ${parts.join(", ")}` : agents, notice].filter(Boolean).join(" · "),
  );
}

function cut(line: string, columns: number): string {
  return fit(line, columns).trimEnd();
}

function paint(line: string, color: number | undefined, wanted: boolean): string {
  return wanted && color !== undefined ? `\u001b[${color}m${line}\u001b[0m` : line;
}

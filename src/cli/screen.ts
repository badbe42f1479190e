import type { WriteStream } from "node:tty";

const HIDE_CURSOR = "\u001b[?25l";
const SHOW_CURSOR = "\u001b[?25h";
const CLEAR_BELOW = "\u001b[0J";

/** Lines that are drawn again in place. The cursor is hidden until `restore`, which also runs when the process exits. */
export class Screen {
  readonly #terminal: WriteStream;
  readonly #restore = () => this.restore();
  #drawn = 0;
  #hidden = false;

  constructor(terminal: WriteStream) {
    this.#terminal = terminal;
    process.once("exit", this.#restore);
  }

  draw(lines: string[]): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : "";
    this.#terminal.write(`${HIDE_CURSOR}${up}\r${CLEAR_BELOW}${lines.join("\n")}\n`);
    this.#drawn = lines.length;
    this.#hidden = true;
  }

  /** After a change of the terminal's size nobody knows where the old lines are. */
  clear(): void {
    this.#terminal.write("\u001b[2J\u001b[H");
    this.#drawn = 0;
  }

  restore(): void {
    process.removeListener("exit", this.#restore);
    if (this.#hidden) this.#terminal.write(SHOW_CURSOR);
    this.#hidden = false;
  }
}

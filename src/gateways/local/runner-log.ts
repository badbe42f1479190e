import { constants } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";

const MOST_BYTES = 1024 * 1024;

/**
 * What a runner prints, in a file of bounded size: when it is full it becomes `<path>.1`, in place of the one before.
 * Streams are read no faster than the disk takes them.
 */
export class RunnerLog {
  readonly #path: string;
  #file: FileHandle | undefined;
  #bytes = 0;
  #queue: Promise<void> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Writes all of a stream; ends with it. Rejects when the file cannot be written. */
  async drain(stream: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of stream) {
      const written = this.#queue.then(() => this.#append(chunk));
      this.#queue = written.catch(() => {});
      await written;
    }
  }

  async close(): Promise<void> {
    await this.#queue;
    await this.#file?.close();
    this.#file = undefined;
  }

  async #append(chunk: Uint8Array): Promise<void> {
    let file = await this.#opened();
    if (this.#bytes > 0 && this.#bytes + chunk.length > MOST_BYTES) {
      await file.close();
      this.#file = undefined;
      await rename(this.#path, `${this.#path}.1`);
      file = await this.#opened();
    }
    await file.writeFile(chunk);
    this.#bytes += chunk.length;
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file) return this.#file;
    const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW } = constants;
    this.#file = await open(this.#path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW, 0o600);
    this.#bytes = (await this.#file.stat()).size;
    return this.#file;
  }
}

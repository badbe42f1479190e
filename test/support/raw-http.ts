import { connect } from "node:net";

/** What came back over a connection, until it was closed or nothing more was to come. */
export interface RawAnswer {
  text: string;
  /** Of each answer, in order; interim ones left out. */
  statuses: number[];
  isClosed: boolean;
  ms: number;
}

/**
 * Sends bytes as they are over a connection of its own, those of `later` when that resolves, and takes what comes back
 * until the other side closes, or, when `until` is given, until that holds.
 */
export function rawHttp(
  port: number,
  bytes: string,
  until: (text: string) => boolean = () => false,
  later?: Promise<string>,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket = connect(port, "127.0.0.1");
    let text = "";
    const finish = (isClosed: boolean) => {
      socket.destroy();
      const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map(([, status]) => Number(status));
      resolve({
        text,
        statuses: statuses.filter((status) => status >= 200 || status === 101),
        isClosed,
        ms: performance.now() - startedAt,
      });
    };
    socket.on("error", () => {});
    socket.on("data", (data) => {
      text += data.toString("latin1");
      if (until(text)) finish(false);
    });
    socket.on("close", () => finish(true));
    socket.write(bytes, "latin1");
    later?.then(
      (more) => socket.write(more, "latin1"),
      (error) => socket.destroy(error),
    );
  });
}

/** A request's lines as they are sent. */
export function lines(...all: string[]): string {
  return `${all.join("\r\n")}\r\n\r\n`;
}

/** Whether a first whole answer has come: its headers, and as much as they announce. */
export function hasAnswer(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return false;
  const length = /content-length: (\d+)/i.exec(text.slice(0, end))?.[1] ?? "0";
  return text.length >= end + 4 + Number(length);
}

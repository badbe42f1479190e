import { EXCLUSIVE_PORT, type ListenSocket, type UwsApp, uws } from "./uws.ts";

const RETRY_MS = 250;

/** Tries to find a free port that is still free when it is taken. */
const TRIES = 10;

/** Takes a port, 0 for any free one; undefined when that cannot be. */
export async function openPort(app: UwsApp, host: string, port: number): Promise<ListenSocket | undefined> {
  if (port !== 0) return listen(app, host, port);
  for (let tries = 0; tries < TRIES; tries++) {
    const found = await listen(app, host, 0);
    if (found === undefined) return undefined;
    // Only a port that was asked for by its number can be opened again while there are connections to it.
    const number = uws.us_socket_local_port(found);
    uws.us_listen_socket_close(found);
    const socket = await listen(app, host, number);
    if (socket) return socket;
  }
  return undefined;
}

function listen(app: UwsApp, host: string, port: number): Promise<ListenSocket | undefined> {
  return new Promise((resolve) => {
    app.listen(host, port, EXCLUSIVE_PORT, (socket) => resolve(socket === false ? undefined : socket));
  });
}

/** The port of a listener, at which connections are accepted or, for a while, refused. */
export class Door {
  readonly port: number;
  readonly #app: UwsApp;
  readonly #host: string;
  #socket: ListenSocket | undefined;
  #isWanted = true;

  constructor(app: UwsApp, host: string, socket: ListenSocket) {
    this.port = uws.us_socket_local_port(socket);
    this.#app = app;
    this.#host = host;
    this.#socket = socket;
  }

  close(): void {
    this.#isWanted = false;
    if (this.#socket) uws.us_listen_socket_close(this.#socket);
    this.#socket = undefined;
  }

  /** Accepts again, in a moment if something else has the port just now. */
  open(): void {
    this.#isWanted = true;
    void this.#open();
  }

  async #open(): Promise<void> {
    const socket = await openPort(this.#app, this.#host, this.port);
    if (!this.#isWanted || this.#socket) {
      if (socket) uws.us_listen_socket_close(socket);
    } else if (socket) this.#socket = socket;
    else setTimeout(() => this.#isWanted && this.open(), RETRY_MS).unref();
  }
}

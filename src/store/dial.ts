import { connect, isIP, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import type { DatabaseAddress } from "../database-url.ts";
import { ConnectionLostError, NoTlsError } from "./connection-lost.ts";

/** Asks a Postgres to speak TLS from now on; it answers with one byte. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const YES = Buffer.from("S");
/** What lies between must not drop quiet connections, so they are probed. */
const KEEP_ALIVE_MS = 60_000;

/** How an attempt to connect ends, once. */
export interface DialEnds {
  /** Postgres' own protocol can be spoken on this socket. */
  up(socket: Socket): void;
  /** @param answered whether something has taken the connection: what failed comes after that */
  failed(error: ConnectionLostError, answered: boolean): void;
}

/**
 * Connects, and agrees on TLS if asked to. Whatever goes wrong is told to `failed`; no error of these sockets, now or
 * later, is without a listener.
 *
 * @returns the socket to destroy to give up
 */
export function dial(address: DatabaseAddress, secured: boolean, { up, failed }: DialEnds): Socket {
  let reason: unknown;
  let answered = false;
  const note = (error: unknown) => {
    reason ??= error;
  };
  const tellFailure = () => failed(new ConnectionLostError(reason), answered);
  const raw = connect({
    host: address.host,
    port: address.port,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  });
  const giveUp = (error: unknown) => {
    note(error);
    raw.destroy();
  };
  raw.on("error", note).once("close", tellFailure);
  const secure = () => {
    const socket = connectTls({ ...tlsOptions(address), socket: raw });
    raw.off("close", tellFailure);
    socket.on("error", note).once("close", tellFailure);
    socket.once("secureConnect", () => {
      socket.off("close", tellFailure);
      up(socket);
    });
  };
  raw.once("connect", () => {
    answered = true;
    if (!secured) {
      raw.off("close", tellFailure);
      up(raw);
      return;
    }
    raw.write(SSL_REQUEST);
    raw.once("data", (answer: Buffer) => {
      // More than the one byte would be somebody's in between, to be taken for what comes under TLS.
      if (!answer.equals(YES)) return giveUp(new NoTlsError());
      try {
        secure();
      } catch (error) {
        // Certificates that OpenSSL cannot read.
        giveUp(error);
      }
    });
  });
  return raw;
}

function tlsOptions({ host, tls: { mode, ca } }: DatabaseAddress): ConnectionOptions {
  const verifies = mode === "verify-ca" || mode === "verify-full";
  return {
    // The name that the certificate must have; an address is no name to ask for.
    host,
    ...(isIP(host) ? {} : { servername: host }),
    rejectUnauthorized: verifies,
    ...(verifies && ca !== undefined ? { ca } : {}),
    ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
  };
}

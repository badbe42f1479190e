/** Why a socket is closed, and what a client should do: come back with backoff, or not with the same token. */
export const CLOSE = {
  goingAway: { code: 1001, reason: "going away", reconnect: true },
  frameTooLarge: { code: 1009, reason: "frame too large", reconnect: true },
  badFrame: { code: 4400, reason: "bad frame", reconnect: false },
  unauthenticated: { code: 4401, reason: "unauthenticated", reconnect: false },
  tokenRevoked: { code: 4403, reason: "token revoked or expired", reconnect: false },
  noHello: { code: 4008, reason: "no hello in time", reconnect: true },
  slowReader: { code: 4013, reason: "too slow a reader", reconnect: true },
  flooding: { code: 4029, reason: "flooding", reconnect: true },
} as const;

export interface Close {
  code: number;
  /** At most 123 bytes. */
  reason: string;
}

/** A bad frame, in words of its own. */
export const strangersFrameTooLarge: Close = {
  ...CLOSE.badFrame,
  reason: "frames are at most 16 KiB until a good token was shown or an agent attached",
};

/** There are too many whose peers have shown no good token, of its address or in all. */
export const tooManyStrangers: Close = {
  ...CLOSE.flooding,
  reason: "too many sockets without a good token",
};

const FINAL = new Set<number>(
  Object.values(CLOSE).flatMap(({ code, reconnect }) => (reconnect ? [] : [code])),
);

/** Whether a client that was closed with this code may come back with the same token. */
export function mayReconnect(code: number): boolean {
  return !FINAL.has(code);
}

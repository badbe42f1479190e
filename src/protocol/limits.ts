/** Bounds of one session, as `hello` tells them. */
export const LIMITS = {
  max_frame_bytes: 1_048_576,
  max_batch: 1_000,
  max_in_flight: 64,
  max_subscriptions: 256,
  max_channels: 10_000,
} as const;

/** The same before the session has a token or an attached agent: whoever it is may not yet send much. */
export const STRANGER_LIMITS = { ...LIMITS, max_frame_bytes: 16_384 } as const;

/** How long a session may wait before its `hello`, in milliseconds. */
export const HELLO_DEADLINE_MS = 10_000;
/** A peer silent for longer (it answers pings by itself) is closed, in seconds. */
export const IDLE_TIMEOUT_S = 30;
/** Nesting of params and results, deeper is refused: no honest message comes near. */
export const MAX_DEPTH = 32;
/** The same of the frame as a whole: its values stand in a message, which may stand in a batch. */
export const MAX_FRAME_DEPTH = MAX_DEPTH + 2;
/** Bytes of `stats` in a heartbeat, as JSON. */
export const MAX_STATS_BYTES = 4_096;
/** Length of a page when the request names none, and at most. */
export const PAGE = { default: 50, most: 500 } as const;

import type { Arrival } from "./http.ts";
import { refusal, write } from "./http-answer.ts";
import type { Strangers } from "./strangers.ts";
import type { SocketData } from "./transport.ts";
import type { UpgradeContext, UwsUpgrade } from "./uws.ts";

/**
 * Makes a WebSocket of a request that may become one: now, or once there is a place for one more stranger.
 *
 * @param protocol the chosen subprotocol, empty when none was offered
 */
export function upgrade(
  res: UwsUpgrade<SocketData>,
  { headers, ...exchange }: Arrival,
  {
    data,
    protocol,
    context,
    strangers,
  }: { data: SocketData; protocol: string; context: UpgradeContext; strangers: Strangers | undefined },
): void {
  const key = headers.get("sec-websocket-key") ?? "";
  const extensions = headers.get("sec-websocket-extensions") ?? "";
  const grant = () => res.upgrade(data, key, protocol, extensions, context);
  if (strangers === undefined || strangers.admits(data.peer)) return grant();
  let isGone = false;
  const cancel = strangers.wait(data.peer, {
    open: () => res.cork(grant),
    refuse: () => {
      if (isGone) return;
      isGone = true;
      res.cork(() => write(res, busy, exchange));
    },
  });
  if (isGone) return;
  res.onAborted(() => {
    isGone = true;
    cancel();
  });
}

const busy = {
  ...refusal(503, "too many sockets without a good token wait here; come again in a second"),
  headers: { "retry-after": "1" },
};

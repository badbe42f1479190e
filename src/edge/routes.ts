import type { Services } from "../commands/services.ts";
import type { Metrics } from "../metrics.ts";
import type { HttpRequest } from "./http.ts";
import { json, refusal } from "./http-answer.ts";
import { HttpHeartbeats, MOST_BODY } from "./http-heartbeats.ts";
import type { MetricsAccess } from "./metrics-access.ts";
import type { Route } from "./router.ts";

/** HTTP on the same port: for those who watch the server, and for agents that only have curl. */
export function createRoutes({
  services,
  metrics,
  mayScrape,
  isReady,
}: {
  services: Services;
  metrics: Metrics;
  mayScrape: MetricsAccess;
  /** Null when the server can serve, otherwise why not. */
  isReady: () => Promise<string | null>;
}): Route[] {
  const heartbeats = new HttpHeartbeats(services, metrics);
  return [
    { method: "get", path: "/healthz", handler: () => json({ ok: true, status: "ok" }) },
    {
      method: "get",
      path: "/readyz",
      async handler() {
        const why = await isReady();
        return why === null ? json({ status: "ready" }) : refusal(503, why);
      },
    },
    {
      method: "get",
      path: "/metrics",
      async handler(request) {
        const why = mayScrape(request);
        if (why !== null) return refusal(403, why);
        return { status: 200, headers: { "content-type": metrics.contentType }, body: await metrics.text() };
      },
    },
    // The second is what workspaces call that were written for other servers of this kind.
    ...["/api/v1/agents/heartbeat", "/api/v1/agent/heartbeat"].map((path) => ({
      method: "post",
      path,
      bodyBytes: MOST_BODY,
      handler: (request: HttpRequest) => heartbeats.take(request),
    })),
    {
      method: "post",
      path: "/api/v1/agents/{agent_id}/heartbeat",
      bodyBytes: MOST_BODY,
      handler: (request) => heartbeats.take(request, request.params.get("agent_id")),
    },
  ];
}

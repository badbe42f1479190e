import type { Principal } from "../auth/principals.ts";
import { identify } from "../commands/identify.ts";
import type { Services } from "../commands/services.ts";
import { type CommandMethod, runCommand } from "../commands/table.ts";
import type { Metrics } from "../metrics.ts";
import { jsonCodec } from "../protocol/codec.ts";
import { MusterError } from "../protocol/errors.ts";
import { SERVER_BOUNDS } from "../protocol/frame-bounds.ts";
import { refusalOf } from "../store/refusals.ts";
import { type HttpRequest, json, type Route, refusal } from "./http.ts";
import type { MetricsAccess } from "./metrics-access.ts";

/** Bytes of a request's body. */
const MOST_BODY = 65_536;

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
  return [
    { method: "get", path: "/healthz", handler: () => json({ status: "ok" }) },
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
    {
      method: "post",
      path: "/api/v1/agents/heartbeat",
      async handler(request) {
        const answer = await command(services, metrics, "agent.heartbeat_or_create", request);
        metrics.heartbeats.inc();
        return json(agentOf(answer));
      },
    },
  ];
}

async function command(services: Services, metrics: Metrics, method: CommandMethod, request: HttpRequest) {
  metrics.countRequest(method);
  try {
    const principal = await authenticate(services, request);
    return await runCommand(services, principal, method, parse(await request.body(MOST_BODY)));
  } catch (error) {
    const told = refusalOf(error) ?? error;
    metrics.countError(told instanceof MusterError ? told.reason : "internal");
    throw told;
  }
}

/** Agents show `X-Agent-Token`, users `Authorization: Bearer`. */
async function authenticate(services: Services, request: HttpRequest): Promise<Principal> {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(request.headers("authorization") ?? "") ?? [];
  const token = request.headers("x-agent-token") ?? bearer;
  if (token !== undefined) return (await identify(services, token.trim())).principal;
  throw new MusterError(
    "unauthenticated",
    "A token is needed: X-Agent-Token for an agent, Authorization: Bearer for a user.",
  );
}

function parse(body: Uint8Array): unknown {
  return body.length === 0 ? {} : jsonCodec.decode(body, SERVER_BOUNDS);
}

function agentOf(answer: unknown): unknown {
  return typeof answer === "object" && answer !== null && "agent" in answer ? answer.agent : answer;
}

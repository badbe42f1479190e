import { createServer, type IncomingMessage } from "node:http";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { MetricsAccess } from "./metrics-access.ts";
import { BrowserCheck, type BrowserRules } from "./origins.ts";

/** Connections at a time: a few who scrape. Others wait in the system's own queue. */
const MOST_CONNECTIONS = 64;
/** How long a request may take to arrive, in milliseconds. */
const REQUEST_MS = 5_000;
const MOST_HEADER_BYTES = 8_192;

interface Answer {
  status: number;
  type?: string;
  text: string;
}

interface Needs extends BrowserRules {
  /** 0: any free one. */
  port: number;
  metrics: Metrics;
  access: MetricsAccess;
  /** Null when the server can serve, otherwise why not. */
  isReady: () => Promise<string | null>;
  log: Log;
}

/** The port for those who watch the server and nothing else: `/metrics`, `/healthz` and `/readyz`. */
export interface MetricsListener {
  readonly port: number;
  close(): Promise<void>;
}

/** Takes the port. Rejects with an Error for people when that cannot be. */
export async function listenForMetrics(needs: Needs): Promise<MetricsListener> {
  const { host, port, log } = needs;
  const browsers = await BrowserCheck.of(needs);
  const server = createServer({ maxHeaderSize: MOST_HEADER_BYTES }, (request, response) => {
    void answer(needs, browsers, request)
      .catch((error): Answer => {
        log.error({ err: error }, "the figures could not be told");
        return refusal(500, "internal error, see the log");
      })
      .then(({ status, type = "application/json", text }) => {
        response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
        response.end(request.method === "HEAD" ? undefined : text);
      });
  });
  server.maxConnections = MOST_CONNECTIONS;
  server.requestTimeout = server.headersTimeout = REQUEST_MS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new Error(`cannot listen on ${host}:${port}: set MUSTER_METRICS_PORT or HOST (${cause.message})`, {
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  server.on("error", (error) => log.warn({ err: error }, "the listener for metrics failed"));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  { metrics, access, isReady }: Needs,
  browsers: BrowserCheck,
  request: IncomingMessage,
): Promise<Answer> {
  const header = (name: string) => {
    const value = request.headers[name];
    return Array.isArray(value) ? value.join(", ") : value;
  };
  const why = browsers.whyNotHost({ get: header });
  if (why !== undefined) return refusal(403, why);
  if (request.method !== "GET" && request.method !== "HEAD")
    return refusal(405, "only GET and HEAD are possible here");
  const [path] = (request.url ?? "").split("?");
  if (path === "/healthz") return { status: 200, text: JSON.stringify({ ok: true, status: "ok" }) };
  if (path === "/readyz") {
    const missing = await isReady();
    return missing === null
      ? { status: 200, text: JSON.stringify({ status: "ready" }) }
      : refusal(503, missing);
  }
  if (path !== "/metrics") return refusal(404, "here are /metrics, /healthz and /readyz only");
  const denied = access({ remoteAddress: request.socket.remoteAddress ?? "", headers: header });
  if (denied !== null) return refusal(403, denied);
  return { status: 200, type: metrics.contentType, text: await metrics.text() };
}

function refusal(status: number, detail: string): Answer {
  return { status, text: JSON.stringify({ detail }) };
}

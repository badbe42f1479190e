import { sighted } from "../actors/heartbeats.ts";
import type { Principal } from "../auth/principals.ts";
import { identify } from "../commands/identify.ts";
import type { Services } from "../commands/services.ts";
import { runCommand } from "../commands/table.ts";
import type { Metrics } from "../metrics.ts";
import { jsonCodec } from "../protocol/codec.ts";
import { MusterError } from "../protocol/errors.ts";
import { SERVER_BOUNDS } from "../protocol/frame-bounds.ts";
import { refusalOf } from "../store/refusals.ts";
import type { HttpRequest } from "./http.ts";
import { type HttpAnswer, json } from "./http-answer.ts";
import { readHeartbeat } from "./lenient-heartbeat.ts";

/** Bytes of a heartbeat's body. */
export const MOST_BODY = 65_536;

/** Heartbeats of agents that only have curl. */
export class HttpHeartbeats {
  readonly #services: Services;
  readonly #metrics: Metrics;

  constructor(services: Services, metrics: Metrics) {
    this.#services = services;
    this.#metrics = metrics;
  }

  /** One heartbeat, of the agent in the path if there is one there; the answer is the agent. Throws MusterError. */
  async take(request: HttpRequest, agentId?: string): Promise<HttpAnswer> {
    const method = agentId === undefined ? "agent.heartbeat_or_create" : "agent.heartbeat";
    this.#metrics.countRequest(method);
    try {
      const principal = await authenticate(this.#services, request);
      const isNamed = principal.kind === "user" && agentId === undefined;
      const answer = await this.#seen(principal, async () => {
        const said = readHeartbeat(parse(await request.body()), isNamed);
        const params = agentId !== undefined && isObject(said) ? { ...said, agent_id: agentId } : said;
        return runCommand(this.#services, principal, method, params);
      });
      this.#metrics.heartbeats.inc();
      return json(isObject(answer) && "agent" in answer ? answer.agent : answer);
    } catch (error) {
      const told = refusalOf(error) ?? error;
      this.#metrics.countError(told instanceof MusterError ? told.reason : "internal");
      throw told;
    }
  }

  /** An agent that asks lives, also when what it asks is refused. */
  async #seen<T>(principal: Principal, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const index =
        principal.kind === "agent" ? this.#services.registry.indexOf(principal.agentId) : undefined;
      // It may be deleted meanwhile: what is told is why it was refused.
      if (index !== undefined)
        await sighted(this.#services, index, this.#services.clock.now()).catch(() => {});
      throw error;
    }
  }
}

/** Agents show `X-Agent-Token`, users `Authorization: Bearer`. An empty header is none. */
async function authenticate(services: Services, request: HttpRequest): Promise<Principal> {
  const [, bearer] = /^Bearer +(\S+)$/i.exec(request.headers("authorization") ?? "") ?? [];
  const token = request.headers("x-agent-token")?.trim() || bearer;
  if (token !== undefined) return (await identify(services, token)).principal;
  throw new MusterError(
    "unauthenticated",
    "A token is needed: X-Agent-Token for an agent, Authorization: Bearer for a user.",
  );
}

function parse(body: Uint8Array): unknown {
  return body.length === 0 ? {} : jsonCodec.decode(body, SERVER_BOUNDS);
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

import type { HttpRequest } from "./http.ts";
import type { HttpAnswer } from "./http-answer.ts";

export interface Route {
  /** In lower case. */
  method: string;
  /** Without a trailing slash. A segment like `{agent_id}` stands for any, and is handed on under that name. */
  path: string;
  /** Bytes that a body may have; unset: the route takes none. */
  bodyBytes?: number;
  handler(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>;
}

/** The routes of one path, and what stood in the place of its `{…}`. */
export interface Match {
  readonly routes: readonly Route[];
  readonly params: ReadonlyMap<string, string>;
}

const NONE: ReadonlyMap<string, string> = new Map();

/** Finds routes by path: first those that say it exactly. */
export class Router {
  readonly #exact = new Map<string, Route[]>();
  readonly #patterns = new Map<string, { segments: string[]; routes: Route[] }>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const { path } = route;
      if (!path.includes("{")) this.#exact.set(path, [...(this.#exact.get(path) ?? []), route]);
      else {
        const before = this.#patterns.get(path)?.routes ?? [];
        this.#patterns.set(path, { segments: path.split("/"), routes: [...before, route] });
      }
    }
  }

  match(path: string): Match | undefined {
    const routes = this.#exact.get(path);
    if (routes) return { routes, params: NONE };
    const given = path.split("/");
    for (const { segments, routes } of this.#patterns.values()) {
      const params = paramsOf(segments, given);
      if (params) return { routes, params };
    }
    return undefined;
  }
}

function paramsOf(segments: readonly string[], given: readonly string[]): Map<string, string> | undefined {
  if (segments.length !== given.length) return undefined;
  const params = new Map<string, string>();
  for (const [position, segment] of segments.entries()) {
    const value = given[position] ?? "";
    const name = /^\{(\w+)\}$/.exec(segment)?.[1];
    if (name === undefined ? value !== segment : value === "") return undefined;
    if (name !== undefined) params.set(name, value);
  }
  return params;
}

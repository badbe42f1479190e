import { createHash, randomUUID } from "node:crypto";
import type { Flavour } from "./flavours.ts";

type Json = Record<string, unknown>;

/** What a played gateway refuses, as the real ones do. */
export class Refused extends Error {
  readonly code: string;
  readonly extra: Json;

  constructor(message: string, code = "INVALID_REQUEST", extra: Json = {}) {
    super(message);
    this.code = code;
    this.extra = extra;
  }
}

interface FakeSession {
  label: string | null;
  sessionId: string;
  updatedAt: number;
}

/** What a played gateway keeps, also across a restart; and what was done to it. */
export class FakeState {
  readonly flavour: Flavour;
  readonly roster = new Map<string, Json>([["main", { id: "main" }]]);
  readonly files = new Map<string, Map<string, string>>([["main", new Map()]]);
  readonly sessions = new Map<string, FakeSession>();
  readonly runs = new Map<string, { sessionKey: string; message: string }>();
  /** Every effect in order, as `kind subject`; one that changed nothing as `needless kind subject`. */
  readonly effects: string[] = [];
  /** What was said in each session since it was begun. */
  readonly #said = new Map<string, string[]>();
  /** Idempotency keys are known until the next restart. */
  readonly #keys = new Set<string>();
  /** Where its own agent works: that is the gateway's choice. */
  ownWorkspace = "/srv/openclaw/workspace";
  #patched: number[] = [];
  #turns = 0;

  constructor(flavour: Flavour) {
    this.flavour = flavour;
  }

  /** Effects of one kind. */
  effectsOf(kind: string): string[] {
    return this.effects.filter((effect) => effect.startsWith(`${kind} `));
  }

  get config(): Json {
    const withoutId = (entry: Json) =>
      Object.fromEntries(Object.entries(entry).filter(([key]) => key !== "id"));
    const entries = Object.fromEntries([...this.roster].map(([id, entry]) => [id, withoutId(entry)]));
    return this.flavour.roster === "entries"
      ? { agents: { entries } }
      : { agents: { list: [...this.roster.values()] } };
  }

  get hash(): string {
    return createHash("sha256").update(JSON.stringify(this.config)).digest("hex");
  }

  copyRoster(): [string, Json][] {
    return structuredClone([...this.roster]);
  }

  /** The configuration as somebody read it a moment ago: what was written since is lost. */
  writeOver(roster: [string, Json][]): void {
    this.roster.clear();
    for (const [id, entry] of roster) this.roster.set(id, entry);
  }

  create({ name, workspace }: Json): Json {
    const id = String(name)
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, "-");
    if (this.roster.has(id)) throw new Refused(`agent "${id}" already exists`);
    this.roster.set(id, { id, name, workspace });
    this.files.set(
      id,
      new Map([
        ["AGENTS.md", "theirs"],
        ["USER.md", "theirs"],
        ["BOOTSTRAP.md", "theirs"],
      ]),
    );
    this.effects.push(`create ${id}`);
    return { ok: true, agentId: id, name, workspace };
  }

  update({ agentId, ...changes }: Json): Json {
    const entry = this.#entry(agentId);
    const before = JSON.stringify(entry);
    Object.assign(entry, changes);
    this.#done(`update ${agentId}`, before !== JSON.stringify(entry));
    return { ok: true, agentId };
  }

  delete({ agentId }: Json): Json {
    this.#entry(agentId);
    this.roster.delete(String(agentId));
    this.files.delete(String(agentId));
    for (const key of [...this.sessions.keys()])
      if (key.startsWith(`agent:${agentId}:`)) this.sessions.delete(key);
    this.effects.push(`delete ${agentId}`);
    return { ok: true, agentId, removedBindings: 1, removed: ["workspace"], failed: ["sessions"] };
  }

  list(isKnown: (entry: Json) => boolean): Json {
    const agents = [...this.roster.values()]
      .filter(isKnown)
      .map(({ id, name, workspace }) => ({ id, name, workspace }));
    return { defaultId: this.roster.has("main") ? "main" : agents[0]?.id, mainKey: "main", agents };
  }

  patch({ raw, baseHash }: Json, at: number): Json {
    this.#patched = this.#patched.filter((then) => at - then < 60_000);
    if (this.#patched.length >= this.flavour.patches)
      throw new Refused("rate limit exceeded for config.patch; retry after 60s", "UNAVAILABLE", {
        retryable: true,
        retryAfterMs: 60_000,
      });
    this.#patched.push(at);
    if (baseHash === undefined) throw new Refused("config base hash required; re-run config.get and retry");
    if (baseHash !== this.hash)
      throw new Refused("config changed since last load; re-run config.get and retry");
    const { agents = {} } = JSON.parse(String(raw));
    for (const key of Object.keys(agents))
      if (key !== this.flavour.roster) throw new Refused(`Unrecognized key: ${key}`);
    const before = this.hash;
    if (this.flavour.roster === "entries")
      for (const [id, entry] of Object.entries<Json>(agents.entries ?? {})) this.#merge(id, entry);
    else if (this.flavour.replacesList) {
      this.roster.clear();
      for (const entry of agents.list) this.roster.set(entry.id, entry);
    } else for (const entry of agents.list) this.#merge(entry.id, entry);
    this.#done(`patch ${Object.keys(agents.entries ?? agents.list).length}`, before !== this.hash);
    return { ok: true, hash: this.hash };
  }

  file({ agentId, name }: Json): Json {
    const entry = this.#entry(agentId);
    if (!this.flavour.files.includes(String(name))) throw new Refused(`unsupported file "${name}"`);
    const content = this.files.get(String(agentId))?.get(String(name));
    return {
      agentId,
      workspace: entry.workspace ?? this.ownWorkspace,
      file: content === undefined ? { name, missing: true } : { name, missing: false, content },
    };
  }

  setFile({ agentId, name, content }: Json): Json {
    this.file({ agentId, name });
    const files = this.files.get(String(agentId));
    this.#done(`file ${agentId}/${name}`, files?.get(String(name)) !== content);
    files?.set(String(name), String(content));
    return { ok: true, agentId, file: { name, missing: false } };
  }

  listSessions({ agentId }: Json): Json {
    const sessions = [...this.sessions].map(([key, session]) => ({ key, kind: "direct", ...session }));
    return { sessions: sessions.filter(({ key }) => key.startsWith(`agent:${agentId}:`)) };
  }

  patchSession({ key, label }: Json): Json {
    for (const [other, session] of this.sessions)
      if (label !== null && other !== key && session.label === label)
        throw new Refused(`label already in use: ${label}`);
    if (typeof label === "string" && label.length > 64)
      throw new Refused("label: must be at most 64 characters");
    const isNew = !this.sessions.has(String(key));
    const session = this.#session(String(key));
    this.#done(`label ${key}`, isNew || session.label !== label);
    session.label = label === null ? null : String(label);
    return { ok: true, key, entry: session };
  }

  resetSession({ key }: Json): Json {
    const agentId = String(key).split(":")[1] ?? "";
    if (this.flavour.mainSessionsAreKept && !this.roster.has(agentId))
      throw new Refused(
        `Error: OpenClaw agent database is unavailable while agent ${agentId} is deleted.`,
        "UNAVAILABLE",
      );
    const session = this.#session(String(key));
    if (!this.flavour.mainSessionsAreKept) session.sessionId = randomUUID();
    session.updatedAt = this.#now();
    this.#said.delete(String(key));
    this.effects.push(`reset ${key}`);
    return { ok: true, key, entry: session };
  }

  deleteSession({ key }: Json): Json {
    if (/:main$/.test(String(key)) && (this.flavour.mainSessionsAreKept || key === "agent:main:main"))
      throw new Refused(`Cannot delete the main session (${key}).`);
    const deleted = this.sessions.delete(String(key));
    this.#said.delete(String(key));
    if (deleted) this.effects.push(`unsession ${key}`);
    return { ok: true, key, deleted, archived: [] };
  }

  /** Whether it is the first of its key, as far as the gateway knows. */
  send({ sessionKey, message, idempotencyKey }: Json): boolean {
    const key = String(idempotencyKey);
    if (this.#keys.has(key)) return false;
    this.#keys.add(key);
    const session = String(sessionKey);
    this.#session(session).updatedAt = this.#now();
    this.#said.set(session, [...(this.#said.get(session) ?? []), String(message)]);
    this.runs.set(key, { sessionKey: session, message: String(message) });
    this.effects.push(`run ${key}`);
    return true;
  }

  history({ sessionKey, limit }: Json): Json {
    const messages = (this.#said.get(String(sessionKey)) ?? []).slice(-Number(limit));
    return {
      sessionKey,
      messages: messages.map((text) => ({ role: "user", content: [{ type: "text", text }] })),
    };
  }

  /** What a restart makes it forget. */
  forget(): void {
    this.#keys.clear();
  }

  #done(effect: string, isChange: boolean): void {
    this.effects.push(isChange ? effect : `needless ${effect}`);
  }

  #entry(agentId: unknown): Json {
    const entry = this.roster.get(String(agentId));
    if (entry) return entry;
    throw new Refused(`agent "${agentId}" not found`);
  }

  #merge(id: string, entry: Json): void {
    const before = this.roster.get(id) ?? { id };
    const heartbeat = { ...Object(before.heartbeat), ...Object(entry.heartbeat) };
    for (const [key, value] of Object.entries(heartbeat)) if (value === null) delete heartbeat[key];
    this.roster.set(id, { ...before, ...entry, id, ...("heartbeat" in entry ? { heartbeat } : {}) });
  }

  #session(key: string): FakeSession {
    const session = this.sessions.get(key) ?? {
      label: null,
      sessionId: randomUUID(),
      updatedAt: this.#now(),
    };
    this.sessions.set(key, session);
    return session;
  }

  #now(): number {
    this.#turns += 1;
    return Date.now() + this.#turns;
  }
}

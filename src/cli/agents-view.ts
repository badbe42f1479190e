import type { WatchChange } from "../client/index.ts";
import type { Agent } from "../protocol/agents.ts";

/** An agent, and when it was last seen in milliseconds since the epoch. */
export interface Row {
  agent: Agent;
  seenAt: number | undefined;
}

/** All agents of a view, as its changes leave them. */
export class AgentsView {
  readonly #rows = new Map<string, Row>();
  /** Kept until an agent comes, goes or is renamed: to sort a large fleet at every drawing would take too long. */
  #sorted: Row[] | undefined;

  apply(change: WatchChange<Agent>): void {
    switch (change.kind) {
      case "reset":
        this.#rows.clear();
        this.#sorted = undefined;
        this.#upsert(change.items);
        return;
      case "snapshot":
        this.#upsert(change.items);
        return;
      case "change":
        this.#upsert(change.upserts);
        for (const id of change.removes) if (this.#rows.delete(id)) this.#sorted = undefined;
        return;
      case "seen": {
        const at = Date.parse(change.at);
        for (const [id, msBefore] of change.agents) this.#seen(id, at - msBefore);
        return;
      }
      case "end":
        return;
    }
  }

  /** By name. */
  rows(): Row[] {
    this.#sorted ??= [...this.#rows.values()].sort((a, b) => byName.compare(a.agent.name, b.agent.name));
    return this.#sorted;
  }

  #upsert(agents: Agent[]): void {
    for (const agent of agents) {
      const told = agent.last_seen_at === null ? undefined : Date.parse(agent.last_seen_at);
      // A last-seen time can come ahead of the change that it belongs to.
      const known = this.#rows.get(agent.id);
      const row = { agent, seenAt: Math.max(told ?? 0, known?.seenAt ?? 0) || undefined };
      if (known === undefined) this.#rows.set(agent.id, row);
      if (known?.agent.name !== agent.name) this.#sorted = undefined;
      if (known !== undefined) Object.assign(known, row);
    }
  }

  #seen(id: string, at: number): void {
    const row = this.#rows.get(id);
    if (row !== undefined) row.seenAt = Math.max(row.seenAt ?? 0, at);
  }
}

const byName = new Intl.Collator("en", { numeric: true });

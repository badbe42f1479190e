import { mkdir, rm } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { z } from "zod";
import { type AgentBrief, type GatewayBrief, GatewayError } from "../driver.ts";
import { ensureFolder, kindOf, notAFolder, readText, writeIfChanged } from "./files.ts";

const SLUG = /^[a-z0-9]+(-[a-z0-9]+)*$/;

/** Whose workspace it is, and by which piece of work: an older one must not touch it any more. */
const claimSchema = z.object({ agent_id: z.string(), generation: z.number() });
type Claim = z.infer<typeof claimSchema>;

/** The folder of one agent and what the driver keeps in it. All paths are absolute. */
export class Workspace {
  readonly folder: string;
  readonly stateFolder: string;
  readonly tokenFile: string;
  readonly agentFile: string;
  readonly pidFile: string;
  readonly logFile: string;
  readonly #agentId: string;
  readonly #root: string;
  readonly #claimFile: string;

  /**
   * `<workspaceRoot>/workspace-<slug>`, which must lie inside `root`; a relative workspaceRoot starts there.
   * Throws GatewayError when it does not.
   */
  constructor(root: string, { id, slug }: AgentBrief, { name, workspaceRoot }: GatewayBrief) {
    const refuse = (why: string) => new GatewayError(why, { transient: false });
    if (workspaceRoot === null) throw refuse(`gateway ${name} has no workspace_root`);
    if (!SLUG.test(slug)) throw refuse(`${JSON.stringify(slug)} cannot name a workspace`);
    const parent = resolve(root, workspaceRoot);
    if (parent !== root && !parent.startsWith(join(root, sep)))
      throw refuse(`workspace_root ${workspaceRoot} is outside ${root}, where local agents must stay`);
    this.#root = root;
    this.#agentId = id;
    this.folder = join(parent, `workspace-${slug}`);
    this.stateFolder = join(this.folder, ".muster");
    this.#claimFile = join(this.stateFolder, "session.json");
    this.agentFile = join(this.stateFolder, "agent.json");
    this.tokenFile = join(this.stateFolder, "token");
    this.pidFile = join(this.stateFolder, "runner.pid");
    this.logFile = join(this.stateFolder, "runner.log");
  }

  /**
   * Makes the folder and marks it as this agent's, by this piece of work. Doing it again changes nothing.
   * Throws GatewayError when it is another agent's, or a newer piece of work has marked it.
   */
  async claim(generation: number): Promise<void> {
    await mkdir(this.#root, { recursive: true, mode: 0o700 });
    for (const folder of [...this.#path(), this.stateFolder]) await ensureFolder(folder);
    const claim = await this.#claim();
    if (claim && claim.agent_id !== this.#agentId)
      // Whose it is stays unsaid: it may be another organization's.
      throw new GatewayError(
        `${this.folder} belongs to another agent; if that is gone, move the folder away`,
        { transient: false },
      );
    if (claim && claim.generation > generation) throw superseded();
    await this.writeState(this.#claimFile, { agent_id: this.#agentId, generation } satisfies Claim);
  }

  /**
   * Whether the folder is there and not another agent's. One whose mark is missing counts as ours by its name.
   * Throws GatewayError when it is reached through a link.
   */
  async isOurs(): Promise<boolean> {
    for (const folder of this.#path()) {
      const kind = await kindOf(folder);
      if (kind === undefined) return false;
      if (kind !== "folder") throw notAFolder(folder);
    }
    const claim = (await kindOf(this.stateFolder)) === "folder" ? await this.#claim() : undefined;
    return claim === undefined || claim.agent_id === this.#agentId;
  }

  /** Removes the folder with all that is in it, unless it is gone or another agent's. Links in it are not followed. */
  async remove(): Promise<void> {
    if (await this.isOurs()) await rm(this.folder, { recursive: true, force: true });
  }

  /** Writes a text unless it is there already. Returns whether it was written. */
  async write(path: string, text: string, mode: number): Promise<boolean> {
    return writeIfChanged(path, text, join(this.stateFolder, "draft"), mode);
  }

  async writeState(path: string, state: object): Promise<void> {
    await this.write(path, `${JSON.stringify(state, null, 2)}\n`, 0o600);
  }

  /** Every folder from the root down to the workspace: a link in any of them would lead elsewhere. */
  #path(): string[] {
    const steps = relative(this.#root, this.folder).split(sep);
    return steps.map((_, index) => join(this.#root, ...steps.slice(0, index + 1)));
  }

  /** A claim that cannot be read counts as none: nothing is lost by claiming anew. */
  async #claim(): Promise<Claim | undefined> {
    const text = await readText(this.#claimFile);
    if (text === undefined) return undefined;
    try {
      return claimSchema.parse(JSON.parse(text));
    } catch {
      return undefined;
    }
  }
}

/** The answer to work that nobody waits for any more. */
export function superseded(): GatewayError {
  return new GatewayError("newer work on this agent has begun", { transient: false });
}

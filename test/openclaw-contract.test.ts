import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { contract, REPLY, type RunningGateway } from "./openclaw/contract.ts";
import type { FlavourName } from "./support/fake-gateway/flavours.ts";
import { FakeGateway } from "./support/fake-gateway/gateway.ts";

async function play(flavour: FlavourName): Promise<RunningGateway> {
  const gateway = await FakeGateway.open(flavour);
  const { state, url, token } = gateway;
  const folder = await mkdtemp(join(tmpdir(), "muster-played-"));
  gateway.reply = REPLY;
  gateway.isOnDisk = true;
  state.ownWorkspace = join(folder, "own");
  return {
    url,
    token,
    workspaceRoot: folder,
    file: async (agentId, name) => state.files.get(agentId)?.get(name) ?? null,
    agent: async (agentId) => state.roster.get(agentId) ?? null,
    restart: () => gateway.restart(),
    stop: async () => {
      await gateway.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

contract("a played gateway of February", () => play("old"));
contract("a played gateway of September", () => play("new"));

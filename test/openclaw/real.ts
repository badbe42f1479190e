import { contract } from "./contract.ts";
import { installOpenClaw } from "./install.ts";
import { startRealGateway } from "./real-gateway.ts";

const version = process.env.OPENCLAW_VERSION ?? "";
contract(`OpenClaw ${version}`, async () => startRealGateway(await installOpenClaw(version)));
